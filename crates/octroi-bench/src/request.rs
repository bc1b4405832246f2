//! The calls that are sent, as bytes.

use std::fmt::Write;

/// Tools of the gate's policy, one for each row.
pub(crate) const FREE: &str = "picture_free";
pub(crate) const KNOWN: &str = "picture_known";
pub(crate) const PAID: &str = "picture_paid";

/// The body of a call, about 400 bytes.
pub(crate) fn body(tool: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"name":"{tool}","arguments":{{"url":"https://example.com/pictures/2026/cat.png","detail":"high","language":"en"}},"_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{{"name":"octroi-bench","version":"0.1.0"}},"io.modelcontextprotocol/clientCapabilities":{{}}}}}}}}"#
    )
}

/// A whole HTTP request for `tool`, as a client of MCP 2026-07-28 sends it, with `authorization` if there is any.
pub(crate) fn request(tool: &str, authorization: Option<&str>) -> Vec<u8> {
    let body = body(tool);
    let mut text = String::from("POST /mcp HTTP/1.1\r\nHost: localhost\r\n");
    text.push_str("User-Agent: octroi-bench\r\nContent-Type: application/json\r\n");
    text.push_str("Accept: application/json, text/event-stream\r\n");
    text.push_str("Mcp-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\n");
    // Writing to a String cannot fail.
    let _ = write!(text, "Mcp-Name: {tool}\r\nContent-Length: {}\r\n", body.len());
    if let Some(authorization) = authorization {
        let _ = write!(text, "Authorization: {authorization}\r\n");
    }
    text.push_str("\r\n");
    text.push_str(&body);
    text.into_bytes()
}
