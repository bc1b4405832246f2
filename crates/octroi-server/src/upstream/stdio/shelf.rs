//! The legacy sessions that are open.

use std::{collections::HashMap, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, Response};
use octroi_mcp::{
    headers::SESSION_ID,
    message::{Id, Message},
};
use parking_lot::Mutex;
use tokio::{sync::Semaphore, time::Instant};

use super::{
    NoSession,
    answer::busy,
    child::{Child, Nursery},
    session::Session,
};
use crate::upstream::{UpstreamBody, UpstreamError};

/// When to come back after all sessions were taken.
const RETRY_FULL: Duration = Duration::from_secs(30);

/// Sessions by id, each with its permit to have a child.
#[derive(Debug)]
pub(super) struct Shelf {
    sessions: Mutex<HashMap<Box<str>, Arc<Session>>>,
    permits: Arc<Semaphore>,
}

impl Shelf {
    pub(super) fn new(max_sessions: usize) -> Self {
        let permits = Arc::new(Semaphore::new(max_sessions.min(Semaphore::MAX_PERMITS)));
        Self { sessions: Mutex::default(), permits }
    }

    /// The session a request names.
    pub(super) fn find(&self, headers: &HeaderMap) -> Result<Arc<Session>, NoSession> {
        let mut named = headers.get_all(SESSION_ID).iter();
        let (Some(id), None) = (named.next(), named.next()) else { return Err(NoSession::Unnamed) };
        let id = id.to_str().map_err(|_| NoSession::Unknown)?;
        self.sessions.lock().get(id).cloned().ok_or(NoSession::Unknown)
    }

    /// Starts a child and hands it `initialize`. The session exists once the child has answered with a result; if nobody
    /// waits for that answer any more, the child ends.
    pub(super) async fn initialize(
        self: &Arc<Self>,
        nursery: &Arc<Nursery>,
        message: &Message<'_>,
        id: Id<'_>,
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        if let Some(wait) = nursery.backoff.lock().wait(Instant::now()) {
            return Ok(busy(id, "the server's program has stopped and is about to be started again", wait));
        }
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            return Ok(busy(id, "all sessions are taken", RETRY_FULL));
        };
        let (child, queue) = Child::planned(nursery);
        let name = session_id()?;
        let session =
            Arc::new(Session::new(name.clone().into(), child, Arc::clone(nursery), Arc::downgrade(self)));
        let unopened = Unopened(&session);
        session.start(queue, permit)?;
        let (mut response, opened) = session.initialize(message, id).await?;
        if opened && self.put(&session) {
            std::mem::forget(unopened);
            if let Ok(value) = HeaderValue::from_str(&name) {
                response.headers_mut().insert(HeaderName::from_static(SESSION_ID), value);
            }
        }
        Ok(response)
    }

    /// Takes a session off; its child is ending.
    pub(super) fn remove(&self, id: &str) {
        self.sessions.lock().remove(id);
    }

    /// Whether the session is there now: not when its child died meanwhile.
    fn put(&self, session: &Arc<Session>) -> bool {
        self.sessions.lock().insert(session.id().into(), Arc::clone(session));
        let lives = !session.has_ended();
        if !lives {
            self.remove(session.id());
        }
        lives
    }
}

/// Ends the child of a session that nobody got to know.
struct Unopened<'a>(&'a Arc<Session>);

impl Drop for Unopened<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// 128 random bits, so that a session cannot be guessed.
fn session_id() -> Result<String, UpstreamError> {
    let mut bits = [0_u8; 16];
    getrandom::fill(&mut bits)
        .map_err(|error| UpstreamError::Spawn(std::io::Error::other(error.to_string())))?;
    Ok(hex::encode(bits))
}
