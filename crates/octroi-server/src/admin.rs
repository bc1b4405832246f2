//! The operator's pages: health, metrics, the ledger, and who may no longer call.
//!
//! On the gate's own listener they answer to this machine only: a peer on the loopback interface whose request no
//! proxy has passed on.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode};
use octroi_identity::SigningKeys;
use octroi_ledger::Ledger;
use serde_json::json;

use crate::endpoint::Endpoint;
use crate::{identity_pages, metrics};

/// Headers that a proxy adds to what it passes on.
const FORWARDED: [HeaderName; 3] =
    [header::FORWARDED, HeaderName::from_static("x-forwarded-for"), HeaderName::from_static("x-real-ip")];

/// A page of the operator's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AdminPage {
    /// `/health`: 200 while the process answers; open to everybody, says nothing else.
    Health,
    /// `/metrics`: Prometheus text.
    Metrics,
    /// `/ledger`: revenue, calls, holds.
    Ledger,
    /// `/identity/forget`: every verdict on a token.
    Forget,
    /// `/identity/revoke`: a token, or everything a subject holds.
    Revoke,
    /// `/identity/rotate`: a new key for statements about callers.
    Rotate,
}

impl AdminPage {
    pub(crate) const ALL: [Self; 6] =
        [Self::Health, Self::Metrics, Self::Ledger, Self::Forget, Self::Revoke, Self::Rotate];

    /// Whether the page changes something, and is asked by POST.
    pub(crate) const fn changes(self) -> bool {
        matches!(self, Self::Forget | Self::Revoke | Self::Rotate)
    }

    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::Health => "/health",
            Self::Metrics => "/metrics",
            Self::Ledger => "/ledger",
            Self::Forget => "/identity/forget",
            Self::Revoke => "/identity/revoke",
            Self::Rotate => "/identity/rotate",
        }
    }
}

/// Answers the operator's pages.
#[derive(Clone)]
pub struct Admin {
    endpoints: Vec<Arc<Endpoint>>,
    ledger: Option<Ledger>,
    signing: Option<Arc<SigningKeys>>,
    metrics: bool,
    anyone: bool,
}

impl Admin {
    /// Pages about `endpoints`, `ledger` and the keys that statements about callers are signed with. With `anyone`, callers from other machines are answered too: for a listener of
    /// its own that the operator put where only he can reach it.
    pub fn new(
        endpoints: Vec<Arc<Endpoint>>,
        ledger: Option<Ledger>,
        signing: Option<Arc<SigningKeys>>,
        metrics: bool,
        anyone: bool,
    ) -> Self {
        Self { endpoints, ledger, signing, metrics, anyone }
    }

    /// The keys that statements about callers are signed with.
    pub(crate) fn signing_keys(&self) -> Option<&SigningKeys> {
        self.signing.as_deref()
    }

    /// Whether a request may change something: the operator's own, and not a web page's that the operator's browser opened.
    pub(crate) fn may_change(&self, headers: &HeaderMap, peer: SocketAddr) -> bool {
        self.is_operator(headers, peer) && !headers.contains_key(header::ORIGIN)
    }

    pub(crate) async fn answer(
        &self,
        page: AdminPage,
        method: &Method,
        headers: &HeaderMap,
        body: &[u8],
        peer: SocketAddr,
    ) -> Response<Bytes> {
        if page.changes() && !self.may_change(headers, peer) {
            return text(StatusCode::NOT_FOUND, "there is nothing at this path\n".to_owned());
        }
        let (wanted, use_it) =
            if page.changes() { (Method::POST, "use POST\n") } else { (Method::GET, "use GET\n") };
        if *method != wanted {
            return text(StatusCode::METHOD_NOT_ALLOWED, use_it.to_owned());
        }
        if page == AdminPage::Health {
            return text(StatusCode::OK, "ok\n".to_owned());
        }
        if !self.is_operator(headers, peer) {
            return text(StatusCode::NOT_FOUND, "there is nothing at this path\n".to_owned());
        }
        match page {
            AdminPage::Metrics if self.metrics => text(StatusCode::OK, metrics::render(&self.endpoints)),
            AdminPage::Ledger => self.ledger().await,
            AdminPage::Forget => identity_pages::forget(&self.endpoints),
            AdminPage::Revoke => identity_pages::revoke(&self.endpoints, body),
            AdminPage::Rotate => identity_pages::rotate(self.signing.as_deref()),
            _ => text(StatusCode::NOT_FOUND, "there is nothing at this path\n".to_owned()),
        }
    }

    fn is_operator(&self, headers: &HeaderMap, peer: SocketAddr) -> bool {
        let direct = || FORWARDED.iter().all(|name| !headers.contains_key(name));
        self.anyone || (peer.ip().to_canonical().is_loopback() && direct())
    }

    async fn ledger(&self) -> Response<Bytes> {
        let Some(ledger) = self.ledger.clone() else {
            return text(StatusCode::NOT_FOUND, "this gate keeps no ledger\n".to_owned());
        };
        let report = tokio::task::spawn_blocking(move || ledger.report()).await;
        match report {
            Ok(Ok(report)) => {
                let mut reply = text(StatusCode::OK, json!(report).to_string());
                reply
                    .headers_mut()
                    .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
                reply
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "the ledger could not be read");
                text(StatusCode::SERVICE_UNAVAILABLE, "the ledger could not be read\n".to_owned())
            }
            Err(_) => text(StatusCode::SERVICE_UNAVAILABLE, "the ledger could not be read\n".to_owned()),
        }
    }
}

pub(crate) fn text(status: StatusCode, body: String) -> Response<Bytes> {
    let mut reply = Response::new(Bytes::from(body));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}
