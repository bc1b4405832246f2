//! Money that arrived and is not yet in the ledger.
//!
//! ldk-node's own event queue is strictly first in, first out: leaving a settlement there until the ledger has it
//! would hold up every event behind it, outcomes of payments among them. So a settlement is first written to the
//! node's database under our own name, then the event is handled, and the record goes when it is acknowledged.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ldk_node::lightning::util::persist::KVStoreSync;
use octroi_l402::{Msat, PaymentHash};

use super::store::Store;
use super::{NAMESPACE, storage};
use crate::queue::{Arrival, Queue};
use crate::{NodeError, Settlement};

/// Most settlements waiting for the ledger. When it is reached the node's events wait in ldk-node's own queue.
const MAX_WAITING: usize = 10_000;

const SETTLEMENTS: &str = "settlements";

pub(super) struct Settlements {
    store: Arc<Store>,
    queue: Queue,
    stopped: AtomicBool,
}

impl Settlements {
    /// Takes up what an earlier run left unacknowledged, oldest first.
    pub(super) fn load(store: Arc<Store>) -> Result<Self, NodeError> {
        let mut left = Vec::new();
        for key in KVStoreSync::list(&*store, NAMESPACE, SETTLEMENTS).map_err(storage)? {
            let bytes = KVStoreSync::read(&*store, NAMESPACE, SETTLEMENTS, &key).map_err(storage)?;
            let Some(found) = read_record(&key, &bytes) else {
                return Err(NodeError::Storage(format!("the record of settlement {key} is damaged")));
            };
            left.push(found);
        }
        left.sort_unstable_by_key(|arrival: &Arrival| (arrival.settled_at, arrival.payment_hash));
        let queue = Queue::new();
        for settlement in left {
            queue.push(settlement);
        }
        Ok(Self { store, queue, stopped: AtomicBool::new(false) })
    }

    /// Keeps a settlement durably. `Ok(false)` when there is no room: try again later.
    ///
    /// One that waits already is not written twice: ldk-node repeats an event after a crash.
    pub(super) fn record(&self, arrival: Arrival) -> io::Result<bool> {
        let Arrival { payment_hash: hash, amount, settled_at, .. } = arrival;
        if self.queue.find(&hash).is_some() {
            return Ok(true);
        }
        if self.queue.len() >= MAX_WAITING {
            return Ok(false);
        }
        let record = format!("{} {settled_at}", amount.as_i64()).into_bytes();
        KVStoreSync::write(&*self.store, NAMESPACE, SETTLEMENTS, &hash.to_string(), record)?;
        self.queue.push(arrival);
        Ok(true)
    }

    /// The first settlement after a cursor, waiting for one.
    pub(super) async fn next(&self, after: Option<&str>) -> Result<Settlement, NodeError> {
        loop {
            let changed = self.queue.changed.notified();
            tokio::pin!(changed);
            // Registered before looking, so that nothing arrives unseen in between.
            changed.as_mut().enable();
            if self.stopped.load(Ordering::Acquire) {
                return Err(NodeError::Stopped);
            }
            if let Some(settlement) = self.queue.first_after(after) {
                return Ok(settlement);
            }
            changed.await;
        }
    }

    /// The record may go: the ledger has it.
    pub(super) fn acknowledge(&self, hash: &PaymentHash) -> Result<(), NodeError> {
        KVStoreSync::remove(&*self.store, NAMESPACE, SETTLEMENTS, &hash.to_string(), false)
            .map_err(storage)?;
        self.queue.remove(hash);
        Ok(())
    }

    /// A settlement that waits, by its hash: what arrived and when.
    pub(super) fn waiting(&self, hash: &PaymentHash) -> Option<(Msat, u64)> {
        self.queue.find(hash).map(|arrival| (arrival.amount, arrival.settled_at))
    }

    /// Ends every wait, now and later.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.queue.changed.notify_waiters();
    }
}

/// ldk-node does not number what arrives.
pub(super) const fn arrival(payment_hash: PaymentHash, amount: Msat, settled_at: u64) -> Arrival {
    Arrival { payment_hash, amount, settled_at, mark: 0 }
}

fn read_record(key: &str, bytes: &[u8]) -> Option<Arrival> {
    let (amount, settled_at) = std::str::from_utf8(bytes).ok()?.split_once(' ')?;
    Some(arrival(key.parse().ok()?, Msat::new(amount.parse().ok()?), settled_at.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(dir: &std::path::Path) -> Settlements {
        let store = Arc::new(Store::plain(dir, None).unwrap());
        Settlements::load(store).unwrap()
    }

    fn hash(byte: u8) -> PaymentHash {
        PaymentHash::from_bytes([byte; 32])
    }

    #[tokio::test]
    async fn given_out_in_order_and_again_after_a_restart_until_acknowledged() {
        let dir = tempfile::tempdir().unwrap();
        let first_run = open(dir.path());
        for (byte, at) in [(3, 10), (1, 20), (2, 30)] {
            assert!(first_run.record(arrival(hash(byte), Msat::new(i64::from(byte)), at)).unwrap());
        }
        let a = first_run.next(None).await.unwrap();
        let b = first_run.next(Some(&a.cursor)).await.unwrap();
        assert_eq!((a.payment_hash, b.payment_hash), (hash(3), hash(1)));
        assert_eq!(first_run.next(None).await.unwrap(), a, "not acknowledged: still first");
        first_run.acknowledge(&a.payment_hash).unwrap();
        first_run.acknowledge(&a.payment_hash).unwrap();
        drop(first_run);

        let second_run = open(dir.path());
        let again = second_run.next(Some(&b.cursor)).await.unwrap();
        assert_eq!((again.payment_hash, again.amount, again.settled_at), (hash(1), Msat::new(1), 20));
        let last = second_run.next(Some(&again.cursor)).await.unwrap();
        assert_eq!(last.payment_hash, hash(2));
    }

    #[tokio::test]
    async fn a_repeated_event_is_one_settlement() {
        let dir = tempfile::tempdir().unwrap();
        let settlements = open(dir.path());
        assert!(settlements.record(arrival(hash(1), Msat::new(5), 1)).unwrap());
        assert!(settlements.record(arrival(hash(1), Msat::new(5), 2)).unwrap());
        let only = settlements.next(None).await.unwrap();
        settlements.acknowledge(&only.payment_hash).unwrap();
        assert_eq!(settlements.waiting(&only.payment_hash), None);
        assert_eq!(settlements.queue.len(), 0);
    }

    #[tokio::test]
    async fn waiting_ends_when_money_arrives_and_when_the_node_stops() {
        let dir = tempfile::tempdir().unwrap();
        let settlements = open(dir.path());
        let (arrived, _) = tokio::join!(settlements.next(None), async {
            settlements.record(arrival(hash(9), Msat::new(1), 1)).unwrap();
        });
        let cursor = arrived.unwrap().cursor;
        let (stopped, ()) = tokio::join!(settlements.next(Some(&cursor)), async { settlements.stop() });
        assert_eq!(stopped, Err(NodeError::Stopped));
    }

    #[test]
    fn a_damaged_record_is_reported_not_skipped() {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::plain(dir.path(), None).unwrap());
        KVStoreSync::write(&*store, NAMESPACE, SETTLEMENTS, &hash(1).to_string(), b"what".to_vec()).unwrap();
        assert!(matches!(Settlements::load(store), Err(NodeError::Storage(_))));
    }
}
