//! A gate with one paid tool, and callers of it.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use octroi_gate::invoices::{InvoiceDesk, InvoiceSettings, MintLimits};
use octroi_gate::policy::{Pattern, Policy, Rule, Rules, ScopeHierarchy};
use octroi_gate::price::Price;
use octroi_gate::{
    BoxError, ChallengeStyle, FailedPayments, Gate, GateLayer, GateParts, Limits, Rate, Till, TillSettings,
};
use octroi_l402::{Credential, Identifier, Macaroon, MasterKeys, Msat, Preimage, Terms};
use octroi_ledger::{Ledger, LedgerConfig, Voucher};
use serde_json::Value;
use tempfile::TempDir;
use tower_layer::Layer;
use tower_service::Service;

use crate::node::ScriptedNode;

pub(crate) const PRICE: i64 = 3_000;

/// Always the same result.
#[derive(Clone)]
struct Upstream;

impl Service<Request<Full<Bytes>>> for Upstream {
    type Response = Response<Full<Bytes>>;
    type Error = BoxError;
    type Future = std::future::Ready<Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), BoxError>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Full<Bytes>>) -> Self::Future {
        let result = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[],"isError":false}}"#;
        let response =
            Response::builder().header("content-type", "application/json").body(Full::from(result));
        std::future::ready(response.map_err(Into::into))
    }
}

pub(crate) struct Shop {
    pub(crate) node: Arc<ScriptedNode>,
    pub(crate) desk: Arc<InvoiceDesk>,
    pub(crate) ledger: Ledger,
    keys: Arc<MasterKeys>,
    gate: Arc<Gate>,
    _folder: TempDir,
}

/// What a call came to.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) reason: String,
    pub(crate) retry_after: Option<u64>,
    pub(crate) body: Value,
}

impl Answer {
    /// The text of the invoice of a 402.
    pub(crate) fn invoice(&self) -> &str {
        self.body["error"]["data"]["l402"]["invoice"].as_str().expect("an invoice")
    }

    /// The macaroon for the same account with a later end, where one is offered.
    pub(crate) fn renewed(&self) -> Option<&str> {
        self.body["error"]["data"]["renewed"]["macaroon"].as_str()
    }

    pub(crate) fn macaroon(&self) -> &str {
        self.body["error"]["data"]["l402"]["macaroon"].as_str().expect("a macaroon")
    }
}

/// Small allowances, all with a minute.
pub(crate) fn limits() -> MintLimits {
    let rate = |count| Rate { count, period_seconds: 60 };
    MintLimits { per_network: rate(5), per_caller: rate(5), per_class: rate(20), open_per_class: 100 }
}

pub(crate) fn settings() -> InvoiceSettings {
    InvoiceSettings {
        ttl_seconds: 600,
        limits: limits(),
        entry: None,
        ready: 0,
        slow: Duration::from_secs(3600),
        low_inbound: None,
        look_every: Duration::from_secs(3600),
        network: None,
    }
}

impl Shop {
    pub(crate) fn open(settings: InvoiceSettings) -> Self {
        Self::bearing(settings, FailedPayments::default())
    }

    /// A shop that bears so much failing.
    pub(crate) fn bearing(settings: InvoiceSettings, failed_payments: FailedPayments) -> Self {
        let folder = TempDir::new().expect("a folder");
        let ledger = Ledger::open(LedgerConfig::new(folder.path().join("ledger.db"))).expect("a ledger");
        let keys = Arc::new(MasterKeys::new((1, [7; 32])));
        let node = Arc::new(ScriptedNode::default());
        let desk = Arc::new(InvoiceDesk::new(Arc::clone(&node) as _, settings).expect("randomness"));
        let rule = Rule { price: Some(Price::fixed(Msat::new(PRICE))), ..Rule::FREE };
        let gate = Gate::new(GateParts {
            till: Some(Arc::new(Till::new(TillSettings {
                service: "mcp".to_owned(),
                keys: Arc::clone(&keys),
                ledger: ledger.clone(),
                invoices: Some(Arc::clone(&desk)),
                location: String::new(),
                credential_ttl_seconds: 600,
                calls_max: 100,
                failed_payments,
                budgets: octroi_gate::Budgets::default(),
                receipts: None,
                work: None,
            }))),
            challenge: ChallengeStyle::Http,
            limits: Limits { reply_bytes_max: 4096, ..Limits::default() },
            ..GateParts::new("mcp", policy(rule))
        });
        Self { node, desk, ledger, keys, gate: Arc::new(gate), _folder: folder }
    }

    /// Lets the desk's own work run, as it does beside a gate.
    pub(crate) fn tend(&self) {
        tokio::spawn(Arc::clone(&self.desk).tend());
        tokio::spawn(Arc::clone(&self.desk).book_settlements(self.ledger.clone()));
    }

    /// The paid call, with further headers.
    pub(crate) async fn call(&self, peer: &str, headers: &[(&str, &str)]) -> Answer {
        let peer: IpAddr = peer.parse().expect("an address");
        ask(GateLayer::new(Arc::clone(&self.gate)).layer(Upstream).for_peer(peer), headers).await
    }

    /// A credential that is good for one call, as if it had been paid for.
    pub(crate) async fn voucher(&self, number: u8) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs();
        let preimage = Preimage::from_bytes([number; 32]);
        let token_id = self.keys.new_token_id([number; 28]);
        let identifier = Identifier { payment_hash: preimage.payment_hash(), token_id };
        let voucher = Voucher {
            token_id,
            payment_hash: identifier.payment_hash,
            owner: None,
            amount: Msat::new(PRICE),
            calls: 1,
            note: String::new(),
            created_at: now,
            expires_at: now + 600,
        };
        self.ledger.mint_voucher(voucher).await.expect("booked");
        let root = self.keys.root_key(&token_id).expect("a root key");
        let caveats = Terms::new("mcp").to_caveats().expect("caveats");
        let macaroon = Macaroon::mint(&root, &identifier, "", &caveats).expect("a macaroon");
        format!("L402 {}", Credential::new(macaroon.encode_v2(), preimage).to_text())
    }

    pub(crate) fn till(&self) -> &Till {
        self.gate.till().expect("a till")
    }

    pub(crate) fn made(&self) -> u64 {
        self.node.made.load(SeqCst)
    }
}

/// Calls the paid tool.
pub(crate) async fn ask<S, B>(mut service: S, headers: &[(&str, &str)]) -> Answer
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = Infallible>,
    B: http_body::Body,
    B::Error: std::fmt::Debug,
{
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"paid"}}"#;
    let mut request = Request::post("/mcp").header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let Ok(response) = service.call(request.body(Full::new(Bytes::from(body))).expect("a request")).await;
    let (head, body) = response.into_parts();
    let bytes = body.collect().await.expect("a body").to_bytes();
    let body: Value = serde_json::from_slice(&bytes).expect("JSON");
    let retry_after = head.headers.get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
    let reason = body["error"]["data"]["reason"].as_str().unwrap_or_default().to_owned();
    Answer { status: head.status, reason, retry_after, body }
}

/// The paid tool by `rule`, every other one closed, everything else open.
pub(crate) fn policy(rule: Rule) -> Policy {
    let free = || Rules::new([], Rule::FREE);
    Policy {
        tools: Rules::new([(Pattern::new("paid"), rule)], Rule::forbidden()),
        resources: free(),
        prompts: free(),
        hierarchy: ScopeHierarchy::default(),
    }
}
