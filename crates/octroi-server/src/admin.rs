//! The operator's pages: health, metrics, the ledger, and who may no longer call.
//!
//! On the gate's own listener they answer to this machine only: a peer on the loopback interface whose request no
//! proxy has passed on.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode};
use octroi_gate::reconcile::Bookkeeper;
use octroi_identity::SigningKeys;
use octroi_ledger::Ledger;
use serde::Serialize;
use serde_json::json;

use crate::clock::unix_seconds;
use crate::endpoint::Endpoint;
use crate::operator_key::{OperatorKey, SEAL_HEADER};
use crate::spending_pages::{self, Spending, UsedSeals};
use crate::stripe::StripeTeller;
use crate::{bill_pages, identity_pages, ledger_pages, lightning_pages, metrics, reconcile_pages};

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
    /// `/ledger/voucher`: a prepaid credential is booked. Sealed.
    Voucher,
    /// `/ledger/revoke`: nothing can be held for a credential, a principal or a master key any more. Sealed.
    RevokeCredit,
    /// `/ledger/restore`: it can be held for again. Sealed.
    RestoreCredit,
    /// `/ledger/reconciliation`: what the last look at the books found.
    Reconciliation,
    /// `/ledger/reconcile`: the books are looked at now, and acted on where that is asked. Sealed.
    Reconcile,
    /// `/ledger/bills`: charges that another ledger refused are told once more, or let be. Sealed.
    Bills,
    /// `/lightning`: the node, what it can carry, and who was given invoices.
    Lightning,
    /// `/lightning/invoice`: an invoice of the operator's own.
    LightningInvoice,
    /// `/lightning/address`: an on-chain address of the node's wallet.
    LightningAddress,
    /// `/lightning/pay`, `/lightning/open-channel`, `/lightning/close-channel`, `/lightning/withdraw`: what costs the node money. Sealed,
    /// each seal once.
    Spend(Spending),
    /// `/identity/forget`: every verdict on a token.
    Forget,
    /// `/identity/revoke`: a token, or everything a subject holds.
    Revoke,
    /// `/identity/rotate`: a new key for statements about callers.
    Rotate,
}

impl AdminPage {
    pub(crate) const ALL: [Self; 19] = [
        Self::Health,
        Self::Metrics,
        Self::Ledger,
        Self::Voucher,
        Self::RevokeCredit,
        Self::RestoreCredit,
        Self::Reconciliation,
        Self::Reconcile,
        Self::Bills,
        Self::Forget,
        Self::Revoke,
        Self::Rotate,
        Self::Lightning,
        Self::LightningInvoice,
        Self::LightningAddress,
        Self::Spend(Spending::Pay),
        Self::Spend(Spending::OpenChannel),
        Self::Spend(Spending::CloseChannel),
        Self::Spend(Spending::Withdraw),
    ];

    /// Whether it takes the operator's seal to ask: what moves money is not for everybody on the machine.
    const fn is_sealed(self) -> bool {
        matches!(
            self,
            Self::Voucher
                | Self::RevokeCredit
                | Self::RestoreCredit
                | Self::Reconcile
                | Self::Bills
                | Self::Spend(_)
        )
    }

    /// Whether the page changes something, and is asked by POST.
    pub(crate) const fn changes(self) -> bool {
        self.is_sealed()
            || matches!(
                self,
                Self::LightningInvoice | Self::LightningAddress | Self::Forget | Self::Revoke | Self::Rotate
            )
    }

    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::Health => "/health",
            Self::Metrics => "/metrics",
            Self::Ledger => "/ledger",
            Self::Voucher => "/ledger/voucher",
            Self::RevokeCredit => "/ledger/revoke",
            Self::RestoreCredit => "/ledger/restore",
            Self::Reconciliation => "/ledger/reconciliation",
            Self::Reconcile => "/ledger/reconcile",
            Self::Bills => "/ledger/bills",
            Self::Lightning => "/lightning",
            Self::LightningInvoice => "/lightning/invoice",
            Self::LightningAddress => "/lightning/address",
            Self::Spend(Spending::Pay) => "/lightning/pay",
            Self::Spend(Spending::OpenChannel) => "/lightning/open-channel",
            Self::Spend(Spending::CloseChannel) => "/lightning/close-channel",
            Self::Spend(Spending::Withdraw) => "/lightning/withdraw",
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
    operator: Option<OperatorKey>,
    bookkeeper: Option<Arc<Bookkeeper>>,
    used: Arc<UsedSeals>,
    teller: Option<Arc<StripeTeller>>,
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
        let used = Arc::new(UsedSeals::new(unix_seconds()));
        Self {
            endpoints,
            ledger,
            signing,
            operator: None,
            bookkeeper: None,
            teller: None,
            used,
            metrics,
            anyone,
        }
    }

    /// The same, where requests sealed with `key` may change the ledger.
    #[must_use]
    pub fn with_operator(self, key: OperatorKey) -> Self {
        Self { operator: Some(key), ..self }
    }

    /// The same, with somebody who compares the books with the node.
    #[must_use]
    pub fn with_bookkeeper(self, bookkeeper: Arc<Bookkeeper>) -> Self {
        Self { bookkeeper: Some(bookkeeper), ..self }
    }

    /// The same pages, also for callers from other machines; a seal that was used here is used there.
    #[must_use]
    pub fn for_anyone(self) -> Self {
        Self { anyone: true, ..self }
    }

    /// The same, with whoever tells Stripe of charges.
    #[must_use]
    pub fn with_teller(self, teller: Option<Arc<StripeTeller>>) -> Self {
        Self { teller, ..self }
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
            AdminPage::Metrics if self.metrics => {
                let mut page = metrics::render(&self.endpoints, self.bookkeeper.as_deref());
                if let Some(teller) = &self.teller {
                    teller.metrics(&mut page);
                }
                text(StatusCode::OK, page)
            }
            AdminPage::Reconciliation => reconcile_pages::last(self.bookkeeper.as_deref()),
            AdminPage::Ledger => self.ledger().await,
            page if page.is_sealed() => self.sealed(page, headers, body).await,
            AdminPage::Lightning => lightning_pages::status(&self.endpoints).await,
            AdminPage::LightningInvoice => lightning_pages::invoice(&self.endpoints, body).await,
            AdminPage::LightningAddress => lightning_pages::address(&self.endpoints).await,
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

    async fn sealed(&self, page: AdminPage, headers: &HeaderMap, body: &[u8]) -> Response<Bytes> {
        let Some(key) = &self.operator else {
            return text(StatusCode::NOT_FOUND, "there is nothing at this path\n".to_owned());
        };
        let seal = headers.get(SEAL_HEADER).and_then(|seal| seal.to_str().ok()).unwrap_or_default();
        if !key.is_sealed(seal, page.path(), body, unix_seconds()) {
            return text(
                StatusCode::FORBIDDEN,
                "the operator's seal is missing, wrong, or too old\n".to_owned(),
            );
        }
        if let AdminPage::Spend(what) = page {
            if !self.used.take(seal, unix_seconds()) {
                return text(StatusCode::FORBIDDEN, "the operator's seal was used before\n".to_owned());
            }
            return spending_pages::answer(&self.endpoints, what, body).await;
        }
        let Some(ledger) = &self.ledger else {
            return text(StatusCode::NOT_FOUND, "this gate keeps no ledger\n".to_owned());
        };
        match page {
            AdminPage::Voucher => ledger_pages::voucher(ledger, body).await,
            AdminPage::Bills => bill_pages::answer(ledger, body).await,
            AdminPage::Reconcile => reconcile_pages::look(self.bookkeeper.as_deref(), body).await,
            page => ledger_pages::revoke(ledger, body, page == AdminPage::RevokeCredit).await,
        }
    }

    async fn ledger(&self) -> Response<Bytes> {
        let Some(ledger) = self.ledger.clone() else {
            return text(StatusCode::NOT_FOUND, "this gate keeps no ledger\n".to_owned());
        };
        let report = tokio::task::spawn_blocking(move || ledger.report()).await;
        match report {
            Ok(Ok(report)) => json_page(&report),
            Ok(Err(error)) => {
                tracing::warn!(%error, "the ledger could not be read");
                text(StatusCode::SERVICE_UNAVAILABLE, "the ledger could not be read\n".to_owned())
            }
            Err(_) => text(StatusCode::SERVICE_UNAVAILABLE, "the ledger could not be read\n".to_owned()),
        }
    }
}

/// A page for programs.
pub(crate) fn json_page(page: &impl Serialize) -> Response<Bytes> {
    let mut reply = text(StatusCode::OK, json!(page).to_string());
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply
}

pub(crate) fn text(status: StatusCode, body: String) -> Response<Bytes> {
    let mut reply = Response::new(Bytes::from(body));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}
