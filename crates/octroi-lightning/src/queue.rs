//! Settlements that wait for the ledger, in the order in which they were learned of.

use std::collections::BTreeMap;
use std::time::UNIX_EPOCH;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use octroi_l402::{Msat, PaymentHash};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::node::msat;
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
    /// What arrived, where it makes sense: more than nothing, and no more than there is. What a node says beyond that could be
    /// booked nowhere, and would stand in the way of what comes after it.
    pub(crate) fn new(
        payment_hash: PaymentHash,
        amount_msat: u64,
        settled_at: u64,
        mark: u64,
    ) -> Option<Self> {
        let amount = msat(amount_msat).filter(|amount| *amount > Msat::ZERO)?;
        Some(Self { payment_hash, amount, settled_at, mark })
    }

    /// As a list of the past says it.
    pub(crate) const fn settled(&self) -> Settled {
        Settled { payment_hash: self.payment_hash, amount: self.amount, settled_at: self.settled_at }
    }
}

/// Settlements in memory, with positions counted anew in every run of the process.
///
/// A cursor is `run.position.mark.settled_at.payment_hash`. One of another run says nothing about this one's positions, so all that
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
        let hash = URL_SAFE_NO_PAD.encode(payment_hash.as_bytes());
        let cursor = format!("{}.{position}.{mark}.{settled_at}.{hash}", self.run);
        Some(Settlement { payment_hash, amount, settled_at, cursor })
    }

    fn own_position(&self, cursor: Option<&str>) -> Option<u64> {
        let (run, rest) = cursor?.split_once('.')?;
        let (position, _) = rest.split_once('.')?;
        if run == self.run { position.parse().ok() } else { None }
    }
}

/// Where a settlement stands at its node, whichever run gave it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// The node's own number of it; `None` in the oldest cursors.
    pub(crate) mark: Option<u64>,
    /// When it settled, in seconds since the Unix epoch.
    pub(crate) settled_at: u64,
    /// Whose it is; `None` in older cursors.
    pub(crate) payment_hash: Option<PaymentHash>,
}

impl Place {
    /// The place of what arrived.
    pub(crate) const fn of(arrival: &Arrival) -> Self {
        let &Arrival { payment_hash, settled_at, mark, .. } = arrival;
        Self { mark: Some(mark), settled_at, payment_hash: Some(payment_hash) }
    }

    /// The place that a cursor names; `None` for what is no cursor of [`Queue`].
    pub(crate) fn parse(cursor: &str) -> Option<Self> {
        let parts: Vec<&str> = cursor.splitn(6, '.').collect();
        let (mark, settled_at, hash) = match parts.as_slice() {
            [_, _, at] => (None, at, None),
            [_, _, mark, at] => (Some(mark), at, None),
            [_, _, mark, at, hash] => (Some(mark), at, Some(hash)),
            _ => return None,
        };
        let hash = hash.map(|text| -> Option<PaymentHash> {
            let bytes: [u8; 32] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
            Some(PaymentHash::from_bytes(bytes))
        });
        Some(Self {
            mark: mark.map(|text| text.parse()).transpose().ok()?,
            settled_at: settled_at.parse().ok()?,
            payment_hash: match hash {
                Some(hash) => Some(hash?),
                None => None,
            },
        })
    }
}

/// Of several cursors that one ledger keeps for nodes of one kind, the one of the latest settlement. `None` where none of them is
/// one.
///
/// A node that moved has another name in the ledger ([`crate::LightningNode::ledger_name`]), and no cursor under it yet. An adapter
/// that is given the cursor of its former name goes on from there; given that of another node, it notices, and looks for whatever
/// settled since.
pub fn latest_cursor<'a>(cursors: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let places = cursors.into_iter().filter_map(|cursor| Some((Place::parse(cursor)?.settled_at, cursor)));
    places.max().map(|(_, cursor)| cursor)
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
        assert_eq!(second.payment_hash, arrival(2).payment_hash);
        assert_eq!(Place::parse(&second.cursor), Some(Place::of(&arrival(2))));
        assert!(second.cursor.len() <= 128 && second.cursor.is_ascii());
        let third = queue.first_after(Some(&second.cursor)).unwrap();
        assert_eq!(queue.first_after(Some(&third.cursor)), None);
        assert_eq!((queue.len(), queue.remove(&third.payment_hash)), (2, Some(arrival(3))));
    }

    proptest! {
        #[test]
        fn any_other_cursor_starts_over(cursor in ".{0,40}") {
            let queue = Queue::new();
            queue.push(arrival(1));
            let _ = (Place::parse(&cursor), latest_cursor([cursor.as_str()]));
            prop_assert!(queue.first_after(Some(&cursor)).is_some());
        }

        #[test]
        fn positions_of_another_run_do_not_count(position in any::<u64>(), at in any::<u64>()) {
            let queue = Queue::new();
            queue.push(arrival(1));
            let of = |mark| Some(Place { mark, settled_at: at, payment_hash: None });
            let oldest = format!("abc.{position}.{at}");
            prop_assert_eq!(Place::parse(&oldest), of(None));
            let older = format!("abc.{position}.7.{at}");
            prop_assert_eq!(Place::parse(&older), of(Some(7)));
            prop_assert_eq!(Place::parse(&format!("{older}.x")), None);
            prop_assert!(queue.first_after(Some(&oldest)).is_some());
            prop_assert!(queue.first_after(Some(&older)).is_some());
            let extreme = Arrival { settled_at: u64::MAX, mark: u64::MAX, ..arrival(1) };
            queue.push(extreme);
            let longest = queue.first_after(Some(&format!("{}.0.0.0", queue.run))).unwrap().cursor;
            prop_assert!(longest.len() <= 108, "{longest}");
            let beyond = format!("{}.{}.0", queue.run, u64::MAX);
            prop_assert!(queue.first_after(Some(&beyond)).is_none());
        }
    }

    #[test]
    fn the_latest_of_several_cursors_is_found() {
        let cursors = ["a.0.9.100", "junk", "b.7.1.300", "c.1.200", ""];
        assert_eq!(latest_cursor(cursors), Some("b.7.1.300"));
        assert_eq!(latest_cursor(["junk"]), None);
    }

    #[test]
    fn what_makes_no_sense_did_not_arrive() {
        let hash = PaymentHash::from_bytes([1; 32]);
        for amount in [0, u64::MAX, 1 << 63, 2_100_000_000_000_000_001] {
            assert_eq!(Arrival::new(hash, amount, 1, 1), None, "{amount}");
        }
        assert!(Arrival::new(hash, 2_100_000_000_000_000_000, u64::MAX, u64::MAX).is_some());
    }
}
