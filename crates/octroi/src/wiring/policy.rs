//! The owner's rules, from the configuration's words to the gate's.

use octroi_gate::Rate;
use octroi_gate::policy::{Pattern, Policy, Rule, Rules};
use octroi_l402::Msat;

use crate::config::{self, DefaultPolicy, ServerConfig};

/// The policy of one server.
pub(super) fn policy(server: &ServerConfig) -> Policy {
    Policy {
        tools: Rules::new(server.tools.iter().map(rule), default(&server.default)),
        resources: Rules::new(server.resources.iter().map(rule), default(&server.default_reads)),
        prompts: Rules::new(server.prompts.iter().map(rule), default(&server.default_reads)),
    }
}

fn default(policy: &DefaultPolicy) -> Rule {
    match policy {
        DefaultPolicy::Deny => Rule::forbidden(),
        DefaultPolicy::Free => Rule::FREE,
        DefaultPolicy::Identified => Rule::identified(),
        DefaultPolicy::Paid { price_msat } => Rule { price: price(Some(*price_msat)), ..Rule::FREE },
    }
}

fn rule(rule: &config::Rule) -> (Pattern, Rule) {
    let rate = rule.rate_limit.map(|limit| Rate {
        count: limit.calls.get(),
        period_seconds: u32::try_from(limit.per.as_secs()).unwrap_or(u32::MAX).max(1),
    });
    let price = price(rule.price_msat);
    (
        Pattern::new(rule.pattern.clone()),
        Rule {
            forbidden: rule.forbidden,
            requires_identity: rule.requires_identity || !rule.scopes.is_empty(),
            scopes: rule.scopes.clone(),
            price,
            work_accepted: rule.pow && price.is_some(),
            rate,
            charge_failed: rule.charge_failed,
        },
    )
}

/// A price of zero is no price.
fn price(msat: Option<i64>) -> Option<Msat> {
    msat.filter(|msat| *msat > 0).map(Msat::new)
}
