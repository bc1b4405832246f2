//! Who may call what at which price: `default`, `tools`, `resources`, `prompts` and `pricing` made into rules.

use octroi_gate::credentials::Carriers;
use octroi_gate::policy::{Pattern, Selling, Standing};
use url::Url;

use super::super::reader::{Field, Section, shortened};
use super::super::{CedarConfig, DefaultPolicy, IdentityConfig, PaymentConfig, Rule, SINGLE_NAME, Upstream};
use super::payment::Priced;
use super::rule::Written;
use super::{cedar, identity, payment, rule};

/// The whole policy of one server.
pub(super) struct ServerPolicy {
    pub(super) identity: Option<IdentityConfig>,
    pub(super) carriers: Carriers,
    pub(super) cedar: Option<CedarConfig>,
    pub(super) payment: Option<PaymentConfig>,
    pub(super) default: DefaultPolicy,
    pub(super) default_reads: DefaultPolicy,
    pub(super) tools: Vec<Rule>,
    pub(super) resources: Vec<Rule>,
    pub(super) prompts: Vec<Rule>,
}

#[derive(Clone, Copy)]
enum Word {
    Deny,
    Free,
    Identified,
    Paid,
}

/// Reads what the section of the server called `name` says; `upstream` is what stands behind the gate, where that was
/// said. With nothing behind it, what the gate serves is the free door.
pub(super) fn read(
    server: &Section<'_>,
    name: Option<&str>,
    resource: Option<&Url>,
    upstream: Option<&Upstream>,
) -> ServerPolicy {
    let alone = upstream == Some(&Upstream::None);
    let behind = match upstream {
        Some(Upstream::Http(url)) => Some(url),
        _ => None,
    };
    let auth = server.section("auth");
    let identity_field = auth.field("identity");
    let identity = identity::read(&identity_field, resource, behind);
    let cedar = cedar::read(&auth.field("cedar"), name.unwrap_or(SINGLE_NAME));
    let carriers = carriers(&auth.field("carriers"));
    let payment_section = auth.section("payment");
    let (payment, pricing) = payment::read(payment_section);
    auth.finish();
    let has_identity = identity_field.is_given();
    let compiler = Compiler { has_identity, pow: payment.pow.is_some(), selling: payment.selling };

    let (default, default_reads) = defaults(server, &pricing, has_identity);
    let fallback_price = matches!(default, DefaultPolicy::Paid { .. });
    let tools = compiler.tools(rule::all(&server.field("tools"), "name"), &pricing, fallback_price);
    let resources = compiler.plain(rule::all(&server.field("resources"), "uri"));
    let prompts = compiler.plain(rule::all(&server.field("prompts"), "name"));

    let priced = [&tools, &resources, &prompts].into_iter().flatten().any(|rule| rule.price.is_some());
    if alone && payment.pow.is_none() {
        server.field("upstream").spot.wrong(
            "no MCP server and no proof of work: nothing to serve",
            "add pow_enabled = true to auth.payment, or an upstream",
        );
    }
    let payment = (priced || fallback_price || alone).then_some(payment);
    ServerPolicy { identity, carriers, cedar, payment, default, default_reads, tools, resources, prompts }
}

/// Where credentials may stand besides `Authorization`: everywhere, unless something is written.
fn carriers(field: &Field<'_>) -> Carriers {
    if !field.is_given() {
        return Carriers::ALL;
    }
    let mut carriers = Carriers::NONE;
    for (spot, name) in field.texts("payment-authorization") {
        match name.as_str() {
            "payment-authorization" => carriers.payment_authorization = true,
            "macaroon" => carriers.macaroon = true,
            "composite" => carriers.composite = true,
            "meta" => carriers.meta = true,
            other => spot.wrong(
                format!("\"{}\" is not known", shortened(other)),
                "known here: \"payment-authorization\", \"macaroon\", \"composite\", \"meta\"; `Authorization` is always read",
            ),
        }
    }
    carriers
}

fn defaults(
    server: &Section<'_>,
    pricing: &[Priced<'_>],
    has_identity: bool,
) -> (DefaultPolicy, DefaultPolicy) {
    let field = server.field("default");
    let words =
        [("deny", Word::Deny), ("free", Word::Free), ("identified", Word::Identified), ("paid", Word::Paid)];
    let Some(word) = field.choice(&words) else {
        let reads = if has_identity { DefaultPolicy::Identified } else { DefaultPolicy::Free };
        return (DefaultPolicy::Deny, reads);
    };
    let default = match word {
        Word::Deny => DefaultPolicy::Deny,
        Word::Free => DefaultPolicy::Free,
        Word::Identified => {
            if !has_identity {
                field.spot.wrong("nobody says who callers are", "add [mcp_server.auth.identity]");
            }
            DefaultPolicy::Identified
        }
        Word::Paid => match pricing.iter().find(|priced| priced.pattern == "*") {
            Some(priced) => {
                priced.price.clone().map_or(DefaultPolicy::Deny, |price| DefaultPolicy::Paid { price })
            }
            None => {
                field.spot.wrong(
                    "no price for tools that no rule names",
                    "add \"*\" = { sats = 1 } to auth.payment.pricing",
                );
                DefaultPolicy::Deny
            }
        },
    };
    (default.clone(), default)
}

/// Fills in what rules leave open.
struct Compiler {
    has_identity: bool,
    pow: bool,
    selling: Selling,
}

impl Compiler {
    /// Tools take their prices from `pricing` where they name none, and what is priced there alone is a rule too.
    fn tools(&self, written: Vec<Written<'_>>, pricing: &[Priced<'_>], fallback_price: bool) -> Vec<Rule> {
        let mut rules: Vec<Rule> = Vec::new();
        for rule in &written {
            rules.push(self.rule(rule, price_for(&rule.pattern, pricing), "pricing"));
        }
        let listed = rules.clone();
        for priced in pricing {
            let named = listed.iter().any(|rule| rule.pattern == priced.pattern);
            if named || (fallback_price && priced.pattern == "*") {
                continue;
            }
            rules.push(self.priced_alone(priced, &written, &listed));
        }
        sorted(rules)
    }

    /// A tool with a price and no rule of its own: as the pattern says that covers it, else for anybody who pays.
    fn priced_alone(&self, priced: &Priced<'_>, written: &[Written<'_>], listed: &[Rule]) -> Rule {
        let covering = covering(priced.pattern, listed.iter().map(|rule| rule.pattern.as_str()));
        let Some(rule) = covering.and_then(|at| listed.get(at)) else {
            return Rule {
                pattern: priced.pattern.to_owned(),
                forbidden: false,
                requires_identity: false,
                scopes: Vec::new(),
                price: priced.price.clone(),
                free_per_day: 0,
                standing: Standing::ANYTHING,
                pow: self.pow,
                pow_free_calls: None,
                rate_limit: None,
                charge_failed: false,
                selling: self.selling,
            };
        };
        let source = written.iter().find(|source| source.pattern == rule.pattern);
        if rule.forbidden || source.is_some_and(|source| source.requires_payment == Some(false)) {
            let problem = format!("priced, but the rule for \"{}\" makes it free or forbidden", rule.pattern);
            priced.field.spot.wrong(problem, "remove the price, or give the tool a rule of its own");
        }
        let pow = source.and_then(|source| source.pow).unwrap_or(self.pow);
        Rule { pattern: priced.pattern.to_owned(), price: priced.price.clone(), pow, ..rule.clone() }
    }

    /// Resources and prompts carry their prices themselves.
    fn plain(&self, written: Vec<Written<'_>>) -> Vec<Rule> {
        sorted(written.iter().map(|rule| self.rule(rule, None, "price")).collect())
    }

    fn rule(&self, written: &Written<'_>, listed: Option<&Priced<'_>>, wanted: &str) -> Rule {
        let pays = match written.requires_payment {
            Some(pays) => pays,
            None => !written.forbidden && (written.price_given || listed.is_some()),
        };
        let listed_price = || listed.and_then(|priced| priced.price.clone());
        let price = if pays { written.price.clone().or_else(listed_price) } else { None };
        if !pays && written.free_per_day.is_some() {
            written
                .spot
                .wrong("free calls a day, but every call is free", "remove free_per_day, or add a price");
        }
        if pays && !written.price_given && listed.is_none() {
            let fix = match wanted {
                "pricing" => {
                    format!("add {} = {{ sats = 1 }} to auth.payment.pricing", key(&written.pattern))
                }
                _ => "add price = { sats = 1 }".to_owned(),
            };
            written.spot.wrong("requires payment, but has no price", fix);
        }
        let requires_identity = written.requires_identity.unwrap_or_else(|| written.asks_who());
        if requires_identity && !self.has_identity {
            let fix = "add auth.identity with provider and issuer, or write requires_identity = false";
            written.spot.wrong("requires an identity, but nothing says who callers are", fix);
        }
        if written.pow == Some(true) && !self.pow {
            written.spot.wrong(
                "takes proof of work, but pow_enabled is not set",
                "add pow_enabled = true to auth.payment",
            );
        }
        Rule {
            pattern: written.pattern.clone(),
            forbidden: written.forbidden,
            requires_identity,
            scopes: written.scopes.clone(),
            free_per_day: written.free_per_day.unwrap_or(0),
            pow: price.is_some() && written.pow.unwrap_or(self.pow),
            pow_free_calls: written.pow_free_calls,
            standing: written.standing.clone(),
            rate_limit: written.rate_limit,
            charge_failed: written.charge_failed,
            selling: written.selling.or(self.selling),
            price,
        }
    }
}

fn price_for<'p, 't>(pattern: &str, pricing: &'p [Priced<'t>]) -> Option<&'p Priced<'t>> {
    let same = pricing.iter().position(|priced| priced.pattern == pattern);
    let at = same.or_else(|| covering(pattern, pricing.iter().map(|priced| priced.pattern)))?;
    pricing.get(at)
}

/// Which of `patterns` covers the name `subject` most specifically; the first of equals.
fn covering<'p>(subject: &str, patterns: impl Iterator<Item = &'p str>) -> Option<usize> {
    let mut best: Option<(usize, usize)> = None;
    for (at, text) in patterns.enumerate() {
        let pattern = Pattern::new(text);
        let specificity = pattern.specificity();
        if pattern.matches(subject) && best.is_none_or(|(_, most)| specificity > most) {
            best = Some((at, specificity));
        }
    }
    best.map(|(at, _)| at)
}

/// Exact names first, then patterns from the most specific on, as the gate looks them up.
fn sorted(mut rules: Vec<Rule>) -> Vec<Rule> {
    rules.sort_by_key(|rule| {
        let pattern = Pattern::new(rule.pattern.as_str());
        let specificity = if pattern.is_exact() { usize::MAX } else { pattern.specificity() };
        std::cmp::Reverse(specificity)
    });
    rules
}

/// A name as it is written before `=` in TOML.
fn key(name: &str) -> String {
    let bare = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if bare { name.to_owned() } else { format!("\"{name}\"") }
}
