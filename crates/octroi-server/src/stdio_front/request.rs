//! The HTTP requests a client of Streamable HTTP makes.

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Uri,
    header::{ACCEPT, CONTENT_TYPE},
};
use http_body_util::Full;
use octroi_mcp::{
    era::Era,
    headers::{LAST_EVENT_ID, METHOD, NAME, PROTOCOL_VERSION, SESSION_ID},
    message::{Kind, Message, Meta},
};

/// A message, with the headers that mirror it (MCP 2026-07-28 basic/transports).
pub(super) fn post(message: &Message<'_>, era: Era, body: Bytes) -> Request<Full<Bytes>> {
    let mut request = bare(Method::POST, body);
    let headers = request.headers_mut();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if era == Era::Modern && message.kind != Kind::Response {
        let version = message.params.meta.as_ref().and_then(Meta::protocol_version);
        put(headers, PROTOCOL_VERSION, version.as_deref());
        put(headers, METHOD, Some(&message.method));
        put(headers, NAME, name(message));
    }
    request
}

/// The request for the server stream.
pub(super) fn get(last_event: Option<&[u8]>) -> Request<Full<Bytes>> {
    let mut request = bare(Method::GET, Bytes::new());
    request.headers_mut().insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
    if let Some(last) = last_event.and_then(|last| HeaderValue::from_bytes(last).ok()) {
        request.headers_mut().insert(HeaderName::from_static(LAST_EVENT_ID), last);
    }
    request
}

/// The request that ends a session.
pub(super) fn delete(session: &HeaderValue, version: Option<&HeaderValue>) -> Request<Full<Bytes>> {
    let mut request = bare(Method::DELETE, Bytes::new());
    sign(request.headers_mut(), Some(session), version);
    request
}

/// Adds the headers of a legacy session.
pub(super) fn sign(headers: &mut HeaderMap, session: Option<&HeaderValue>, version: Option<&HeaderValue>) {
    if let Some(session) = session {
        headers.insert(HeaderName::from_static(SESSION_ID), session.clone());
    }
    if let Some(version) = version {
        headers.insert(HeaderName::from_static(PROTOCOL_VERSION), version.clone());
    }
}

fn bare(method: Method, body: Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    *request.uri_mut() = Uri::from_static("/mcp");
    request
}

/// What `Mcp-Name` mirrors.
fn name<'m>(message: &'m Message<'_>) -> Option<&'m str> {
    let params = &message.params;
    match &*message.method {
        "tools/call" | "prompts/get" => params.name.as_deref(),
        "resources/read" => params.uri.as_deref(),
        "tasks/get" | "tasks/update" | "tasks/cancel" => params.task_id.as_deref(),
        _ => None,
    }
}

fn put(headers: &mut HeaderMap, name: &'static str, value: Option<&str>) {
    let Some(value) = value else { return };
    if let Ok(value) = HeaderValue::from_str(&encoded(value)) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

/// A value as a header can carry it: what is not plain text, or looks like the encoded form, is encoded (SEP-2243).
fn encoded(value: &str) -> String {
    let plain = value.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        && value.trim() == value
        && !(value.starts_with("=?base64?") && value.ends_with("?="));
    if plain { value.to_owned() } else { format!("=?base64?{}?=", BASE64_STANDARD.encode(value)) }
}

#[cfg(test)]
mod tests {
    use octroi_mcp::{headers, json::Limits, message};

    use super::*;

    #[test]
    fn the_headers_mirror_the_body() {
        for name in ["add", "größe", " padded ", "=?base64?eA==?=", "line\\nend", ""] {
            let body = format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{name}","_meta":{{
                "io.modelcontextprotocol/protocolVersion":"2026-07-28",
                "io.modelcontextprotocol/clientCapabilities":{{}}}}}}}}"#
            );
            let message = message::scan(body.as_bytes(), &Limits::default()).unwrap();
            let request = post(&message, Era::Modern, Bytes::new());
            headers::check(Era::Modern, &message, request.headers()).unwrap();
            assert_eq!(request.headers()[METHOD], "tools/call");
            assert_eq!(request.headers()[PROTOCOL_VERSION], "2026-07-28");
        }
    }

    #[test]
    fn legacy_messages_are_not_mirrored() {
        let body = br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add"}}"#;
        let message = message::scan(body, &Limits::default()).unwrap();
        let request = post(&message, Era::Legacy, Bytes::new());
        assert!(!request.headers().contains_key(METHOD));
        assert!(!request.headers().contains_key(NAME));
    }
}
