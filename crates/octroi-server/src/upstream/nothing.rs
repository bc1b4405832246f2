//! No MCP server at all: what answers when the gate stands alone and serves its own tools only.

use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full};
use octroi_mcp::era::{Era, Revision, SUPPORTED};
use octroi_mcp::message::{self, Kind, Message};
use octroi_mcp::{headers, json, reply};
use serde_json::{Value, json};
use tower::Service;

use super::{UpstreamBody, UpstreamError, UpstreamFuture};

/// How long a client may keep what never changes, in milliseconds.
const TTL_MS: u64 = 300_000;

/// Answers what MCP asks of every server, with no tools, resources or prompts of its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nothing;

impl Service<Request<Full<Bytes>>> for Nothing {
    type Response = Response<UpstreamBody>;
    type Error = UpstreamError;
    type Future = UpstreamFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), UpstreamError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> UpstreamFuture {
        Box::pin(async move {
            if request.method() != Method::POST {
                return Ok(empty(StatusCode::METHOD_NOT_ALLOWED));
            }
            let version = request.headers().get(headers::PROTOCOL_VERSION).cloned();
            let Ok(body) = request.into_body().collect().await;
            let body = body.to_bytes();
            // The gate has read it before: nothing else is forwarded.
            let Ok(message) = message::scan(&body, &json::Limits::default()) else {
                return Ok(empty(StatusCode::BAD_REQUEST));
            };
            let era = octroi_mcp::era::era(&message, version.as_ref().and_then(|value| value.to_str().ok()));
            Ok(answer(&message, era.map_or(Era::Legacy, |(era, _)| era)))
        })
    }
}

fn answer(message: &Message<'_>, era: Era) -> Response<UpstreamBody> {
    let (Kind::Request, Some(id)) = (message.kind, message.id) else { return empty(StatusCode::ACCEPTED) };
    let cached = json!({"ttlMs": TTL_MS, "cacheScope": "public"});
    let result = match (message.method.as_ref(), era) {
        ("initialize", Era::Legacy) => Some(initialized(message)),
        ("ping", Era::Legacy) => Some(json!({})),
        ("server/discover", Era::Modern) => Some(discovered()),
        ("tools/list", _) => Some(json!({"tools": []})),
        _ => None,
    };
    let Some(mut result) = result else {
        let status = reply::http_status(era, -32601);
        return whole(
            status,
            reply::error(Some(id), -32601, "this server has only the tools it lists", None),
        );
    };
    if let (Era::Modern, Some(result), Value::Object(cached)) = (era, result.as_object_mut(), cached) {
        result.insert("resultType".to_owned(), "complete".into());
        result.extend(cached);
    }
    whole(StatusCode::OK, reply::result(id, result.to_string().as_bytes()))
}

/// The revision that the client asks for, or the newest of its era.
fn initialized(message: &Message<'_>) -> Value {
    let asked = json::get(message.params.raw.unwrap_or(b"{}"), "protocolVersion").and_then(json::string);
    let asked =
        asked.and_then(|name| Revision::parse(&name)).filter(|revision| revision.era() == Era::Legacy);
    json!({
        "protocolVersion": asked.unwrap_or(Revision::V2025_11_25).as_str(),
        "capabilities": {"tools": {}},
        "serverInfo": server_info(),
        "instructions": INSTRUCTIONS,
    })
}

fn discovered() -> Value {
    let versions: Vec<&str> = SUPPORTED.iter().map(|revision| revision.as_str()).collect();
    json!({
        "supportedVersions": versions,
        "capabilities": {"tools": {}},
        "instructions": INSTRUCTIONS,
        "_meta": {"io.modelcontextprotocol/serverInfo": server_info()},
    })
}

const INSTRUCTIONS: &str = "Hands out proof-of-work puzzles and checks their solutions. What verify returns is an access token for other services.";

fn server_info() -> Value {
    json!({"name": "octroi", "version": env!("CARGO_PKG_VERSION")})
}

fn empty(status: StatusCode) -> Response<UpstreamBody> {
    let mut response = Response::new(UpstreamBody::whole(Bytes::new()));
    *response.status_mut() = status;
    response
}

fn whole(status: StatusCode, body: Vec<u8>) -> Response<UpstreamBody> {
    let mut response = Response::new(UpstreamBody::whole(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
