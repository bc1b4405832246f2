//! What one call costs, as written.

use std::sync::Arc;

use octroi_gate::price::{
    Bundle, Bundles, Formula, Held, Meter, Metered, PRICE_MAX, Pointer, Price, SOURCE_MAX,
};
use octroi_l402::Msat;

use super::super::reader::{Field, Section};

/// Two names for one amount: in satoshis, and in millisatoshi.
type Names = (&'static str, &'static str);

const PRICE: Names = ("sats", "msats");
const LEAST: Names = ("min_sats", "min_msats");
const MOST: Names = ("max_sats", "max_msats");
const BASE: Names = ("base_sats", "base_msats");
/// Most units a meter's rate can be for: a million tokens, a gibibyte.
const PER_MAX: i64 = 1 << 30;
/// Most calls one bundle can have; no payment buys more.
const BUNDLE_MAX: i64 = 1_000_000;

/// Reads a price; `None` where what is written is none, and said so.
pub(super) fn price(field: &Field<'_>) -> Option<Price> {
    if !field.is_table() {
        field.spot.wrong("price needs `sats` or `msats`", "write { sats = 3 }");
        return None;
    }
    let section = field.section();
    let meter_field = section.field("meter");
    let meter = meter_field.is_given().then(|| meter(&meter_field));
    let held = held(field, &section, meter.is_some());
    let bundles = bundles(&section.field("bundles"));
    section.finish();
    let price = Price { held: held?, meter: meter.unwrap_or(Some(None))?, bundles };
    price_is_sound(field, &price).then_some(price)
}

/// What is held: `sats` alone, or `formula` and a maximum, or with a meter the maximum alone.
fn held(field: &Field<'_>, section: &Section<'_>, metered: bool) -> Option<Held> {
    let (fixed, least, most) = (amount(section, PRICE), amount(section, LEAST), amount(section, MOST));
    let formula = section.field("formula");
    if formula.is_given() {
        if fixed.is_some() {
            field.spot.wrong("a formula and a fixed price", "keep one of the two");
        }
        if most.is_none() {
            formula
                .spot
                .wrong("a formula without a highest price", "add max_sats: a result above it counts as this");
        }
        let formula = compile(&formula);
        let (least, most) = (least.flatten().unwrap_or(Msat::ZERO), most??);
        return Some(Held::Formula { formula: Arc::new(formula?), least, most });
    }
    if least.is_some() {
        field.spot.wrong("a lowest price without a formula", "add formula, or remove it");
    }
    match (fixed, most, metered) {
        (Some(_), Some(_), _) => {
            field.spot.wrong("a fixed price and a highest price", "keep one of the two");
            None
        }
        (Some(fixed), None, false) => fixed.map(Held::Fixed),
        (None, Some(most), true) => most.map(Held::Fixed),
        (Some(_), None, true) | (None, None, true) => {
            field
                .spot
                .wrong("a meter without a highest price", "add max_sats, which is held before each call");
            None
        }
        (None, Some(_), false) => {
            field.spot.wrong("a highest price alone", "write { sats = 3 }, or add formula or meter");
            None
        }
        (None, None, false) => {
            field.spot.wrong("price needs `sats` or `msats`", "write { sats = 3 }");
            None
        }
    }
}

fn compile(field: &Field<'_>) -> Option<Formula> {
    let source = field.filled("100 + size(args.text) * 2")?;
    match Formula::compile(source) {
        Ok(formula) => Some(formula),
        Err(error) => {
            let fix = format!(
                "write a CEL expression in msat over args, at most {SOURCE_MAX} bytes: 100 + size(args.text) * 2"
            );
            field.spot.wrong(format!("no formula: {error}"), fix);
            None
        }
    }
}

/// `Some(None)` where there is no meter; `None` where what is written is none.
fn meter(field: &Field<'_>) -> Option<Option<Meter>> {
    let section = field.section();
    let counts = section.field("counts");
    let counted = match counts.filled("seconds") {
        Some("bytes") => Some(Metered::Bytes),
        Some("seconds") => Some(Metered::Seconds),
        Some(pointer) => match Pointer::parse(pointer) {
            Ok(pointer) => Some(Metered::Said(pointer)),
            Err(error) => {
                counts.spot.wrong(error.to_string(), "write bytes, seconds, or a pointer into the result");
                None
            }
        },
        None => {
            if !counts.is_given() {
                field.spot.wrong(
                    "a meter that counts nothing",
                    "add counts = \"seconds\", \"bytes\" or \"/pointer\"",
                );
            }
            None
        }
    };
    let rate = amount(&section, PRICE);
    if rate.is_none() {
        field.spot.wrong("a meter without a rate", "add msats = 1500");
    }
    let base = amount(&section, BASE);
    let per = section.field("per").number(1..=PER_MAX, "units").unwrap_or(1);
    section.finish();
    Some(Some(Meter { base: base.unwrap_or(Some(Msat::ZERO))?, rate: rate??, per, counts: counted? }))
}

fn bundles(field: &Field<'_>) -> Bundles {
    let mut bundles = Vec::new();
    if !field.is_given() {
        return Bundles::NONE;
    }
    for item in field.items() {
        let section = item.section();
        let (calls, pay) = (section.field("calls"), section.field("pay"));
        for (field, fix) in [(&calls, "calls = 100"), (&pay, "pay = 80")] {
            if !field.is_given() {
                item.spot
                    .wrong("a bundle says how many calls for the price of how many", format!("add {fix}"));
            }
        }
        let sizes = (calls.number(2..=BUNDLE_MAX, "calls"), pay.number(1..=BUNDLE_MAX, "calls"));
        section.finish();
        if let (Some(calls), Some(pay)) = sizes {
            bundles.push(Bundle { calls, pay });
        }
    }
    Bundles::new(bundles).unwrap_or_else(|error| {
        field.spot.wrong(error.to_string(), "write [{ calls = 100, pay = 80 }]");
        Bundles::NONE
    })
}

/// What only shows when the parts are put together.
fn price_is_sound(field: &Field<'_>, price: &Price) -> bool {
    let (least, most) = price.bounds();
    if least > most {
        field.spot.wrong("the lowest price is above the highest", "swap the two");
        return false;
    }
    if price.meter.as_ref().is_some_and(|meter| meter.base > most) {
        field.spot.wrong("the meter's base is above the highest price", "lower the base, or raise max_sats");
        return false;
    }
    let each =
        |bundle: &Bundle| least.max(Msat::new(1)).as_i64() * i64::from(bundle.pay) / i64::from(bundle.calls);
    if !price.depends_on_arguments() && price.bundles.iter().any(|bundle| each(bundle) == 0) {
        field.spot.wrong(
            "a call of a bundle would cost less than 1 msat",
            "raise the price, or pay for more calls",
        );
        return false;
    }
    true
}

/// An amount in one of its two units. `None`: not given; `Some(None)`: wrong, and said so.
pub(super) fn amount(section: &Section<'_>, (in_sats, in_msats): Names) -> Option<Option<Msat>> {
    let (sats, msats) = (section.field(in_sats), section.field(in_msats));
    let most = PRICE_MAX.as_i64();
    match (sats.is_given(), msats.is_given()) {
        (true, false) => Some(positive(&sats, most / 1000).and_then(Msat::from_sat)),
        (false, true) => Some(positive(&msats, most).map(Msat::new)),
        (true, true) => {
            section.spot.wrong(format!("both `{in_sats}` and `{in_msats}`"), "keep one of the two");
            Some(None)
        }
        (false, false) => None,
    }
}

fn positive(field: &Field<'_>, most: i64) -> Option<i64> {
    let amount = field.integer(0..=most, "")?;
    if amount == 0 {
        field.spot.wrong("a price of nothing", "write at least 1, or requires_payment = false on the tool");
        return None;
    }
    Some(amount)
}
