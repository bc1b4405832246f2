//! Settlements that wait for the ledger, in the order in which they were learned of.

use std::collections::BTreeMap;
use std::time::UNIX_EPOCH;

use octroi_l402::{Msat, PaymentHash};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{Settled, Settlement};

/// What arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// Whose.
    pub(crate) payment_hash: PaymentHash,
    /// How much.
    pub(crate) amount: Msat,
    /// When, in seconds since the Unix epoch.
    pub(crate) settled_at: u64,
    /// The node's own number of this settlement, where it numbers them: the same in every run.
    pub(crate) mark: u64,
}

impl Arrival {
    /// As a list of the past says it.
    pub(crate) const fn settled(&self) -> Settled {
        Settled { payment_hash: self.payment_hash, amount: self.amount, settled_at: self.settled_at }
    }
}

/// Settlements in memory, with positions counted anew in every run of the process.
///
/// A cursor is `run.position.mark.settled_at`. One of another run says nothing about this one's positions, so all that
/// waits is given out again: at least once, never less.
pub(crate) struct Queue {
    run: String,
    waiting: Mutex<Waiting>,
    /// Woken when something arrives.
    pub(crate) changed: Notify,
}

#[derive(Default)]
struct Waiting {
    by_position: BTreeMap<u64, Arrival>,
    next: u64,
}

impl Queue {
    pub(crate) fn new() -> Self {
        // The time in nanoseconds names the run: no two starts share it.
        let run = format!("{:x}", UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos());
        Self { run, waiting: Mutex::default(), changed: Notify::new() }
    }

    /// Puts one at the end.
    pub(crate) fn push(&self, arrival: Arrival) {
        {
            let mut waiting = self.waiting.lock();
            let position = waiting.next;
            waiting.next += 1;
            waiting.by_position.insert(position, arrival);
        }
        self.changed.notify_waiters();
    }

    /// The one whose payment hash this is.
    #[cfg(feature = "embedded")]
    pub(crate) fn find(&self, hash: &PaymentHash) -> Option<Arrival> {
        self.waiting.lock().by_position.values().find(|known| known.payment_hash == *hash).copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.lock().by_position.len()
    }

    /// Takes it out, if it is in.
    pub(crate) fn remove(&self, hash: &PaymentHash) -> Option<Arrival> {
        let mut waiting = self.waiting.lock();
        let position = *waiting.by_position.iter().find(|(_, known)| known.payment_hash == *hash)?.0;
        waiting.by_position.remove(&position)
    }

    /// The first after a cursor.
    pub(crate) fn first_after(&self, cursor: Option<&str>) -> Option<Settlement> {
        let from = self.own_position(cursor).map_or(0, |position| position.saturating_add(1));
        let waiting = self.waiting.lock();
        let (position, arrival) = waiting.by_position.range(from..).next()?;
        let &Arrival { payment_hash, amount, settled_at, mark } = arrival;
        let cursor = format!("{}.{position}.{mark}.{settled_at}", self.run);
        Some(Settlement { payment_hash, amount, settled_at, cursor })
    }

    fn own_position(&self, cursor: Option<&str>) -> Option<u64> {
        let (run, rest) = cursor?.split_once('.')?;
        let (position, _) = rest.split_once('.')?;
        if run == self.run { position.parse().ok() } else { None }
    }
}

/// When the settlement of a cursor settled, whichever run gave it out.
pub(crate) fn settled_at(cursor: &str) -> Option<u64> {
    cursor.rsplit_once('.')?.1.parse().ok()
}

/// The node's own number of the settlement of a cursor, whichever run gave it out.
pub(crate) fn mark_of(cursor: &str) -> Option<u64> {
    let mut parts = cursor.split('.');
    let (mark, settled_at) = (parts.nth(2)?, parts.next());
    settled_at?;
    mark.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn arrival(byte: u8) -> Arrival {
        Arrival {
            payment_hash: PaymentHash::from_bytes([byte; 32]),
            amount: Msat::new(i64::from(byte)),
            settled_at: u64::from(byte),
            mark: 10 * u64::from(byte),
        }
    }

    #[test]
    fn cursors_walk_over_what_was_removed() {
        let queue = Queue::new();
        (1..=3).for_each(|byte| queue.push(arrival(byte)));
        let first = queue.first_after(None).unwrap();
        assert_eq!(queue.first_after(None), Some(first.clone()), "looking does not take");
        assert_eq!(queue.remove(&first.payment_hash), Some(arrival(1)));
        assert_eq!(queue.remove(&first.payment_hash), None);
        let second = queue.first_after(Some(&first.cursor)).unwrap();
        assert_eq!((second.payment_hash, settled_at(&second.cursor)), (arrival(2).payment_hash, Some(2)));
        let third = queue.first_after(Some(&second.cursor)).unwrap();
        assert_eq!(queue.first_after(Some(&third.cursor)), None);
        assert_eq!((queue.len(), queue.remove(&third.payment_hash)), (2, Some(arrival(3))));
    }

    proptest! {
        #[test]
        fn any_other_cursor_starts_over(cursor in ".{0,40}") {
            let queue = Queue::new();
            queue.push(arrival(1));
            let _ = (settled_at(&cursor), mark_of(&cursor));
            prop_assert!(queue.first_after(Some(&cursor)).is_some());
        }

        #[test]
        fn positions_of_another_run_do_not_count(position in any::<u64>(), at in any::<u64>()) {
            let queue = Queue::new();
            queue.push(arrival(1));
            let foreign = format!("abc.{position}.{at}");
            prop_assert_eq!(mark_of(&foreign), None);
            prop_assert_eq!(mark_of(&format!("abc.{position}.7.{at}")), Some(7));
            prop_assert!(queue.first_after(Some(&foreign)).is_some());
            prop_assert_eq!(settled_at(&foreign), Some(at));
            let beyond = format!("{}.{}.0", queue.run, u64::MAX);
            prop_assert!(queue.first_after(Some(&beyond)).is_none());
        }
    }
}
