//! Lists as the caller sees them: prices announced, and what nobody, or not this caller, may call left out.

use std::net::IpAddr;
use std::sync::Arc;

use octroi_identity::Caller;
use octroi_mcp::era::Era;
use octroi_mcp::json as raw_json;
use octroi_mcp::lists::{self, Edit, List};
use serde_json::{Value, json};

use crate::clock::unix_seconds;
use crate::gate::Gate;
use crate::own_tools;
use crate::parts::ListStyle;
use crate::policy::{Rule, SubjectKind};
use crate::price::{Held, Metered, Price};

/// `_meta` key under which a tool's price stands in `tools/list`.
pub const PRICE_KEY: &str = "dev.octroi/price";
/// `_meta` key under which ChatGPT looks for how a tool wants its caller identified.
const SECURITY_SCHEMES_KEY: &str = "securitySchemes";

/// Amends the replies to one request for a list.
#[derive(Clone)]
pub(crate) struct Listing {
    gate: Arc<Gate>,
    kind: List,
    reader: Reader,
    /// The gate's own tools stand on the first page only.
    first_page: bool,
    era: Era,
}

/// Who reads a list.
#[derive(Clone)]
pub(crate) struct Reader {
    pub(crate) caller: Option<Arc<Caller>>,
    pub(crate) peer: Option<IpAddr>,
}

/// What becomes of a message on its way to the reader of a list.
pub(crate) enum Amended {
    /// It passes as it is.
    Same,
    /// This passes instead.
    Changed(Vec<u8>),
    /// It must not pass: nobody can tell what it would show.
    Unreadable,
}

impl Listing {
    /// The listing for a request, if its reply is one that the gate changes.
    pub(crate) fn of_request(
        gate: &Arc<Gate>,
        method: &str,
        first_page: bool,
        era: Era,
        reader: &Reader,
    ) -> Option<Self> {
        let kind = List::of_method(method)?;
        let changes = kind == List::Tools || gate.lists == ListStyle::Filtered;
        changes.then(|| Self { gate: Arc::clone(gate), kind, reader: reader.clone(), first_page, era })
    }

    /// Whether the list is for this reader alone.
    pub(crate) fn is_private(&self) -> bool {
        self.gate.lists == ListStyle::Filtered
    }

    /// The reply as the reader may see it, all else byte for byte.
    pub(crate) fn amend(&self, reply: &[u8]) -> Amended {
        if raw_json::validate(reply, &self.gate.limits.json).is_err() {
            return if self.is_private() { Amended::Unreadable } else { Amended::Same };
        }
        let Some(result) = raw_json::get(reply, "result") else { return Amended::Same };
        let now = unix_seconds();
        let edit = |entry: &lists::Entry<'_>| self.edit(&entry.name, now);
        let mut amended = lists::rewrite(self.kind, result, edit, &self.own_definitions());
        if self.is_private() && self.era == Era::Modern {
            // MCP 2026-07-28 caching: what one caller sees is for nobody else, and its next token may show more.
            let result = amended.as_deref().unwrap_or(result);
            let scoped = raw_json::with_member(result, "cacheScope", br#""private""#);
            amended = Some(raw_json::with_member(&scoped, "ttlMs", b"0"));
        }
        match amended {
            Some(result) => Amended::Changed(raw_json::with_member(reply, "result", &result)),
            None => Amended::Same,
        }
    }

    fn edit(&self, name: &str, now: u64) -> Edit {
        let subject = match self.kind {
            List::Tools => SubjectKind::Tool,
            List::Prompts => SubjectKind::Prompt,
            List::Resources | List::Templates => SubjectKind::Resource,
        };
        let rule = self.gate.policy().rule(subject, name);
        let shown = || {
            let caller = self.reader.caller.as_deref();
            self.gate.might_admit((subject, name), caller, self.reader.peer, now)
        };
        if self.is_private() && !shown() {
            return Edit::Drop;
        }
        if self.kind != List::Tools {
            return Edit::Keep;
        }
        if rule.forbidden || own_tools::find(self.gate.own_tools(), name).is_some() {
            return Edit::Drop;
        }
        let mut meta = Vec::new();
        if let Some(price) = announcement(rule) {
            meta.push((PRICE_KEY.to_owned(), price.to_string().into_bytes()));
        }
        if let Some(schemes) = self.security_schemes(rule) {
            meta.push((SECURITY_SCHEMES_KEY.to_owned(), schemes.to_string().into_bytes()));
        }
        if meta.is_empty() { Edit::Keep } else { Edit::Meta(meta) }
    }

    /// How a tool wants its caller identified, for tools that do.
    fn security_schemes(&self, rule: &Rule) -> Option<Value> {
        let desk = self.gate.identity().filter(|_| rule.asks_who())?;
        let scopes = desk.all_scopes(&rule.scopes, &self.gate.policy().hierarchy);
        Some(json!([{"type": "oauth2", "scopes": scopes}]))
    }

    fn own_definitions(&self) -> Vec<Vec<u8>> {
        let own = self.gate.own_tools().filter(|_| self.first_page && self.kind == List::Tools);
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
