//! The sample server over Streamable HTTP, both eras on one endpoint.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use http::{Method, Request, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, Limited, StreamBody};
use hyper::body::Incoming;
use serde_json::Value;

use super::answer::{self, Exchange, Outgoing};
use super::fault::Fault;
use super::state::{Received, State};
use super::wire::{Call, Era, LEGACY, Message, Refusal};
use super::{PATH, modern};

pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;

const SESSION: &str = "mcp-session-id";

/// Largest request body read, in bytes.
const BODY_MAX: usize = 16 * 1024 * 1024;

pub(super) async fn serve(
    state: Arc<State>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    if request.uri().path() != PATH {
        return Ok(bare(StatusCode::NOT_FOUND));
    }
    if request.headers().get(header::ORIGIN).is_some_and(|origin| !is_loopback(origin.as_bytes())) {
        return Ok(bare(StatusCode::FORBIDDEN));
    }
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_MAX).collect().await else {
        return Ok(bare(StatusCode::PAYLOAD_TOO_LARGE));
    };
    let headers = head.headers.iter().map(|(name, value)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    });
    let received =
        Received { http_method: head.method.to_string(), headers: headers.collect(), body: body.to_bytes() };
    state.record(received.clone());
    Ok(match head.method {
        Method::POST => post(&state, received).await,
        Method::GET => get(&state, &received),
        Method::DELETE => delete(&state, &received),
        _ => bare(StatusCode::METHOD_NOT_ALLOWED),
    })
}

/// Only a page of this machine may call (protection against DNS rebinding).
fn is_loopback(origin: &[u8]) -> bool {
    let host =
        std::str::from_utf8(origin).ok().and_then(|origin| origin.split("://").nth(1)).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _port)| name);
    matches!(name, "127.0.0.1" | "localhost" | "[::1]")
}

async fn post(state: &Arc<State>, received: Received) -> Response<Body> {
    match Message::read(&received.body) {
        Err(refusal) => refused(&refusal, &Value::Null),
        Ok(Message::Response) => bare(StatusCode::ACCEPTED),
        Ok(Message::Notification { method, params }) => {
            let session = received.header(SESSION).map(str::to_owned);
            if method == "notifications/cancelled" {
                let id = params.get("requestId").map(Value::to_string).unwrap_or_default();
                state.cancel(&(session, id));
            }
            bare(StatusCode::ACCEPTED)
        }
        Ok(Message::Request { id, method, params }) => {
            let era = match modern::over_http(&received, &method, &params) {
                Ok(era) => era,
                Err(refusal) => return refused(&refusal, &id),
            };
            let session = match session_of(state, era, &method, &received) {
                Ok(session) => session,
                Err(status) => return bare(status),
            };
            respond(state, Call { era, id, method, params, session, received }).await
        }
    }
}

/// The session a request belongs to: a new one for `initialize`, none in the modern era, and none for a caller who names
/// neither session nor version: somebody with `curl`, who is answered without a handshake.
fn session_of(
    state: &State,
    era: Era,
    method: &str,
    received: &Received,
) -> Result<Option<String>, StatusCode> {
    if era == Era::Modern {
        return Ok(None);
    }
    if method == "initialize" {
        return state.sessions.open().map(Some).ok_or(StatusCode::SERVICE_UNAVAILABLE);
    }
    let version = received.header("mcp-protocol-version");
    if version.is_some_and(|version| !LEGACY.contains(&version)) {
        return Err(StatusCode::BAD_REQUEST);
    }
    let Some(id) = received.header(SESSION) else {
        return if version.is_none() { Ok(None) } else { Err(StatusCode::BAD_REQUEST) };
    };
    state.sessions.watch(id).ok_or(StatusCode::NOT_FOUND)?;
    Ok(Some(id.to_owned()))
}

async fn respond(state: &Arc<State>, call: Call) -> Response<Body> {
    let opened = (call.method == "initialize").then(|| call.session.clone()).flatten();
    let mut fault = None;
    if call.method == "tools/call" {
        state.count(|tally| *tally.calls.entry(call.text("name").to_owned()).or_default() += 1);
        fault = call
            .argument("fault")
            .and_then(Value::as_str)
            .and_then(Fault::named)
            .or_else(|| state.injected());
    }
    if let Some(fault) = fault {
        return super::faulty::respond(state, &call, fault).await;
    }
    let mut exchange = answer::start(state, call);
    let mut response = match exchange.messages.recv().await {
        None => event_stream(exchange, None),
        Some(first) if !first.last => event_stream(exchange, Some(first)),
        Some(only) => {
            let status = StatusCode::from_u16(only.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            json(status, &only.message)
        }
    };
    if let Some(id) = opened.and_then(|id| id.parse().ok()) {
        response.headers_mut().insert(SESSION, id);
    }
    response
}

/// One SSE event carrying a JSON-RPC message.
pub(super) fn event(message: &Value) -> Bytes {
    Bytes::from(format!("event: message\ndata: {message}\n\n"))
}

/// The exchange's messages as events, from the one already taken to the last.
fn event_stream(exchange: Exchange, first: Option<Outgoing>) -> Response<Body> {
    let events = stream::unfold((exchange, first), |(mut exchange, first)| async {
        let next = match first {
            Some(first) => Some(first),
            None => exchange.messages.recv().await,
        };
        next.map(|next| (Ok(Frame::data(event(&next.message))), (exchange, None)))
    });
    sse(StreamBody::new(events).boxed_unsync())
}

/// The stream of messages a legacy session's client did not ask for, resumed after `Last-Event-ID` when given.
fn get(state: &State, received: &Received) -> Response<Body> {
    let Some(id) = received.header(SESSION) else { return bare(StatusCode::METHOD_NOT_ALLOWED) };
    let Some(session) = state.sessions.watch(id) else { return bare(StatusCode::NOT_FOUND) };
    let after = received.header("last-event-id").and_then(|id| id.parse().ok());
    let reader = after.map_or_else(|| state.changes.reader(), |id| state.changes.reader_after(id));
    state.count(|tally| tally.streams += 1);
    // An event with an id and no data comes first, so that a client can resume from it (MCP 2025-11-25).
    let priming = Bytes::from(format!("id: {}\ndata:\n\n", reader.position()));
    let events =
        stream::unfold((Some(priming), reader, session), |(priming, mut reader, mut session)| async {
            if let Some(priming) = priming {
                return Some((Ok(Frame::data(priming)), (None, reader, session)));
            }
            let change = tokio::select! {
                change = reader.next() => change?,
                _ = session.changed() => return None,
            };
            let event =
                format!("id: {}\nevent: message\ndata: {}\n\n", reader.position(), change.notification());
            Some((Ok(Frame::data(Bytes::from(event))), (None, reader, session)))
        });
    sse(StreamBody::new(events).boxed_unsync())
}

fn delete(state: &State, received: &Received) -> Response<Body> {
    let Some(id) = received.header(SESSION) else { return bare(StatusCode::METHOD_NOT_ALLOWED) };
    if !state.sessions.end(id) {
        return bare(StatusCode::NOT_FOUND);
    }
    state.count(|tally| tally.sessions_ended += 1);
    bare(StatusCode::OK)
}

fn refused(refusal: &Refusal, id: &Value) -> Response<Body> {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    json(status, &refusal.response(id))
}

pub(super) fn bare(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = status;
    response
}

pub(super) fn typed(status: StatusCode, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    response
}

pub(super) fn full(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).map_err(|never| match never {}).boxed_unsync()
}

pub(super) fn json(status: StatusCode, message: &Value) -> Response<Body> {
    typed(status, "application/json", full(message.to_string()))
}

pub(super) fn sse(body: Body) -> Response<Body> {
    let mut response = typed(StatusCode::OK, "text/event-stream", body);
    response.headers_mut().insert("x-accel-buffering", http::HeaderValue::from_static("no"));
    response.headers_mut().insert(header::CACHE_CONTROL, http::HeaderValue::from_static("no-cache"));
    response
}
