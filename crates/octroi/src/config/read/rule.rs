//! One rule of `tools`, `resources` or `prompts`, as written.

use std::num::NonZeroU32;
use std::time::Duration;

use octroi_gate::policy::{Selling, Standing};
use octroi_gate::price::Price;

use super::super::RateLimit;
use super::super::reader::{Field, Section, shortened};
use super::super::report::Spot;
use super::identity::scopes;
use super::price::price;

/// Most free calls a day.
const FREE_PER_DAY_MAX: i64 = 1_000_000;
const SECONDS_PER_DAY: u32 = 86_400;

/// A rule with what it leaves open.
pub(super) struct Written<'t> {
    pub(super) spot: Spot<'t>,
    pub(super) pattern: String,
    pub(super) forbidden: bool,
    pub(super) requires_payment: Option<bool>,
    pub(super) requires_identity: Option<bool>,
    pub(super) scopes: Vec<String>,
    pub(super) price: Option<Price>,
    pub(super) free_per_day: Option<u32>,
    pub(super) standing: Standing,
    /// Whether a price stands here, right or wrong.
    pub(super) price_given: bool,
    pub(super) pow: Option<bool>,
    pub(super) pow_free_calls: Option<RateLimit>,
    pub(super) rate_limit: Option<RateLimit>,
    pub(super) charge_failed: bool,
    pub(super) selling: WrittenSelling,
}

/// What a rule says of what is sold; the rest is as the payment section says.
#[derive(Clone, Copy)]
pub(super) struct WrittenSelling {
    single_use: Option<bool>,
    bind_arguments: Option<bool>,
    vouch: Option<bool>,
    credit: Option<bool>,
}

impl WrittenSelling {
    /// Reads it from a rule or from the payment section.
    pub(super) fn read(section: &Section<'_>) -> Self {
        let word = |name| section.field(name).boolean();
        Self {
            single_use: word("single_use"),
            bind_arguments: word("bind_arguments"),
            vouch: word("vouch"),
            credit: word("credit"),
        }
    }

    /// With what it leaves open taken from `default`.
    pub(super) fn or(self, default: Selling) -> Selling {
        Selling {
            single_use: self.single_use.unwrap_or(default.single_use),
            bind_arguments: self.bind_arguments.unwrap_or(default.bind_arguments),
            vouch: self.vouch.unwrap_or(default.vouch),
            credit: self.credit.unwrap_or(default.credit),
        }
    }
}

impl Written<'_> {
    /// Whether the rule says something about who may call.
    pub(super) fn asks_who(&self) -> bool {
        !self.scopes.is_empty() || !self.standing.is_anything()
    }
}

/// Reads the rules of one list; `subject` is the field that names what a rule is for (`name`, `uri`).
pub(super) fn all<'t>(list: &Field<'t>, subject: &'static str) -> Vec<Written<'t>> {
    let mut rules: Vec<Written<'t>> = Vec::new();
    for item in list.items() {
        let Some(rule) = one(&item, subject) else { continue };
        if rules.iter().any(|other| other.pattern == rule.pattern) {
            let problem = format!("\"{}\" is listed twice", shortened(&rule.pattern));
            rule.spot.wrong(problem, "keep one of the two");
        } else {
            rules.push(rule);
        }
    }
    rules
}

fn one<'t>(item: &Field<'t>, subject: &'static str) -> Option<Written<'t>> {
    let section = item.section();
    let name = section.field(subject);
    if !name.is_given() && item.is_table() {
        name.spot
            .wrong(format!("no `{subject}`"), format!("add {subject} = \"…\"; * stands for any characters"));
    }
    let pattern = name.filled("image_describe").map(str::to_owned);
    let price_field = section.field("price");
    let price = if price_field.is_given() { price(&price_field) } else { None };
    let rule = Written {
        spot: if name.is_given() { name.spot.clone() } else { section.spot.clone() },
        pattern: pattern.clone().unwrap_or_default(),
        forbidden: section.field("forbidden").boolean().unwrap_or(false),
        requires_payment: section.field("requires_payment").boolean(),
        requires_identity: section.field("requires_identity").boolean(),
        scopes: scopes(&section.field("scopes")),
        price,
        free_per_day: section.field("free_per_day").number(1..=FREE_PER_DAY_MAX, "calls"),
        price_given: price_field.is_given(),
        standing: standing(&section),
        pow: section.field("pow").boolean(),
        pow_free_calls: rate_limit(&section.field("pow_free_calls")),
        rate_limit: rate_limit(&section.field("rate_limit")),
        charge_failed: section.field("charge_failed").boolean().unwrap_or(false),
        selling: WrittenSelling::read(&section),
    };
    contradictions(&section, &rule);
    section.finish();
    pattern.map(|_| rule)
}

fn contradictions(section: &Section<'_>, rule: &Written<'_>) {
    if rule.requires_identity == Some(false) {
        for name in ["scopes", "roles", "all_roles", "groups", "all_groups", "organisations"] {
            let field = section.field(name);
            if field.is_given() {
                let fix = format!("write requires_identity = true, or remove {name}");
                field.spot.wrong(format!("{name} need an identity"), fix);
            }
        }
    }
    if rule.requires_payment == Some(false) && rule.price_given {
        section.field("price").spot.wrong("a price, but requires_payment is false", "remove one of the two");
    }
    if rule.forbidden && (rule.price_given || rule.requires_payment == Some(true)) {
        rule.spot.wrong("forbidden, but priced", "remove one of the two");
    }
}

fn standing(section: &Section<'_>) -> Standing {
    let names = |field: &'static str, example: &str| -> Vec<String> {
        section.field(field).texts(example).into_iter().map(|(_, name)| name).collect()
    };
    Standing {
        roles: names("roles", "editor"),
        all_roles: names("all_roles", "editor"),
        groups: names("groups", "staff"),
        all_groups: names("all_groups", "staff"),
        organisations: names("organisations", "org_123"),
    }
}

/// `10/m`, `100/h`, `5/30s`: so many calls per second, minute, hour or day, or per so many of them.
pub(super) fn rate_limit(field: &Field<'_>) -> Option<RateLimit> {
    let written = field.text("10/m")?;
    let limit = parse_rate(written);
    if limit.is_none() {
        field.spot.wrong(
            format!("\"{}\" is no rate", shortened(written)),
            "write calls per time, at most a day: \"10/m\", \"100/h\", \"5/30s\"",
        );
    }
    limit
}

pub(super) fn parse_rate(written: &str) -> Option<RateLimit> {
    let (calls, per) = written.split_once('/')?;
    let (count, unit) = per.trim().split_at_checked(per.trim().len().checked_sub(1)?)?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => SECONDS_PER_DAY,
        _ => return None,
    };
    let count: u32 = if count.is_empty() { 1 } else { count.parse().ok()? };
    let seconds = count.checked_mul(unit).filter(|seconds| (1..=SECONDS_PER_DAY).contains(seconds))?;
    let calls: NonZeroU32 = calls.trim().parse().ok()?;
    Some(RateLimit { calls, per: Duration::from_secs(seconds.into()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_read_as_calls_per_time() {
        for (written, calls, seconds) in
            [("10/m", 10, 60), ("1/s", 1, 1), ("5/30s", 5, 30), ("7 / 2h", 7, 7200)]
        {
            let limit = parse_rate(written).unwrap();
            assert_eq!((limit.calls.get(), limit.per.as_secs()), (calls, seconds), "{written}");
        }
    }

    #[test]
    fn what_is_no_rate_is_refused() {
        for written in
            ["", "/", "10", "10/", "0/m", "10/0s", "10/2d", "-1/m", "10/é", "99999999999/s", "1/99999999999s"]
        {
            assert!(parse_rate(written).is_none(), "{written}");
        }
    }
}
