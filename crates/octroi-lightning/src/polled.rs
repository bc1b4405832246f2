//! Settlements of a node that has to be asked for them, in the order in which they arrived.
//!
//! The list is asked from a minute before the latest known, so that a payment is not missed whose time of arrival was
//! written late; what was taken over already is known by its hash.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use octroi_l402::PaymentHash;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::node::unix_now;
use crate::queue::{Arrival, Place, Queue};
use crate::{NodeError, Settled, Settlement};

/// How far back each question reaches behind the latest known arrival, in milliseconds.
const OVERLAP_MS: u64 = 60_000;

/// Most settlements waiting for the ledger; until it catches up the node is not asked.
const MAX_WAITING: usize = 10_000;

/// A list of what arrived.
#[async_trait::async_trait]
pub(crate) trait Arrivals: Sync {
    /// What arrived since `from_ms` (Unix milliseconds), or the oldest part of it, the oldest first: the payment, and
    /// when it arrived in milliseconds.
    async fn since(&self, from_ms: u64) -> Result<Vec<(Arrival, u64)>, NodeError>;
}

/// What a list says arrived since `from` (Unix seconds).
pub(crate) async fn settled_since(list: &impl Arrivals, from: u64) -> Result<Vec<Settled>, NodeError> {
    let arrivals = list.since(from.saturating_mul(1_000)).await?;
    Ok(arrivals.iter().map(|(arrival, _)| arrival.settled()).collect())
}

/// The settlements of one node.
pub(crate) struct Polled {
    queue: Queue,
    known: Mutex<Known>,
    pauses: Pauses,
    /// The node tells when something arrives, as far as anybody knows.
    told: AtomicBool,
    /// Wakes before the pause is over.
    news: Notify,
}

/// How long to wait before a node is asked again, while nothing arrives.
#[derive(Clone, Copy)]
pub(crate) struct Pauses {
    /// Where nobody tells.
    pub(crate) untold: Duration,
    /// Where the node tells when something arrives: should that be lost.
    pub(crate) told: Duration,
}

#[derive(Default)]
struct Known {
    /// The latest arrival taken over, in milliseconds; `None` before the first question.
    latest: Option<u64>,
    /// What was taken over, as far back as questions reach, with its time of arrival.
    recent: HashMap<PaymentHash, u64>,
}

impl Polled {
    pub(crate) fn new(pauses: Pauses) -> Self {
        let (known, told, news) = (Mutex::default(), AtomicBool::new(false), Notify::new());
        Self { queue: Queue::new(), known, pauses, told, news }
    }

    /// Something arrived, or may have: the node is asked at once.
    pub(crate) fn ask_now(&self) {
        self.news.notify_one();
    }

    /// From now on the node tells, or does not. What it told in between is lost, so it is asked at once.
    pub(crate) fn is_told(&self, told: bool) {
        self.told.store(told, Ordering::Relaxed);
        self.ask_now();
    }

    pub(crate) async fn next(
        &self,
        list: &impl Arrivals,
        after: Option<&str>,
    ) -> Result<Settlement, NodeError> {
        loop {
            if let Some(settlement) = self.queue.first_after(after) {
                return Ok(settlement);
            }
            if self.queue.len() >= MAX_WAITING || !self.poll(list, after).await? {
                let pause =
                    if self.told.load(Ordering::Relaxed) { self.pauses.told } else { self.pauses.untold };
                let _ = tokio::time::timeout(pause, self.news.notified()).await;
            }
        }
    }

    pub(crate) fn acknowledge(&self, hash: &PaymentHash) {
        self.queue.remove(hash);
    }

    /// Takes over what is new; whether anything was.
    pub(crate) async fn poll(&self, list: &impl Arrivals, after: Option<&str>) -> Result<bool, NodeError> {
        let latest = self.known.lock().latest;
        // A time that has not come yet is a clock's mistake: with it, nothing would be found until then.
        let now = unix_now().saturating_mul(1000);
        // In a new run of the process the ledger's cursor says where the last one stood.
        let latest = latest.unwrap_or_else(|| {
            after.and_then(Place::parse).map_or(0, |last| last.settled_at.saturating_mul(1000).min(now))
        });
        let arrivals = list.since(latest.saturating_sub(OVERLAP_MS)).await?;
        let mut new = false;
        let mut known = self.known.lock();
        let mut latest = latest;
        for (arrival, arrived_ms) in arrivals {
            latest = latest.max(arrived_ms.min(now));
            if known.recent.insert(arrival.payment_hash, arrived_ms).is_none() {
                self.queue.push(arrival);
                new = true;
            }
        }
        known.latest = Some(latest);
        let reach = latest.saturating_sub(2 * OVERLAP_MS);
        known.recent.retain(|_, arrived_ms| *arrived_ms >= reach);
        Ok(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::Arrival;

    /// Lists one payment, and remembers since when it was asked.
    struct List {
        arrived_ms: u64,
        asked: Mutex<Vec<u64>>,
    }

    #[async_trait::async_trait]
    impl Arrivals for List {
        async fn since(&self, from_ms: u64) -> Result<Vec<(Arrival, u64)>, NodeError> {
            self.asked.lock().push(from_ms);
            let hash = PaymentHash::from_bytes([1; 32]);
            let arrival = Arrival::new(hash, 1, self.arrived_ms / 1000, 0).unwrap();
            Ok(vec![(arrival, self.arrived_ms)])
        }
    }

    #[tokio::test]
    async fn a_time_to_come_hides_nothing_that_comes_before_it() {
        let list = List { arrived_ms: u64::MAX, asked: Mutex::default() };
        let pauses = Pauses { untold: Duration::ZERO, told: Duration::ZERO };
        let polled = Polled::new(pauses);
        assert_eq!(polled.poll(&list, None).await, Ok(true));
        assert_eq!(polled.poll(&list, None).await, Ok(false), "known by its hash");
        let again = Polled::new(pauses);
        let settlement = polled.next(&list, None).await.unwrap();
        assert_eq!(again.poll(&list, Some(&settlement.cursor)).await, Ok(true));
        let now = unix_now() * 1000;
        assert!(list.asked.lock().iter().all(|asked| *asked <= now), "{:?}", list.asked.lock());
    }
}
