//! The owner's rules, from the configuration's words to the gate's.

use octroi_gate::Rate;
use octroi_gate::policy::{Pattern, Policy, Rule, Rules, ScopeHierarchy, Selling};

use crate::config::{self, DefaultPolicy, ServerConfig};

/// The policy of one server.
pub(super) fn policy(server: &ServerConfig) -> Policy {
    Policy {
        tools: Rules::new(server.tools.iter().map(rule), default(server, &server.default)),
        resources: Rules::new(server.resources.iter().map(rule), default(server, &server.default_reads)),
        prompts: Rules::new(server.prompts.iter().map(rule), default(server, &server.default_reads)),
        hierarchy: ScopeHierarchy::new(
            server.identity.iter().flat_map(|identity| identity.scope_hierarchy.iter().cloned()),
        ),
    }
}

fn default(server: &ServerConfig, policy: &DefaultPolicy) -> Rule {
    match policy {
        DefaultPolicy::Deny => Rule::forbidden(),
        DefaultPolicy::Free => Rule::FREE,
        DefaultPolicy::Identified => Rule::identified(),
        DefaultPolicy::Paid { price } => Rule {
            price: Some(price.clone()),
            selling: server.payment.as_ref().map_or(Selling::DEFAULT, |payment| payment.selling),
            ..Rule::FREE
        },
    }
}

fn rule(rule: &config::Rule) -> (Pattern, Rule) {
    let rate = rule.rate_limit.map(|limit| Rate {
        count: limit.calls.get(),
        period_seconds: u32::try_from(limit.per.as_secs()).unwrap_or(u32::MAX).max(1),
    });
    (
        Pattern::new(rule.pattern.clone()),
        Rule {
            forbidden: rule.forbidden,
            requires_identity: rule.requires_identity || !rule.scopes.is_empty(),
            scopes: rule.scopes.clone(),
            price: rule.price.clone(),
            free_per_day: rule.free_per_day,
            work_accepted: rule.pow && rule.price.is_some(),
            standing: rule.standing.clone(),
            rate,
            charge_failed: rule.charge_failed,
            selling: rule.selling,
        },
    )
}
