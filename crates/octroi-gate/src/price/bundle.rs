//! Volume prices: so many calls for the price of fewer.

/// Most bundles one price may have.
pub const BUNDLES_MAX: usize = 8;

/// `calls` calls for the price of `pay`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// How many calls are bought at once; at least 2.
    pub calls: u32,
    /// How many of them are paid for: at least 1, fewer than `calls`.
    pub pay: u32,
}

/// Why bundles cannot stand. The operator's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// A bundle of one call, or one that is no cheaper than its calls, or costs nothing.
    #[error("a bundle is at least two calls for the price of fewer, but at least one")]
    NoGain,
    /// Two bundles of the same size.
    #[error("two bundles of {0} calls")]
    SameSize(u32),
    /// More than [`BUNDLES_MAX`].
    #[error("more than {BUNDLES_MAX} bundles")]
    TooMany,
}

/// The bundles of one price, the largest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bundles(Vec<Bundle>);

impl Bundles {
    /// Every call at its own price.
    pub const NONE: Self = Self(Vec::new());

    /// Bundles in any order.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn new(mut bundles: Vec<Bundle>) -> Result<Self, BundleError> {
        if bundles.len() > BUNDLES_MAX {
            return Err(BundleError::TooMany);
        }
        if bundles.iter().any(|bundle| bundle.pay == 0 || bundle.pay >= bundle.calls) {
            return Err(BundleError::NoGain);
        }
        bundles.sort_unstable_by_key(|bundle| std::cmp::Reverse(bundle.calls));
        match bundles.windows(2).find(|pair| pair[0].calls == pair[1].calls) {
            Some(pair) => Err(BundleError::SameSize(pair[0].calls)),
            None => Ok(Self(bundles)),
        }
    }

    /// The bundles, the largest first.
    pub fn iter(&self) -> impl Iterator<Item = &Bundle> {
        self.0.iter()
    }

    /// How many calls are paid for when `calls` are bought: the largest bundles that fit, then single calls.
    #[must_use]
    pub fn paid(&self, calls: u32) -> u32 {
        let (mut left, mut paid) = (calls, 0);
        for bundle in &self.0 {
            paid += left / bundle.calls * bundle.pay;
            left %= bundle.calls;
        }
        paid + left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bundles: &[(u32, u32)]) -> Result<Bundles, BundleError> {
        Bundles::new(bundles.iter().map(|(calls, pay)| Bundle { calls: *calls, pay: *pay }).collect())
    }

    #[test]
    fn the_largest_bundles_that_fit_come_first() {
        let bundles = of(&[(10, 9), (100, 80)]).unwrap();
        for (calls, paid) in [(1, 1), (9, 9), (10, 9), (19, 18), (100, 80), (111, 90), (200, 160)] {
            assert_eq!(bundles.paid(calls), paid, "{calls}");
        }
        assert_eq!(bundles.paid(u32::MAX), u32::MAX / 100 * 80 + 95 / 10 * 9 + 5);
        assert_eq!(Bundles::NONE.paid(7), 7);
    }

    #[test]
    fn bundles_that_are_none_are_refused() {
        for wrong in [(1, 1), (10, 10), (10, 11), (10, 0), (0, 0)] {
            assert_eq!(of(&[wrong]), Err(BundleError::NoGain), "{wrong:?}");
        }
        assert_eq!(of(&[(10, 9), (10, 8)]), Err(BundleError::SameSize(10)));
        assert_eq!(of(&[(9, 1); BUNDLES_MAX + 1]), Err(BundleError::TooMany));
    }
}
