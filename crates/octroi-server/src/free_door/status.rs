//! What `status` tells, as a tool and at `GET …/pow/status`.

use octroi_gate::policy::Rules;
use octroi_gate::{Till, WorkDesk, announcement};
use octroi_pow::door::LAPTOP_HASHES_PER_SECOND;
use serde_json::{Map, Value, json};

use super::Place;
use crate::clock::unix_seconds;

/// Prices and ways to pay, for one MCP server.
pub(crate) fn status(place: &Place<'_>) -> Value {
    let work = place.till.and_then(Till::work);
    json!({
        "service": place.service,
        "gate": concat!("octroi/", env!("CARGO_PKG_VERSION")),
        "lightning": place.till.is_some_and(Till::has_node),
        "pow": work.map(|work| free_door(work, &place.policy.tools)),
        "tools": prices(&place.policy.tools),
        "resources": prices(&place.policy.resources),
        "prompts": prices(&place.policy.prompts),
    })
}

fn free_door(work: &WorkDesk, tools: &Rules) -> Value {
    let (view, tallied, settings) = (work.view(), work.tallied(unix_seconds()), work.settings());
    let worked = tools.entries().filter(|(_, rule)| rule.work_accepted);
    let prices: Map<String, Value> = worked
        .filter_map(|(tool, rule)| Some((tool.to_owned(), rule.price.as_ref()?.bounds().1.as_i64().into())))
        .collect();
    json!({
        "kind": settings.kind.name(),
        "difficulty": tenth(view.bits),
        "difficulty_at_rest": tenth(view.rest_bits),
        "difficulty_max": tenth(view.most_bits),
        "laptop_seconds": (view.bits.exp2() / LAPTOP_HASHES_PER_SECOND * 1000.0).round() / 1000.0,
        "calls": settings.calls,
        "ttl": settings.credential_ttl_seconds,
        "lightning_price_msat": prices,
        "issued": tallied.issued,
        "solved": tallied.solved,
        "skipped": tallied.skipped,
        "turned_away": view.shed,
        "free_calls_per_second": tenth(view.capacity),
    })
}

/// Enough for people.
fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn prices(rules: &Rules) -> Map<String, Value> {
    let open = rules.entries().filter(|(_, rule)| !rule.forbidden);
    open.map(|(name, rule)| {
        let free = || json!({"msat": 0, "requires_identity": rule.requires_identity});
        (name.to_owned(), announcement(rule).unwrap_or_else(free))
    })
    .collect()
}
