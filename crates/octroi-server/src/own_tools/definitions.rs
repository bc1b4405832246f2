//! How the gate's own tools stand in `tools/list`.

use serde_json::{Value, json};

pub(super) fn challenge(name: &str) -> Value {
    json!({
        "name": name,
        "title": "Ask for a proof-of-work puzzle",
        "description": "Returns a puzzle. Find a text `nonce` for which SHA-256(salt + nonce) is below `target` (begins \
            with `difficulty` zero bits), then hand both to the verify tool to get calls without paying.",
        "inputSchema": {"type": "object", "properties": {}, "additionalProperties": false},
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
            `token` as `Authorization: L402 <token>` or in `_meta[\"dev.octroi/payment\"]`.",
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
        "difficulty": {"type": "number", "description": "Leading zero bits."},
        "target": {"type": "string", "description": "64 hexadecimal digits."},
        "signature": {"type": "string"},
        "expires_at": {"type": "integer", "description": "Unix seconds."},
    })
}
