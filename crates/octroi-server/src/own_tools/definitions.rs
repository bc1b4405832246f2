//! How the gate's own tools stand in `tools/list`.

use serde_json::{Value, json};

pub(super) fn challenge(name: &str) -> Value {
    json!({
        "name": name,
        "title": "Ask for a proof-of-work puzzle",
        "description": "Returns a puzzle. For `algorithm` sha256 find a text `nonce` for which SHA-256(salt + nonce) is below \
            `target`, then hand both to the verify tool to get calls without paying.",
        "inputSchema": {
            "type": "object",
            "properties": {
                "tool": {"type": "string", "description": "The only tool the solution is to be good for."},
                "arguments": {"type": "object", "description": "The only arguments it is to be good for."},
                "arguments_sha256": {"type": "string", "description": "Their digest instead."},
                "principal": {"type": "boolean", "description": "Good for the caller alone; needs an access token."},
            },
            "additionalProperties": false,
        },
        "outputSchema": {
            "type": "object",
            "properties": puzzle_properties(),
            "required": PUZZLE_FIELDS,
        },
        "annotations": {"readOnlyHint": true, "openWorldHint": false},
    })
}

pub(super) fn verify(name: &str) -> Value {
    let mut properties = puzzle_properties();
    properties["nonce"] = json!({"type": "string", "description": "The text that solves the puzzle."});
    let mut required = PUZZLE_FIELDS.to_vec();
    required.push("nonce");
    json!({
        "name": name,
        "title": "Hand in a solved puzzle",
        "description": "Takes a puzzle's fields and the nonce that solves it. Returns a credential for a few calls: send \
            `token` as `Authorization: L402 <token>` or in `_meta[\"dev.octroi/payment\"]`. `access_token` is a signed JWT that \
            other services can check.",
        "inputSchema": {"type": "object", "properties": properties, "required": required},
        "annotations": {"readOnlyHint": false, "openWorldHint": false},
    })
}

pub(super) fn status(name: &str) -> Value {
    json!({
        "name": name,
        "title": "Prices and ways to pay",
        "description": "Tells what calls cost here, which need an access token, and how they can be paid.",
        "inputSchema": {"type": "object", "properties": {}, "additionalProperties": false},
        "annotations": {"readOnlyHint": true, "openWorldHint": false},
    })
}

const PUZZLE_FIELDS: [&str; 6] = ["id", "salt", "difficulty", "target", "signature", "expires_at"];

fn puzzle_properties() -> Value {
    json!({
        "id": {"type": "string"},
        "salt": {"type": "string"},
        "difficulty": {"type": "number", "description": "Base-2 logarithm of the hashes it costs on average."},
        "target": {"type": "string", "description": "64 hexadecimal digits."},
        "signature": {"type": "string"},
        "expires_at": {"type": "integer", "description": "Unix seconds."},
    })
}
