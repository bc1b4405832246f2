//! Building replies, and judging those of the upstream, without a JSON tree.

use http::StatusCode;

use crate::{
    era::Era,
    json::{self, Members},
    message::Id,
};

/// A JSON-RPC error reply. `id` is `None` only when it could not be read (`null` is written); `data_raw` must be JSON.
#[must_use]
pub fn error(id: Option<Id<'_>>, code: i64, message: &str, data_raw: Option<&[u8]>) -> Vec<u8> {
    let mut out = opening(id);
    out.extend_from_slice(format!("\"error\":{{\"code\":{code},\"message\":").as_bytes());
    json::write_string(&mut out, message);
    if let Some(data) = data_raw {
        out.extend_from_slice(b",\"data\":");
        out.extend_from_slice(data);
    }
    out.extend_from_slice(b"}}");
    out
}

/// A JSON-RPC result reply; `result_raw` must be a JSON object.
#[must_use]
pub fn result(id: Id<'_>, result_raw: &[u8]) -> Vec<u8> {
    let mut out = opening(Some(id));
    out.extend_from_slice(b"\"result\":");
    out.extend_from_slice(result_raw);
    out.push(b'}');
    out
}

/// A `tools/call` result with `isError: true` and one text block; `meta_raw` is the JSON object for `_meta`.
/// A modern one says `"resultType":"complete"` too.
#[must_use]
pub fn tool_error(id: Id<'_>, text: &str, meta_raw: Option<&[u8]>, era: Era) -> Vec<u8> {
    let mut result = b"{\"content\":[{\"type\":\"text\",\"text\":".to_vec();
    json::write_string(&mut result, text);
    result.extend_from_slice(b"}],\"isError\":true");
    if era == Era::Modern {
        result.extend_from_slice(b",\"resultType\":\"complete\"");
    }
    if let Some(meta) = meta_raw {
        result.extend_from_slice(b",\"_meta\":");
        result.extend_from_slice(meta);
    }
    result.push(b'}');
    self::result(id, &result)
}

/// The HTTP status under which a JSON-RPC error of the gate travels (MCP 2026-07-28 basic/transports): modern −32601 → 404
/// and −32020…−32022 → 400; in both eras −32700 and −32600 → 400, since nothing was understood; else 200. Missing metadata
/// shares its code with in-band errors: ask [`crate::era::EraError::status`].
#[must_use]
pub fn http_status(era: Era, code: i64) -> StatusCode {
    match (era, code) {
        (_, -32700 | -32600) | (Era::Modern, -32022..=-32020) => StatusCode::BAD_REQUEST,
        (Era::Modern, -32601) => StatusCode::NOT_FOUND,
        _ => StatusCode::OK,
    }
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

/// Judges one upstream message by its top level and that of its result; deeper values are skipped, not validated.
#[must_use]
pub fn outcome(body: &[u8]) -> Outcome {
    let Some(top) = Top::read(body) else { return Outcome::Malformed };
    match top {
        Top { method: true, result: None, error: None, .. } => Outcome::Other,
        Top { method: true, .. } => Outcome::Malformed,
        Top { result: Some(result), error: None, .. } => judge_result(result),
        Top { result: None, error: Some(error), .. } if error.starts_with(b"{") => {
            let code = json::get(error, "code").and_then(|code| std::str::from_utf8(code).ok()?.parse().ok());
            Outcome::Error { code: code.unwrap_or(0) }
        }
        _ => Outcome::Malformed,
    }
}

/// Whether one upstream message is the reply to the request with this id.
#[must_use]
pub fn answers(body: &[u8], id: Id<'_>) -> bool {
    Top::read(body).is_some_and(|top| {
        !top.method
            && (top.result.is_some() || top.error.is_some())
            && top.id.is_some_and(|found| found.same(&id))
    })
}

fn opening(id: Option<Id<'_>>) -> Vec<u8> {
    let mut out = b"{\"jsonrpc\":\"2.0\",\"id\":".to_vec();
    out.extend_from_slice(id.map_or(b"null", |id| id.as_raw()));
    out.push(b',');
    out
}

/// The top level of an upstream message.
#[derive(Default)]
struct Top<'a> {
    id: Option<Id<'a>>,
    method: bool,
    result: Option<&'a [u8]>,
    error: Option<&'a [u8]>,
}

impl<'a> Top<'a> {
    /// `None` if the object does not end well or says something twice: a client might read the other one.
    fn read(body: &'a [u8]) -> Option<Self> {
        let mut top = Self::default();
        let mut seen_id = false;
        let mut members = Members::new(body);
        for member in members.by_ref() {
            let repeated = match &*member.key {
                "id" => {
                    top.id = Id::from_raw(member.value);
                    std::mem::replace(&mut seen_id, true)
                }
                "method" => std::mem::replace(&mut top.method, true),
                "result" => top.result.replace(member.value).is_some(),
                "error" => top.error.replace(member.value).is_some(),
                _ => false,
            };
            if repeated {
                return None;
            }
        }
        members.ended_well().then_some(top)
    }
}

fn judge_result(raw: &[u8]) -> Outcome {
    let (mut is_error, mut result_type) = (None, None);
    let mut members = Members::new(raw);
    for member in members.by_ref() {
        let repeated = match &*member.key {
            "isError" => is_error.replace(member.value == b"true").is_some(),
            "resultType" => result_type.replace(ResultType::parse(member.value)).is_some(),
            _ => false,
        };
        if repeated {
            return Outcome::Malformed;
        }
    }
    if !members.ended_well() {
        return Outcome::Malformed;
    }
    Outcome::Result {
        is_error: is_error.unwrap_or(false),
        result_type: result_type.unwrap_or(ResultType::Complete),
    }
}

impl ResultType {
    fn parse(raw: &[u8]) -> Self {
        match json::string(raw).as_deref() {
            Some("complete") => Self::Complete,
            Some("input_required") => Self::InputRequired,
            Some("task") => Self::Task,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests;
