//! What the sample server offers, as its list methods tell it.

use serde_json::{Value, json};

use super::fault::Fault;
use super::wire::{Call, Era, Refusal};

/// The one text resource.
const NOTES_URI: &str = "sample://notes";
const NOTES: &str = "The gate was built in 1787; the toll was three sous a cart.";

/// How long a modern client may keep a list, in milliseconds.
const TTL_MS: u64 = 60_000;

pub(super) fn server_info() -> Value {
    json!({"name": "octroi-sample-server", "version": env!("CARGO_PKG_VERSION")})
}

pub(super) fn capabilities() -> Value {
    json!({
        "completions": {},
        "prompts": {"listChanged": true},
        "resources": {"listChanged": true},
        "tools": {"listChanged": true},
    })
}

fn tool(name: &str, description: &str, mut properties: Value, required: &[&str]) -> Value {
    let faults: Vec<&str> = Fault::ALL.iter().map(|(name, _)| *name).collect();
    properties["fault"] = json!({"type": "string", "enum": faults, "description": "Misbehave like this."});
    json!({
        "name": name,
        "description": description,
        "inputSchema": {"type": "object", "properties": properties, "required": required},
    })
}

/// `tools/list`
pub(super) fn tools() -> Value {
    json!({"tools": [
        tool(
            "image_describe",
            "Says what the image at a URL shows.",
            json!({"url": {"type": "string", "description": "Where the image is."}}),
            &["url"],
        ),
        tool(
            "data_query",
            "Answers a question from the sample data.",
            json!({"query": {"type": "string", "description": "The question."}}),
            &["query"],
        ),
        tool(
            "unreliable",
            "Fails when asked to.",
            json!({"fail": {"type": "boolean", "description": "Whether to fail."}}),
            &[],
        ),
        tool(
            "slow_report",
            "Writes a report step by step and tells its progress.",
            json!({
                "steps": {"type": "integer", "minimum": 1, "maximum": super::tools::STEPS_MAX},
                "delay_ms": {"type": "integer", "minimum": 0, "maximum": super::tools::DELAY_MS_MAX},
            }),
            &[],
        ),
        tool("echo_request", "Gives back the headers and the raw body it received.", json!({}), &[]),
        tool(
            "announce",
            "Tells subscribers that a list changed.",
            json!({"list": {"type": "string", "enum": ["tools", "prompts", "resources"]}}),
            &["list"],
        ),
    ]})
}

pub(super) fn resources() -> Value {
    json!({"resources": [
        {"uri": NOTES_URI, "name": "notes", "description": "A line of history.", "mimeType": "text/plain"},
    ]})
}

pub(super) fn read_resource(call: &Call) -> Result<Value, Refusal> {
    let uri = call.text("uri");
    if uri == NOTES_URI {
        return Ok(json!({"contents": [{"uri": NOTES_URI, "mimeType": "text/plain", "text": NOTES}]}));
    }
    // The legacy revisions have a code of their own for this; 2026-07-28 took it away.
    let code = match call.era {
        Era::Legacy => -32002,
        Era::Modern => -32602,
    };
    Err(Refusal::new(code, "no such resource").data(json!({"uri": uri})))
}

pub(super) fn prompts() -> Value {
    json!({"prompts": [{
        "name": "describe",
        "description": "Asks for a description in a style.",
        "arguments": [{"name": "style", "description": "plain or poetic", "required": false}],
    }]})
}

pub(super) fn get_prompt(call: &Call) -> Result<Value, Refusal> {
    if call.text("name") != "describe" {
        return Err(Refusal::new(-32602, "no such prompt"));
    }
    let style = call.argument("style").and_then(Value::as_str).unwrap_or("plain");
    Ok(json!({"messages": [
        {"role": "user", "content": {"type": "text", "text": format!("Describe the picture in a {style} style.")}},
    ]}))
}

pub(super) fn complete(call: &Call) -> Value {
    let typed =
        call.params.get("argument").and_then(|a| a.get("value")).and_then(Value::as_str).unwrap_or("");
    let values: Vec<&str> =
        ["plain", "poetic"].into_iter().filter(|style| style.starts_with(typed)).collect();
    json!({"completion": {"total": values.len(), "values": values, "hasMore": false}})
}

/// `server/discover`
pub(super) fn discover() -> Value {
    json!({
        "supportedVersions": [super::wire::MODERN],
        "capabilities": capabilities(),
        "instructions": "A sample: describe images, ask the data, write a slow report.",
        "_meta": {"io.modelcontextprotocol/serverInfo": server_info()},
    })
}

/// Adds what MCP 2026-07-28 requires of a complete result, `cached` for the lists and resources.
pub(super) fn complete_result(mut result: Value, cached: bool) -> Value {
    result["resultType"] = json!("complete");
    if cached {
        result["ttlMs"] = json!(TTL_MS);
        result["cacheScope"] = json!("public");
    }
    result
}
