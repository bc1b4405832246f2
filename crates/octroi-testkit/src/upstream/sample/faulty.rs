//! The answers of a server that misbehaves, over HTTP.

use std::future::pending;
use std::io;

use bytes::Bytes;
use futures_util::stream;
use http::{Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use serde_json::{Value, json};

use super::fault::Fault;
use super::http::{Body, bare, event, full, json, sse, typed};
use super::state::State;
use super::wire::{Call, Era, Refusal, success};

/// Counts a request as cancelled when its caller goes away before the (never coming) answer.
struct Hanging<'a>(&'a State);

impl Drop for Hanging<'_> {
    fn drop(&mut self) {
        self.0.count(|tally| tally.cancelled += 1);
    }
}

pub(super) async fn respond(state: &State, call: &Call, fault: Fault) -> Response<Body> {
    match fault {
        Fault::Http500 => typed(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", full("the server broke\n")),
        Fault::Hang => {
            let _hanging = Hanging(state);
            pending().await
        }
        Fault::CutStream => {
            let progress = json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {
                "level": "info", "data": "this stream will break",
            }});
            let whole = event(&plain_response(call, "never whole"));
            sse(cut([event(&progress), whole.slice(..whole.len() / 2)]))
        }
        Fault::CutBody => {
            let whole = Bytes::from(plain_response(call, "never whole").to_string());
            typed(StatusCode::OK, "application/json", cut([whole.slice(..whole.len() / 2), Bytes::new()]))
        }
        Fault::Garbage => typed(StatusCode::OK, "application/json", full("{\"jsonrpc\": \"2.0\", oops\n")),
        Fault::Empty => typed(StatusCode::OK, "application/json", full("")),
        Fault::WrongContentType => {
            typed(StatusCode::OK, "text/html", full(plain_response(call, "html").to_string()))
        }
        other => in_band(call, other).map_or_else(
            || bare(StatusCode::INTERNAL_SERVER_ERROR),
            |message| json(StatusCode::OK, &message),
        ),
    }
}

/// The faults that are a JSON-RPC message, on any transport.
pub(super) fn in_band(call: &Call, fault: Fault) -> Option<Value> {
    match fault {
        Fault::RpcError => Some(Refusal::new(-32603, "the server broke").response(&call.id)),
        Fault::ToolError => {
            let mut response = plain_response(call, "the tool broke");
            response["result"]["isError"] = json!(true);
            Some(response)
        }
        Fault::Huge => Some(plain_response(call, &"x".repeat(Fault::HUGE_BYTES))),
        Fault::WrongId => {
            let mut response = plain_response(call, "for somebody else");
            response["id"] = json!(format!("not-{}", call.id));
            Some(response)
        }
        _ => None,
    }
}

fn plain_response(call: &Call, text: &str) -> Value {
    let mut result = json!({"content": [{"type": "text", "text": text}]});
    if call.era == Era::Modern {
        result = super::catalog::complete_result(result, false);
    }
    success(&call.id, result)
}

/// A body that breaks its connection after these pieces.
fn cut(pieces: [Bytes; 2]) -> Body {
    let frames = stream::unfold(pieces.into_iter(), |mut pieces| async {
        // Pending once between pieces: hyper flushes what it has, so the caller sees it before the break.
        tokio::task::yield_now().await;
        let broken = || Err(io::Error::new(io::ErrorKind::ConnectionReset, "cut on purpose"));
        Some((pieces.next().map_or_else(broken, |piece| Ok(Frame::data(piece))), pieces))
    });
    StreamBody::new(frames).boxed_unsync()
}
