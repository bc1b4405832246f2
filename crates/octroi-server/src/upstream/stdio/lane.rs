//! The bounded way of messages from a child to one caller.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use bytes::Bytes;
use tokio::sync::mpsc;

/// Most messages that wait for one caller.
const MESSAGES: usize = 1_024;

/// Most bytes that wait for one caller, besides one message of any allowed length.
const BYTES: usize = 4 * 1024 * 1024;

/// One message for one caller.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Delivery {
    pub(super) message: Bytes,
    /// The reply: nothing follows.
    pub(super) last: bool,
}

/// The child's end.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    queue: mpsc::Sender<Delivery>,
    load: Arc<Load>,
}

/// The caller's end.
#[derive(Debug)]
pub(super) struct Arrivals {
    queue: mpsc::Receiver<Delivery>,
    load: Arc<Load>,
}

#[derive(Debug, Default)]
struct Load {
    bytes: AtomicUsize,
    overflowed: AtomicBool,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// It waits for the caller.
    Queued,
    /// The caller is gone.
    Gone,
    /// The caller is too slow; its stream must end.
    Overflowed,
}

pub(super) fn lane() -> (Lane, Arrivals) {
    let (sender, receiver) = mpsc::channel(MESSAGES);
    let load = Arc::new(Load::default());
    (Lane { queue: sender, load: Arc::clone(&load) }, Arrivals { queue: receiver, load })
}

impl Lane {
    /// Never waits: the child serves other callers too.
    pub(super) fn send(&self, message: Bytes, last: bool) -> Sent {
        if self.queue.is_closed() {
            return Sent::Gone;
        }
        let length = message.len();
        let waiting = self.load.bytes.fetch_add(length, Ordering::Relaxed);
        if waiting < BYTES && self.queue.try_send(Delivery { message, last }).is_ok() {
            return Sent::Queued;
        }
        self.load.overflowed.store(true, Ordering::Release);
        Sent::Overflowed
    }

    /// Whether somebody still listens.
    pub(super) fn is_open(&self) -> bool {
        !self.queue.is_closed()
    }
}

impl Arrivals {
    /// The next message; `None` when there will be no more.
    pub(super) async fn next(&mut self) -> Option<Delivery> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    pub(super) fn poll_next(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<Option<Delivery>> {
        self.queue.poll_recv(cx).map(|delivery| {
            delivery.inspect(|delivery| {
                self.load.bytes.fetch_sub(delivery.message.len(), Ordering::Relaxed);
            })
        })
    }

    /// Whether it ended because the caller was too slow.
    pub(super) fn overflowed(&self) -> bool {
        self.load.overflowed.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_are_bounded() {
        let (lane, mut arrivals) = lane();
        for _ in 0..MESSAGES {
            assert_eq!(lane.send(Bytes::from_static(b"x"), false), Sent::Queued);
        }
        assert_eq!(lane.send(Bytes::from_static(b"x"), false), Sent::Overflowed);
        assert!(arrivals.overflowed());
        drop(lane);
        let mut left = 0;
        while arrivals.next().await.is_some() {
            left += 1;
        }
        assert_eq!(left, MESSAGES);
    }

    #[tokio::test]
    async fn bytes_are_bounded_and_given_back() {
        let (lane, mut arrivals) = lane();
        let half = Bytes::from(vec![b'x'; BYTES / 2]);
        for _ in 0..10 {
            assert_eq!(lane.send(half.clone(), false), Sent::Queued);
            assert_eq!(lane.send(half.clone(), false), Sent::Queued);
            arrivals.next().await.unwrap();
            arrivals.next().await.unwrap();
        }
        assert_eq!(lane.send(half.clone(), false), Sent::Queued);
        assert_eq!(lane.send(half.clone(), false), Sent::Queued);
        assert_eq!(lane.send(half, true), Sent::Overflowed);
    }

    #[tokio::test]
    async fn nobody_listens() {
        let (lane, arrivals) = lane();
        assert!(lane.is_open());
        drop(arrivals);
        assert_eq!(lane.send(Bytes::new(), true), Sent::Gone);
        assert!(!lane.is_open());
    }
}
