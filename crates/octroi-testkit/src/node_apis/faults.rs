//! What goes wrong on purpose.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

/// What becomes of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// This status and body, whatever was asked.
    Answer(u16, String),
    /// The request is carried out, and its answer is cut off.
    CutOff,
    /// The answer comes so much later.
    Slow(Duration),
    /// The answer comes a byte at a time, and never ends.
    Dribble,
}

/// How one settlement is told of, other than it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Telling {
    /// The next one is told twice.
    Twice,
    /// The next one is passed over, and told when it is asked for again.
    Skipped,
    /// All are told again from the first one on, whatever was asked for.
    FromTheStart,
}

/// What is to go wrong, in order; nothing by itself.
#[derive(Default)]
pub struct Faults {
    next: Mutex<VecDeque<Fault>>,
    streams: watch::Sender<u64>,
    /// In milliseconds, for every answer.
    latency: AtomicU64,
    held: watch::Sender<bool>,
    telling: Mutex<Option<Telling>>,
}

impl Faults {
    /// Spoils the next request that nothing is planned for yet.
    pub fn plan(&self, fault: Fault) {
        self.next.lock().push_back(fault);
    }

    /// Takes back what was planned and has not happened.
    pub fn clear(&self) {
        self.next.lock().clear();
    }

    /// From now on every answer comes so much later, to the millisecond.
    pub fn slow_down(&self, by: Duration) {
        self.latency.store(u64::try_from(by.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// From now on requests are carried out, and their answers wait until they are let go.
    pub fn hold(&self) {
        self.held.send_replace(true);
    }

    /// Lets go what was held.
    pub fn let_go(&self) {
        self.held.send_replace(false);
    }

    /// Comes to its end when answers are not held.
    pub(crate) async fn until_let_go(&self) {
        // The sender is here, so that it does not end otherwise.
        let _ = self.held.subscribe().wait_for(|held| !held).await;
    }

    /// Waits as long as every answer is to come later.
    pub(crate) async fn lag(&self) {
        let latency = Duration::from_millis(self.latency.load(Ordering::Relaxed));
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
    }

    /// Ends every stream that is open, in the middle of a line.
    pub fn cut_streams(&self) {
        self.streams.send_modify(|number| *number += 1);
    }

    /// Once, and then as it should be again.
    pub fn tell(&self, how: Telling) {
        *self.telling.lock() = Some(how);
    }

    /// Whether it is to be told like this now.
    pub(crate) fn tells(&self, how: Telling) -> bool {
        let mut telling = self.telling.lock();
        let so = *telling == Some(how);
        if so {
            *telling = None;
        }
        so
    }

    pub(crate) fn take(&self) -> Option<Fault> {
        self.next.lock().pop_front()
    }

    pub(crate) fn cuts(&self) -> watch::Receiver<u64> {
        self.streams.subscribe()
    }
}
