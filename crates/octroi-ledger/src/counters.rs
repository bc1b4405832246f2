//! The counters of limits in memory, where memory decides.
//!
//! A counter with holds under way is never dropped, so that one which is not here has none, and the disk knows all of it.

use std::collections::{HashMap, VecDeque};

use crate::error::HoldRefused;
use crate::limit::{CounterKey, Limit, Taken};

#[derive(Debug)]
pub(crate) struct Counters {
    by_key: HashMap<CounterKey, Counter>,
    /// In the order in which they may be dropped; those used since they came get a second chance.
    clock: VecDeque<CounterKey>,
    capacity: usize,
}

#[derive(Clone, Copy, Debug)]
struct Counter {
    used: i64,
    /// Holds that have not ended on disk.
    open: usize,
    touched: bool,
}

impl Counters {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { by_key: HashMap::new(), clock: VecDeque::new(), capacity }
    }

    /// Whether every limit bears a hold of `amount` at `now` (Unix seconds); what it will take of them.
    pub(crate) fn judge(&self, limits: &[Limit], amount: i64, now: u64) -> Result<Box<[Taken]>, HoldRefused> {
        if limits.is_empty() {
            return Ok(Box::default());
        }
        let mut taken = Vec::with_capacity(limits.len());
        for (place, limit) in limits.iter().enumerate() {
            let wanted = limit.taken(amount, now);
            wanted.fits(place, self.by_key.get(&wanted.key).ok_or(HoldRefused::NeedsLoad)?.used)?;
            taken.push(wanted);
        }
        Ok(taken.into())
    }

    /// A hold has been granted.
    pub(crate) fn take(&mut self, taken: &[Taken]) {
        for one in taken {
            if let Some(counter) = self.by_key.get_mut(&one.key) {
                counter.used += one.take;
                counter.open += 1;
                counter.touched = true;
            }
        }
    }

    /// Gives back `amount_of` each.
    pub(crate) fn give_back(&mut self, taken: &[Taken], amount_of: impl Fn(&Taken) -> i64) {
        for one in taken {
            if let Some(counter) = self.by_key.get_mut(&one.key) {
                counter.used -= amount_of(one);
            }
        }
    }

    /// The end of a hold has come on disk, or its beginning never will.
    pub(crate) fn over(&mut self, taken: &[Taken]) {
        for one in taken {
            if let Some(counter) = self.by_key.get_mut(&one.key) {
                counter.open = counter.open.saturating_sub(1);
            }
        }
    }

    /// Keeps what the disk says; what is here already knows better.
    pub(crate) fn loaded(&mut self, states: &[(CounterKey, i64)]) {
        for (key, used) in states {
            if !self.by_key.contains_key(key) {
                self.by_key.insert(*key, Counter { used: *used, open: 0, touched: true });
                self.clock.push_back(*key);
            }
        }
        self.evict();
    }

    /// Drops the counters not used for longest, at most one round of the clock.
    fn evict(&mut self) {
        let mut looks = self.clock.len();
        while self.by_key.len() > self.capacity && looks > 0 {
            looks -= 1;
            let Some(key) = self.clock.pop_front() else { return };
            match self.by_key.get_mut(&key) {
                Some(counter) if counter.touched || counter.open > 0 => {
                    counter.touched = false;
                    self.clock.push_back(key);
                }
                _ => {
                    self.by_key.remove(&key);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::{Counts, Window};

    #[test]
    fn counters_with_holds_under_way_are_kept() {
        let limit = |n: u8| Limit { key: [n; 32], window: Window::Day, counts: Counts::Calls, most: 2 };
        let mut counters = Counters::new(2);
        assert_eq!(counters.judge(&[limit(1)], 0, 0), Err(HoldRefused::NeedsLoad));
        counters.loaded(&[(limit(1).taken(0, 0).key, 1)]);
        let taken = counters.judge(&[limit(1)], 0, 0).expect("one is left");
        counters.take(&taken);
        let full = HoldRefused::Limited { limit: 0, left: 0, until: 86_400 };
        assert_eq!(counters.judge(&[limit(1)], 0, 0), Err(full.clone()));
        for n in 2..20 {
            counters.loaded(&[(limit(n).taken(0, 0).key, 0)]);
        }
        assert!(counters.by_key.len() <= 3, "{}", counters.by_key.len());
        counters.loaded(&[(taken[0].key, 0)]);
        assert_eq!(
            counters.judge(&[limit(1)], 0, 0),
            Err(full),
            "the disk does not know of the one under way"
        );
        counters.give_back(&taken, |one| one.take);
        assert!(counters.judge(&[limit(1)], 0, 0).is_ok());
        assert!(counters.judge(&[limit(1)], 0, 86_400).is_err(), "another day, another counter");
    }
}
