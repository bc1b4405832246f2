//! What the sample server remembers: counts, requests, sessions and the calls under way.

use std::collections::{BTreeMap, HashMap, VecDeque};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::changes::Changes;
use super::fault::Fault;

/// Counts of what happened so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// `tools/call` requests by tool name.
    pub calls: BTreeMap<String, u64>,
    /// Requests that ended by running to their end.
    pub finished: u64,
    /// Requests that were stopped before their end: cancelled, or their caller went away.
    pub cancelled: u64,
    /// Event streams opened by GET.
    pub streams: u64,
    /// Subscriptions acknowledged.
    pub subscriptions: u64,
    /// Sessions ended by DELETE.
    pub sessions_ended: u64,
}

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Received {
    /// The HTTP method, or `stdio`.
    pub http_method: String,
    /// Header lines in the order they arrived, names in lower case, values with anything outside UTF-8 replaced.
    pub headers: Vec<(String, String)>,
    /// The body, byte for byte.
    pub body: Bytes,
}

impl Received {
    /// How many requests are kept.
    pub const KEPT: usize = 256;

    /// The first value of the header line `name` (lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// The legacy sessions open now; dropping a session's sender ends its streams.
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<HashMap<String, watch::Sender<()>>>);

impl Sessions {
    /// More sessions than any test opens.
    const MAX: usize = 4096;

    /// Opens a session and returns its id; `None` when there are too many or the system gives no randomness.
    pub(super) fn open(&self) -> Option<String> {
        let mut id = [0_u8; 16];
        getrandom::fill(&mut id).ok()?;
        let id = hex::encode(id);
        let mut open = self.0.lock();
        if open.len() >= Self::MAX {
            return None;
        }
        open.insert(id.clone(), watch::Sender::new(()));
        Some(id)
    }

    /// Something that resolves when the session ends; `None` when there is no such session.
    pub(super) fn watch(&self, id: &str) -> Option<watch::Receiver<()>> {
        self.0.lock().get(id).map(watch::Sender::subscribe)
    }

    pub(super) fn end(&self, id: &str) -> bool {
        self.0.lock().remove(id).is_some()
    }

    pub(super) fn clear(&self) {
        self.0.lock().clear();
    }
}

/// Names a legacy request under way: its session (none over stdio) and its JSON-RPC id as JSON text.
pub(super) type RunningKey = (Option<String>, String);

#[derive(Debug, Default)]
pub(super) struct State {
    tally: watch::Sender<Tally>,
    received: Mutex<VecDeque<Received>>,
    fault: Mutex<Option<Fault>>,
    running: Mutex<HashMap<RunningKey, AbortHandle>>,
    pub(super) changes: Changes,
    pub(super) sessions: Sessions,
}

impl State {
    pub(super) fn tally(&self) -> Tally {
        self.tally.borrow().clone()
    }

    pub(super) fn count(&self, change: impl FnOnce(&mut Tally)) {
        self.tally.send_modify(change);
    }

    pub(super) async fn until(&self, reached: impl FnMut(&Tally) -> bool) -> Tally {
        let mut tally = self.tally.subscribe();
        // The sender lives as long as `self`, so the error of a closed channel cannot come up.
        let found = tally.wait_for(reached).await.map(|tally| tally.clone());
        found.unwrap_or_else(|_| self.tally())
    }

    pub(super) fn record(&self, received: Received) {
        let mut kept = self.received.lock();
        if kept.len() == Received::KEPT {
            kept.pop_front();
        }
        kept.push_back(received);
    }

    pub(super) fn received(&self) -> Vec<Received> {
        self.received.lock().iter().cloned().collect()
    }

    pub(super) fn inject(&self, fault: Option<Fault>) {
        *self.fault.lock() = fault;
    }

    pub(super) fn injected(&self) -> Option<Fault> {
        *self.fault.lock()
    }

    pub(super) fn running(&self, key: RunningKey, task: AbortHandle) {
        self.running.lock().insert(key, task);
    }

    /// Stops the request `notifications/cancelled` names, if it still runs.
    pub(super) fn cancel(&self, key: &RunningKey) {
        if let Some(task) = self.running.lock().remove(key) {
            task.abort();
        }
    }

    pub(super) fn ended(&self, key: &RunningKey) {
        self.running.lock().remove(key);
    }
}
