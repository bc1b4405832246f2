//! What the `status` tool tells.

use octroi_gate::policy::{Policy, Rules};
use octroi_gate::{Till, announcement};
use serde_json::{Map, Value, json};

/// Prices and ways to pay, for one MCP server.
pub(super) fn status(service: &str, policy: &Policy, till: Option<&Till>) -> Value {
    let work = till.and_then(Till::work);
    json!({
        "service": service,
        "gate": concat!("octroi/", env!("CARGO_PKG_VERSION")),
        "lightning": till.is_some_and(Till::has_node),
        "pow": work.map(|work| json!({
            "difficulty": work.difficulty().bits(),
            "issued": work.issued(),
            "solved": work.solved(),
        })),
        "tools": prices(&policy.tools),
        "resources": prices(&policy.resources),
        "prompts": prices(&policy.prompts),
    })
}

fn prices(rules: &Rules) -> Map<String, Value> {
    let open = rules.entries().filter(|(_, rule)| !rule.forbidden);
    open.map(|(name, rule)| {
        let free = || json!({"msat": 0, "requires_identity": rule.requires_identity});
        (name.to_owned(), announcement(rule).unwrap_or_else(free))
    })
    .collect()
}
