//! Settlements of a node that numbers them: taken from its stream, resumed from the number in the ledger's cursor.

use octroi_l402::PaymentHash;
use tokio::sync::Mutex;

use crate::queue::{Arrival, Queue, mark_of};
use crate::{NodeError, Settlement};

/// Most settlements waiting for the ledger; until it catches up the node's stream is not read.
const MAX_WAITING: usize = 10_000;

/// How a node is asked what settled after a number.
#[async_trait::async_trait]
pub(crate) trait Source: Send {
    /// Waits for the next settlement after `mark`; `None` before there was any. Safe to cancel: what was not returned
    /// comes again.
    ///
    /// After an error the source is asked anew from the last mark that it gave.
    async fn next(&mut self, mark: Option<u64>) -> Result<Arrival, NodeError>;
}

/// The settlements of one node.
pub(crate) struct Feed<S> {
    queue: Queue,
    reader: Mutex<Reader<S>>,
}

struct Reader<S> {
    source: S,
    /// The number of the last one taken over in this run.
    mark: Option<u64>,
}

impl<S: Source> Feed<S> {
    pub(crate) fn new(source: S) -> Self {
        Self { queue: Queue::new(), reader: Mutex::new(Reader { source, mark: None }) }
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
            let mark = reader.mark.or_else(|| after.and_then(mark_of));
            let arrival = reader.source.next(mark).await?;
            // A node may repeat itself after a reconnection; only what is new goes on.
            if mark.is_none_or(|mark| arrival.mark > mark) {
                reader.mark = Some(arrival.mark);
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

    #[async_trait::async_trait]
    impl Source for Script {
        async fn next(&mut self, mark: Option<u64>) -> Result<Arrival, NodeError> {
            self.asked.lock().push(mark);
            match self.answers.pop_front() {
                Some(answer) => answer.map(|mark| Arrival {
                    payment_hash: PaymentHash::from_bytes([mark as u8; 32]),
                    amount: Msat::new(1),
                    settled_at: 5,
                    mark,
                }),
                None => std::future::pending().await,
            }
        }
    }

    #[tokio::test]
    async fn duplicates_gaps_and_failures_give_each_settlement_once() {
        let asked = Arc::default();
        let answers = [Ok(3), Ok(3), Err(NodeError::Timeout), Ok(2), Ok(3), Ok(7)].into();
        let feed = Feed::new(Script { answers, asked: Arc::clone(&asked) });
        let first = feed.next(Some("old.0.2.5")).await.unwrap();
        assert_eq!(first.payment_hash, PaymentHash::from_bytes([3; 32]));
        assert_eq!(feed.next(Some("old.0.2.5")).await.unwrap(), first, "not acknowledged: given again");
        feed.acknowledge(&first.payment_hash);
        assert_eq!(feed.next(Some(&first.cursor)).await, Err(NodeError::Timeout));
        let second = feed.next(Some(&first.cursor)).await.unwrap();
        assert_eq!(second.payment_hash, PaymentHash::from_bytes([7; 32]));
        assert_eq!(*asked.lock(), [Some(2), Some(3), Some(3), Some(3), Some(3), Some(3)]);
        assert_eq!(mark_of(&second.cursor), Some(7));
    }
}
