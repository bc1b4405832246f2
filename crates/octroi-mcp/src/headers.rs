//! The headers that mirror the body (MCP 2026-07-28 basic/transports, SEP-2243).

use std::borrow::Cow;

use base64::prelude::{BASE64_STANDARD, Engine};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::{
    era::Era,
    message::{Kind, Message, Meta},
};

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

/// Compares the mirroring headers with the body. Price and permission are decided from the body alone (SEP-2243); this
/// check keeps whoever routes on the headers from seeing another call than the one that is served.
///
/// A modern request must have all of them; from others they are only refused when they disagree. `Mcp-Param-*` mirrors
/// arguments that only the tool's schema can name, which is not known here: each must be single and decodable, and the
/// server that knows the schema compares it.
///
/// # Errors
/// See [`HeaderMismatch`].
pub fn check(era: Era, msg: &Message<'_>, headers: &HeaderMap) -> Result<(), HeaderMismatch> {
    let required = era == Era::Modern && msg.kind == Kind::Request;
    let version = msg.params.meta.as_ref().and_then(Meta::protocol_version);
    compare(headers, PROTOCOL_VERSION, version.as_deref(), required, plain)?;
    let method = (msg.kind != Kind::Response).then_some(&*msg.method);
    compare(headers, METHOD, method, required, plain)?;
    compare(headers, NAME, mirrored_name(msg), required, decoded)?;
    for name in headers.keys().map(HeaderName::as_str).filter(|name| name.starts_with(PARAM_PREFIX)) {
        if let Some(value) = single(headers, name)? {
            decoded(value).ok_or_else(|| HeaderMismatch::Invalid(name.to_owned()))?;
        }
    }
    Ok(())
}

/// Compares the version in the header with that in the body, before either is judged: whoever says two versions is told
/// of that, even where one of them is unknown (MCP 2026-07-28 basic/transports). [`check`] includes it.
///
/// # Errors
/// See [`HeaderMismatch`].
pub fn check_version(msg: &Message<'_>, headers: &HeaderMap) -> Result<(), HeaderMismatch> {
    let version = msg.params.meta.as_ref().and_then(Meta::protocol_version);
    compare(headers, PROTOCOL_VERSION, version.as_deref(), false, plain)
}

/// What `Mcp-Name` must say, for the methods that have it.
fn mirrored_name<'m>(msg: &'m Message<'_>) -> Option<&'m str> {
    match &*msg.method {
        "tools/call" | "prompts/get" => msg.params.name.as_deref(),
        "resources/read" => msg.params.uri.as_deref(),
        "tasks/get" | "tasks/update" | "tasks/cancel" => msg.params.task_id.as_deref(),
        _ => None,
    }
}

/// Compares one header with what the body says; a header the body has no value for is let be.
fn compare(
    headers: &HeaderMap,
    name: &'static str,
    body: Option<&str>,
    required: bool,
    read: fn(&HeaderValue) -> Option<Cow<'_, str>>,
) -> Result<(), HeaderMismatch> {
    let Some(value) = single(headers, name)? else {
        return if required && body.is_some() { Err(HeaderMismatch::Missing(name)) } else { Ok(()) };
    };
    let value = read(value).ok_or_else(|| HeaderMismatch::Invalid(name.to_owned()))?;
    match body {
        Some(body) if body != value => Err(HeaderMismatch::Mismatch(name)),
        _ => Ok(()),
    }
}

/// The only value of a header: readers disagree on which of several counts.
fn single<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h HeaderValue>, HeaderMismatch> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() { Err(HeaderMismatch::Duplicated(name.to_owned())) } else { Ok(first) }
}

fn plain(value: &HeaderValue) -> Option<Cow<'_, str>> {
    value.to_str().ok().map(Cow::Borrowed)
}

/// A value with the `=?base64?…?=` form undone; `None` if that, or a plain value, is not what it should be.
fn decoded(value: &HeaderValue) -> Option<Cow<'_, str>> {
    let text = value.to_str().ok()?;
    let Some(encoded) = text.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) else {
        return Some(Cow::Borrowed(text));
    };
    let bytes = BASE64_STANDARD.decode(encoded).ok()?;
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests;
