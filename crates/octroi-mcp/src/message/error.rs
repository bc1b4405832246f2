//! Why a body is not a message.
use super::Id;
use crate::json::JsonError;

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
    /// `id` is neither a string nor an integer, or a response has none.
    #[error("`id` must be a string or an integer")]
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
        todo!()
    }

    /// The id to echo in the refusal, if `body` (the one that was scanned) has exactly one that can be read.
    #[must_use]
    pub fn id<'a>(&self, _body: &'a [u8]) -> Option<Id<'a>> {
        todo!()
    }
}
