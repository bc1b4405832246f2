//! A gate whose price, ledger and luck change while its credentials go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use octroi_gate::invoices::{InvoiceDesk, MintLimits};
use octroi_gate::policy::Rule;
use octroi_gate::price::Price;
use octroi_gate::{
    BoxError, Budgets, ChallengeStyle, FailedPayments, Gate, GateLayer, GateParts, Limits, Rate, Till,
    TillSettings,
};
use octroi_l402::{MasterKeys, Msat};
use octroi_ledger::{Ledger, Settlement};
use tower_layer::Layer;

use crate::node::ScriptedNode;
use crate::shop::{Answer, ask, policy, settings};

/// Works, or fails as a tool does.
#[derive(Clone)]
struct Moody(Arc<AtomicBool>);

impl tower_service::Service<Request<Full<Bytes>>> for Moody {
    type Response = Response<Full<Bytes>>;
    type Error = BoxError;
    type Future = std::future::Ready<Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Full<Bytes>>) -> Self::Future {
        let failed = self.0.load(SeqCst);
        let result = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"content":[],"isError":{failed}}}}}"#);
        let response =
            Response::builder().header("content-type", "application/json").body(Full::from(result));
        std::future::ready(response.map_err(Into::into))
    }
}

/// What is sold now.
#[derive(Clone, Copy)]
pub(crate) struct Selling {
    /// What a call costs, in millisatoshi.
    pub(crate) price: i64,
    /// How long credentials may be used, in seconds.
    pub(crate) life: u64,
}

/// A gate without bounds on who asks how often.
pub(crate) struct Stand {
    pub(crate) ledger: Ledger,
    pub(crate) fails: Arc<AtomicBool>,
    node: Arc<ScriptedNode>,
    desk: Arc<InvoiceDesk>,
    keys: Arc<MasterKeys>,
}

impl Stand {
    pub(crate) fn on(ledger: Ledger) -> Self {
        let node = Arc::new(ScriptedNode::default());
        let rate = Rate { count: 1_000_000, period_seconds: 60 };
        let limits =
            MintLimits { per_network: rate, per_caller: rate, per_class: rate, open_per_class: 1_000_000 };
        let mut unbounded = settings();
        unbounded.limits = limits;
        let desk = Arc::new(InvoiceDesk::new(Arc::clone(&node) as _, unbounded).expect("randomness"));
        let keys = Arc::new(MasterKeys::new((1, [7; 32])));
        Self { ledger, fails: Arc::default(), node, desk, keys }
    }

    fn gate(&self, selling: Selling) -> Gate {
        let rule = Rule { price: Some(Price::fixed(Msat::new(selling.price))), ..Rule::FREE };
        let till = Till::new(TillSettings {
            service: "mcp".to_owned(),
            keys: Arc::clone(&self.keys),
            ledger: self.ledger.clone(),
            invoices: Some(Arc::clone(&self.desk)),
            location: String::new(),
            credential_ttl_seconds: selling.life,
            calls_max: 100,
            failed_payments: FailedPayments { free: 1_000_000, recover_seconds: 1 },
            budgets: Budgets::default(),
            receipts: None,
            work: None,
        });
        Gate::new(GateParts {
            till: Some(Arc::new(till)),
            challenge: ChallengeStyle::Http,
            limits: Limits { reply_bytes_max: 4096, ..Limits::default() },
            ..GateParts::new("mcp", policy(rule))
        })
    }

    /// The paid call, as it is sold now.
    pub(crate) async fn call(&self, selling: Selling, headers: &[(&str, &str)]) -> Answer {
        let layer = GateLayer::new(Arc::new(self.gate(selling)));
        let peer = std::net::IpAddr::from([192, 0, 2, 1]);
        ask(layer.layer(Moody(Arc::clone(&self.fails))).for_peer(peer), headers).await
    }

    /// How many invoices were made.
    pub(crate) fn made(&self) -> u64 {
        self.node.made.load(SeqCst)
    }

    /// The node says that the invoice with this number was paid.
    pub(crate) async fn settle(&self, number: u64, amount: Msat) {
        let settlement = Settlement {
            payment_hash: ScriptedNode::hash(number),
            amount,
            settled_at: 1,
            cursor: Some(number.to_string()),
            node: "scripted".to_owned(),
        };
        self.ledger.credit_payment(settlement).await.expect("booked");
    }
}
