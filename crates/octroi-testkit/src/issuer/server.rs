//! The issuer's listener.

use std::convert::Infallible;
use std::future;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::State;
use super::faults::{Endpoint, Fault};

/// The largest token request read, in bytes.
const MAX_FORM_BYTES: usize = 16 * 1024;

/// Answers until the task is aborted, which ends every connection with it.
pub(super) async fn serve(listener: TcpListener, state: Arc<State>) -> Infallible {
    let mut connections = JoinSet::new();
    loop {
        let accepted = listener.accept().await;
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = accepted else { continue };
        let state = Arc::clone(&state);
        connections.spawn(async move {
            let answer = service_fn(move |request| answer(Arc::clone(&state), request));
            // A connection that breaks is the client's affair, and often the test's wish.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

/// An error closes the connection.
async fn answer(state: Arc<State>, request: Request<Incoming>) -> io::Result<Response<Full<Bytes>>> {
    let Some(endpoint) = state.endpoint_at(request.uri().path()) else {
        return Ok(status(StatusCode::NOT_FOUND));
    };
    let padding = match state.faults.meet(endpoint) {
        Fault::None => 0,
        Fault::Padded(bytes) => bytes,
        Fault::Disconnect => return Err(io::ErrorKind::ConnectionAborted.into()),
        Fault::Hang => future::pending().await,
        Fault::Status(code) => return Ok(status(StatusCode::from_u16(code).unwrap_or_default())),
        Fault::Text(text) => return Ok(document(StatusCode::OK, text)),
        Fault::Redirect(location) => {
            let mut response = status(StatusCode::FOUND);
            if let Ok(location) = location.parse() {
                response.headers_mut().insert(header::LOCATION, location);
            }
            return Ok(response);
        }
    };
    let (code, body) = match (endpoint, request.method()) {
        (_, &Method::OPTIONS) => return Ok(status(StatusCode::NO_CONTENT)),
        (Endpoint::Token, &Method::POST) => grant(&state, request).await,
        (Endpoint::Token, _) => return Ok(status(StatusCode::METHOD_NOT_ALLOWED)),
        (
            Endpoint::Introspection | Endpoint::TokenInfo | Endpoint::UserInfo | Endpoint::GitHubToken,
            &(Method::GET | Method::POST),
        ) => asked(&state, endpoint, request).await,
        (Endpoint::Jwks, _) => (StatusCode::OK, state.keys.lock().published()),
        (_, _) => (StatusCode::OK, state.metadata()),
    };
    Ok(document(code, " ".repeat(padding) + &body.to_string()))
}

async fn grant(state: &State, request: Request<Incoming>) -> (StatusCode, Value) {
    let (parts, body) = request.into_parts();
    match Limited::new(body, MAX_FORM_BYTES).collect().await {
        Ok(form) => state.grant(parts.headers.get(header::AUTHORIZATION), &form.to_bytes()),
        Err(_) => (StatusCode::PAYLOAD_TOO_LARGE, Value::Null),
    }
}

/// A question about a token.
async fn asked(state: &State, endpoint: Endpoint, request: Request<Incoming>) -> (StatusCode, Value) {
    let (parts, body) = request.into_parts();
    match Limited::new(body, MAX_FORM_BYTES).collect().await {
        Ok(body) => state.answer(endpoint, &parts, &body.to_bytes()),
        Err(_) => (StatusCode::PAYLOAD_TOO_LARGE, Value::Null),
    }
}

fn document(code: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = status(code);
    *response.body_mut() = Full::from(text);
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    let no_store = header::HeaderValue::from_static("no-store");
    response.headers_mut().insert(header::CACHE_CONTROL, no_store);
    response
}

/// An empty answer that clients in a browser may read, too.
fn status(code: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = code;
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type, mcp-protocol-version"),
    ] {
        response.headers_mut().insert(name, header::HeaderValue::from_static(value));
    }
    response
}
