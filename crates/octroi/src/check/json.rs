//! What the gate would do, for a program.

use octroi_gate::price::Price;
use serde_json::{Value, json};

use super::table::{lightning, upstream};
use crate::config::{Config, DefaultPolicy, Mistakes, Place, Rule, ServerConfig};

pub(super) fn of_config(config: &Config) -> Value {
    json!({
        "ok": true,
        "listen": config.listen.to_string(),
        "public_url": config.public_url.as_str(),
        "ledger": config.ledger.store.to_string(),
        "lightning": config.lightning.as_ref().map(|_| lightning(config)),
        "lightning_can": super::table::capabilities(config).map(|capabilities| json!({
            "msat_invoices": capabilities.msat_invoices,
            "chosen_preimage": capabilities.chosen_preimage,
            "settlements": capabilities.settlements.as_str(),
            "custodial": capabilities.custodial,
            "pay": capabilities.pay,
            "fee_limit": capabilities.fee_limit,
            "balances": capabilities.balances,
            "inbound": capabilities.inbound,
            "channels": capabilities.channels,
            "buys_inbound": capabilities.buys_inbound,
        })),
        "servers": config.servers.iter().map(of_server).collect::<Vec<_>>(),
        "notes": config.notes(),
    })
}

fn of_server(server: &ServerConfig) -> Value {
    let rules = |rules: &[Rule]| rules.iter().map(|rule| of_rule(rule, server)).collect::<Vec<_>>();
    json!({
        "name": server.name,
        "path": server.path,
        "resource": server.resource.as_str(),
        "upstream": upstream(server),
        "pow": server.payment.as_ref().and_then(|payment| payment.pow).map(|pow| json!({
            "kind": pow.kind.name(),
            "difficulty": pow.rest_bits(),
            "difficulty_max": pow.most_bits(),
            "free_calls_per_second": pow.free_calls.per_second(),
            "calls": pow.calls,
            "ttl_seconds": pow.ttl.as_secs(),
        })),
        "issuer": server.identity.as_ref().map(|identity| identity.issuer()),
        "audience": server.identity.as_ref().map(|identity| &identity.tokens.audiences),
        "provider": server.identity.as_ref().map(|identity| identity.preset.name()),
        "required_scopes": server.identity.as_ref().map(|identity| &identity.required_scopes),
        "tools": rules(&server.tools),
        "resources": rules(&server.resources),
        "prompts": rules(&server.prompts),
        "default": of_default(&server.default),
        "default_reads": of_default(&server.default_reads),
        "lists": if server.filtered_lists { "filtered" } else { "open" },
        "cedar": server.cedar.as_ref().map(|cedar| json!({
            "policies": cedar.path.display().to_string(),
            "count": cedar.count,
        })),
    })
}

fn of_rule(rule: &Rule, server: &ServerConfig) -> Value {
    let pow = server.payment.as_ref().and_then(|payment| payment.pow).filter(|_| rule.pow);
    json!({
        "subject": rule.pattern,
        "forbidden": rule.forbidden,
        "requires_identity": rule.requires_identity,
        "scopes": rule.scopes,
        "price_msat": rule.price.as_ref().map(most),
        "price": rule.price.as_ref().map(octroi_gate::announced),
        "free_per_day": rule.free_per_day,
        "pow_difficulty": pow.map(|pow| pow.rest_bits()),
        "roles": rule.standing.roles,
        "all_roles": rule.standing.all_roles,
        "groups": rule.standing.groups,
        "all_groups": rule.standing.all_groups,
        "organisations": rule.standing.organisations,
        "rate_limit": rule.rate_limit.map(|limit| json!({
            "calls": limit.calls.get(),
            "per_seconds": limit.per.as_secs(),
        })),
        "charge_failed": rule.charge_failed,
        "single_use": rule.selling.single_use,
        "bind_arguments": rule.selling.bind_arguments,
        "vouch": rule.selling.vouch,
        "credit": rule.selling.credit,
    })
}

/// The most that is held for one call, in millisatoshi.
fn most(price: &Price) -> i64 {
    price.bounds().1.as_i64()
}

fn of_default(default: &DefaultPolicy) -> Value {
    match default {
        DefaultPolicy::Deny => json!({"policy": "deny"}),
        DefaultPolicy::Free => json!({"policy": "free"}),
        DefaultPolicy::Identified => json!({"policy": "identified"}),
        DefaultPolicy::Paid { price } => {
            json!({"policy": "paid", "price_msat": most(price), "price": octroi_gate::announced(price)})
        }
    }
}

pub(super) fn of_mistakes(mistakes: &Mistakes) -> Value {
    let mistakes = mistakes.0.iter().map(|mistake| {
        let line = if let Place::Line { line, .. } = &mistake.place { Some(*line) } else { None };
        json!({
            "place": mistake.place.to_string(),
            "line": line,
            "field": mistake.field,
            "problem": mistake.problem,
            "fix": mistake.fix,
        })
    });
    json!({"ok": false, "mistakes": mistakes.collect::<Vec<_>>()})
}
