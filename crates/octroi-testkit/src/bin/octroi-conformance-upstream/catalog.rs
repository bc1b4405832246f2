//! What the upstream lists.

use rmcp::model::Tool;
use serde_json::{Value, json};

use crate::{asking, plain, talking, tasks};

/// Lists and resources may be kept this long, in milliseconds.
const TTL_MS: u64 = 60_000;

/// Marks a result as one that may be kept (MCP 2026-07-28, `ttlMs` and `cacheScope`).
pub(crate) fn cached(mut result: Value) -> Value {
    result["ttlMs"] = json!(TTL_MS);
    result["cacheScope"] = json!("public");
    result
}

fn listed(name: &str) -> Value {
    let schema = schema(name).unwrap_or_else(|| json!({"type": "object", "properties": {}}));
    json!({"name": name, "description": format!("Conformance fixture {name}."), "inputSchema": schema})
}

fn names() -> impl Iterator<Item = &'static str> {
    plain::TOOLS.iter().chain(talking::TOOLS).chain(asking::TOOLS).chain(tasks::TOOLS).copied()
}

/// `tools/list`
pub(crate) fn tools() -> Value {
    cached(json!({"tools": names().map(listed).collect::<Vec<_>>()}))
}

/// The definition the SDK checks `Mcp-Param-*` headers against.
pub(crate) fn tool(name: &str) -> Option<Tool> {
    names().find(|known| *known == name).and_then(|name| serde_json::from_value(listed(name)).ok())
}

/// The input schema of the tools that take arguments.
fn schema(tool: &str) -> Option<Value> {
    let one = |name: &str, kind: &str| json!({"type": "object", "properties": {name: {"type": kind}}});
    let mut schema = match tool {
        "test_sampling" => one("prompt", "string"),
        "test_elicitation" => one("message", "string"),
        "greet" => one("name", "string"),
        "confirm_delete" => one("filename", "string"),
        "slow_compute" => {
            json!({"type": "object", "properties": {"seconds": {"type": "number"}, "label": {"type": "string"}}})
        }
        "test_custom_header" => {
            json!({"type": "object", "properties": {"value": {"type": "string", "x-mcp-header": "Value"}}})
        }
        "json_schema_2020_12_tool" => json_schema_2020_12(),
        _ => return None,
    };
    let required = match tool {
        "test_sampling" => "prompt",
        "test_elicitation" => "message",
        "greet" => "name",
        "test_custom_header" => "value",
        _ => return Some(schema),
    };
    schema["required"] = json!([required]);
    Some(schema)
}

/// Uses every keyword of JSON Schema 2020-12 that the suite looks for after the round trip.
fn json_schema_2020_12() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {"address": {
            "$anchor": "address",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }},
        "properties": {"name": {"type": "string"}, "address": {"$ref": "#/$defs/address"}},
        "allOf": [{"anyOf": [{"required": ["name"]}, {"required": ["address"]}]}],
        "if": {"required": ["address"]},
        "then": {"properties": {"address": {"required": ["city"]}}},
        "else": {"required": ["name"]},
        "additionalProperties": false,
    })
}

/// `resources/list`
pub(crate) fn resources() -> Value {
    cached(json!({"resources": [
        {"uri": plain::TEXT_URI, "name": "text", "description": "A text resource.", "mimeType": "text/plain"},
        {"uri": plain::BINARY_URI, "name": "binary", "description": "An image.", "mimeType": "image/png"},
        {"uri": plain::WATCHED_URI, "name": "watched", "description": "One to subscribe to.", "mimeType": "text/plain"},
    ]}))
}

/// `resources/templates/list`
pub(crate) fn resource_templates() -> Value {
    cached(json!({"resourceTemplates": [{
        "uriTemplate": "test://template/{id}/data",
        "name": "template",
        "description": "A resource for every id.",
        "mimeType": "application/json",
    }]}))
}

/// `prompts/list`
pub(crate) fn prompts() -> Value {
    let argument =
        |name: &str| json!({"name": name, "description": format!("The {name}."), "required": true});
    cached(json!({"prompts": [
        {"name": "test_simple_prompt", "description": "Takes nothing."},
        {
            "name": "test_prompt_with_arguments",
            "description": "Takes two arguments.",
            "arguments": [argument("arg1"), argument("arg2")],
        },
        {
            "name": "test_prompt_with_embedded_resource",
            "description": "Embeds a resource.",
            "arguments": [argument("resourceUri")],
        },
        {"name": "test_prompt_with_image", "description": "Shows an image."},
        {"name": asking::PROMPT, "description": "Asks before it answers."},
    ]}))
}
