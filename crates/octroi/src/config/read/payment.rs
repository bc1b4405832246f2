//! `auth.payment`

use std::time::Duration;

use octroi_gate::policy::Selling;
use octroi_gate::price::Price;
use octroi_gate::{Budget, Budgets, FailedPayments, RECOVER_MAX};

use super::super::PaymentConfig;
use super::super::reader::{Field, Section};
use super::pow;
use super::price::{amount, price};
use super::rule::WrittenSelling;

const MACAROON_TTL_DEFAULT: Duration = Duration::from_secs(300);
const MAX_CALLS_DEFAULT: u32 = 10_000;

/// One entry of `pricing`.
pub(super) struct Priced<'t> {
    pub(super) field: Field<'t>,
    /// A tool's name, or a pattern.
    pub(super) pattern: &'t str,
    /// `None` when what is written is no price, and said so.
    pub(super) price: Option<Price>,
}

/// Reads the section; what it leaves out, and a section left out, has defaults.
pub(super) fn read<'t>(section: Section<'t>) -> (PaymentConfig, Vec<Priced<'t>>) {
    protocol(&section.field("protocol"));
    let gateway = section.field("gateway").filled("https://payments.example.com").map(str::to_owned);
    let macaroon_ttl =
        section.field("macaroon_ttl_seconds").seconds(10..=31_536_000).unwrap_or(MACAROON_TTL_DEFAULT);
    let selling = WrittenSelling::read(&section).or(Selling::DEFAULT);
    let max_calls = section.field("max_calls").number(1..=1_000_000, "calls").unwrap_or(MAX_CALLS_DEFAULT);
    let receipts = section.field("receipts").boolean().unwrap_or(true);
    let budgets_section = section.section("budgets");
    let budgets = budgets(&budgets_section);
    budgets_section.finish();
    let failed_payments = failed_payments(section.section("failed_payments"));
    let pow_enabled = section.field("pow_enabled").boolean().unwrap_or(false);
    let pow = pow::read(&section);
    let pricing = section.section("pricing");
    let priced = pricing.entries().into_iter().map(|(pattern, field)| {
        if pattern.is_empty() {
            field.spot.wrong("names no tool", "write the tool's name, or a pattern like \"image_*\"");
        }
        let price = price(&field);
        Priced { field, pattern, price }
    });
    let priced = priced.collect();
    section.finish();
    let payment = PaymentConfig {
        gateway,
        macaroon_ttl,
        selling,
        receipts,
        budgets,
        failed_payments,
        max_calls,
        pow: pow_enabled.then_some(pow),
    };
    (payment, priced)
}

fn budgets(section: &Section<'_>) -> Budgets {
    let of = |name| {
        let section = section.section(name);
        let budget = budget(&section);
        section.finish();
        budget
    };
    Budgets { per_credential: of("per_credential"), per_caller: of("per_caller") }
}

fn failed_payments(section: Section<'_>) -> FailedPayments {
    let default = FailedPayments::default();
    let bounds = FailedPayments {
        free: section.field("free").number(1..=1_000_000, "points").unwrap_or(default.free),
        recover_seconds: section
            .field("recover_seconds")
            .number(1..=i64::from(RECOVER_MAX), "seconds")
            .unwrap_or(default.recover_seconds),
    };
    section.finish();
    bounds
}

fn budget(section: &Section<'_>) -> Budget {
    let most = |names| amount(section, names).flatten();
    let minute = most(("minute_sats", "minute_msats"));
    let (hour, day) = (most(("hour_sats", "hour_msats")), most(("day_sats", "day_msats")));
    Budget { minute, hour, day }
}

fn protocol(field: &Field<'_>) {
    match field.text("l402") {
        None | Some("l402" | "L402") => {}
        Some(_) => field.spot.wrong("only L402 is spoken in this release", "write \"l402\""),
    }
}
