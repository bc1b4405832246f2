//! Money: whole millisatoshi.

use std::fmt;

/// An amount of money in millisatoshi (msat), signed because a ledger entry is.
///
/// All arithmetic is checked: the results are `None` where an `i64` overflows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Msat(i64);

/// Millisatoshi in one satoshi.
const PER_SAT: i64 = 1000;

impl Msat {
    /// No money.
    pub const ZERO: Self = Self(0);

    /// An amount of `msat` millisatoshi.
    #[must_use]
    pub const fn new(msat: i64) -> Self {
        Self(msat)
    }

    /// An amount of whole satoshis; `None` beyond ±9.2 · 10¹⁵ sat.
    #[must_use]
    pub const fn from_sat(sat: i64) -> Option<Self> {
        match sat.checked_mul(PER_SAT) {
            Some(msat) => Some(Self(msat)),
            None => None,
        }
    }

    /// The amount in millisatoshi.
    #[must_use]
    pub const fn as_i64(self) -> i64 {
        self.0
    }

    /// The least number of whole satoshis (not msat) that covers this amount: 1700 msat → 2 sat, −1700 msat → −1 sat.
    #[must_use]
    pub const fn ceil_to_sat(self) -> i64 {
        let whole = self.0.div_euclid(PER_SAT);
        if self.0.rem_euclid(PER_SAT) == 0 { whole } else { whole + 1 }
    }

    /// The sum, unless it overflows.
    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(msat) => Some(Self(msat)),
            None => None,
        }
    }

    /// The difference, unless it overflows. It may be negative.
    #[must_use]
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(msat) => Some(Self(msat)),
            None => None,
        }
    }

    /// This amount `times` over, unless it overflows.
    #[must_use]
    pub const fn checked_mul(self, times: i64) -> Option<Self> {
        match self.0.checked_mul(times) {
            Some(msat) => Some(Self(msat)),
            None => None,
        }
    }
}

impl fmt::Display for Msat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} msat", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_with_its_unit() {
        assert_eq!(Msat::new(1700).to_string(), "1700 msat");
        assert_eq!(Msat::ZERO.to_string(), "0 msat");
    }

    #[test]
    fn rounds_up_to_whole_satoshis() {
        for (msat, sat) in
            [(0, 0), (1, 1), (999, 1), (1000, 1), (1001, 2), (1700, 2), (-1, 0), (-1000, -1), (-1700, -1)]
        {
            assert_eq!(Msat::new(msat).ceil_to_sat(), sat, "{msat} msat");
        }
        assert_eq!(Msat::new(i64::MAX).ceil_to_sat(), i64::MAX / 1000 + 1);
        assert_eq!(Msat::new(i64::MIN).ceil_to_sat(), i64::MIN / 1000);
    }

    #[test]
    fn overflow_is_none_not_a_wrong_sum() {
        let most = Msat::new(i64::MAX);
        assert_eq!(most.checked_add(Msat::new(1)), None);
        assert_eq!(Msat::new(i64::MIN).checked_sub(Msat::new(1)), None);
        assert_eq!(most.checked_mul(2), None);
        assert_eq!(Msat::from_sat(i64::MAX / 1000 + 1), None);
        assert_eq!(Msat::from_sat(3).and_then(|m| m.checked_mul(100)), Some(Msat::new(300_000)));
    }
}
