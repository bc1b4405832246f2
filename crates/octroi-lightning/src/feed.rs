//! Settlements of a node that numbers them: taken from its stream, resumed from the number in the ledger's cursor.

use octroi_l402::PaymentHash;
use tokio::sync::Mutex;

use crate::known::Known;
use crate::node::unix_now;
use crate::queue::{Arrival, Place, Queue};
use crate::{NodeError, Settlement};

/// Most settlements waiting for the ledger; until it catches up the node's stream is not read.
const MAX_WAITING: usize = 10_000;

/// How a node is asked what settled after a settlement.
#[async_trait::async_trait]
pub(crate) trait Source: Send {
    /// Waits for the next settlement after `last`, the latest that is known; `None` before there was any. Safe to cancel: what
    /// was not returned comes again. Some that were returned before may come again, too.
    ///
    /// After an error it is asked anew from the last that it gave, and looks first whether the node still counts as it did: one that
    /// was set up anew, or restored, would say nothing until it came to the old number.
    async fn next(&mut self, last: Option<Place>) -> Result<Arrival, NodeError>;

    /// Begins anew with the next question, as after an error.
    fn restart(&mut self);
}

/// How far back of the last known settlement a node is looked through that counts otherwise than the ledger knows, and how far
/// back of now at the very first start: money that came while nobody had listened yet, in seconds.
const LOOK_BACK_SECS: u64 = 3600;

/// From when on (Unix seconds) settlements count where `last` is no place to go on from.
pub(crate) fn look_back(last: Option<Place>) -> u64 {
    let now = unix_now();
    // A time that has not come yet is a clock's mistake.
    last.map_or(now, |last| last.settled_at.min(now)).saturating_sub(LOOK_BACK_SECS)
}

/// The settlements of one node.
pub(crate) struct Feed<S> {
    queue: Queue,
    reader: Mutex<Reader<S>>,
}

struct Reader<S> {
    source: S,
    /// The last one taken over in this run.
    last: Option<Place>,
    known: Known,
    /// The number before which something seemed to be missing.
    gap: Option<u64>,
}

impl<S> Reader<S> {
    /// Nodes number without gaps. Where one is missing it may have been lost on the way, and is asked for again, once; a node may
    /// also have deleted it.
    fn misses(&mut self, last: Option<Place>, arrival: &Arrival) -> bool {
        let next = last.and_then(|last| last.mark).map(|mark| mark.saturating_add(1));
        let misses = next.is_some_and(|next| arrival.mark > next) && self.gap != Some(arrival.mark);
        self.gap = misses.then_some(arrival.mark);
        misses
    }
}

impl<S: Source> Feed<S> {
    pub(crate) fn new(source: S) -> Self {
        let reader = Reader { source, last: None, known: Known::default(), gap: None };
        Self { queue: Queue::new(), reader: Mutex::new(reader) }
    }

    /// The first settlement after a cursor, waiting for one.
    pub(crate) async fn next(&self, after: Option<&str>) -> Result<Settlement, NodeError> {
        loop {
            if let Some(settlement) = self.queue.first_after(after) {
                return Ok(settlement);
            }
            let mut reader = self.reader.lock().await;
            if self.queue.len() >= MAX_WAITING {
                return Err(NodeError::Refused("too many settlements wait for the ledger".to_owned()));
            }
            // Every settlement up to the cursor is in the ledger, because they are booked in their order.
            let last = reader.last.or_else(|| after.and_then(Place::parse));
            let arrival = reader.source.next(last).await?;
            if reader.misses(last, &arrival) {
                reader.source.restart();
                continue;
            }
            reader.last = Some(Place::of(&arrival));
            // A node may repeat itself, and count anew; a payment is told from another by its hash.
            if reader.known.is_new(arrival.payment_hash) {
                self.queue.push(arrival);
            }
        }
    }

    pub(crate) fn acknowledge(&self, hash: &PaymentHash) {
        self.queue.remove(hash);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Arc;

    use octroi_l402::Msat;
    use parking_lot::Mutex as Lock;

    use super::*;

    /// Says what it is told to, and what it was asked.
    struct Script {
        answers: VecDeque<Result<u64, NodeError>>,
        asked: Arc<Lock<Vec<Option<u64>>>>,
    }

    fn hash(mark: u64) -> PaymentHash {
        PaymentHash::from_bytes([mark as u8; 32])
    }

    #[async_trait::async_trait]
    impl Source for Script {
        async fn next(&mut self, last: Option<Place>) -> Result<Arrival, NodeError> {
            self.asked.lock().push(last.and_then(|last| last.mark));
            match self.answers.pop_front() {
                Some(answer) => answer.map(|mark| Arrival {
                    payment_hash: hash(mark),
                    amount: Msat::new(1),
                    settled_at: 5,
                    mark,
                }),
                None => std::future::pending().await,
            }
        }

        fn restart(&mut self) {}
    }

    #[tokio::test]
    async fn duplicates_failures_and_numbers_that_go_back_give_each_settlement_once() {
        let asked = Arc::default();
        let answers = [Ok(3), Ok(3), Err(NodeError::Timeout), Ok(1), Ok(2), Ok(3), Ok(4)].into();
        let feed = Feed::new(Script { answers, asked: Arc::clone(&asked) });
        let first = feed.next(Some("old.0.2.5")).await.unwrap();
        assert_eq!(first.payment_hash, hash(3));
        assert_eq!(feed.next(Some("old.0.2.5")).await.unwrap(), first, "not acknowledged: given again");
        feed.acknowledge(&first.payment_hash);
        assert_eq!(feed.next(Some(&first.cursor)).await, Err(NodeError::Timeout));
        let second = feed.next(Some(&first.cursor)).await.unwrap();
        assert_eq!(second.payment_hash, hash(1), "another payment, whatever its number");
        feed.acknowledge(&second.payment_hash);
        let third = feed.next(Some(&second.cursor)).await.unwrap();
        assert_eq!(third.payment_hash, hash(2));
        feed.acknowledge(&third.payment_hash);
        let fourth = feed.next(Some(&third.cursor)).await.unwrap();
        assert_eq!(fourth.payment_hash, hash(4));
        assert_eq!(*asked.lock(), [2, 3, 3, 3, 1, 2, 3].map(Some));
        assert_eq!(Place::parse(&fourth.cursor).unwrap().mark, Some(4));
    }

    #[tokio::test]
    async fn what_seems_to_be_missing_is_asked_for_once() {
        let asked = Arc::default();
        let answers = [Ok(1), Ok(3), Ok(2), Ok(3), Ok(9), Ok(9)].into();
        let feed = Feed::new(Script { answers, asked: Arc::clone(&asked) });
        let mut cursor: Option<String> = None;
        for mark in [1, 2, 3, 9] {
            let settlement = feed.next(cursor.as_deref()).await.unwrap();
            assert_eq!(settlement.payment_hash, hash(mark));
            feed.acknowledge(&settlement.payment_hash);
            cursor = Some(settlement.cursor);
        }
        assert_eq!(*asked.lock(), [None, Some(1), Some(1), Some(2), Some(3), Some(3)]);
    }

    #[test]
    fn a_time_to_come_is_not_waited_for() {
        let now = unix_now();
        let of = |settled_at| look_back(Some(Place { mark: None, settled_at, payment_hash: None }));
        assert_eq!((of(10_000), of(10)), (10_000 - LOOK_BACK_SECS, 0));
        assert!((of(u64::MAX) + LOOK_BACK_SECS).abs_diff(now) < 60);
    }
}
