//! Which era a request speaks, and the strictness of MCP 2026-07-28 about it (basic/transports/streamable-http).

use serde_json::{Map, Value, json};

use super::state::Received;
use super::wire::{Era, META_VERSION, MODERN, Refusal};

/// Key of the capabilities in a modern request's `_meta`.
const META_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

/// The era of a request over HTTP, its headers compared with its body.
pub(super) fn over_http(
    received: &Received,
    method: &str,
    params: &Map<String, Value>,
) -> Result<Era, Refusal> {
    let header = received.header("mcp-protocol-version");
    let era = over_stdio(params)?;
    if era == Era::Legacy {
        return match header {
            Some(MODERN) => Err(Refusal::new(-32602, format!("_meta names no {META_VERSION}")).status(400)),
            _ => Ok(Era::Legacy),
        };
    }
    if header != meta(params, META_VERSION).and_then(Value::as_str) {
        return Err(mismatch("MCP-Protocol-Version"));
    }
    if received.header("mcp-method") != Some(method) {
        return Err(mismatch("Mcp-Method"));
    }
    let named = match method {
        "tools/call" | "prompts/get" => "name",
        "resources/read" => "uri",
        _ => return Ok(Era::Modern),
    };
    if received.header("mcp-name").map(decoded)
        != params.get(named).and_then(Value::as_str).map(str::to_owned)
    {
        return Err(mismatch("Mcp-Name"));
    }
    Ok(Era::Modern)
}

/// The era of a request by its body alone.
pub(super) fn over_stdio(params: &Map<String, Value>) -> Result<Era, Refusal> {
    let Some(version) = meta(params, META_VERSION) else { return Ok(Era::Legacy) };
    if version != MODERN {
        let data = json!({"supported": [MODERN], "requested": version});
        return Err(Refusal::new(-32022, "unsupported protocol version").status(400).data(data));
    }
    if !meta(params, META_CAPABILITIES).is_some_and(Value::is_object) {
        return Err(Refusal::new(-32602, format!("_meta names no {META_CAPABILITIES}")).status(400));
    }
    Ok(Era::Modern)
}

fn meta<'a>(params: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    params.get("_meta")?.get(key)
}

fn mismatch(header: &str) -> Refusal {
    Refusal::new(-32020, format!("{header} does not agree with the body")).status(400)
}

/// A mirrored value, out of its `=?base64?…?=` wrapping if it has one.
fn decoded(value: &str) -> String {
    use base64::Engine as _;
    let wrapped = value.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?="));
    let bytes = wrapped.and_then(|text| base64::engine::general_purpose::STANDARD.decode(text).ok());
    bytes.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_else(|| value.to_owned())
}
