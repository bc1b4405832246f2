//! Answers: whole ones, and streams of a child's messages.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER},
};
use octroi_gate::Reason;
use octroi_mcp::{era::Era, message::Id, reply, sse};

use super::{
    envelope::Envelope,
    lane::{Arrivals, Delivery},
    session::SessionTicket,
    shared::SharedTicket,
};
use crate::upstream::{UpstreamBody, UpstreamError, body::Idle};

/// How often a silent stream says that it lives; intermediaries close what is silent for longer.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How long a subscription's result is waited for after the server has announced its end.
const FAREWELL: Duration = Duration::from_secs(5);

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");

/// A JSON answer.
pub(super) fn json(status: StatusCode, body: impl Into<Bytes>) -> Response<UpstreamBody> {
    let mut response = Response::new(UpstreamBody::whole(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// An answer without a body.
pub(super) fn empty(status: StatusCode) -> Response<UpstreamBody> {
    let mut response = Response::new(UpstreamBody::whole(Bytes::new()));
    *response.status_mut() = status;
    response
}

/// 202, for whatever wants no reply.
pub(super) fn accepted() -> Response<UpstreamBody> {
    empty(StatusCode::ACCEPTED)
}

/// 405.
pub(super) fn not_allowed() -> Response<UpstreamBody> {
    let mut response = empty(StatusCode::METHOD_NOT_ALLOWED);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    response
}

/// A JSON-RPC error.
pub(super) fn refusal(
    status: StatusCode,
    id: Option<Id<'_>>,
    code: i64,
    text: &str,
) -> Response<UpstreamBody> {
    json(status, reply::error(id, code, text, None))
}

/// 503: nothing is wrong with the call, but not now.
pub(super) fn busy(id: Id<'_>, text: &str, wait: Duration) -> Response<UpstreamBody> {
    let data = format!(r#"{{"reason":"{}"}}"#, Reason::UpstreamUnavailable.code());
    let status = StatusCode::SERVICE_UNAVAILABLE;
    let body = reply::error(Some(id), i64::from(status.as_u16()), text, Some(data.as_bytes()));
    let mut response = json(status, body);
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    response
}

/// A stream of events; nothing on the way may hold them back.
pub(super) fn stream(events: EventStream) -> Response<UpstreamBody> {
    let mut response = Response::new(UpstreamBody::events(events));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, EVENTS);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// Who is told when nobody waits for a request any more.
#[derive(Debug)]
pub(super) enum Ticket {
    Session(SessionTicket),
    Shared(SharedTicket),
}

impl Ticket {
    /// The reply has come.
    fn answered(&mut self) {
        match self {
            Self::Session(ticket) => ticket.answered(),
            Self::Shared(ticket) => ticket.answered(),
        }
    }

    /// The gate stops waiting: in both eras whoever gives up a request says so.
    fn give_up(&mut self) {
        match self {
            Self::Session(ticket) => ticket.cancel(),
            Self::Shared(ticket) => ticket.cancel(),
        }
    }
}

/// A request that was sent to a child.
pub(super) struct Waiting {
    pub(super) arrivals: Arrivals,
    pub(super) ticket: Ticket,
    /// The caller's id, raw.
    pub(super) id: Bytes,
    pub(super) era: Era,
    pub(super) first_byte: Duration,
    /// Between two messages; `None` for a stream that waits for whatever may come.
    pub(super) idle: Option<Duration>,
}

impl Waiting {
    /// The answer: JSON when the reply comes first, else a stream. `send` hands the request to the child, whose slowness
    /// to read it counts as well.
    pub(super) async fn answer(
        mut self,
        send: impl Future<Output = Result<(), UpstreamError>>,
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        let after = self.first_byte;
        let first = async {
            send.await?;
            Ok(self.arrivals.next().await)
        };
        let Ok(first) = tokio::time::timeout(after, first).await else {
            self.ticket.give_up();
            return Err(UpstreamError::FirstByteTimeout { after });
        };
        let Some(first) = first? else {
            self.ticket.answered();
            return Err(UpstreamError::Exited);
        };
        if first.last {
            self.ticket.answered();
            return Ok(whole(self.era, first.message));
        }
        Ok(stream(EventStream {
            first: Some(first),
            arrivals: self.arrivals,
            ticket: Some(self.ticket),
            id: Some(self.id),
            idle: self.idle.map(Idle::new),
            keep_alive: Idle::new(KEEP_ALIVE),
            leaving: false,
            over: false,
        }))
    }
}

/// A reply as JSON, under the status its era gives it.
fn whole(era: Era, message: Bytes) -> Response<UpstreamBody> {
    let code = Envelope::read(&message).and_then(|envelope| envelope.error_code());
    let status = code.map_or(StatusCode::OK, |code| reply::http_status(era, code));
    json(status, message)
}

/// A child's messages for one caller as server-sent events.
#[derive(Debug)]
pub(crate) struct EventStream {
    first: Option<Delivery>,
    arrivals: Arrivals,
    ticket: Option<Ticket>,
    id: Option<Bytes>,
    idle: Option<Idle>,
    keep_alive: Idle,
    /// The server has announced the end.
    leaving: bool,
    over: bool,
}

impl EventStream {
    /// A stream that belongs to no request.
    pub(super) fn open(arrivals: Arrivals) -> Self {
        Self {
            first: None,
            arrivals,
            ticket: None,
            id: None,
            idle: None,
            keep_alive: Idle::new(KEEP_ALIVE),
            leaving: false,
            over: false,
        }
    }

    /// The next event's bytes.
    pub(crate) fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, UpstreamError>>> {
        if self.over {
            return Poll::Ready(None);
        }
        let next = match self.first.take() {
            Some(first) => Poll::Ready(Some(first)),
            None => self.arrivals.poll_next(cx),
        };
        match next {
            Poll::Ready(Some(delivery)) => Poll::Ready(Some(Ok(self.deliver(&delivery)))),
            Poll::Ready(None) => Poll::Ready(self.broken_off()),
            Poll::Pending => self.poll_silence(cx),
        }
    }

    fn deliver(&mut self, delivery: &Delivery) -> Bytes {
        self.keep_alive.moved();
        if let Some(idle) = &mut self.idle {
            idle.moved();
        }
        if delivery.last {
            self.finish();
        } else if self.idle.is_none() && announces_end(&delivery.message) {
            self.leaving = true;
            self.idle = Some(Idle::new(FAREWELL));
        }
        sse::event(&delivery.message, None, None).into()
    }

    /// The child is gone, or the caller was too slow.
    fn broken_off(&mut self) -> Option<Result<Bytes, UpstreamError>> {
        self.over = true;
        if self.arrivals.overflowed() {
            if let Some(ticket) = &mut self.ticket {
                ticket.give_up();
            }
            return Some(Err(UpstreamError::Lagged));
        }
        self.finish();
        let id = self.id.take()?;
        let text = UpstreamError::Exited.to_string();
        let error = reply::error(Id::from_raw(&id), -32603, &text, None);
        Some(Ok(sse::event(&error, None, None).into()))
    }

    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, UpstreamError>>> {
        if let Some(idle) = &mut self.idle
            && idle.poll(cx).is_ready()
        {
            let after = idle.after();
            self.over = true;
            if self.leaving {
                self.finish();
                return Poll::Ready(None);
            }
            if let Some(ticket) = &mut self.ticket {
                ticket.give_up();
            }
            return Poll::Ready(Some(Err(UpstreamError::IdleTimeout { after })));
        }
        if self.keep_alive.poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.keep_alive.moved();
        Poll::Ready(Some(Ok(sse::comment("keep-alive").into())))
    }

    fn finish(&mut self) {
        self.over = true;
        if let Some(ticket) = &mut self.ticket {
            ticket.answered();
        }
    }
}

/// Whether a server takes down a subscription (MCP 2026-07-28 basic/patterns/cancellation).
fn announces_end(message: &[u8]) -> bool {
    Envelope::read(message)
        .is_some_and(|envelope| envelope.method.as_deref() == Some("notifications/cancelled"))
}
