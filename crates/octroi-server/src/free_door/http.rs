//! The free door's addresses: `…/pow/challenge`, `…/pow/verify`, `…/pow/status`, and those of the access tokens.

use std::net::IpAddr;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderMap, RETRY_AFTER};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use octroi_gate::{AccessTokens, Refusal, RequestBody};
use octroi_mcp::json as raw;
use serde_json::json;

use super::{Place, Visit};
use crate::clock::unix_seconds;
use crate::endpoint::Endpoint;
use crate::routes::{ReplyBody, json_reply};

/// Longest body of a solved puzzle or of a token to be checked, in bytes.
const BODY_BYTES_MAX: usize = 16 * 1024;
/// How long such a body may take to come.
const BODY_WAIT: std::time::Duration = std::time::Duration::from_secs(10);

/// What is asked of the free door.
#[derive(Clone, Copy)]
pub(crate) enum Step {
    Challenge,
    Verify,
    Status,
}

/// One request to the free door of an endpoint. Who may call from where was judged before.
pub(crate) async fn work<B>(
    endpoint: &Endpoint,
    request: Request<B>,
    peer: IpAddr,
    step: Step,
) -> Response<ReplyBody>
where
    B: RequestBody + 'static,
{
    let (gate, wanted) =
        (&endpoint.gate, if matches!(step, Step::Status) { Method::GET } else { Method::POST });
    if *request.method() != wanted {
        return json_reply(StatusCode::METHOD_NOT_ALLOWED, &json!({"message": format!("use {wanted}")}));
    }
    let Some(till) = gate.till() else {
        return json_reply(StatusCode::NOT_FOUND, &json!({"message": "this server does not take work"}));
    };
    let place = Place { service: gate.service(), policy: gate.policy(), till: Some(till) };
    if matches!(step, Step::Status) {
        return json_reply(StatusCode::OK, &super::status(&place));
    }
    let caller = match gate.caller_of(request.method(), request.headers()).await {
        Ok(caller) => caller,
        Err(refusal) => return refused(&refusal),
    };
    let visit = Visit { caller: caller.as_deref(), peer: Some(peer) };
    let body = match read(request).await {
        Ok(body) => body,
        Err(reply) => return reply,
    };
    let answered = match step {
        Step::Verify => super::verify(&place, &body, visit).await,
        Step::Challenge | Step::Status => super::challenge(&place, &body, visit),
    };
    match answered {
        Ok(content) => json_reply(StatusCode::OK, &content),
        Err(refusal) => refused(&refusal),
    }
}

/// `POST /api/token/verify`: whether an access token was signed here and is still good. The token comes as `token` or
/// `access_token` in a JSON object, whose `audience` is compared where it is given, or as `Authorization: Bearer`.
pub(crate) async fn check_token<B>(tokens: &AccessTokens, request: Request<B>) -> Response<ReplyBody>
where
    B: RequestBody + 'static,
{
    if request.method() != Method::POST {
        return json_reply(StatusCode::METHOD_NOT_ALLOWED, &json!({"message": "use POST"}));
    }
    let bearer = bearer(request.headers());
    let body = match read(request).await {
        Ok(body) => body,
        Err(reply) => return reply,
    };
    let object =
        raw::validate(&body, &raw::Limits::default()).is_ok() && body.trim_ascii().first() == Some(&b'{');
    let text = |key| raw::get(&body, key).filter(|_| object).and_then(raw::string);
    let token = text("token").or_else(|| text("access_token")).map(|token| token.into_owned()).or(bearer);
    let Some(token) = token else {
        let message = "send {\"token\": \"…\"}, or the token as Authorization: Bearer";
        return json_reply(
            StatusCode::BAD_REQUEST,
            &json!({"reason": "MALFORMED_REQUEST", "message": message}),
        );
    };
    let audience = text("audience");
    match tokens.check(&token, audience.as_deref(), unix_seconds()) {
        Ok(claims) => {
            let mut answer = claims;
            answer["active"] = true.into();
            answer["valid"] = true.into();
            json_reply(StatusCode::OK, &answer)
        }
        Err(why) => {
            let answer = json!({"active": false, "valid": false, "reason": "INVALID_TOKEN", "message": why.to_string()});
            json_reply(StatusCode::UNAUTHORIZED, &answer)
        }
    }
}

/// The public keys, for those who check tokens offline.
pub(crate) fn keys(tokens: &AccessTokens, method: &Method) -> Response<ReplyBody> {
    if method != Method::GET {
        return json_reply(StatusCode::METHOD_NOT_ALLOWED, &json!({"message": "use GET"}));
    }
    crate::routes::public_json(Bytes::from(tokens.jwks().to_string()))
}

fn bearer(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
}

async fn read<B>(request: Request<B>) -> Result<Bytes, Response<ReplyBody>>
where
    B: RequestBody + 'static,
{
    let body = Limited::new(request.into_body(), BODY_BYTES_MAX).collect();
    match tokio::time::timeout(BODY_WAIT, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(_)) => {
            let message = format!("a body is at most {BODY_BYTES_MAX} bytes here");
            Err(json_reply(
                StatusCode::PAYLOAD_TOO_LARGE,
                &json!({"reason": "INVALID_SOLUTION", "message": message}),
            ))
        }
        Err(_) => {
            Err(json_reply(StatusCode::REQUEST_TIMEOUT, &json!({"message": "the body came too slowly"})))
        }
    }
}

fn refused(refusal: &Refusal) -> Response<ReplyBody> {
    let body = json!({"reason": refusal.reason.code(), "message": refusal.message});
    let mut reply = json_reply(refusal.status(), &body);
    if let Some(seconds) = refusal.retry_after_seconds() {
        reply.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    reply
}
