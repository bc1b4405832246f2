//! What a request would buy.

use bytes::Bytes;
use http::{Method, request};
use octroi_mcp::json::Limits;
use octroi_mcp::message::{self, Kind};
use serde_json::{Value, json};

use super::address;
use crate::visit::Subject;

/// The subject of a request: a tool, resource or prompt of an MCP server; or a method and a path of a plain one, whose
/// credentials are kept for the whole origin. `None` without an absolute address.
pub(super) fn of(head: &request::Parts, body: &Bytes) -> Option<Subject> {
    let endpoint = address(head)?;
    if head.method == Method::POST
        && let Some(tool) = mcp(body)
    {
        let place = endpoint.to_string();
        return Some(Subject { endpoint, place, tool });
    }
    let tool = format!("{} {}", head.method, endpoint.path());
    let place = match is_mcp(head) {
        true => endpoint.to_string(),
        false => endpoint.origin().ascii_serialization(),
    };
    Some(Subject { endpoint, place, tool })
}

/// Messages without a subject of their own, such as `initialize`, go to the same door as those with one.
fn is_mcp(head: &request::Parts) -> bool {
    let accept = head.headers.get(http::header::ACCEPT).and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/event-stream"))
}

fn mcp(body: &Bytes) -> Option<String> {
    let message = message::scan(body, &Limits::default()).ok()?;
    if message.kind != Kind::Request {
        return None;
    }
    let params = &message.params;
    Subject::tool(&message.method, params.name.as_deref(), params.uri.as_deref())
}

/// The same request with nothing to do, for asking what it would cost.
pub(super) fn without_arguments(body: &Bytes) -> Option<Bytes> {
    let mut message: Value = serde_json::from_slice(body).ok()?;
    let params = message.get_mut("params")?.as_object_mut()?;
    if params.contains_key("arguments") {
        params.insert("arguments".to_owned(), json!({}));
    }
    for bound in ["inputResponses", "requestState"] {
        params.remove(bound);
    }
    message["id"] = json!("ask");
    Some(Bytes::from(message.to_string()))
}
