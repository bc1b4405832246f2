//! One question at a time for those who would all ask the same.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::OnceCell;

/// How many different questions are under way at most.
const MAX: usize = 256;

/// Questions under way, by what they are about.
pub(crate) struct Flights<T>(Mutex<HashMap<[u8; 32], Arc<OnceCell<T>>>>);

/// As many questions as may be are under way.
#[derive(Debug)]
pub(crate) struct TooManyFlights;

impl<T> Default for Flights<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Flights<T> {
    /// The answer to a question that is asked by one of those who want to know at the same time. Were that one to hang
    /// up, the next asks.
    pub(crate) async fn share<F: Future<Output = T>>(
        &self,
        about: [u8; 32],
        ask: impl FnOnce() -> F,
    ) -> Result<T, TooManyFlights> {
        let flight = self.join(about)?;
        let answer = flight.get_or_init(ask).await.clone();
        let mut flights = self.0.lock();
        // A later question about the same must not be taken for this one.
        if flights.get(&about).is_some_and(|present| Arc::ptr_eq(present, &flight)) {
            flights.remove(&about);
        }
        Ok(answer)
    }

    fn join(&self, about: [u8; 32]) -> Result<Arc<OnceCell<T>>, TooManyFlights> {
        let mut flights = self.0.lock();
        if let Some(flight) = flights.get(&about) {
            return Ok(Arc::clone(flight));
        }
        if flights.len() >= MAX {
            // Those that everybody has left.
            flights.retain(|_, flight| Arc::strong_count(flight) > 1);
        }
        if flights.len() >= MAX {
            return Err(TooManyFlights);
        }
        let flight = Arc::new(OnceCell::new());
        flights.insert(about, Arc::clone(&flight));
        Ok(flight)
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn those_who_wait_share_one_question() {
        let flights = Flights::default();
        let asked = AtomicU32::new(0);
        let ask = || async {
            tokio::task::yield_now().await;
            asked.fetch_add(1, Ordering::Relaxed)
        };
        let (one, two, other) = tokio::join!(
            flights.share([1; 32], ask),
            flights.share([1; 32], ask),
            flights.share([2; 32], ask)
        );
        assert_eq!(one.unwrap(), two.unwrap());
        other.unwrap();
        assert_eq!(asked.load(Ordering::Relaxed), 2);
        flights.share([1; 32], ask).await.unwrap();
        assert_eq!(asked.load(Ordering::Relaxed), 3);
        assert!(flights.0.lock().is_empty());
    }

    #[tokio::test]
    async fn whoever_waits_asks_when_the_asker_has_left() {
        let flights = Flights::default();
        let mut left = Box::pin(flights.share([1; 32], pending::<u32>));
        assert!(waits(&mut left).await);
        drop(left);
        assert_eq!(flights.share([1; 32], || ready(7)).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn their_number_is_bounded() {
        let flights = Flights::default();
        let mut waiting = Vec::new();
        for number in 0..MAX {
            let mut about = [0; 32];
            about[..8].copy_from_slice(&(number as u64).to_be_bytes());
            let mut flight = Box::pin(flights.share(about, pending::<u32>));
            assert!(waits(&mut flight).await);
            waiting.push(flight);
        }
        assert!(flights.share([9; 32], || ready(1)).await.is_err());
        waiting.pop();
        assert!(flights.share([9; 32], || ready(1)).await.is_ok());
    }

    /// Polls a future once; whether it waits.
    async fn waits<F: Future + Unpin>(future: &mut F) -> bool {
        std::future::poll_fn(|context| {
            std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(context).is_pending())
        })
        .await
    }
}
