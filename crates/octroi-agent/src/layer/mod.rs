//! A tower layer that pays: put it over any HTTP client, and requests that meet a 402 are paid for and sent again.
//!
//! ```
//! # fn wrap<S>(client: S, payer: std::sync::Arc<octroi_agent::Payer>) -> octroi_agent::PayService<S> {
//! use tower_layer::Layer;
//! octroi_agent::PayLayer::new(payer).layer(client)
//! # }
//! ```

mod body;
mod carrier;
mod subject;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, request, response};
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::Value;
use tower_layer::Layer;
use tower_service::Service;
use url::Url;

pub use body::PaidBody;
pub use carrier::Carrier;

use crate::ahead;
use crate::http::REFUSAL_WAIT;
use crate::paying::Wanted;
use crate::redeem::{self, Redemption};
use crate::session::{self, ACCEPT_AUTHENTICATE, CALLS, MACAROON, NO_CREDENTIAL, PAYMENT, SOLUTION};
use crate::visit::{ATTEMPTS_MAX, Ending, Subject, Visit};
use crate::{AgentError, Approver, Paid, Payer, PaymentRequired, Proof, Worked};

/// Most bytes of a request that is kept to be sent again.
const REQUEST_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most bytes of a refusal, or of a JSON reply, that are read before it is passed on.
const REPLY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// `_meta` key of a tool result that asks for payment.
const IN_BAND: &[u8] = b"dev.octroi/payment-required";

/// Any error of the client below.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// In the extensions of a response that was paid for, or might have been: what it cost.
#[derive(Clone, Copy, Debug, Default)]
pub struct Charged {
    /// What was paid for it now.
    pub paid: Option<Paid>,
    /// What was computed for it.
    pub work: Option<Worked>,
    /// What the server charged: msat, or calls where it was paid with work.
    pub price: Option<i64>,
    /// What is left on the account, in the same unit.
    pub balance: Option<i64>,
}

/// In the extensions of a refusal that was not paid: why.
#[derive(Clone, Debug)]
pub struct Unpaid(pub Arc<AgentError>);

/// In the extensions of a request: who is asked about this very payment, in place of the payer's own approver.
#[derive(Clone)]
pub struct Asks(pub Arc<dyn Approver>);

/// Puts a [`Payer`] over an HTTP client.
#[derive(Clone)]
pub struct PayLayer(Arc<Payer>);

impl PayLayer {
    /// A layer of this payer; clones share its purse and its limits.
    #[must_use]
    pub fn new(payer: Arc<Payer>) -> Self {
        Self(payer)
    }
}

impl<S> Layer<S> for PayLayer {
    type Service = PayService<S>;

    fn layer(&self, inner: S) -> PayService<S> {
        PayService { inner, payer: Arc::clone(&self.0) }
    }
}

/// An HTTP client that pays. Requests need an absolute URI. A refusal that is not paid is the response, with [`Unpaid`] in its
/// extensions; a request that brings a payment credential of its own is sent as it is.
#[derive(Clone)]
pub struct PayService<S> {
    inner: S,
    payer: Arc<Payer>,
}

impl<S, Q> Service<Request<Q>> for PayService<S>
where
    S: Carrier<Q>,
    Q: Body<Data: Send, Error: Into<BoxError>> + From<Bytes> + Send + 'static,
{
    type Response = Response<PaidBody<S::Answer>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        // The one that is ready makes the call; its clone takes its place.
        let clone = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, clone);
        let payer = Arc::clone(&self.payer);
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = Limited::new(body, REQUEST_BYTES_MAX).collect().await?.to_bytes();
            Errand { inner, payer, head, body }.run().await
        })
    }
}

/// One request on its way.
struct Errand<S> {
    inner: S,
    payer: Arc<Payer>,
    head: request::Parts,
    body: Bytes,
}

impl<S> Errand<S> {
    async fn run<Q>(mut self) -> Result<Response<PaidBody<S::Answer>>, BoxError>
    where
        S: Carrier<Q>,
        Q: From<Bytes> + Send + 'static,
    {
        let brings = pays_itself(&self.head.headers);
        let Some(subject) = subject::of(&self.head, &self.body).filter(|_| !brings) else {
            let request = self.request(&Proof::None, None, 1)?;
            return Ok(send(&mut self.inner, request).await?.map(PaidBody::passing));
        };
        let approver = self.head.extensions.get::<Asks>().map(|asks| Arc::clone(&asks.0));
        let wanted = self.head.extensions.get().cloned().unwrap_or(Wanted::in_any_case());
        let mut visit = Visit::begin(Arc::clone(&self.payer), subject, None, approver)?;
        for _ in 0..ATTEMPTS_MAX {
            if wanted.is_over() {
                return Err(AgentError::GivenUp.into());
            }
            let asking = visit.asking()?;
            let proof = visit.proof();
            let macaroon = visit.credential().filter(|bought| bought.calls_left.is_none());
            let macaroon = macaroon.and_then(crate::Bought::macaroon_hex);
            let request = self.request(&proof, macaroon.as_ref(), asking)?;
            let (head, body) = send(&mut self.inner, request).await?.into_parts();
            if !may_ask(&head) {
                return self.arrive::<Q>(visit, head, PaidBody::passing(body));
            }
            let body = read_whole(&head, body).await?;
            let Some(required) = required(&head, &body) else {
                return self.arrive::<Q>(visit, head, PaidBody::whole(body));
            };
            let answered = tokio::select! {
                answered = visit.answer(&required, asking) => answered,
                () = wanted.over() => return Err(AgentError::GivenUp.into()),
            };
            if let Err(error) = answered {
                let mut refused = Response::from_parts(head, PaidBody::whole(body));
                refused.extensions_mut().insert(Unpaid(Arc::new(error)));
                return Ok(refused);
            }
            if let Some(redemption) = visit.redemption() {
                let given = tokio::time::timeout(REFUSAL_WAIT, self.redeem::<Q>(&redemption)).await;
                visit.redeemed(given.ok().flatten().as_deref())?;
            }
        }
        Err(AgentError::BadReply(format!("no end after {ATTEMPTS_MAX} requests")).into())
    }

    /// Hands a solution in; what the server gives for it. Where it gives nothing the solution is still there to be shown.
    async fn redeem<Q>(&mut self, redemption: &Redemption) -> Option<Bytes>
    where
        S: Carrier<Q>,
        Q: From<Bytes>,
    {
        let mut request = Request::new(Q::from(Bytes::from(redemption.body.to_string())));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = redemption.url.as_str().parse().ok()?;
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(CONTENT_TYPE, json.clone());
        request.headers_mut().insert(ACCEPT, json);
        if let Some(token) = self.head.headers.get(AUTHORIZATION) {
            request.headers_mut().insert(AUTHORIZATION, token.clone());
        }
        let (head, body) = send(&mut self.inner, request).await.ok()?.into_parts();
        let body = Limited::new(body, redeem::ANSWER_BYTES_MAX).collect().await.ok()?;
        head.status.is_success().then(|| body.to_bytes())
    }

    fn request<Q: From<Bytes>>(
        &self,
        proof: &Proof,
        macaroon: Option<&crate::Secret>,
        asking: u32,
    ) -> Result<Request<Q>, AgentError> {
        let mut head = self.head.clone();
        show(&mut head.headers, proof, macaroon)?;
        if asking > 1 {
            head.headers.insert(CALLS, HeaderValue::from(asking));
        }
        Ok(Request::from_parts(head, Q::from(self.body.clone())))
    }

    /// The answer is not about payment: it is counted and passed on, and the next calls are bought where they will be needed.
    fn arrive<Q>(
        self,
        mut visit: Visit,
        mut head: response::Parts,
        body: PaidBody<S::Answer>,
    ) -> Result<Response<PaidBody<S::Answer>>, BoxError>
    where
        S: Carrier<Q>,
        Q: From<Bytes> + Send + 'static,
    {
        let number = |name: &str| head.headers.get(name)?.to_str().ok()?.parse::<i64>().ok();
        let (price, balance) = (number("octroi-price"), number("octroi-balance"));
        let failed = !head.status.is_success() || body.tells_failure();
        let shown = visit.credential().map(|bought| (bought.hash(), bought.worked));
        visit.end(if failed { Ending::Failed } else { Ending::Served }, price, balance)?;
        let charged = Charged { paid: visit.paid, work: visit.work, price, balance };
        head.extensions.insert(charged);
        let watched = shown.filter(|_| !failed);
        let body = body.watched(watched.map(|(hash, _)| (Arc::clone(self.payer.purse()), hash)));
        // What is worked for is not bought ahead.
        let worked = shown.is_some_and(|(_, worked)| worked);
        if !worked && ahead::is_due(&self.payer, &visit.subject, price)? {
            self.buy_ahead::<Q>(visit.subject);
        }
        Ok(Response::from_parts(head, body))
    }

    fn buy_ahead<Q>(self, subject: Subject)
    where
        S: Carrier<Q>,
        Q: From<Bytes> + Send + 'static,
    {
        let Self { mut inner, payer, mut head, body } = self;
        let asks = move |calls: u32| -> Pin<Box<dyn Future<Output = Option<PaymentRequired>> + Send>> {
            Box::pin(async move {
                let nothing = Proof::Payment(crate::Secret::new(NO_CREDENTIAL));
                show(&mut head.headers, &nothing, None).ok()?;
                head.headers.insert(CALLS, HeaderValue::from(calls));
                let request = Request::from_parts(head, Q::from(subject::without_arguments(&body)?));
                let (head, body) = send(&mut inner, request).await.ok()?.into_parts();
                let body = Limited::new(body, REPLY_BYTES_MAX).collect().await.ok()?.to_bytes();
                required(&head, &body)
            })
        };
        tokio::spawn(async move { ahead::buy(&payer, subject, REFUSAL_WAIT, Box::new(asks)).await });
    }
}

async fn send<S: Carrier<Q>, Q>(inner: &mut S, request: Request<Q>) -> Result<Response<S::Answer>, BoxError> {
    std::future::poll_fn(|cx| inner.poll_ready(cx)).await.map_err(Into::into)?;
    inner.call(request).await.map_err(Into::into)
}

/// The whole body of an answer. A tool may take its time; a refusal has no reason to.
async fn read_whole<R>(head: &response::Parts, body: R) -> Result<Bytes, AgentError>
where
    R: Body<Data = Bytes, Error: Into<BoxError>>,
{
    let reading = Limited::new(body, REPLY_BYTES_MAX).collect();
    let read = match head.status.is_success() {
        true => reading.await,
        false => tokio::time::timeout(REFUSAL_WAIT, reading).await.map_err(|_| AgentError::Timeout)?,
    };
    match read {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(AgentError::TooLong { max: REPLY_BYTES_MAX }),
        Err(error) => Err(AgentError::Network(error.to_string())),
    }
}

/// Puts a proof where it belongs: beside an access token in a header of its own.
fn show(headers: &mut HeaderMap, proof: &Proof, macaroon: Option<&crate::Secret>) -> Result<(), AgentError> {
    headers.insert(ACCEPT_AUTHENTICATE, HeaderValue::from_static("L402"));
    let taken = headers.contains_key(AUTHORIZATION);
    headers.extend(session::proof_header(proof, macaroon, taken)?);
    Ok(())
}

/// The request shows a credential of its own.
fn pays_itself(headers: &HeaderMap) -> bool {
    let scheme = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
    let pays = |name: &[u8]| scheme.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
    pays(b"L402 ")
        || pays(b"LSAT ")
        || [PAYMENT, SOLUTION, MACAROON].iter().any(|name| headers.contains_key(name))
}

/// An answer that may be a refusal is read whole; everything else is passed on as it comes.
fn may_ask(head: &response::Parts) -> bool {
    let is_json = || {
        let kind = head.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
        kind.get(..16).is_some_and(|start| start.eq_ignore_ascii_case(b"application/json"))
    };
    match head.status.as_u16() {
        402 => true,
        503 | 200 => is_json(),
        _ => false,
    }
}

/// What an answer asks for, if it asks for anything.
fn required(head: &response::Parts, body: &[u8]) -> Option<PaymentRequired> {
    let status = head.status.as_u16();
    if status == 200 && memchr::memmem::find(body, IN_BAND).is_none() {
        return None;
    }
    let lines = head.headers.get_all(WWW_AUTHENTICATE).iter();
    let challenges = lines.filter_map(|line| line.to_str().ok()).collect::<Vec<_>>().join("\n");
    let json: Option<Value> = serde_json::from_slice(body).ok();
    PaymentRequired::read_parts(status, &challenges, json.as_ref())
}

/// The address as the payer's rules and the purse know it.
pub(crate) fn address(head: &request::Parts) -> Option<Url> {
    Url::parse(&head.uri.to_string()).ok().filter(|url| matches!(url.scheme(), "http" | "https"))
}
