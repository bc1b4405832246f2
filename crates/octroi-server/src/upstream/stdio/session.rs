//! One legacy session and its child: what the child says finds its way to the right stream.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Weak},
};

use bytes::Bytes;
use http::{Response, StatusCode};
use octroi_mcp::{
    era::Era,
    message::{Id, Message, Meta},
};
use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::Instant,
};

use super::{
    NoSession,
    answer::{self, EventStream, Ticket, Waiting, accepted, busy, refusal},
    child::{Child, Listener, Nursery},
    envelope::{Envelope, IdKey, Kind, to_line},
    lane::{Arrivals, Lane, Sent, lane},
    shelf::Shelf,
};
use crate::upstream::{UpstreamBody, UpstreamError};

/// Most requests of one session that wait for their reply.
const PENDING_MAX: usize = 256;

/// Most messages kept for a server stream that is not open yet, and most bytes of them.
const BACKLOG_MAX: usize = 64;
const BACKLOG_BYTES_MAX: usize = 1024 * 1024;

/// One session.
#[derive(Debug)]
pub(super) struct Session {
    id: Box<str>,
    child: Child,
    nursery: Arc<Nursery>,
    shelf: Weak<Shelf>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    pending: HashMap<IdKey, Pending>,
    /// The server stream, opened by GET.
    stream: Option<Lane>,
    backlog: VecDeque<Bytes>,
    backlog_bytes: usize,
    last_used: Instant,
    /// Counts requests, so that the latest is known.
    requests: u64,
    ended: bool,
}

#[derive(Debug)]
struct Pending {
    lane: Lane,
    token: Option<IdKey>,
    number: u64,
    /// `initialize` is answered alone; what else comes meanwhile waits for the server stream.
    alone: bool,
}

impl Session {
    pub(super) fn new(id: Box<str>, child: Child, nursery: Arc<Nursery>, shelf: Weak<Shelf>) -> Self {
        let state = State {
            pending: HashMap::new(),
            stream: None,
            backlog: VecDeque::new(),
            backlog_bytes: 0,
            last_used: Instant::now(),
            requests: 0,
            ended: false,
        };
        Self { id, child, nursery, shelf, state: Mutex::new(state) }
    }

    pub(super) fn start(
        self: &Arc<Self>,
        queue: mpsc::Receiver<Bytes>,
        permit: OwnedSemaphorePermit,
    ) -> Result<(), UpstreamError> {
        self.child.start(queue, &self.nursery, Arc::clone(self) as Arc<dyn Listener>, Some(permit))
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn has_ended(&self) -> bool {
        self.state.lock().ended
    }

    /// Ends the session and its child.
    pub(super) fn end(&self) {
        self.close();
        self.child.end();
    }

    /// The answer to `initialize`, and whether it was a result.
    pub(super) async fn initialize(
        self: &Arc<Self>,
        message: &Message<'_>,
        id: Id<'_>,
    ) -> Result<(Response<UpstreamBody>, bool), UpstreamError> {
        let (lane, mut arrivals) = lane();
        drop(self.enter(message, id, lane, true));
        let after = self.nursery.settings.first_byte_timeout;
        let reply = async {
            self.child.send(to_line(message.raw.to_vec())).await?;
            arrivals.next().await.ok_or(UpstreamError::Exited)
        };
        let reply = tokio::time::timeout(after, reply).await;
        let reply = reply.map_err(|_| UpstreamError::FirstByteTimeout { after })??.message;
        let opened = Envelope::read(&reply).is_some_and(|envelope| envelope.at(&["result"]).is_some());
        Ok((answer::json(StatusCode::OK, reply), opened))
    }

    /// A request.
    pub(super) async fn request(
        self: &Arc<Self>,
        message: &Message<'_>,
        id: Id<'_>,
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        let (lane, arrivals) = lane();
        let key = match self.enter(message, id, lane, false) {
            Ok(key) => key,
            Err(refused) => return Ok(*refused),
        };
        let settings = &self.nursery.settings;
        let id = Bytes::copy_from_slice(id.as_raw());
        let ticket = SessionTicket { session: Arc::clone(self), key, id: id.clone() };
        let waiting = Waiting {
            arrivals,
            ticket: Ticket::Session(ticket),
            id,
            era: Era::Legacy,
            first_byte: settings.first_byte_timeout,
            idle: Some(settings.idle_timeout),
        };
        waiting.answer(self.child.send(to_line(message.raw.to_vec()))).await
    }

    /// A notification, or the answer to a request of the server.
    pub(super) async fn tell(&self, message: &Message<'_>) -> Result<Response<UpstreamBody>, UpstreamError> {
        self.state.lock().last_used = Instant::now();
        let after = self.nursery.settings.first_byte_timeout;
        match tokio::time::timeout(after, self.child.send(to_line(message.raw.to_vec()))).await {
            Ok(sent) => sent.map(|()| accepted()),
            Err(_) => Err(UpstreamError::FirstByteTimeout { after }),
        }
    }

    /// Opens the server stream. A newer one takes the place of an older one, whose client may be long gone.
    pub(super) fn open_stream(&self) -> Response<UpstreamBody> {
        match self.replace_stream() {
            Some(arrivals) => answer::stream(EventStream::open(arrivals)),
            None => NoSession::Unknown.answer(None),
        }
    }

    fn replace_stream(&self) -> Option<Arrivals> {
        let (lane, arrivals) = lane();
        let mut state = self.state.lock();
        if state.ended {
            return None;
        }
        state.last_used = Instant::now();
        for message in std::mem::take(&mut state.backlog) {
            lane.send(message, false);
        }
        state.backlog_bytes = 0;
        state.stream = Some(lane);
        Some(arrivals)
    }

    /// Registers a request under its id.
    fn enter(
        &self,
        message: &Message<'_>,
        id: Id<'_>,
        lane: Lane,
        alone: bool,
    ) -> Result<IdKey, Box<Response<UpstreamBody>>> {
        let token = message.params.meta.as_ref().and_then(Meta::progress_token);
        let token = token.and_then(|token| IdKey::of(token.as_raw()));
        let mut state = self.state.lock();
        if state.ended {
            return Err(Box::new(NoSession::Unknown.answer(Some(id))));
        }
        if state.pending.len() >= PENDING_MAX {
            return Err(Box::new(busy(
                id,
                "too many requests wait in this session",
                std::time::Duration::ZERO,
            )));
        }
        let Some(key) = IdKey::of(id.as_raw()).filter(|key| !state.pending.contains_key(key)) else {
            let text = "the id is in use by a request that has no reply yet";
            return Err(Box::new(refusal(StatusCode::BAD_REQUEST, Some(id), -32600, text)));
        };
        state.last_used = Instant::now();
        state.requests += 1;
        let number = state.requests;
        state.pending.insert(key.clone(), Pending { lane, token, number, alone });
        Ok(key)
    }

    /// Nothing comes any more: every stream ends, and the id is forgotten.
    fn close(&self) {
        let mut state = self.state.lock();
        state.ended = true;
        state.pending.clear();
        state.stream = None;
        state.backlog.clear();
        drop(state);
        if let Some(shelf) = self.shelf.upgrade() {
            shelf.remove(&self.id);
        }
    }
}

#[cfg(test)]
impl Session {
    /// How many messages wait for the server stream.
    pub(super) fn kept(&self) -> usize {
        self.state.lock().backlog.len()
    }
}

impl Listener for Session {
    fn line(&self, line: Bytes) -> bool {
        let Some(envelope) = Envelope::read(&line) else { return false };
        let mut state = self.state.lock();
        match envelope.kind {
            Kind::Reply => {
                let pending = envelope.id_key().and_then(|key| state.pending.remove(&key));
                if let Some(pending) = pending {
                    state.last_used = Instant::now();
                    pending.lane.send(line.clone(), true);
                }
            }
            Kind::Notification if envelope.method.as_deref() == Some("notifications/progress") => {
                let token = envelope.at(&["params", "progressToken"]).and_then(|(raw, _)| IdKey::of(raw));
                if token.is_some_and(|token| state.progress(&token, &line)) {
                    return true;
                }
                state.unasked(&line);
            }
            Kind::Request | Kind::Notification => state.unasked(&line),
        }
        true
    }

    fn expire(&self, now: Instant) -> Option<Instant> {
        let idle = self.nursery.settings.session_idle;
        let state = self.state.lock();
        let in_use = state.pending.values().any(|pending| pending.lane.is_open())
            || state.stream.as_ref().is_some_and(Lane::is_open);
        let due = if in_use { now + idle } else { state.last_used + idle };
        drop(state);
        if due > now {
            return Some(due);
        }
        self.close();
        None
    }

    fn ended(&self) {
        self.close();
    }
}

impl State {
    /// Progress goes to the request that asked for it; whether there is one.
    fn progress(&mut self, token: &IdKey, line: &Bytes) -> bool {
        let found = self.pending.iter().find(|(_, pending)| pending.token.as_ref() == Some(token));
        let Some((key, pending)) = found else { return false };
        if pending.alone {
            return false;
        }
        if pending.lane.send(line.clone(), false) == Sent::Overflowed {
            let key = key.clone();
            self.pending.remove(&key);
        }
        true
    }

    /// What belongs to no request goes to the server stream, else to the latest open request (MCP 2025-11-25
    /// basic/transports allows both), else waits for the server stream.
    fn unasked(&mut self, line: &Bytes) {
        if let Some(stream) = &self.stream {
            if stream.send(line.clone(), false) == Sent::Queued {
                return;
            }
            self.stream = None;
        }
        let open = self.pending.iter().filter(|(_, pending)| !pending.alone && pending.lane.is_open());
        if let Some((key, latest)) = open.max_by_key(|(_, pending)| pending.number) {
            if latest.lane.send(line.clone(), false) == Sent::Queued {
                return;
            }
            let key = key.clone();
            self.pending.remove(&key);
        }
        self.keep(line.clone());
    }

    /// Keeps a message for later; the oldest gives way.
    fn keep(&mut self, line: Bytes) {
        self.backlog_bytes += line.len();
        self.backlog.push_back(line);
        while self.backlog.len() > BACKLOG_MAX || self.backlog_bytes > BACKLOG_BYTES_MAX {
            let Some(oldest) = self.backlog.pop_front() else { break };
            self.backlog_bytes -= oldest.len();
        }
    }
}

/// A request of a session that somebody waits for. Dropping it does not cancel: in the legacy era a client that goes
/// away has not changed its mind (MCP 2025-11-25 basic/transports).
#[derive(Debug)]
pub(super) struct SessionTicket {
    session: Arc<Session>,
    key: IdKey,
    id: Bytes,
}

impl SessionTicket {
    pub(super) fn answered(&mut self) {}

    /// The gate itself gives up.
    pub(super) fn cancel(&mut self) {
        if self.session.state.lock().pending.remove(&self.key).is_some() {
            self.session.child.try_send(super::envelope::cancelled(&self.id));
        }
    }
}
