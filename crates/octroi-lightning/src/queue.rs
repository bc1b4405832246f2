//! Settlements that wait for the ledger, in the order in which they were learned of.

use std::collections::BTreeMap;
use std::time::UNIX_EPOCH;

use octroi_l402::{Msat, PaymentHash};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::Settlement;

/// What arrived: whose, how much, when (seconds since the Unix epoch).
pub(crate) type Arrival = (PaymentHash, Msat, u64);

/// Settlements in memory, with positions counted anew in every run of the process.
///
/// A cursor is `run.position.settled_at`. One of another run says nothing about this one's positions, so all that
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
        self.waiting.lock().by_position.values().find(|(known, ..)| known == hash).copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.lock().by_position.len()
    }

    /// Takes it out, if it is in.
    pub(crate) fn remove(&self, hash: &PaymentHash) -> Option<Arrival> {
        let mut waiting = self.waiting.lock();
        let position = *waiting.by_position.iter().find(|(_, (known, ..))| known == hash)?.0;
        waiting.by_position.remove(&position)
    }

    /// The first after a cursor.
    pub(crate) fn first_after(&self, cursor: Option<&str>) -> Option<Settlement> {
        let from = self.own_position(cursor).map_or(0, |position| position.saturating_add(1));
        let waiting = self.waiting.lock();
        let (position, &(payment_hash, amount, settled_at)) = waiting.by_position.range(from..).next()?;
        let cursor = format!("{}.{position}.{settled_at}", self.run);
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn arrival(byte: u8) -> Arrival {
        (PaymentHash::from_bytes([byte; 32]), Msat::new(i64::from(byte)), u64::from(byte))
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
        assert_eq!((second.payment_hash, settled_at(&second.cursor)), (arrival(2).0, Some(2)));
        let third = queue.first_after(Some(&second.cursor)).unwrap();
        assert_eq!(queue.first_after(Some(&third.cursor)), None);
        assert_eq!((queue.len(), queue.remove(&third.payment_hash)), (2, Some(arrival(3))));
    }

    proptest! {
        #[test]
        fn any_other_cursor_starts_over(cursor in ".{0,40}") {
            let queue = Queue::new();
            queue.push(arrival(1));
            let _ = settled_at(&cursor);
            prop_assert!(queue.first_after(Some(&cursor)).is_some());
        }

        #[test]
        fn positions_of_another_run_do_not_count(position in any::<u64>(), at in any::<u64>()) {
            let queue = Queue::new();
            queue.push(arrival(1));
            let foreign = format!("abc.{position}.{at}");
            prop_assert!(queue.first_after(Some(&foreign)).is_some());
            prop_assert_eq!(settled_at(&foreign), Some(at));
            let beyond = format!("{}.{}.0", queue.run, u64::MAX);
            prop_assert!(queue.first_after(Some(&beyond)).is_none());
        }
    }
}
