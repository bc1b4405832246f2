//! From a path to what answers there.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Either, Full, Limited};
use octroi_gate::{AccessTokens, GateBody, RequestBody, Till};
use serde_json::{Value, json};
use tower::Service;

use crate::admin::{Admin, AdminPage};
use crate::clock::unix_seconds;
use crate::endpoint::Endpoint;
use crate::free_door::{self, Asset, Step};
use crate::proxies::TrustedProxies;
use crate::upstream::UpstreamBody;

/// Where the keys are published that statements about callers are signed with (RFC 7517).
pub const JWKS_PATH: &str = "/.well-known/octroi/callers.json";

/// The body of every reply of the gate.
pub type ReplyBody = Either<GateBody<UpstreamBody>, Full<Bytes>>;

/// Longest body of a request to one of the operator's pages, in bytes: an access token and its frame.
const ADMIN_BYTES_MAX: usize = 32 * 1024;

/// What answers at a path.
enum Route {
    Mcp(Arc<Endpoint>),
    Work(Arc<Endpoint>, Step),
    /// A file of the page that solves puzzles.
    Page(Asset),
    /// To the page of the endpoint at this path.
    PageOf(String),
    CheckToken(Arc<AccessTokens>),
    TokenKeys(Arc<AccessTokens>),
    Metadata(Bytes),
    Keys,
    Admin(AdminPage),
}

/// Every path of the gate's listener.
pub struct Routes {
    by_path: HashMap<String, Route>,
    admin: Admin,
    proxies: TrustedProxies,
}

impl Routes {
    /// The routes of `endpoints`, and the operator's pages.
    ///
    /// The root metadata path can speak for one resource only: the first endpoint that has metadata gets it.
    pub fn new(endpoints: &[Arc<Endpoint>], admin: Admin) -> Self {
        let mut by_path = HashMap::new();
        for page in AdminPage::ALL {
            by_path.insert(page.path().to_owned(), Route::Admin(page));
        }
        if admin.signing_keys().is_some() {
            by_path.insert(JWKS_PATH.to_owned(), Route::Keys);
        }
        for endpoint in endpoints {
            let at = |suffix: &str| format!("{}{suffix}", endpoint.path);
            by_path.insert(at(""), Route::Mcp(Arc::clone(endpoint)));
            for (suffix, step) in [
                ("/pow/challenge", Step::Challenge),
                ("/pow/verify", Step::Verify),
                ("/pow/status", Step::Status),
            ] {
                by_path.insert(at(suffix), Route::Work(Arc::clone(endpoint), step));
            }
            if let Some(work) = endpoint.gate.till().and_then(Till::work) {
                for asset in Asset::ALL {
                    by_path.insert(at(asset.suffix), Route::Page(asset));
                }
                by_path.entry("/pow".to_owned()).or_insert_with(|| Route::PageOf(endpoint.path.clone()));
                // Every endpoint's tokens are signed with the same keys.
                let tokens = &work.settings().access_tokens;
                by_path.insert("/api/token/verify".to_owned(), Route::CheckToken(Arc::clone(tokens)));
                for path in ["/api/token/jwks.json", "/.well-known/jwks.json"] {
                    by_path.insert(path.to_owned(), Route::TokenKeys(Arc::clone(tokens)));
                }
            }
            if let Some(set) = &endpoint.receipt_keys {
                by_path.insert(at("/receipt-keys"), Route::Metadata(Bytes::from(set.clone())));
            }
            let Some(metadata) = &endpoint.metadata else { continue };
            for path in &metadata.paths {
                let document = Bytes::from(metadata.document.clone());
                by_path.entry(path.clone()).or_insert(Route::Metadata(document));
            }
        }
        Self { by_path, admin, proxies: TrustedProxies::default() }
    }

    /// The same routes behind reverse proxies. The operator's pages go by the connection all the same.
    #[must_use]
    pub fn behind(self, proxies: TrustedProxies) -> Self {
        Self { proxies, ..self }
    }

    /// Answers one request, which arrived from `peer`.
    pub async fn answer<B>(&self, request: Request<B>, peer: SocketAddr) -> Response<ReplyBody>
    where
        B: RequestBody + 'static,
    {
        let caller = |request: &Request<B>| self.proxies.caller(peer.ip(), request.headers());
        match self.by_path.get(request.uri().path()) {
            Some(Route::Mcp(endpoint)) => {
                let caller = caller(&request);
                mcp(endpoint, request, caller).await
            }
            Some(Route::Work(endpoint, step)) => {
                let caller = caller(&request);
                work(endpoint, request, caller, *step).await
            }
            Some(Route::Page(asset)) => asset.serve(request.method()),
            Some(Route::PageOf(path)) => free_door::page_at(path),
            Some(Route::CheckToken(tokens)) => free_door::check_token(tokens, request).await,
            Some(Route::TokenKeys(tokens)) => free_door::keys(tokens, request.method()),
            Some(Route::Metadata(document)) => metadata(request.method(), document),
            Some(Route::Keys) => match self.admin.signing_keys() {
                Some(keys) => {
                    metadata(request.method(), &Bytes::from(keys.key_set(unix_seconds()).to_string()))
                }
                None => {
                    json_reply(StatusCode::NOT_FOUND, &json!({"message": "there is nothing at this path"}))
                }
            },
            Some(Route::Admin(page)) => self.admin(*page, request, peer).await,
            None => json_reply(StatusCode::NOT_FOUND, &json!({"message": "there is nothing at this path"})),
        }
    }
}

impl Routes {
    /// One of the operator's pages. Only those that change something have a body, which is short.
    async fn admin<B>(&self, page: AdminPage, request: Request<B>, peer: SocketAddr) -> Response<ReplyBody>
    where
        B: RequestBody + 'static,
    {
        let (head, body) = request.into_parts();
        let body = if page.changes() && self.admin.may_change(&head.headers, peer) {
            match Limited::new(body, ADMIN_BYTES_MAX).collect().await {
                Ok(body) => body.to_bytes(),
                Err(_) => {
                    let message = format!("the body is at most {ADMIN_BYTES_MAX} bytes");
                    return json_reply(StatusCode::PAYLOAD_TOO_LARGE, &json!({"message": message}));
                }
            }
        } else {
            Bytes::new()
        };
        whole(self.admin.answer(page, &head.method, &head.headers, &body, peer).await)
    }
}

async fn mcp<B>(endpoint: &Endpoint, request: Request<B>, peer: IpAddr) -> Response<ReplyBody>
where
    B: RequestBody + 'static,
{
    if let Some(reply) = stop_at_the_door(endpoint, &request) {
        return reply;
    }
    let origin = request.headers().get(header::ORIGIN).cloned();
    let Ok(response) = endpoint.service.clone().for_peer(peer).call(request).await;
    let mut response = response.map(Either::Left);
    endpoint.origins.mark(origin.as_ref(), response.headers_mut());
    response
}

/// The free door of an endpoint.
async fn work<B>(endpoint: &Endpoint, request: Request<B>, peer: IpAddr, step: Step) -> Response<ReplyBody>
where
    B: RequestBody + 'static,
{
    if let Some(reply) = stop_at_the_door(endpoint, &request) {
        return reply;
    }
    let origin = request.headers().get(header::ORIGIN).cloned();
    let mut response = free_door::work(endpoint, request, peer, step).await;
    endpoint.origins.mark(origin.as_ref(), response.headers_mut());
    response
}

/// Preflights, and browsers that must not come in.
fn stop_at_the_door<B>(endpoint: &Endpoint, request: &Request<B>) -> Option<Response<ReplyBody>> {
    if !endpoint.origins.admits(request.headers()) {
        let message = "this Host or Origin may not call; see `allowed_origins` and `public_url`";
        return Some(json_reply(StatusCode::FORBIDDEN, &json!({"message": message})));
    }
    if request.method() != Method::OPTIONS {
        return None;
    }
    let mut reply = Response::new(Either::Right(Full::default()));
    *reply.status_mut() = StatusCode::NO_CONTENT;
    *reply.headers_mut() = endpoint.origins.preflight(request.headers());
    Some(reply)
}

/// Protected resource metadata and the keys of receipts are public, also for pages of any origin.
fn metadata(method: &Method, document: &Bytes) -> Response<ReplyBody> {
    let body = match *method {
        Method::GET => document.clone(),
        Method::OPTIONS | Method::HEAD => Bytes::new(),
        _ => return json_reply(StatusCode::METHOD_NOT_ALLOWED, &json!({"message": "use GET"})),
    };
    public_json(body)
}

/// JSON that anybody's page may read.
pub(crate) fn public_json(body: Bytes) -> Response<ReplyBody> {
    let mut reply = Response::new(Either::Right(Full::new(body)));
    let headers: &mut HeaderMap = reply.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("*"));
    reply
}

fn whole(reply: Response<Bytes>) -> Response<ReplyBody> {
    reply.map(|bytes| Either::Right(Full::new(bytes)))
}

pub(crate) fn json_reply(status: StatusCode, body: &Value) -> Response<ReplyBody> {
    let mut reply = Response::new(Either::Right(Full::new(Bytes::from(body.to_string()))));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}
