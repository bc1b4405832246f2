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
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use octroi_mcp::era::{self, Era};
use octroi_mcp::headers;
use octroi_mcp::message::{self, Id, Kind, Message};
use tower_layer::Layer;
use tower_service::Service;

use crate::bodiless;
use crate::body::{BoxError, GateBody};
use crate::clock::unix_seconds;
use crate::credentials::{self, TokenScheme};
use crate::exchange::Exchange;
use crate::gate::{Admission, Call, Gate};
use crate::listing::Reader;
use crate::own_tools;
use crate::reason::Reason;
use crate::refusal::{Forms, Refusal};
use crate::replay;

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
        GateService { gate: Arc::clone(&self.0), inner, origin: Origin { peer: None, sees_http: true } }
    }
}

/// A service with a gate in front of it. Every request gets a reply: refusals and upstream failures are replies too.
#[derive(Clone)]
pub struct GateService<S> {
    gate: Arc<Gate>,
    inner: S,
    origin: Origin,
}

/// Where a request comes from.
#[derive(Clone, Copy)]
struct Origin {
    peer: Option<IpAddr>,
    /// Whether the caller sees statuses and headers of HTTP.
    sees_http: bool,
}

impl<S> GateService<S> {
    /// The same service for requests of one network peer, by which callers without an access token are told apart.
    #[must_use]
    pub fn for_peer(self, peer: IpAddr) -> Self {
        Self { origin: Origin { peer: Some(peer), ..self.origin }, ..self }
    }

    /// The same service for a caller to whom only messages are passed on, no HTTP: refusals that an HTTP status would say
    /// are said in the messages where that is left to the gate ([`crate::ChallengeStyle::Auto`]).
    #[must_use]
    pub fn without_http(self) -> Self {
        Self { origin: Origin { sees_http: false, ..self.origin }, ..self }
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
        let (gate, inner, origin) = (Arc::clone(&self.gate), self.inner.clone(), self.origin);
        Box::pin(async move { Ok(handle(&gate, inner, request, origin).await) })
    }
}

async fn handle<S, B, R>(
    gate: &Arc<Gate>,
    inner: S,
    request: Request<B>,
    origin: Origin,
) -> Response<GateBody<R>>
where
    S: Inner<R>,
    B: RequestBody,
    R: InnerBody,
{
    let handled: Result<_, Box<Refusal>> = match *request.method() {
        Method::POST => return post(gate, inner, request, origin).await,
        // Legacy: GET opens the server's stream and DELETE ends the session; a modern server answers 405 by itself.
        Method::GET | Method::DELETE => bodiless::pass(gate, inner, request, origin.peer).await,
        _ => {
            let text = "use POST, GET or DELETE";
            Err(Box::new(Refusal::malformed(StatusCode::METHOD_NOT_ALLOWED, -32600, text)))
        }
    };
    handled.unwrap_or_else(|refusal| refuse(gate, *refusal, None, Era::Legacy, Forms::HTTP))
}

/// One message from a client.
async fn post<S, B, R>(
    gate: &Arc<Gate>,
    inner: S,
    request: Request<B>,
    origin: Origin,
) -> Response<GateBody<R>>
where
    S: Inner<R>,
    B: RequestBody,
    R: InnerBody,
{
    let (parts, body) = request.into_parts();
    let bytes = match read_body(&parts.headers, body, gate.limits.body_bytes_max).await {
        Ok(bytes) => bytes,
        Err(refusal) => return refuse(gate, refusal, None, Era::Legacy, Forms::HTTP),
    };
    let message = match message::scan(&bytes, &gate.limits.json) {
        Ok(message) => message,
        Err(error) => {
            let refusal = Refusal::malformed(StatusCode::BAD_REQUEST, error.code(), error.to_string());
            return refuse(gate, refusal, error.id(&bytes), Era::Legacy, Forms::HTTP);
        }
    };
    let era = match settle_era(&message, &parts.headers) {
        Ok(era) => era,
        Err(refusal) => return refuse(gate, *refusal, message.id, Era::Modern, Forms::HTTP),
    };
    let presented = match credentials::read(&parts.headers, &message, gate.carriers) {
        Ok(presented) => presented,
        Err(error) => {
            let refusal = Refusal::new(Reason::MalformedRequest, error.to_string());
            return refuse(gate, refusal, message.id, era, Forms::HTTP);
        }
    };
    let forms = gate.forms(&presented, &parts.headers, &message, origin.sees_http);
    let call = Call {
        message: &message,
        era,
        presented: &presented,
        peer: origin.peer,
        session: parts.headers.get(headers::SESSION_ID).map(HeaderValue::as_bytes),
        method: &Method::POST,
    };
    let admitted = match admit(gate, &call).await {
        Ok(admitted) => admitted,
        Err(refusal) => return refuse(gate, *refusal, message.id, era, forms),
    };
    let passage = Passage { gate, message: &message, era, peer: origin.peer };
    let passed = passage.pass(inner, parts, &bytes, admitted).await;
    passed.unwrap_or_else(|refusal| refuse(gate, *refusal, message.id, era, forms))
}

/// A message that may pass, and what goes with it.
struct Admitted {
    admission: Admission,
    /// The token for the upstream.
    authorization: Option<HeaderValue>,
    /// Whether the caller will need a nonce for its next proof of possession.
    as_dpop: bool,
    now: u64,
}

async fn admit(gate: &Gate, call: &Call<'_, '_>) -> Result<Admitted, Box<Refusal>> {
    let (admission, now) = (gate.judge(call).await?, unix_seconds());
    // Where nothing is forwarded, no token is asked for: a tool of the gate's own, or an answer given again.
    let authorization = if admission.own_tool.is_some() || admission.answer.is_some() {
        None
    } else {
        let vouched = admission.vouch.as_ref().map(|vouch| vouch.token.as_str());
        let token = call.presented.token.as_ref().map(|token| &*token.text).or(vouched);
        gate.authorization(admission.caller.as_ref(), token, now).await?
    };
    let as_dpop = call.presented.token.as_ref().is_some_and(|token| token.scheme == TokenScheme::Dpop);
    Ok(Admitted { admission, authorization, as_dpop, now })
}

/// One admitted message on its way.
struct Passage<'a, 'm> {
    gate: &'a Arc<Gate>,
    message: &'a Message<'m>,
    era: Era,
    peer: Option<IpAddr>,
}

impl Passage<'_, '_> {
    /// To whoever answers it: a tool of the gate's own, or the server behind it.
    async fn pass<S, R>(
        &self,
        inner: S,
        mut parts: Parts,
        bytes: &Bytes,
        admitted: Admitted,
    ) -> Result<Response<GateBody<R>>, Box<Refusal>>
    where
        S: Inner<R>,
        R: InnerBody,
    {
        let Self { gate, message, era, peer } = *self;
        let Admitted { admission, authorization, as_dpop, now } = admitted;
        if let Some(response) = answer_itself(gate, message, era, &admission, peer).await {
            return Ok(response.map(GateBody::whole));
        }
        if let Some(answer) = admission.answer {
            let mut response = replay::again(answer, message.id)?.map(GateBody::whole);
            if as_dpop {
                next_nonce(gate, response.headers_mut(), now);
            }
            return Ok(response);
        }
        let Admission { caller, charge, session, .. } = admission;
        gate.address(caller.as_ref(), authorization, &mut parts.headers, now)?;
        let forward = gate.introduction.message(caller.as_ref(), message, bytes);
        let reader = Reader { caller: caller.clone(), peer };
        if let Some(caller) = caller {
            parts.extensions.insert(caller);
        }
        let exchange = Exchange { gate, message, era, charge, reader };
        let mut response = exchange.run(inner, Request::from_parts(parts, Full::new(forward))).await?;
        if message.method == "initialize" {
            session.opened(gate, response.headers());
        }
        if as_dpop {
            next_nonce(gate, response.headers_mut(), now);
        }
        Ok(response)
    }
}

/// The nonce for the caller's next proof (RFC 9449 §8.2), where nonces are asked for.
fn next_nonce(gate: &Gate, headers: &mut HeaderMap, now: u64) {
    let nonce = gate.identity().and_then(|desk| desk.possession()?.verifier.nonce(now));
    if let Some(nonce) = nonce.and_then(|nonce| HeaderValue::from_str(&nonce).ok()) {
        headers.insert(HeaderName::from_static("dpop-nonce"), nonce);
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
fn settle_era(message: &Message<'_>, headers: &HeaderMap) -> Result<Era, Box<Refusal>> {
    let mismatched = |mismatch: headers::HeaderMismatch| {
        let (status, text) = (mismatch.status(), mismatch.to_string());
        Box::new(Refusal::malformed(status, headers::HeaderMismatch::CODE, text))
    };
    headers::check_version(message, headers).map_err(mismatched)?;
    let version = headers.get(headers::PROTOCOL_VERSION).map(|value| value.to_str().unwrap_or_default());
    let (era, _) = era::era(message, version).map_err(|error| {
        let mut refusal = Refusal::malformed(error.status(), error.code(), error.to_string());
        refusal.extend_data(error.data());
        Box::new(refusal)
    })?;
    headers::check(era, message, headers).map_err(mismatched)?;
    if era == Era::Modern && message.kind == Kind::Response {
        let text = "clients send no JSON-RPC responses in this revision";
        return Err(Box::new(Refusal::malformed(StatusCode::BAD_REQUEST, -32600, text)));
    }
    Ok(era)
}

fn refuse<R>(
    gate: &Gate,
    refusal: Refusal,
    id: Option<Id<'_>>,
    era: Era,
    forms: Forms,
) -> Response<GateBody<R>>
where
    R: Body<Data = Bytes> + Send + Unpin + 'static,
{
    gate.counters.refused(refusal.reason);
    refusal.into_response(id, era, forms).map(GateBody::whole)
}
