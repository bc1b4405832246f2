//! The headers that mirror the body (MCP 2026-07-28 basic/transports, SEP-2243).
use crate::{era::Era, message::Message};
use http::{HeaderMap, StatusCode};

/// `MCP-Protocol-Version`.
pub const PROTOCOL_VERSION: &str = "mcp-protocol-version";
/// `Mcp-Method`: mirrors `method`.
pub const METHOD: &str = "mcp-method";
/// `Mcp-Name`: mirrors `params.name`, `params.uri` or `params.taskId`.
pub const NAME: &str = "mcp-name";
/// Prefix of the headers that mirror single tool arguments.
pub const PARAM_PREFIX: &str = "mcp-param-";
/// `Mcp-Session-Id`, legacy only.
pub const SESSION_ID: &str = "mcp-session-id";
/// `Last-Event-ID`, legacy only.
pub const LAST_EVENT_ID: &str = "last-event-id";

/// Why a mirroring header was refused: the caller's fault, HTTP 400, JSON-RPC [`HeaderMismatch::CODE`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderMismatch {
    /// A required header is missing.
    #[error("the header `{0}` is missing")]
    Missing(&'static str),
    /// A header that must be single comes several times.
    #[error("the header `{0}` comes more than once")]
    Duplicated(String),
    /// A value with forbidden characters, or a bad `=?base64?…?=` form.
    #[error("the header `{0}` has an invalid value")]
    Invalid(String),
    /// The value is not what the body says.
    #[error("the header `{0}` does not match the body")]
    Mismatch(&'static str),
}

impl HeaderMismatch {
    /// HeaderMismatch.
    pub const CODE: i64 = -32020;

    /// Always 400.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        StatusCode::BAD_REQUEST
    }
}

/// Compares the mirroring headers with the body.
///
/// # Errors
/// See [`HeaderMismatch`].
pub fn check(_era: Era, _msg: &Message<'_>, _headers: &HeaderMap) -> Result<(), HeaderMismatch> {
    todo!()
}
