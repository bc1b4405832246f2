//! `tools/list` as the caller sees it: prices announced, tools nobody may call left out.

use std::sync::Arc;

use octroi_mcp::{json, tools};
use serde_json::{Value, json};

use crate::own_tools::{self, OwnTools};
use crate::policy::{Policy, Rule};
use crate::price::{Held, Metered, Price};

/// `_meta` key under which a tool's price stands in `tools/list`.
pub const PRICE_KEY: &str = "dev.octroi/price";

/// Amends `tools/list` replies by one policy.
#[derive(Clone)]
pub struct Listing {
    policy: Arc<Policy>,
    own: Option<Arc<dyn OwnTools>>,
    limits: json::Limits,
    first_page: bool,
}

impl Listing {
    /// A listing by `policy`; replies beyond `limits` are passed on as they are.
    pub fn new(policy: Arc<Policy>, own: Option<Arc<dyn OwnTools>>, limits: json::Limits) -> Self {
        Self { policy, own, limits, first_page: true }
    }

    /// The listing for a page: the gate's own tools stand on the first one only.
    #[must_use]
    pub fn page(&self, first: bool) -> Self {
        Self { first_page: first, ..self.clone() }
    }

    /// The reply with prices announced and forbidden tools left out, all else byte for byte. `None` where nothing
    /// changes, or where the message is no reply with a list.
    pub fn amend(&self, reply: &[u8]) -> Option<Vec<u8>> {
        json::validate(reply, &self.limits).ok()?;
        let result = json::get(reply, "result")?;
        let amended = tools::rewrite(
            result,
            |tool| {
                let rule = self.policy.tools.rule(&tool.name);
                let shadowed = own_tools::find(self.own.as_ref(), &tool.name).is_some();
                match announcement(rule) {
                    _ if rule.forbidden || shadowed => tools::Edit::Drop,
                    Some(price) => {
                        tools::Edit::Meta(vec![(PRICE_KEY.to_owned(), price.to_string().into_bytes())])
                    }
                    None => tools::Edit::Keep,
                }
            },
            &self.own_definitions(),
        )?;
        Some(json::with_member(reply, "result", &amended))
    }
}

impl Listing {
    fn own_definitions(&self) -> Vec<Vec<u8>> {
        let own = self.own.as_ref().filter(|_| self.first_page);
        own.map(|own| own.tools().iter().map(|tool| tool.definition.clone()).collect()).unwrap_or_default()
    }
}

/// What is announced of a rule: the price of a call and the ways to pay it. Free tools announce nothing.
pub fn announcement(rule: &Rule) -> Option<Value> {
    let mut told = announced(rule.price.as_ref()?);
    told["methods"] = if rule.work_accepted { json!(["l402", "pow"]) } else { json!(["l402"]) };
    told["requires_identity"] = json!(rule.requires_identity);
    if rule.free_per_day > 0 {
        told["free_per_day"] = json!(rule.free_per_day);
    }
    Some(told)
}

/// A price as it is announced.
///
/// `msat` is the most that a call can cost, so that who knows no other field never spends more than it thought.
pub fn announced(price: &Price) -> Value {
    let (least, most) = price.bounds();
    let mut told = json!({
        "model": "fixed",
        "msat": most.as_i64(),
        "sats": most.as_i64() as f64 / 1000.0,
    });
    if let Held::Formula { formula, .. } = &price.held {
        told["model"] = json!("formula");
        told["min_msat"] = json!(least.as_i64());
        told["formula"] = json!(formula.source());
    }
    if let Some(meter) = &price.meter {
        told["model"] = json!("metered");
        told["min_msat"] = json!(meter.base.min(least).as_i64());
        told["meter"] = json!({
            "counts": counted(&meter.counts),
            "base_msat": meter.base.as_i64(),
            "msat": meter.rate.as_i64(),
            "per": meter.per,
        });
    }
    let bundles: Vec<Value> =
        price.bundles.iter().map(|bundle| json!({"calls": bundle.calls, "pay": bundle.pay})).collect();
    if !bundles.is_empty() {
        told["bundles"] = json!(bundles);
    }
    told
}

/// What a meter counts, in a word, or as the pointer into the result.
fn counted(counts: &Metered) -> &str {
    match counts {
        Metered::Bytes => "bytes",
        Metered::Seconds => "seconds",
        Metered::Said(pointer) => pointer.as_str(),
    }
}
