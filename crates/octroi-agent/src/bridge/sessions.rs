//! Sessions of the legacy era: one that the server has lost, as when it was started again, is opened anew behind the client's back
//! (MCP 2025-11-25 basic/transports: 404 means a new `initialize`).

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, request};
use http_body::Body;
use http_body_util::{BodyExt, Limited};
use parking_lot::Mutex;

use super::BoxError;
use crate::layer::PaidBody;
use crate::session::{PROTOCOL_VERSION, SESSION_ID};

/// Most bytes of the answer to `initialize`.
const HELLO_BYTES_MAX: usize = 1024 * 1024;
/// How long that answer may take.
const HELLO_WAIT: Duration = Duration::from_secs(30);
/// Where a lost stream would be taken up again; it belongs to the old session.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// What is known of the session.
#[derive(Default)]
pub(super) struct Sessions {
    known: Mutex<Known>,
    turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Known {
    /// The client's `initialize`.
    hello: Option<Bytes>,
    /// The session as the client knows it, and as the server knows it now.
    renamed: Option<(HeaderValue, HeaderValue)>,
}

impl Sessions {
    /// Takes note of a session that the client opened.
    pub(super) fn learn<R>(&self, body: &Bytes, answered: &Response<PaidBody<R>>) {
        let opens = answered.status().is_success() && answered.headers().contains_key(SESSION_ID);
        if opens && memchr::memmem::find(body, b"\"initialize\"").is_some() {
            *self.known.lock() = Known { hello: Some(body.clone()), renamed: None };
        }
    }

    /// Puts the server's name for the session in place of the client's; returns what is sent.
    pub(super) fn sign(&self, headers: &mut HeaderMap) -> Option<HeaderValue> {
        let session = headers.get_mut(SESSION_ID)?;
        if let Some((theirs, ours)) = &self.known.lock().renamed
            && session == theirs
        {
            session.clone_from(ours);
        }
        Some(session.clone())
    }

    pub(super) async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Nobody has opened another session in place of this one.
    pub(super) fn is_current(&self, session: &HeaderValue) -> bool {
        self.known.lock().renamed.as_ref().is_none_or(|(_, ours)| ours == session)
    }

    /// The client's `initialize`, and what follows its answer.
    pub(super) fn hello(&self) -> Option<(Bytes, Bytes)> {
        let ready = Bytes::from_static(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        Some((self.known.lock().hello.clone()?, ready))
    }

    /// The session `lost` goes on as `fresh`.
    pub(super) fn replace(&self, lost: HeaderValue, fresh: HeaderValue) {
        let mut known = self.known.lock();
        let theirs = known.renamed.take().map_or(lost, |(theirs, _)| theirs);
        known.renamed = Some((theirs, fresh));
    }
}

/// The head of a message that opens a session, or of the one that follows (`inside`).
pub(super) fn without_session(head: &request::Parts, inside: bool) -> request::Parts {
    let mut head = head.clone();
    head.method = Method::POST;
    head.headers.remove(LAST_EVENT_ID);
    if !inside {
        head.headers.remove(SESSION_ID);
        head.headers.remove(PROTOCOL_VERSION);
    }
    head.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let accept = HeaderValue::from_static("application/json, text/event-stream");
    head.headers.insert(http::header::ACCEPT, accept);
    head
}

/// The name of the session that an answer opens. The answer is read to its end, so that the session is there.
pub(super) async fn opened<R>(answer: Response<PaidBody<R>>) -> Option<HeaderValue>
where
    R: Body<Data = Bytes> + Unpin,
    R::Error: Into<BoxError>,
{
    let (head, body) = answer.into_parts();
    let fresh = head.headers.get(SESSION_ID).filter(|_| head.status.is_success())?.clone();
    tokio::time::timeout(HELLO_WAIT, Limited::new(body, HELLO_BYTES_MAX).collect()).await.ok()?.ok()?;
    Some(fresh)
}
