//! Why a body is not a message.

use super::Id;
use crate::json::{self, JsonError};

/// Why a body was refused. All of it is the caller's fault, and nothing was forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    /// No body, or only white space.
    #[error("the body is empty")]
    Empty,
    /// Not strict JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// An array: batching existed only in 2025-03-26 and is not served.
    #[error("batches are not supported: send one message per request")]
    Batch,
    /// A JSON value that is not an object.
    #[error("the body is not a JSON-RPC object")]
    NotAnObject,
    /// `jsonrpc` is missing or not `"2.0"`.
    #[error("`jsonrpc` must be \"2.0\"")]
    WrongVersion,
    /// `id` is neither a string nor an integer, or is missing from a response or from a request: what needs no reply is
    /// named `notifications/…`, and nothing else may be sent without an id (it could run a tool that nobody judged).
    #[error("`id` must be a string or an integer, and only `notifications/…` go without")]
    BadId,
    /// `method` is not a string or is empty, or stands beside `result` or `error`.
    #[error("`method` must be a string, and must not stand beside `result` or `error`")]
    BadMethod,
    /// A response with both or neither of `result` and `error`, or with `params`.
    #[error("a response must have exactly one of `result` and `error`")]
    BadResponse,
    /// `params` is not an object.
    #[error("`params` must be an object")]
    BadParams,
    /// `params._meta` is not an object.
    #[error("`params._meta` must be an object")]
    BadMeta,
    /// A field of `params` that the method needs is missing or of the wrong type.
    #[error("`params.{0}` is missing or of the wrong type")]
    BadField(&'static str),
    /// A key differs only in case from one that is judged; some readers would take it for that one.
    #[error("a key differs only in case from `{0}`")]
    Lookalike(&'static str),
}

impl ScanError {
    /// The JSON-RPC error code: −32700 parse error, −32600 invalid request, −32602 invalid params.
    #[must_use]
    pub fn code(&self) -> i64 {
        match self {
            Self::Empty | Self::Json(_) => -32700,
            Self::BadParams | Self::BadMeta | Self::BadField(_) => -32602,
            Self::Batch
            | Self::NotAnObject
            | Self::WrongVersion
            | Self::BadId
            | Self::BadMethod
            | Self::BadResponse
            | Self::Lookalike(_) => -32600,
        }
    }

    /// The id to echo in the refusal, if `body` (the one that was scanned) has exactly one that can be read. A body that
    /// is not JSON has none: what it seems to say cannot be trusted.
    #[must_use]
    pub fn id<'a>(&self, body: &'a [u8]) -> Option<Id<'a>> {
        if matches!(self, Self::Empty | Self::Json(_) | Self::Batch | Self::NotAnObject) {
            return None;
        }
        Id::from_raw(json::get(body, "id")?)
    }
}
