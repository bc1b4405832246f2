//! The proofs that were spent.

use std::collections::{HashMap, HashSet};

use parking_lot::Mutex;

use super::{CheckedProof, ProofError};

/// Which part of a period's room one key may fill: one in so many.
const SHARE: usize = 4;

/// A bounded memory of proofs. It has two periods, each as long as a proof can be shown; the older one is dropped as a
/// whole when the newer one is over, by which time everything in it is too old to be shown again.
pub(super) struct Replays {
    periods: Mutex<Periods>,
    seconds: u64,
    entries: usize,
}

struct Periods {
    started: u64,
    current: Period,
    previous: Period,
}

#[derive(Default)]
struct Period {
    spent: HashSet<[u8; 16]>,
    by_key: HashMap<[u8; 16], usize>,
}

impl Replays {
    /// Room for `entries` proofs, each of which can be shown for `seconds`.
    pub(super) fn new(entries: usize, seconds: u64) -> Self {
        let periods = Periods { started: 0, current: Period::default(), previous: Period::default() };
        Self { periods: Mutex::new(periods), seconds, entries: entries / 2 }
    }

    pub(super) fn spend(&self, proof: &CheckedProof, now: u64) -> Result<(), ProofError> {
        let (id, key) = (proof.id(), proof.key());
        let mut periods = self.periods.lock();
        periods.turn(now, self.seconds);
        if periods.current.spent.contains(&id) || periods.previous.spent.contains(&id) {
            return Err(ProofError::Replayed);
        }
        let room = periods.current.spent.len() < self.entries;
        let of_key = periods.current.by_key.entry(key).or_default();
        if !room || *of_key >= (self.entries / SHARE).max(1) {
            return Err(ProofError::TooMany);
        }
        *of_key += 1;
        periods.current.spent.insert(id);
        Ok(())
    }
}

impl Periods {
    fn turn(&mut self, now: u64, seconds: u64) {
        // A clock set back turns nothing: what was spent stays spent.
        let passed = now.saturating_sub(self.started) / seconds.max(1);
        if passed == 0 {
            return;
        }
        self.previous = std::mem::take(&mut self.current);
        if passed > 1 {
            self.previous = Period::default();
        }
        self.started = now;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn proof(key: &str, id: &str) -> CheckedProof {
        CheckedProof::for_tests(key, id)
    }

    #[test]
    fn a_proof_is_spent_once_for_as_long_as_it_can_be_shown() {
        let replays = Replays::new(100, 305);
        assert_eq!(replays.spend(&proof("k", "a"), 1000), Ok(()));
        for now in [1000, 1304, 1305, 1609, 900] {
            assert_eq!(replays.spend(&proof("k", "a"), now), Err(ProofError::Replayed), "{now}");
        }
        assert_eq!(replays.spend(&proof("other", "a"), 1000), Ok(()));
        assert_eq!(replays.spend(&proof("k", "b"), 1000), Ok(()));
    }

    #[test]
    fn one_key_cannot_take_all_the_room_and_a_full_memory_refuses() {
        let replays = Replays::new(32, 305);
        for number in 0..4 {
            assert_eq!(replays.spend(&proof("busy", &number.to_string()), 1000), Ok(()));
        }
        assert_eq!(replays.spend(&proof("busy", "more"), 1000), Err(ProofError::TooMany));
        for key in 0..12 {
            assert_eq!(replays.spend(&proof(&key.to_string(), "a"), 1000), Ok(()));
        }
        assert_eq!(replays.spend(&proof("last", "a"), 1000), Err(ProofError::TooMany));
        assert_eq!(replays.spend(&proof("last", "a"), 1305), Ok(()));
    }

    proptest! {
        #[test]
        fn nothing_is_accepted_twice_while_it_can_be_shown(steps in prop::collection::vec((0..40u64, 0..6u8), 1..200)) {
            let replays = Replays::new(1 << 12, 100);
            let mut now = 1000;
            let mut shown: HashMap<u8, u64> = HashMap::new();
            for (wait, id) in steps {
                now += wait;
                let accepted = replays.spend(&proof("k", &id.to_string()), now).is_ok();
                let before = shown.get(&id).copied();
                prop_assert!(!(accepted && before.is_some_and(|then| now - then < 100)), "{now} {before:?}");
                if accepted {
                    shown.insert(id, now);
                }
            }
        }
    }
}
