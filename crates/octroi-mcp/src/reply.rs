//! Building replies, and judging those of the upstream, without a JSON tree.
use crate::{era::Era, message::Id};
use http::StatusCode;

/// A JSON-RPC error reply. `id` is `None` only when it could not be read (`null` is written); `data_raw` must be JSON.
#[must_use]
pub fn error(_id: Option<Id<'_>>, _code: i64, _message: &str, _data_raw: Option<&[u8]>) -> Vec<u8> {
    todo!()
}

/// A JSON-RPC result reply; `result_raw` must be a JSON object.
#[must_use]
pub fn result(_id: Id<'_>, _result_raw: &[u8]) -> Vec<u8> {
    todo!()
}

/// A `tools/call` result with `isError: true` and one text block; `meta_raw` is the JSON object for `_meta`.
/// A modern one says `"resultType":"complete"` too.
#[must_use]
pub fn tool_error(_id: Id<'_>, _text: &str, _meta_raw: Option<&[u8]>, _era: Era) -> Vec<u8> {
    todo!()
}

/// The HTTP status under which a JSON-RPC error travels (MCP 2026-07-28 basic/transports): modern −32601 → 404,
/// −32020…−32022 and −32602 for a missing `_meta` → 400, else 200. A reply that could not be read at all (−32700, −32600) is
/// 400 in both eras.
#[must_use]
pub fn http_status(_era: Era, _code: i64) -> StatusCode {
    todo!()
}

/// `resultType` of a result (MCP 2026-07-28 basic); absent means complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResultType {
    /// `"complete"` or absent.
    Complete,
    /// `"input_required"`: the caller must retry with more.
    InputRequired,
    /// `"task"`: the work goes on under a task id.
    Task,
    /// A value of an extension this crate does not know.
    Other,
}

/// What an upstream message amounts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A result.
    Result {
        /// `result.isError` is `true`.
        is_error: bool,
        /// `result.resultType`.
        result_type: ResultType,
    },
    /// An error.
    Error {
        /// Its code; 0 if that is no 64-bit integer.
        code: i64,
    },
    /// A request or notification on the way to the real reply.
    Other,
    /// Not a message.
    Malformed,
}

/// Judges one upstream message by its top level only; nested values are skipped, not validated.
#[must_use]
pub fn outcome(_body: &[u8]) -> Outcome {
    todo!()
}

/// Whether one upstream message is the reply to the request with this id.
#[must_use]
pub fn answers(_body: &[u8], _id: Id<'_>) -> bool {
    todo!()
}
