//! Who waits for the outcome of a payment.

use std::collections::HashMap;
use std::sync::Arc;

use ldk_node::lightning::events::PaymentFailureReason;
use octroi_l402::{Msat, PaymentHash, Preimage};
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// How a payment ended: the preimage and the fee, or why not.
pub(super) type Outcome = Result<(Preimage, Msat), Option<PaymentFailureReason>>;

/// The calls of `pay` under way, by payment hash. There is one for each: ldk-node refuses a second.
#[derive(Default)]
pub(super) struct Waiters(Mutex<Places>);

#[derive(Default)]
struct Places {
    taken: HashMap<PaymentHash, (u64, oneshot::Sender<Outcome>)>,
    next_number: u64,
}

/// A place among the waiters, given up when dropped.
pub(super) struct Waiter {
    hash: PaymentHash,
    /// Tells this place from a later one for the same hash.
    number: u64,
    waiters: Arc<Waiters>,
    outcome: oneshot::Receiver<Outcome>,
}

impl Waiters {
    /// Starts waiting; `None` when somebody does already for this hash.
    pub(super) fn register(self: &Arc<Self>, hash: PaymentHash) -> Option<Waiter> {
        let (sender, outcome) = oneshot::channel();
        let mut places = self.0.lock();
        if places.taken.contains_key(&hash) {
            return None;
        }
        let number = places.next_number;
        places.next_number += 1;
        places.taken.insert(hash, (number, sender));
        Some(Waiter { hash, number, waiters: Arc::clone(self), outcome })
    }

    /// Tells whoever waits; nobody may, after a time-out or a restart.
    pub(super) fn resolve(&self, hash: &PaymentHash, outcome: Outcome) {
        let place = self.0.lock().taken.remove(hash);
        if let Some((_, sender)) = place {
            // The waiter may have gone in this moment; the outcome stays in the node's record.
            let _ = sender.send(outcome);
        }
    }

    /// Sends everybody away without an outcome: the node stops.
    pub(super) fn abandon(&self) {
        self.0.lock().taken.clear();
    }
}

impl Waiter {
    /// The outcome; `None` when the node was stopped first.
    pub(super) async fn outcome(&mut self) -> Option<Outcome> {
        (&mut self.outcome).await.ok()
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut places = self.waiters.0.lock();
        if places.taken.get(&self.hash).is_some_and(|(number, _)| *number == self.number) {
            places.taken.remove(&self.hash);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_waiter_per_hash_and_its_place_is_freed() {
        let waiters = Arc::new(Waiters::default());
        let hash = PaymentHash::from_bytes([1; 32]);
        let mut first = waiters.register(hash).unwrap();
        assert!(waiters.register(hash).is_none());
        waiters.resolve(&hash, Err(None));
        assert!(matches!(first.outcome().await, Some(Err(None))));
        let second = waiters.register(hash).unwrap();
        drop(first);
        assert!(waiters.register(hash).is_none(), "an old waiter does not free a new one's place");
        drop(second);
        assert!(waiters.0.lock().taken.is_empty());
        waiters.resolve(&hash, Err(None));
    }
    #[tokio::test]
    async fn a_node_that_stops_leaves_nobody_waiting() {
        let waiters = Arc::new(Waiters::default());
        let mut waiter = waiters.register(PaymentHash::from_bytes([1; 32])).unwrap();
        waiters.abandon();
        assert!(waiter.outcome().await.is_none());
    }
}
