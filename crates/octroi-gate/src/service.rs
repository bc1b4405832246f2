//! The gate as a tower layer: bytes in, verdict, forward, settle, bytes out.
//!
//! ```text
//! bytes ─▶ envelope ─▶ policy ─▶ identity ─▶ payment ─▶ hold ─▶ inner service ─▶ capture | void ─▶ reply
//! ```
//!
//! The inner service is whatever stands behind the gate: the running gate's upstream, or the MCP server of the program that
//! embeds this layer. It receives the very bytes that were judged, minus the credentials.

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use octroi_mcp::era::{self, Era};
use octroi_mcp::headers;
use octroi_mcp::message::{self, Id, Kind, Message};
use tower_layer::Layer;
use tower_service::Service;

use crate::body::{BoxError, GateBody};
use crate::credentials::{self, META_KEYS};
use crate::exchange::{self, Exchange};
use crate::gate::{Admission, Call, Gate};
use crate::own_tools;
use crate::reason::Reason;
use crate::refusal::{Form, Refusal};

/// A service that a gate can stand in front of, answering with bodies of type `R`.
pub trait Inner<R>:
    Service<
        Request<Full<Bytes>>,
        Response = Response<R>,
        Error: Into<BoxError>,
        Future: Future<Output = Result<Response<R>, Self::Error>> + Send,
    > + Send
    + 'static
{
}

impl<S, R> Inner<R> for S
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>> + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
}

/// The body of a request as it comes in.
pub trait RequestBody: Body<Data: Buf + Send, Error: Into<BoxError>> + Send {}

impl<B: Body<Data: Buf + Send, Error: Into<BoxError>> + Send> RequestBody for B {}

/// The body of a reply as the inner service gives it.
pub trait InnerBody: Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static {}

impl<R: Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static> InnerBody for R {}

/// How long a caller may take to send its request's body.
const BODY_WAIT: Duration = Duration::from_secs(30);

/// Puts a [`Gate`] in front of a service.
#[derive(Clone)]
pub struct GateLayer(Arc<Gate>);

impl GateLayer {
    /// A layer of this gate; clones share its ledger, keys and limits.
    pub fn new(gate: Arc<Gate>) -> Self {
        Self(gate)
    }
}

impl<S> Layer<S> for GateLayer {
    type Service = GateService<S>;

    fn layer(&self, inner: S) -> GateService<S> {
        GateService { gate: Arc::clone(&self.0), inner, peer: None }
    }
}

/// A service with a gate in front of it. Every request gets a reply: refusals and upstream failures are replies too.
#[derive(Clone)]
pub struct GateService<S> {
    gate: Arc<Gate>,
    inner: S,
    peer: Option<IpAddr>,
}

impl<S> GateService<S> {
    /// The same service for requests of one network peer, by which callers without an access token are told apart.
    #[must_use]
    pub fn for_peer(self, peer: IpAddr) -> Self {
        Self { peer: Some(peer), ..self }
    }
}

impl<S, B, R> Service<Request<B>> for GateService<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>> + Inner<R> + Clone,
    B: RequestBody + 'static,
    R: InnerBody,
{
    type Response = Response<GateBody<R>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // The inner service is asked when there is something to forward; a busy one must not stop refusals.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (gate, inner, peer) = (Arc::clone(&self.gate), self.inner.clone(), self.peer);
        Box::pin(async move { Ok(handle(&gate, inner, request, peer).await) })
    }
}

async fn handle<S, B, R>(
    gate: &Arc<Gate>,
    inner: S,
    request: Request<B>,
    peer: Option<IpAddr>,
) -> Response<GateBody<R>>
where
    S: Inner<R>,
    B: RequestBody,
    R: InnerBody,
{
    let handled = match *request.method() {
        Method::POST => return post(gate, inner, request, peer).await,
        // Legacy: GET opens the server's stream and DELETE ends the session; a modern server answers 405 by itself.
        Method::GET | Method::DELETE => exchange::bodiless(gate, inner, request).await,
        _ => Err(Refusal::malformed(StatusCode::METHOD_NOT_ALLOWED, -32600, "use POST, GET or DELETE")),
    };
    handled.unwrap_or_else(|refusal| refuse(gate, refusal, None, Era::Legacy, Form::Http))
}

/// One message from a client.
async fn post<S, B, R>(
    gate: &Arc<Gate>,
    inner: S,
    request: Request<B>,
    peer: Option<IpAddr>,
) -> Response<GateBody<R>>
where
    S: Inner<R>,
    B: RequestBody,
    R: InnerBody,
{
    let (mut parts, body) = request.into_parts();
    let bytes = match read_body(&parts.headers, body, gate.limits.body_bytes_max).await {
        Ok(bytes) => bytes,
        Err(refusal) => return refuse(gate, refusal, None, Era::Legacy, Form::Http),
    };
    let message = match message::scan(&bytes, &gate.limits.json) {
        Ok(message) => message,
        Err(error) => {
            let refusal = Refusal::malformed(StatusCode::BAD_REQUEST, error.code(), error.to_string());
            return refuse(gate, refusal, error.id(&bytes), Era::Legacy, Form::Http);
        }
    };
    let era = match settle_era(&message, &parts.headers) {
        Ok(era) => era,
        Err(refusal) => return refuse(gate, refusal, message.id, Era::Modern, Form::Http),
    };
    let presented = match credentials::read(&parts.headers, &message) {
        Ok(presented) => presented,
        Err(error) => {
            let refusal = Refusal::new(Reason::MalformedRequest, error.to_string());
            return refuse(gate, refusal, message.id, era, Form::Http);
        }
    };
    let form = gate.form(&presented, &parts.headers, &message);
    let session = parts.headers.get(headers::SESSION_ID).map(HeaderValue::as_bytes);
    let call = Call { message: &message, era, presented: &presented, peer, session };
    let admission = match gate.judge(&call).await {
        Ok(admission) => admission,
        Err(refusal) => return refuse(gate, *refusal, message.id, era, form),
    };
    if let Some(response) = answer_itself(gate, &message, era, &admission, peer).await {
        return response.map(GateBody::whole);
    }
    let forward = message::without_meta(&message, &META_KEYS).map_or_else(|| bytes.clone(), Bytes::from);
    gate.request_headers.keep_allowed(&mut parts.headers);
    if let Some(caller) = admission.caller {
        parts.extensions.insert(caller);
    }
    let exchange = Exchange { gate, message: &message, era, charge: admission.charge };
    match exchange.run(inner, Request::from_parts(parts, Full::new(forward))).await {
        Ok(response) => response,
        Err(refusal) => refuse(gate, refusal, message.id, era, form),
    }
}

/// The reply of one of the gate's own tools, if the call is for one.
async fn answer_itself(
    gate: &Gate,
    message: &Message<'_>,
    era: Era,
    admission: &Admission,
    peer: Option<IpAddr>,
) -> Option<Response<Bytes>> {
    let (index, own, id) = (admission.own_tool?, gate.own_tools()?, message.id?);
    let reply = own.call(index, message.params.arguments, admission.caller.as_deref(), peer).await;
    let mut response = Response::new(Bytes::from(own_tools::reply_bytes(id, &reply, era)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Some(response)
}

/// Reads the body up to the bound. One that came in one piece is not copied.
async fn read_body<B>(headers: &HeaderMap, body: B, max: usize) -> Result<Bytes, Refusal>
where
    B: RequestBody,
{
    if !is_json(headers) {
        let text = "Content-Type must be application/json";
        return Err(Refusal::malformed(StatusCode::UNSUPPORTED_MEDIA_TYPE, -32600, text));
    }
    let Ok(read) = tokio::time::timeout(BODY_WAIT, Limited::new(body, max).collect()).await else {
        return Err(Refusal::malformed(
            StatusCode::REQUEST_TIMEOUT,
            -32600,
            "the request body came too slowly",
        ));
    };
    match read {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            let text = format!("the request body is longer than {max} bytes");
            Err(Refusal::malformed(StatusCode::PAYLOAD_TOO_LARGE, -32600, text))
        }
        Err(_) => Err(Refusal::malformed(StatusCode::BAD_REQUEST, -32700, "the request body broke off")),
    }
}

/// Whether the media type is `application/json`, whatever its parameters (RFC 9110 §8.3.1).
fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    let media_type = value.split(';').next().unwrap_or_default();
    media_type.trim().eq_ignore_ascii_case("application/json")
}

/// Settles the era and compares the mirrored headers with the body.
fn settle_era(message: &Message<'_>, headers: &HeaderMap) -> Result<Era, Refusal> {
    let mismatched = |mismatch: headers::HeaderMismatch| {
        Refusal::malformed(mismatch.status(), headers::HeaderMismatch::CODE, mismatch.to_string())
    };
    headers::check_version(message, headers).map_err(mismatched)?;
    let version = headers.get(headers::PROTOCOL_VERSION).map(|value| value.to_str().unwrap_or_default());
    let (era, _) = era::era(message, version).map_err(|error| {
        let mut refusal = Refusal::malformed(error.status(), error.code(), error.to_string());
        refusal.extend_data(error.data());
        refusal
    })?;
    headers::check(era, message, headers).map_err(mismatched)?;
    if era == Era::Modern && message.kind == Kind::Response {
        let text = "clients send no JSON-RPC responses in this revision";
        return Err(Refusal::malformed(StatusCode::BAD_REQUEST, -32600, text));
    }
    Ok(era)
}

fn refuse<R>(gate: &Gate, refusal: Refusal, id: Option<Id<'_>>, era: Era, form: Form) -> Response<GateBody<R>>
where
    R: Body<Data = Bytes> + Send + Unpin + 'static,
{
    gate.counters.refused(refusal.reason);
    refusal.into_response(id, era, form).map(GateBody::whole)
}
