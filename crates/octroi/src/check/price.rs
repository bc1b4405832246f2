//! A price in a few words.

use octroi_gate::price::{Held, Metered, Price};
use octroi_l402::Msat;

/// What a call costs, and how many a day cost nothing.
pub(super) fn said(price: &Price, free_per_day: u32) -> String {
    let (least, most) = price.bounds();
    let mut text = if free_per_day > 0 { format!("{free_per_day} a day free, then ") } else { String::new() };
    match (&price.held, &price.meter) {
        (_, Some(meter)) => {
            let counts = match &meter.counts {
                Metered::Bytes => "bytes",
                Metered::Seconds => "seconds",
                Metered::Said(pointer) => pointer.as_str(),
            };
            if meter.base > Msat::ZERO {
                text.push_str(&format!("{} + ", amount(meter.base)));
            }
            text.push_str(&format!(
                "{} / {} {counts}, at most {}",
                amount(meter.rate),
                meter.per,
                amount(most)
            ));
        }
        (Held::Formula { .. }, None) => {
            text.push_str(&format!("formula, {} to {}", amount(least), amount(most)))
        }
        (Held::Fixed(fixed), None) => text.push_str(&amount(*fixed)),
    }
    for bundle in price.bundles.iter() {
        text.push_str(&format!(", {} for {}", bundle.calls, bundle.pay));
    }
    text
}

/// Whole satoshi where it can be said so.
fn amount(amount: Msat) -> String {
    let msat = amount.as_i64();
    if msat % 1000 == 0 { format!("{} sat", msat / 1000) } else { format!("{msat} msat") }
}
