//! What the parts of one front share: the way out, the session, and what is running.

use std::{collections::HashMap, io, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::Full;
use octroi_mcp::{era::Era, headers::SESSION_ID, message::Message};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{FrontSettings, request};
use crate::upstream::stdio::envelope::{IdKey, to_line};

/// Most lines that wait to be written.
const OUTPUT_QUEUE: usize = 64;

/// One client's desk.
pub(super) struct Desk {
    pub(super) settings: FrontSettings,
    output: mpsc::Sender<Bytes>,
    session: Mutex<Session>,
    running: Mutex<HashMap<IdKey, CancellationToken>>,
    permits: Arc<Semaphore>,
    tasks: TaskTracker,
    /// Stops whatever still runs.
    closing: CancellationToken,
}

/// What `initialize` settled.
#[derive(Default)]
struct Session {
    id: Option<HeaderValue>,
    version: Option<HeaderValue>,
    /// Stops the server stream.
    stream: Option<CancellationToken>,
}

/// A request that runs; dropping it makes room.
pub(super) struct Begun {
    pub(super) cancelled: CancellationToken,
    desk: Arc<Desk>,
    key: Option<IdKey>,
    _permit: OwnedSemaphorePermit,
}

impl Desk {
    /// A desk, and the task that writes what it says.
    pub(super) fn open(
        settings: FrontSettings,
        output: impl AsyncWrite + Send + Unpin + 'static,
    ) -> (Arc<Self>, JoinHandle<io::Result<()>>) {
        let (sender, queue) = mpsc::channel(OUTPUT_QUEUE);
        let desk = Self {
            settings,
            output: sender,
            session: Mutex::default(),
            running: Mutex::default(),
            permits: Arc::new(Semaphore::new(settings.max_in_flight.min(Semaphore::MAX_PERMITS))),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
        };
        (Arc::new(desk), tokio::spawn(write(output, queue)))
    }

    /// Writes one message as one line. When the output is gone, so is the client.
    pub(super) async fn say(&self, message: Vec<u8>) {
        drop(self.output.send(to_line(message)).await);
    }

    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(work);
    }

    /// Makes room for a request. A modern one can be cancelled by its id, so that must not be in use.
    pub(super) fn begin(self: &Arc<Self>, key: IdKey, era: Era) -> Result<Begun, &'static str> {
        let permit = Arc::clone(&self.permits).try_acquire_owned();
        let permit = permit.map_err(|_| "too many requests at once")?;
        let cancelled = self.closing.child_token();
        let key = (era == Era::Modern).then_some(key);
        if let Some(key) = &key {
            let mut running = self.running.lock();
            if running.contains_key(key) {
                return Err("the id is in use by a request that has no reply yet");
            }
            running.insert(key.clone(), cancelled.clone());
        }
        Ok(Begun { cancelled, desk: Arc::clone(self), key, _permit: permit })
    }

    /// Cancels the running modern request that a `notifications/cancelled` names; whether there is one.
    pub(super) fn cancel(&self, message: &Message<'_>) -> bool {
        let named = message.params.request_id.and_then(|id| IdKey::of(id.as_raw()));
        let running = self.running.lock();
        let Some(token) = named.and_then(|key| running.get(&key)) else { return false };
        token.cancel();
        true
    }

    /// The HTTP request for a message.
    pub(super) fn request(&self, message: &Message<'_>, era: Era, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = request::post(message, era, body);
        if era == Era::Legacy && message.method != "initialize" {
            self.sign(request.headers_mut());
        }
        request
    }

    /// Adds the session's headers.
    pub(super) fn sign(&self, headers: &mut HeaderMap) {
        let session = self.session.lock();
        request::sign(headers, session.id.as_ref(), session.version.as_ref());
    }

    /// `initialize` was answered: what follows belongs to the session it opened, if any.
    pub(super) fn open_session(&self, headers: &HeaderMap) {
        let mut session = self.session.lock();
        if let Some(stream) = session.stream.take() {
            stream.cancel();
        }
        *session = Session { id: headers.get(SESSION_ID).cloned(), version: None, stream: None };
    }

    /// The version the server chose.
    pub(super) fn settle_version(&self, version: &str) {
        self.session.lock().version = HeaderValue::from_str(version).ok();
    }

    /// 404 says that the session has ended (MCP 2025-11-25 basic/transports): it is forgotten.
    pub(super) fn check_session(&self, era: Era, status: StatusCode) {
        let mut session = self.session.lock();
        if era == Era::Legacy
            && status == StatusCode::NOT_FOUND
            && session.id.take().is_some()
            && let Some(stream) = session.stream.take()
        {
            stream.cancel();
        }
    }

    /// The token of a new server stream; an older one stops.
    pub(super) fn new_stream(&self) -> CancellationToken {
        let token = self.closing.child_token();
        if let Some(older) = self.session.lock().stream.replace(token.clone()) {
            older.cancel();
        }
        token
    }

    /// After the end of the input: lets requests finish, within bounds, and stops the rest.
    pub(super) async fn drain(&self) {
        if let Some(stream) = self.session.lock().stream.take() {
            stream.cancel();
        }
        self.tasks.close();
        if timeout(self.settings.drain, self.tasks.wait()).await.is_err() {
            self.closing.cancel();
            self.tasks.wait().await;
        }
    }

    /// The request that ends the session.
    pub(super) fn farewell(&self) -> Option<Request<Full<Bytes>>> {
        let session = self.session.lock();
        let id = session.id.as_ref()?;
        Some(request::delete(id, session.version.as_ref()))
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if let Some(key) = &self.key {
            self.desk.running.lock().remove(key);
        }
    }
}

async fn write(mut output: impl AsyncWrite + Unpin, mut queue: mpsc::Receiver<Bytes>) -> io::Result<()> {
    while let Some(line) = queue.recv().await {
        output.write_all(&line).await?;
        if queue.is_empty() {
            output.flush().await?;
        }
    }
    output.flush().await
}
