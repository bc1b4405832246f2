//! What a call costs.
//!
//! A price says what is held before the call: a fixed amount, or one computed from the arguments ([`Formula`]). Where it has a
//! [`Meter`], what is charged follows from what the call used, and is never more than what was held. Who buys many calls at
//! once may pay for fewer ([`Bundle`]).

mod bundle;
mod formula;
mod meter;
mod pointer;

use std::sync::Arc;

use octroi_l402::Msat;

pub use bundle::{BUNDLES_MAX, Bundle, BundleError, Bundles};
pub use formula::{Formula, FormulaError, SOURCE_MAX, Unpriceable};
pub use meter::{Meter, Metered, Usage};
pub use pointer::{Pointer, PointerError};

/// The highest price of one call: one bitcoin.
pub const PRICE_MAX: Msat = Msat::new(100_000_000_000);

/// What one call costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    /// What is held before the call.
    pub held: Held,
    /// How what is charged follows from what the call used; `None`: all that is held.
    pub meter: Option<Meter>,
    /// What many calls at once cost.
    pub bundles: Bundles,
}

/// What is held before a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// Always the same. Positive.
    Fixed(Msat),
    /// What follows from the arguments, within bounds.
    Formula {
        /// The expression.
        formula: Arc<Formula>,
        /// The least: a result below counts as this.
        least: Msat,
        /// The most: a result above counts as this. Positive.
        most: Msat,
    },
}

impl Price {
    /// A price that is always the same.
    #[must_use]
    pub const fn fixed(amount: Msat) -> Self {
        Self { held: Held::Fixed(amount), meter: None, bundles: Bundles::NONE }
    }

    /// What is held for a call with these (raw, validated) arguments. Zero: this call is free.
    ///
    /// # Errors
    /// [`Unpriceable`]: no price follows from the arguments. The caller's fault.
    pub fn for_call(&self, arguments: Option<&[u8]>) -> Result<Msat, Unpriceable> {
        match &self.held {
            Held::Fixed(amount) => Ok(*amount),
            Held::Formula { formula, least, most } => Ok(formula.evaluate(arguments)?.clamp(*least, *most)),
        }
    }

    /// The least and the most that is held for a call.
    #[must_use]
    pub const fn bounds(&self) -> (Msat, Msat) {
        match &self.held {
            Held::Fixed(amount) => (*amount, *amount),
            Held::Formula { least, most, .. } => (*least, *most),
        }
    }

    /// Whether two calls with different arguments can cost different amounts before they are made.
    #[must_use]
    pub const fn depends_on_arguments(&self) -> bool {
        matches!(self.held, Held::Formula { .. })
    }

    /// What `calls` calls of `each` cost when they are bought at once, and what one of them then costs: rounded down, so that
    /// the money is enough for all of them, and never nothing. `None` where the sum overflows.
    #[must_use]
    pub fn for_calls(&self, each: Msat, calls: u32) -> Option<(Msat, Msat)> {
        let paid = self.bundles.paid(calls);
        let total = each.checked_mul(i64::from(paid))?;
        if paid == calls {
            return Some((total, each));
        }
        let one = total.as_i64() / i64::from(calls.max(1));
        Some((total, Msat::new(one.max(1))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bundled(bundles: &[(u32, u32)]) -> Price {
        let bundles = bundles.iter().map(|(calls, pay)| Bundle { calls: *calls, pay: *pay });
        Price { bundles: Bundles::new(bundles.collect()).unwrap(), ..Price::fixed(Msat::new(3000)) }
    }

    #[test]
    fn a_hundred_calls_for_the_price_of_eighty() {
        let price = bundled(&[(100, 80)]);
        let total = |calls| price.for_calls(Msat::new(3000), calls);
        assert_eq!(total(1), Some((Msat::new(3000), Msat::new(3000))));
        assert_eq!(total(99), Some((Msat::new(297_000), Msat::new(3000))));
        assert_eq!(total(100), Some((Msat::new(240_000), Msat::new(2400))));
        assert_eq!(total(250), Some((Msat::new(630_000), Msat::new(2520))));
    }

    #[test]
    fn bounds_hold_whatever_the_formula_says() {
        let formula = Arc::new(Formula::compile("size(args.text) * 10").unwrap());
        let (least, most) = (Msat::new(50), Msat::new(200));
        let price = Price { held: Held::Formula { formula, least, most }, ..Price::fixed(most) };
        for (text, msat) in [("", 50), ("123456", 60), ("123456789012345678901234567890", 200)] {
            let arguments = format!(r#"{{"text":"{text}"}}"#);
            assert_eq!(price.for_call(Some(arguments.as_bytes())), Ok(Msat::new(msat)));
        }
        assert!(price.for_call(None).is_err());
    }

    proptest! {
        #[test]
        fn what_is_paid_is_enough_for_every_call(
            each in 1..1_000_000_i64,
            calls in 1..10_000_u32,
            sizes in prop::collection::btree_map(2..500_u32, 1..100_u32, 0..4),
        ) {
            let bundles: Vec<_> = sizes.into_iter().map(|(size, off)| (size, size - size.min(off).min(size - 1))).collect();
            let (total, one) = bundled(&bundles).for_calls(Msat::new(each), calls).unwrap();
            prop_assert!(total <= Msat::new(each * i64::from(calls)), "a bundle is never dearer");
            prop_assert!(one <= Msat::new(each));
            prop_assert!(one == Msat::new(1) || one.as_i64() * i64::from(calls) <= total.as_i64());
        }
    }
}
