//! Who has solved a lot lately: network prefixes and principals, by a hash. Bounded.

use std::collections::HashMap;

/// How many are remembered in each of two generations. When one is full the older is dropped; who is forgotten starts afresh.
const REMEMBERED: usize = 32_768;
/// After so long without a call, a third of a rate is left, in milliseconds.
const FADES_MS: f64 = 60_000.0;
/// The most that one of them pays above the others, in bits.
pub(super) const SURCHARGE_MAX: f64 = 4.0;

#[derive(Clone, Debug, Default)]
pub(super) struct Networks {
    young: HashMap<u64, Rate>,
    old: HashMap<u64, Rate>,
}

/// Calls, fading.
#[derive(Clone, Copy, Debug)]
struct Rate {
    calls: f64,
    at_ms: u64,
}

impl Rate {
    fn at(self, now_ms: u64) -> f64 {
        self.calls * (-(now_ms.saturating_sub(self.at_ms) as f64) / FADES_MS).exp()
    }
}

impl Networks {
    /// What `who` pays above the others, in bits: `log2(1 + its calls per second / quota)`, at most four.
    pub(super) fn surcharge(&self, who: u64, quota: f64, now_ms: u64) -> f64 {
        let Some(rate) = self.young.get(&who).or_else(|| self.old.get(&who)) else { return 0.0 };
        let per_second = rate.at(now_ms) * 1000.0 / FADES_MS;
        (1.0 + per_second / quota).log2().min(SURCHARGE_MAX)
    }

    pub(super) fn note(&mut self, who: u64, calls: u32, now_ms: u64) {
        let known = self.young.get(&who).or_else(|| self.old.get(&who));
        let calls = f64::from(calls) + known.map_or(0.0, |rate| rate.at(now_ms));
        if self.young.len() >= REMEMBERED {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(who, Rate { calls, at_ms: now_ms });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_takes_much_pays_more_and_is_forgiven() {
        let mut networks = Networks::default();
        assert_eq!(networks.surcharge(1, 1.0, 0), 0.0);
        for at in 0..600 {
            networks.note(1, 1, at * 1000);
        }
        let busy = networks.surcharge(1, 1.0, 600_000);
        assert!((0.9..1.1).contains(&busy), "one call a second, as much as the quota: {busy}");
        assert!(networks.surcharge(1, 0.001, 600_000) == SURCHARGE_MAX);
        assert!(networks.surcharge(1, 1.0, 1_200_000) < 0.001);
        assert_eq!(networks.surcharge(2, 1.0, 600_000), 0.0);
    }

    #[test]
    fn memory_stays_bounded() {
        let mut networks = Networks::default();
        for who in 0..3 * REMEMBERED as u64 {
            networks.note(who, 1, 0);
        }
        assert!(networks.young.len() + networks.old.len() <= 2 * REMEMBERED);
    }
}
