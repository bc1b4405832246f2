//! An MCP server that is a program, spoken to over its standard input and output, presented as Streamable HTTP.
//!
//! Legacy callers (MCP 2025-11-25 and earlier) get one child per session, because their protocol state lives in the
//! connection. Modern callers (2026-07-28) are stateless and share one child; see [`shared`] for how they are kept apart.

mod answer;
mod backoff;
mod child;
pub(crate) mod envelope;
mod lane;
pub(crate) mod lines;
mod session;
mod shared;
mod shelf;

pub(crate) use answer::EventStream;
pub(crate) use backoff::jitter;

use std::{
    path::PathBuf,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use octroi_mcp::{
    era::{self, Era},
    headers,
    json::Limits,
    message::{self, Id, Kind, Message},
    reply,
};
use parking_lot::Mutex;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::Service;

use super::{SettingsError, UpstreamBody, UpstreamError, UpstreamFuture};
use answer::{accepted, refusal};
use backoff::Backoff;
use child::Nursery;
use shared::Shared;
use shelf::Shelf;

/// What to start, and its bounds.
#[derive(Clone)]
pub struct StdioSettings {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Variables set for it, besides the few it inherits (`PATH`, `HOME`, `USER`, `LANG`, `LC_ALL`, `TMPDIR`, `SHELL`, `TERM`).
    pub env: Vec<(String, String)>,
    /// Its working directory; the gate's own when `None`.
    pub cwd: Option<PathBuf>,
    /// From a request to the first message that belongs to it.
    pub first_byte_timeout: Duration,
    /// Between two messages of one request. Streams that are open for whatever may come have no such bound.
    pub idle_timeout: Duration,
    /// Most legacy sessions, each one child, at once. The shared child of modern callers is not counted.
    pub max_sessions: usize,
    /// How long a session (or the shared child) may stand unused.
    pub session_idle: Duration,
    /// Longest line a child may write, in bytes.
    pub max_message_bytes: usize,
    /// The first wait before a program that died is started again; it doubles with each death.
    pub restart_min: Duration,
    /// The longest such wait; a child that lived this long was no part of a crash loop.
    pub restart_max: Duration,
}

impl std::fmt::Debug for StdioSettings {
    /// Without the values of `env` and the arguments, which may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.env.iter().map(|(name, _)| name).collect();
        f.debug_struct("StdioSettings")
            .field("program", &self.command.first())
            .field("env", &names)
            .field("cwd", &self.cwd)
            .field("max_sessions", &self.max_sessions)
            .finish_non_exhaustive()
    }
}

/// A stdio server. Clones share its children, which end when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct StdioUpstream(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    nursery: Arc<Nursery>,
    shelf: Arc<Shelf>,
    shared: Shared,
}

impl StdioUpstream {
    /// An upstream that starts its program when it is first needed. `name` stands in the log.
    ///
    /// # Errors
    /// [`SettingsError::Command`].
    pub fn new(name: &str, settings: StdioSettings) -> Result<Self, SettingsError> {
        if settings.command.first().is_none_or(String::is_empty) {
            return Err(SettingsError::Command);
        }
        let shelf = Arc::new(Shelf::new(settings.max_sessions));
        let nursery = Arc::new(Nursery {
            name: name.into(),
            backoff: Mutex::new(Backoff::new(settings.restart_min, settings.restart_max)),
            settings,
            closing: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        let shared = Shared::new(Arc::clone(&nursery));
        Ok(Self(Arc::new(Inner { nursery, shelf, shared })))
    }

    /// Ends all children and waits until they are gone: a few seconds at most. Calls made later are refused.
    pub async fn shutdown(&self) {
        let nursery = &self.0.nursery;
        nursery.closing.cancel();
        nursery.tasks.close();
        nursery.tasks.wait().await;
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.nursery.closing.cancel();
    }
}

impl Service<Request<Full<Bytes>>> for StdioUpstream {
    type Response = Response<UpstreamBody>;
    type Error = UpstreamError;
    type Future = UpstreamFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), UpstreamError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> UpstreamFuture {
        let inner = Arc::clone(&self.0);
        Box::pin(async move {
            let (head, body) = request.into_parts();
            match head.method {
                Method::POST => inner.post(&head.headers, body).await,
                Method::GET => Ok(inner.get(&head.headers)),
                Method::DELETE => Ok(inner.delete(&head.headers)),
                _ => Ok(answer::not_allowed()),
            }
        })
    }
}

impl Inner {
    async fn post(
        &self,
        headers: &HeaderMap,
        body: Full<Bytes>,
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        let Ok(body) = body.collect().await;
        let body = body.to_bytes();
        let message = match message::scan(&body, &Limits::default()) {
            Ok(message) => message,
            Err(error) => {
                let reply = reply::error(error.id(&body), error.code(), &error.to_string(), None);
                return Ok(answer::json(StatusCode::BAD_REQUEST, reply));
            }
        };
        let version = headers.get(headers::PROTOCOL_VERSION).and_then(|value| value.to_str().ok());
        match era::era(&message, version) {
            Ok((Era::Modern, _)) => self.modern(&message).await,
            Ok((Era::Legacy, _)) => self.legacy(&message, headers).await,
            Err(error) => {
                let data = error.data();
                let reply = reply::error(message.id, error.code(), &error.to_string(), data.as_deref());
                Ok(answer::json(error.status(), reply))
            }
        }
    }

    async fn modern(&self, message: &Message<'_>) -> Result<Response<UpstreamBody>, UpstreamError> {
        match (message.kind, message.id) {
            (Kind::Request, Some(id)) => self.shared.request(message, id).await,
            (Kind::Notification, _) => {
                self.shared.notify(message);
                Ok(accepted())
            }
            // MCP 2026-07-28 basic/transports: clients MUST NOT post responses.
            _ => Ok(refusal(StatusCode::BAD_REQUEST, message.id, -32600, "responses are not accepted")),
        }
    }

    async fn legacy(
        &self,
        message: &Message<'_>,
        headers: &HeaderMap,
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        if let (Kind::Request, "initialize", Some(id)) = (message.kind, &*message.method, message.id) {
            return self.shelf.initialize(&self.nursery, message, id).await;
        }
        let id = message.id.filter(|_| message.kind == Kind::Request);
        let session = match self.shelf.find(headers) {
            Ok(session) => session,
            Err(missing) => return Ok(missing.answer(id)),
        };
        match id {
            Some(id) => session.request(message, id).await,
            None => session.tell(message).await,
        }
    }

    fn get(&self, headers: &HeaderMap) -> Response<UpstreamBody> {
        if modern_version(headers) {
            return answer::not_allowed();
        }
        match self.shelf.find(headers) {
            Ok(session) => session.open_stream(),
            Err(missing) => missing.answer(None),
        }
    }

    fn delete(&self, headers: &HeaderMap) -> Response<UpstreamBody> {
        if modern_version(headers) {
            return answer::not_allowed();
        }
        match self.shelf.find(headers) {
            Ok(session) => {
                session.end();
                answer::empty(StatusCode::NO_CONTENT)
            }
            Err(missing) => missing.answer(None),
        }
    }
}

/// Why there is no session: the caller's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NoSession {
    /// No `Mcp-Session-Id`, or several.
    Unnamed,
    /// Never there, or ended: the caller must initialize anew (MCP 2025-11-25 basic/transports).
    Unknown,
}

impl NoSession {
    fn answer(self, id: Option<Id<'_>>) -> Response<UpstreamBody> {
        match self {
            Self::Unnamed => {
                refusal(StatusCode::BAD_REQUEST, id, -32000, "the header `Mcp-Session-Id` is required")
            }
            Self::Unknown => {
                refusal(StatusCode::NOT_FOUND, id, -32001, "the session has ended: initialize anew")
            }
        }
    }
}

/// Whether a request without a body comes from a modern client: GET and DELETE are gone there.
fn modern_version(headers: &HeaderMap) -> bool {
    let version = headers.get(headers::PROTOCOL_VERSION).and_then(|value| value.to_str().ok());
    version.and_then(era::Revision::parse).is_some_and(|revision| revision.era() == Era::Modern)
}

#[cfg(test)]
mod tests;
