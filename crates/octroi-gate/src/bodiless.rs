//! GET and DELETE of the legacy era: the server's stream, and the end of a session.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response};
use http_body_util::Full;
use octroi_identity::Caller;
use octroi_mcp::era::Era;
use octroi_mcp::headers::SESSION_ID;

use crate::access::{Asking, Who};
use crate::body::{GateBody, Watch};
use crate::clock::unix_seconds;
use crate::credentials;
use crate::exchange::{forward, is_event_stream};
use crate::forward::clean_reply;
use crate::gate::Gate;
use crate::policy::OPEN;
use crate::reason::Reason;
use crate::refusal::Refusal;
use crate::service::{Inner, InnerBody};
use crate::till::Tender;

/// Passes on a request without a message: no price. A token that is shown must be good all the same.
pub(crate) async fn pass<S, B, R>(
    gate: &Arc<Gate>,
    inner: S,
    request: Request<B>,
    peer: Option<IpAddr>,
) -> Result<Response<GateBody<R>>, Box<Refusal>>
where
    S: Inner<R>,
    R: InnerBody,
{
    let (mut parts, _) = request.into_parts();
    let now = unix_seconds();
    let (caller, authorization) = admit(gate, &parts, peer, now).await?;
    let session = gate.session(
        parts.headers.get(SESSION_ID).map(HeaderValue::as_bytes),
        Era::Legacy,
        caller.as_deref(),
    )?;
    gate.address(caller.as_ref(), authorization, &mut parts.headers, now)?;
    let ends = parts.method == Method::DELETE;
    let request = Request::from_parts(parts, Full::new(Bytes::new()));
    let response = forward(inner, request).await.map_err(|error| {
        tracing::warn!(service = %gate.service, error = %error, "the upstream did not answer");
        Refusal::new(Reason::UpstreamUnavailable, "the server behind the gate did not answer")
    })?;
    let (mut parts, body) = response.into_parts();
    if ends && parts.status.is_success() {
        session.ended(gate);
    }
    let streams = is_event_stream(&parts.headers) && parts.status.is_success();
    clean_reply(&mut parts.headers);
    let body = if streams {
        let event_bytes_max = gate.limits.reply_bytes_max;
        GateBody::events(body, Watch { charge: None, listing: None, survives_caller: false, event_bytes_max })
    } else {
        GateBody::plain(body)
    };
    Ok(Response::from_parts(parts, body))
}

/// Who asks, and the token for the upstream that goes with them.
async fn admit(
    gate: &Gate,
    parts: &Parts,
    peer: Option<IpAddr>,
    now: u64,
) -> Result<(Option<Arc<Caller>>, Option<HeaderValue>), Box<Refusal>> {
    let presented = credentials::read_headers(&parts.headers, gate.carriers)
        .map_err(|error| Refusal::new(Reason::MalformedRequest, error.to_string()))?;
    let method = &parts.method;
    let (rule, tender) = (&OPEN, &Tender::new(None));
    let asking =
        Asking { presented: &presented, tender, method, rule, subject: None, arguments: None, peer, now };
    let Who { caller, .. } = gate.admit(&asking).await?;
    let token = presented.token.as_ref().map(|token| &*token.text);
    let authorization = gate.authorization(caller.as_ref(), token, now).await?;
    Ok((caller, authorization))
}
