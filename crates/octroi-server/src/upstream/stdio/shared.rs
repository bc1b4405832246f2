//! The one child of all modern callers, and how they are kept apart.
//!
//! Callers choose their own ids, so two may choose the same. Each request gets a number of ours for the child's eyes: as
//! its id, as its progress token, and so as the id of its subscription. On the way back the caller's own bytes are put in
//! again. A message that cannot be traced to one request by such a number is dropped, since it could be anybody's.

use std::{collections::HashMap, ops::Range, sync::Arc, time::Duration};

use bytes::Bytes;
use http::Response;
use octroi_mcp::{
    era::Era,
    message::{Id, Message, Meta},
    reply,
};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    answer::{Ticket, Waiting, busy},
    child::{Child, Listener, Nursery},
    envelope::{Envelope, Kind, SUBSCRIPTION_ID, cancelled, span_of, splice, to_line},
    lane::{Lane, Sent, lane},
};
use crate::upstream::{UpstreamBody, UpstreamError};

/// Most requests that wait for their reply, open subscriptions included.
const PENDING_MAX: usize = 4_096;

/// When to come back after there were too many.
const RETRY_FULL: Duration = Duration::from_secs(1);

/// Where a notification can say whose it is.
const TRACES: [&[&str]; 3] =
    [&["params", "progressToken"], &["params", "requestId"], &["params", "_meta", SUBSCRIPTION_ID]];

/// The child, started when it is needed.
#[derive(Debug)]
pub(super) struct Shared {
    nursery: Arc<Nursery>,
    current: Mutex<Option<Arc<SharedChild>>>,
}

#[derive(Debug)]
struct SharedChild {
    child: Child,
    idle: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    pending: HashMap<u64, Pending>,
    numbers: u64,
    last_used: Instant,
    ended: bool,
}

/// What the caller wrote, to be put back.
#[derive(Debug)]
struct Pending {
    id: Bytes,
    token: Option<Bytes>,
    lane: Lane,
}

impl Shared {
    pub(super) fn new(nursery: Arc<Nursery>) -> Self {
        Self { nursery, current: Mutex::new(None) }
    }

    /// A request.
    pub(super) async fn request(
        &self,
        message: &Message<'_>,
        id: Id<'_>,
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        let child = match self.child() {
            Ok(child) => child,
            Err(NotNow::Wait(wait)) => {
                return Ok(busy(
                    id,
                    "the server's program has stopped and is about to be started again",
                    wait,
                ));
            }
            Err(NotNow::Failed(error)) => return Err(error),
        };
        let (lane, arrivals) = lane();
        let token = message.params.meta.as_ref().and_then(|meta| meta.get(Meta::PROGRESS_TOKEN));
        let pending = Pending {
            id: Bytes::copy_from_slice(id.as_raw()),
            token: token.map(|token| Bytes::copy_from_slice(token.value)),
            lane,
        };
        let raw_id = pending.id.clone();
        let Some(number) = child.enter(pending)? else {
            return Ok(busy(id, "too many requests wait for this server", RETRY_FULL));
        };
        let ticket = SharedTicket { child: Arc::clone(&child), number };
        let ours = number.to_string();
        let mut changes: Vec<(Range<usize>, &[u8])> = Vec::with_capacity(2);
        changes.extend(span_of(message.raw, &["id"]).map(|span| (span, ours.as_bytes())));
        changes.extend(token.map(|token| (token.value_span.clone(), ours.as_bytes())));
        let line = to_line(splice(message.raw, changes));
        let settings = &self.nursery.settings;
        let listens = message.method == "subscriptions/listen";
        let waiting = Waiting {
            arrivals,
            ticket: Ticket::Shared(ticket),
            id: raw_id,
            era: Era::Modern,
            first_byte: settings.first_byte_timeout,
            idle: (!listens).then_some(settings.idle_timeout),
        };
        waiting.answer(child.child.send(line)).await
    }

    /// A notification. The core has none over HTTP; one that names a request by the caller's id could hit another
    /// caller's, so `notifications/cancelled` stays here: a modern client cancels by closing its request.
    pub(super) fn notify(&self, message: &Message<'_>) {
        if message.method == "notifications/cancelled" {
            return;
        }
        let child = self.current.lock().clone();
        if let Some(child) = child {
            child.child.try_send(to_line(message.raw.to_vec()));
        }
    }

    /// The child that runs, or a new one.
    fn child(&self) -> Result<Arc<SharedChild>, NotNow> {
        let mut current = self.current.lock();
        if let Some(child) = current.as_ref().filter(|child| !child.state.lock().ended) {
            return Ok(Arc::clone(child));
        }
        if let Some(wait) = self.nursery.backoff.lock().wait(Instant::now()) {
            return Err(NotNow::Wait(wait));
        }
        let (child, queue) = Child::planned(&self.nursery);
        let state = State { pending: HashMap::new(), numbers: 0, last_used: Instant::now(), ended: false };
        let idle = self.nursery.settings.session_idle;
        let child = Arc::new(SharedChild { child, idle, state: Mutex::new(state) });
        child
            .child
            .start(queue, &self.nursery, Arc::clone(&child) as Arc<dyn Listener>, None)
            .map_err(NotNow::Failed)?;
        *current = Some(Arc::clone(&child));
        Ok(child)
    }
}

#[cfg(test)]
impl Shared {
    /// How many requests wait.
    pub(super) fn waiting(&self) -> usize {
        self.current.lock().as_ref().map_or(0, |child| child.state.lock().pending.len())
    }
}

/// Why there is no child.
enum NotNow {
    Wait(Duration),
    Failed(UpstreamError),
}

impl SharedChild {
    /// Gives a request its number; `None` when there are too many.
    fn enter(&self, pending: Pending) -> Result<Option<u64>, UpstreamError> {
        let mut state = self.state.lock();
        if state.ended {
            return Err(UpstreamError::Exited);
        }
        if state.pending.len() >= PENDING_MAX {
            return Ok(None);
        }
        state.last_used = Instant::now();
        state.numbers += 1;
        let number = state.numbers;
        state.pending.insert(number, pending);
        Ok(Some(number))
    }

    fn reply(&self, envelope: &Envelope<'_>) {
        let Some((number, id)) = envelope.id().and_then(number).zip(envelope.id.clone()) else { return };
        let mut state = self.state.lock();
        let Some(pending) = state.pending.remove(&number) else { return };
        state.last_used = Instant::now();
        drop(state);
        let mut changes = vec![(id, &pending.id[..])];
        if let Some((raw, span)) = envelope.at(&["result", "_meta", SUBSCRIPTION_ID])
            && self::number(raw) == Some(number)
        {
            changes.push((span, &pending.id[..]));
        }
        pending.lane.send(splice(envelope.line, changes).into(), true);
    }

    /// Hands a notification to the one request all its traces lead to.
    fn notification(&self, envelope: &Envelope<'_>) {
        let traces: Vec<_> = TRACES.iter().filter_map(|path| Some((*path, envelope.at(path)?))).collect();
        let numbers: Option<Vec<u64>> = traces.iter().map(|(_, (raw, _))| number(raw)).collect();
        let Some([first, others @ ..]) = numbers.as_deref() else { return };
        if others.iter().any(|other| other != first) {
            return;
        }
        let mut state = self.state.lock();
        let Some(pending) = state.pending.get(first) else { return };
        let mut changes: Vec<(Range<usize>, &[u8])> = Vec::with_capacity(traces.len());
        for (path, (_, span)) in traces {
            let theirs = if path == TRACES[0] { pending.token.as_deref() } else { Some(&pending.id[..]) };
            // A server must not report progress nobody asked for.
            let Some(theirs) = theirs else { return };
            changes.push((span, theirs));
        }
        let message = splice(envelope.line, changes);
        if pending.lane.send(message.into(), false) == Sent::Overflowed {
            state.pending.remove(first);
            drop(state);
            self.child.try_send(cancelled(first.to_string().as_bytes()));
        }
    }

    /// MCP 2026-07-28 basic/transports: servers send no requests. One that does gets an answer, so that it does not wait.
    fn refuse(&self, envelope: &Envelope<'_>) {
        let id = envelope.id().and_then(Id::from_raw);
        self.child.try_send(to_line(reply::error(id, -32601, "this client takes no requests", None)));
    }
}

impl Listener for SharedChild {
    fn line(&self, line: Bytes) -> bool {
        let Some(envelope) = Envelope::read(&line) else { return false };
        match envelope.kind {
            Kind::Reply => self.reply(&envelope),
            Kind::Notification => self.notification(&envelope),
            Kind::Request => self.refuse(&envelope),
        }
        true
    }

    fn expire(&self, now: Instant) -> Option<Instant> {
        let mut state = self.state.lock();
        let due = if state.pending.is_empty() { state.last_used + self.idle } else { now + self.idle };
        if due > now {
            return Some(due);
        }
        state.ended = true;
        None
    }

    fn ended(&self) {
        let mut state = self.state.lock();
        state.ended = true;
        state.pending.clear();
    }
}

/// A modern request that somebody waits for. Dropping it before the reply cancels it: a client that closes its request
/// has changed its mind (MCP 2026-07-28 basic/patterns/cancellation).
#[derive(Debug)]
pub(super) struct SharedTicket {
    child: Arc<SharedChild>,
    number: u64,
}

impl SharedTicket {
    pub(super) fn answered(&mut self) {
        self.child.state.lock().pending.remove(&self.number);
    }

    pub(super) fn cancel(&mut self) {
        let mut state = self.child.state.lock();
        let waited = state.pending.remove(&self.number).is_some();
        state.last_used = Instant::now();
        drop(state);
        if waited {
            self.child.child.try_send(cancelled(self.number.to_string().as_bytes()));
        }
    }
}

impl Drop for SharedTicket {
    fn drop(&mut self) {
        self.cancel();
    }
}

/// A number of ours.
fn number(raw: &[u8]) -> Option<u64> {
    std::str::from_utf8(raw).ok()?.parse().ok()
}
