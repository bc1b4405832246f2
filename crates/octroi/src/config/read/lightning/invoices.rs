//! `[lightning.invoices]`

use std::num::NonZeroU32;
use std::time::Duration;

use super::super::super::reader::Section;
use super::super::super::{InvoiceWork, InvoicesConfig, RateLimit};
use super::super::rule::rate_limit;

const CALLER_DEFAULT: RateLimit = per_minute(60);
const CLASS_DEFAULT: RateLimit = per_minute(1200);
const OPEN_DEFAULT: usize = 20_000;
const WORK_BITS_DEFAULT: u8 = 18;
/// A node in this process makes one in a millisecond; another one has to be asked over a network.
const READY_REMOTE_DEFAULT: usize = 4;

const fn per_minute(calls: u32) -> RateLimit {
    // Zero would be a mistake in this file, and reads as one.
    let calls = match NonZeroU32::new(calls) {
        Some(calls) => calls,
        None => NonZeroU32::MIN,
    };
    RateLimit { calls, per: Duration::from_secs(60) }
}

pub(super) fn read(section: Section<'_>, remote: bool) -> InvoicesConfig {
    let works = [
        ("over_limit", InvoiceWork::OverLimit),
        ("always", InvoiceWork::Always),
        ("never", InvoiceWork::Never),
    ];
    let invoices = InvoicesConfig {
        per_network: rate_limit(&section.field("per_network")).unwrap_or(CALLER_DEFAULT),
        per_caller: rate_limit(&section.field("per_caller")).unwrap_or(CALLER_DEFAULT),
        per_class: rate_limit(&section.field("per_class")).unwrap_or(CLASS_DEFAULT),
        open_max: section.field("open_max").number(100..=50_000, "invoices").unwrap_or(OPEN_DEFAULT),
        work: section.field("work").choice(&works).unwrap_or(InvoiceWork::OverLimit),
        work_bits: section.field("work_bits").number(1..=30, "bits").unwrap_or(WORK_BITS_DEFAULT),
        ready: section.field("ready").number(0..=64, "invoices").unwrap_or(if remote {
            READY_REMOTE_DEFAULT
        } else {
            0
        }),
    };
    section.finish();
    invoices
}
