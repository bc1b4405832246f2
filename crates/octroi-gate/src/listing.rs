//! `tools/list` as the caller sees it: prices announced, tools nobody may call left out.

use std::sync::Arc;

use octroi_mcp::{json, tools};
use serde_json::{Value, json};

use crate::own_tools::{self, OwnTools};
use crate::policy::{Policy, Rule};

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
    let price = rule.price?;
    let mut methods = vec!["l402"];
    if rule.work_accepted {
        methods.push("pow");
    }
    Some(json!({
        "msat": price.as_i64(),
        "sats": price.as_i64() as f64 / 1000.0,
        "methods": methods,
        "requires_identity": rule.requires_identity,
    }))
}
