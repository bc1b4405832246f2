//! `[ledger]`: where it is, and who else is told of it.

use std::time::Duration;

use octroi_ledger::Store;

use super::super::reader::{Field, Section};
use super::super::{LedgerConfig, ReconcileConfig};

const LEDGER_DEFAULT: &str = "octroi.db";
const QUEUE_DEFAULT: usize = 10_000;
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
    let reconcile = reconcile(&section.field("reconcile"));
    section.finish();
    LedgerConfig { store, queue, reconcile }
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
