//! `[ledger]`: where it is, and who else is told of it.

use std::time::Duration;

use octroi_ledger::Store;

use octroi_gate::customers::{Customers, is_name};
use url::Url;

use super::super::reader::{Field, Section};
use super::super::{AnswersConfig, LedgerConfig, ReconcileConfig, StripeConfig};

const LEDGER_DEFAULT: &str = "octroi.db";
const QUEUE_DEFAULT: usize = 10_000;
const STRIPE: &str = "https://api.stripe.com";
const STRIPE_EVERY_DEFAULT: Duration = Duration::from_secs(10);
/// Longest event name Stripe takes, in bytes.
const EVENT_MAX: usize = 100;
const DAY_SECONDS: u64 = 86_400;
const RECONCILE_DEFAULT: ReconcileConfig = ReconcileConfig {
    every: Some(Duration::from_secs(3_600)),
    reach: Duration::from_secs(7 * DAY_SECONDS),
    apply: false,
    hold_age: Duration::from_secs(3_600),
    lookups_max: 20_000,
};

/// Reads `[ledger]`.
pub(super) fn read(section: Section<'_>) -> LedgerConfig {
    let field = section.field("url");
    let fix = "write \"sqlite://octroi.db\", or \"postgres://USER:PASSWORD@HOST/DATABASE\", or env:NAME or file:PATH";
    // A secret because of the password that may be in it.
    let url = if field.is_given() { field.secret() } else { None };
    let (mut timeout, mut lease) = (octroi_ledger::DEFAULT_TIMEOUT, octroi_ledger::DEFAULT_LEASE);
    if url.as_ref().is_some_and(|url| url.reveal().starts_with("postgres")) {
        timeout = section.field("timeout_seconds").seconds(1..=60).unwrap_or(timeout);
        lease = section.field("lease_seconds").seconds(5..=3_600).unwrap_or(lease);
    } else {
        section.only_with(&["timeout_seconds", "lease_seconds"], "a ledger in PostgreSQL");
    }
    let store = url.and_then(|url| match Store::parse(url.reveal(), timeout, lease) {
        Ok(store) => Some(store),
        Err(why) => {
            field.spot.wrong(why.to_string(), fix);
            None
        }
    });
    let store = store.unwrap_or_else(|| Store::sqlite(LEDGER_DEFAULT));
    let queue = section.field("queue").number(1..=1_000_000, "waiting writes").unwrap_or(QUEUE_DEFAULT);
    let answers = answers(section.field("answers").section());
    let reconcile = reconcile(&section.field("reconcile"));
    let stripe = section.field("stripe");
    let stripe = if stripe.is_given() { self::stripe(stripe.section()) } else { None };
    section.finish();
    LedgerConfig { store, queue, answers, reconcile, stripe }
}

/// Reads `[ledger.answers]`.
fn answers(section: Section<'_>) -> AnswersConfig {
    let seconds = section.field("seconds").seconds(60..=604_800);
    let count_max = section.field("count_max").number(1_000..=100_000_000, "answers");
    let bytes_max = section.field("bytes_max").number(1 << 20..=1 << 40, "bytes");
    let each = section.field("bytes_each_max");
    let bytes_each_max = each.number(0..=4 << 20, "bytes");
    let answers = AnswersConfig {
        lifetime: seconds.unwrap_or(octroi_ledger::DEFAULT_KEPT_FOR),
        count_max: count_max.unwrap_or(octroi_ledger::DEFAULT_KEPT_ANSWERS),
        bytes_max: bytes_max.unwrap_or(octroi_ledger::DEFAULT_KEPT_BYTES),
        bytes_each_max: bytes_each_max.unwrap_or(octroi_ledger::DEFAULT_KEPT_BODY),
    };
    if answers.bytes_each_max as u64 > answers.bytes_max {
        let problem = "one answer may have more bytes than all of them together";
        each.spot.wrong(problem, format!("write at most {}, or raise bytes_max", answers.bytes_max));
    }
    section.finish();
    answers
}

/// Reads `[ledger.reconcile]`, or `reconcile = false`.
fn reconcile(field: &Field<'_>) -> ReconcileConfig {
    if field.is_false() {
        return ReconcileConfig { every: None, ..RECONCILE_DEFAULT };
    }
    let section = field.section();
    let every = section.field("every_seconds").seconds(60..=604_800);
    let days = section.field("days").number(1..=366, "days");
    let apply = section.field("apply").boolean();
    let hold_age = section.field("hold_seconds").seconds(60..=86_400);
    let lookups_max = section.field("lookups_max").number(1..=1_000_000, "invoices");
    section.finish();
    let default = RECONCILE_DEFAULT;
    ReconcileConfig {
        every: every.or(default.every),
        reach: days.map_or(default.reach, |days: u64| Duration::from_secs(days * DAY_SECONDS)),
        apply: apply.unwrap_or(default.apply),
        hold_age: hold_age.unwrap_or(default.hold_age),
        lookups_max: lookups_max.unwrap_or(default.lookups_max),
    }
}

/// Reads `[ledger.stripe]`.
fn stripe(section: Section<'_>) -> Option<StripeConfig> {
    let key = section.field("key");
    if !key.is_given() {
        key.spot.wrong("no `key`", "add key = \"env:STRIPE_KEY\"");
    }
    let event = section.field("event");
    if !event.is_given() {
        event.spot.wrong("no `event`", "add the event name of your meter: event = \"octroi_msat\"");
    }
    let event_name = event.filled("octroi_msat").filter(|name| {
        let fits = name.len() <= EVENT_MAX;
        if !fits {
            event.spot.wrong(format!("longer than {EVENT_MAX} bytes"), "shorten it, in Stripe too");
        }
        fits
    });
    let endpoint = section.field("endpoint");
    let endpoint =
        if endpoint.is_given() { endpoint.trusted_url(STRIPE, false) } else { Url::parse(STRIPE).ok() };
    let every = section.field("every_seconds").seconds(1..=3_600).unwrap_or(STRIPE_EVERY_DEFAULT);
    let customers = customers(&section);
    let key = key.secret();
    section.finish();
    Some(StripeConfig {
        key: key?,
        event: event_name?.to_owned(),
        customers: customers?,
        endpoint: endpoint?,
        every,
    })
}

/// `customer_claim`, and the list of `customers`.
fn customers(section: &Section<'_>) -> Option<Customers> {
    let claim = section.field("customer_claim").filled("stripe_customer_id").map(str::to_owned);
    let field = section.field("customers");
    let mut known = Vec::new();
    for item in field.items() {
        let entry = item.section();
        let text = |name: &'static str, example: &str| {
            let field = entry.field(name);
            if !field.is_given() {
                field.spot.wrong(format!("no `{name}`"), format!("add {name} = \"{example}\""));
            }
            field.filled(example)
        };
        let issuer = text("issuer", "https://issuer.example.com/");
        let (subject, customer) = (text("subject", "auth0|507f1f77"), text("customer", "cus_NciAYcXfLnqBoz"));
        if customer.is_some_and(|name| !is_name(name)) {
            item.spot.wrong("not a customer's id", "write it as Stripe shows it: \"cus_NciAYcXfLnqBoz\"");
        }
        entry.finish();
        known.extend(
            issuer
                .zip(subject)
                .zip(customer)
                .map(|((issuer, subject), customer)| (issuer, subject, customer)),
        );
    }
    if claim.is_none() && !field.is_given() {
        section.spot.wrong(
            "nobody is a customer",
            "add customer_claim = \"stripe_customer_id\", or customers = [{ issuer = \"…\", subject = \"…\", customer = \"cus_…\" }]",
        );
        return None;
    }
    Some(Customers::new(claim, known))
}
