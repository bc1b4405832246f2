//! The way of an admitted call to the upstream and back.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::response::Parts;
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use octroi_mcp::era::Era;
use octroi_mcp::json;
use octroi_mcp::message::{Kind, Message};
use octroi_mcp::reply::{self, Outcome};

use crate::body::{BoxError, Due, GateBody, Watch, drain};
use crate::charge::{Answered, Charge};
use crate::forward::clean_reply;
use crate::gate::Gate;
use crate::listing::{Amended, Listing, Reader};
use crate::reason::Reason;
use crate::refusal::Refusal;
use crate::service::{Inner, InnerBody};

/// What the call costs, in the unit of the charge (msat, or calls bought with work).
const PRICE: HeaderName = HeaderName::from_static("octroi-price");
/// What the account has left while the call is held, in the same unit.
const BALANCE: HeaderName = HeaderName::from_static("octroi-balance");

/// The signed receipt for what was charged.
pub(crate) const RECEIPT: HeaderName = HeaderName::from_static("octroi-receipt");

/// One admitted call.
pub(crate) struct Exchange<'a, 'm> {
    pub(crate) gate: &'a Arc<Gate>,
    pub(crate) message: &'a Message<'m>,
    pub(crate) era: Era,
    pub(crate) charge: Option<Charge>,
    pub(crate) reader: Reader,
}

impl Exchange<'_, '_> {
    /// Forwards the call and settles its charge. Dropping the future (the caller went away) voids it.
    ///
    /// # Errors
    /// The upstream did not answer, or the ledger could not record the hold. Nothing was charged.
    pub(crate) async fn run<S, R>(
        mut self,
        inner: S,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<GateBody<R>>, Refusal>
    where
        S: Inner<R>,
        R: InnerBody,
    {
        let answered = Outlives::new(forward(inner, request), self.survives_caller()).await;
        let response = answered.map_err(|error| self.unavailable(&error))?;
        let (mut parts, body) = response.into_parts();
        if parts.status == StatusCode::UNAUTHORIZED {
            // The caller's token has been taken off; this 401 is about the gate's own standing with its upstream.
            return Err(Refusal::new(
                Reason::UpstreamUnavailable,
                "the server behind the gate asks the gate itself for credentials",
            ));
        }
        let streams = is_event_stream(&parts.headers);
        clean_reply(&mut parts.headers);
        let listing = self.listing();
        if listing.as_ref().is_some_and(Listing::is_private) {
            parts.headers.insert(CACHE_CONTROL, HeaderValue::from_static("private"));
        }
        let body = if streams && parts.status.is_success() {
            // How the call ends is not known yet: what is held is what is told.
            if let Some(charge) = &self.charge {
                announce(&mut parts.headers, charge.amount(), charge.balance_after());
            }
            self.stream(body, listing).await?
        } else if self.charge.is_some() || listing.is_some() {
            self.whole(&mut parts, body, listing).await?
        } else {
            GateBody::plain(body)
        };
        Ok(Response::from_parts(parts, body))
    }

    fn survives_caller(&self) -> bool {
        self.era == Era::Legacy && self.message.kind == Kind::Request
    }

    fn listing(&self) -> Option<Listing> {
        if self.message.kind != Kind::Request {
            return None;
        }
        let first_page = self.message.params.cursor.is_none();
        Listing::of_request(self.gate, &self.message.method, first_page, self.era, &self.reader)
    }

    fn unavailable(&mut self, error: &BoxError) -> Refusal {
        if let Some(charge) = &mut self.charge {
            charge.upstream_failed();
        }
        // What went wrong behind the gate is for the operator's eyes.
        tracing::warn!(service = %self.gate.service, error = %error, "the upstream did not answer");
        Refusal::new(
            Reason::UpstreamUnavailable,
            "the server behind the gate did not answer; nothing was charged",
        )
    }

    /// A stream: the hold must be on disk before the first byte leaves, and ends with the final event.
    async fn stream<R>(&mut self, body: R, listing: Option<Listing>) -> Result<GateBody<R>, Refusal>
    where
        R: InnerBody,
    {
        self.durable().await?;
        Ok(GateBody::events(
            body,
            Watch {
                charge: self.charge.take().map(|charge| Due::on_reply(charge, self.message.id)),
                listing,
                survives_caller: self.survives_caller(),
                event_bytes_max: self.gate.limits.reply_bytes_max,
            },
        ))
    }

    /// A JSON reply: judged as a whole, then settled.
    async fn whole<R>(
        &mut self,
        parts: &mut Parts,
        body: R,
        listing: Option<Listing>,
    ) -> Result<GateBody<R>, Refusal>
    where
        R: InnerBody,
    {
        let max = self.gate.limits.reply_bytes_max;
        let collected = Limited::new(body, max).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                let text = format!("the server's reply is longer than {max} bytes; nothing was charged");
                return Refusal::new(Reason::UpstreamUnavailable, text);
            }
            self.unavailable(&error)
        })?;
        let bytes = collected.to_bytes();
        if let Some(listing) = listing {
            return match listing.amend(&bytes) {
                Amended::Same => Ok(GateBody::whole(bytes)),
                Amended::Changed(amended) => Ok(GateBody::whole(amended.into())),
                Amended::Unreadable => {
                    let text = "the server's list cannot be read, so it cannot be filtered";
                    Err(Refusal::new(Reason::UpstreamUnavailable, text))
                }
            };
        }
        // An answer to another request is none: the caller cannot use it.
        let answered =
            parts.status.is_success() && self.message.id.is_some_and(|id| reply::answers(&bytes, id));
        let outcome = if answered { reply::outcome(&bytes) } else { Outcome::Malformed };
        self.durable().await?;
        if let Some(charge) = self.charge.take() {
            let result = json::get(&bytes, "result");
            let settled = charge.settle(outcome, Answered { bytes: bytes.len() as u64, result });
            announce(&mut parts.headers, settled.charged, settled.balance);
            if let Some(receipt) = &settled.receipt
                && let Ok(value) = HeaderValue::from_str(&receipt.jws)
            {
                parts.headers.insert(RECEIPT, value);
            }
            if let Some(result) = settled.result {
                return Ok(GateBody::whole(json::with_member(&bytes, "result", &result).into()));
            }
        }
        Ok(GateBody::whole(bytes))
    }

    async fn durable(&self) -> Result<(), Refusal> {
        let Some(charge) = &self.charge else { return Ok(()) };
        charge.durable().await.map_err(|error| {
            tracing::error!(service = %self.gate.service, error = %error, "a hold could not be recorded");
            Refusal::new(Reason::LedgerUnavailable, "the charge could not be recorded; nothing was charged")
        })
    }
}

fn announce(headers: &mut HeaderMap, price: i64, balance: i64) {
    headers.insert(PRICE, HeaderValue::from(price));
    headers.insert(BALANCE, HeaderValue::from(balance));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

pub(crate) async fn forward<S, R>(
    mut inner: S,
    request: Request<Full<Bytes>>,
) -> Result<Response<R>, BoxError>
where
    S: Inner<R>,
{
    std::future::poll_fn(|cx| inner.poll_ready(cx)).await.map_err(Into::into)?;
    inner.call(request).await.map_err(Into::into)
}

pub(crate) fn is_event_stream(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    value.get(..17).is_some_and(|start| start.eq_ignore_ascii_case(b"text/event-stream"))
}

/// A legacy exchange goes on when its caller goes away: dropping this future moves it to the background, where its reply
/// is read to the end and thrown away.
struct Outlives<F, R>
where
    F: Future<Output = Result<Response<R>, BoxError>> + Send + 'static,
    R: Body<Data = Bytes> + Send + Unpin + 'static,
{
    future: Option<Pin<Box<F>>>,
    outlives: bool,
}

impl<F, R> Outlives<F, R>
where
    F: Future<Output = Result<Response<R>, BoxError>> + Send + 'static,
    R: Body<Data = Bytes> + Send + Unpin + 'static,
{
    fn new(future: F, outlives: bool) -> Self {
        Self { future: Some(Box::pin(future)), outlives }
    }
}

impl<F, R> Future for Outlives<F, R>
where
    F: Future<Output = Result<Response<R>, BoxError>> + Send + 'static,
    R: Body<Data = Bytes> + Send + Unpin + 'static,
{
    type Output = Result<Response<R>, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(future) = &mut self.future else { return Poll::Pending };
        let polled = future.as_mut().poll(cx);
        if polled.is_ready() {
            self.future = None;
        }
        polled
    }
}

impl<F, R> Drop for Outlives<F, R>
where
    F: Future<Output = Result<Response<R>, BoxError>> + Send + 'static,
    R: Body<Data = Bytes> + Send + Unpin + 'static,
{
    fn drop(&mut self) {
        if !self.outlives {
            return;
        }
        if let (Some(future), Ok(runtime)) = (self.future.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move {
                if let Ok(response) = future.await {
                    drain(response.into_body());
                }
            });
        }
    }
}
