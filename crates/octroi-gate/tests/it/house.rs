//! A gate over a scripted server, a real ledger, and one credential with money on it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use octroi_gate::policy::{Pattern, Policy, Rule, Rules, ScopeHierarchy};
use octroi_gate::price::Price;
use octroi_gate::{
    BoxError, Budgets, ChallengeStyle, Gate, GateBody, GateLayer, GateParts, Limits, ReceiptDesk, Till,
    TillSettings,
};
use octroi_l402::{Credential, Identifier, Macaroon, MasterKeys, Msat, Preimage, ReceiptKey, Terms, TokenId};
use octroi_ledger::{Ledger, LedgerConfig, Voucher};
use tempfile::TempDir;
use tower_layer::Layer;
use tower_service::Service;

/// What is on the credential, unless a test says otherwise: one call's price.
pub(crate) const PRICE: i64 = 3_000;

/// What the scripted upstream answers.
#[derive(Clone)]
pub(crate) enum Script {
    /// A JSON body with a status.
    Json(StatusCode, &'static str),
    /// An event stream of these chunks; `true` breaks off with an error after them.
    Events(&'static [&'static str], bool),
    /// No connection.
    Refused,
    /// Never an answer.
    Silent,
}

#[derive(Clone)]
struct Upstream {
    script: Script,
    calls: Arc<AtomicUsize>,
}

/// Chunks, then an end or an error.
pub(crate) struct Chunks {
    chunks: VecDeque<Bytes>,
    breaks: bool,
}

impl Body for Chunks {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Ready(match self.chunks.pop_front() {
            Some(chunk) => Some(Ok(Frame::data(chunk))),
            None if self.breaks => Some(Err("the connection was cut".into())),
            None => None,
        })
    }
}

impl Service<Request<Full<Bytes>>> for Upstream {
    type Response = Response<Chunks>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Full<Bytes>>) -> Self::Future {
        let script = self.script.clone();
        self.calls.fetch_add(1, Relaxed);
        Box::pin(async move {
            let (status, kind, chunks, breaks) = match script {
                Script::Json(status, text) => (status, "application/json", vec![text], false),
                Script::Events(chunks, breaks) => {
                    (StatusCode::OK, "text/event-stream", chunks.to_vec(), breaks)
                }
                Script::Refused => return Err("connection refused".into()),
                Script::Silent => std::future::pending().await,
            };
            let chunks = chunks.into_iter().map(Bytes::from).collect();
            let response = Response::builder().status(status).header("content-type", kind);
            Ok(response.body(Chunks { chunks, breaks })?)
        })
    }
}

pub(crate) struct House {
    pub(crate) ledger: Ledger,
    pub(crate) token_id: TokenId,
    gate: Arc<Gate>,
    keys: Arc<MasterKeys>,
    credential: Credential,
    calls: Arc<AtomicUsize>,
    _folder: TempDir,
}

/// What the operator set beside the rule.
#[derive(Clone, Copy, Default)]
pub(crate) struct TillPlan {
    pub(crate) budgets: Budgets,
    pub(crate) receipts: bool,
}

/// What a house is built for.
pub(crate) struct Plan {
    /// The rule for the tool `paid`.
    pub(crate) rule: Rule,
    /// What the credential says.
    pub(crate) terms: Terms,
    /// What is on its account.
    pub(crate) msat: i64,
    pub(crate) till: TillPlan,
}

impl Default for Plan {
    fn default() -> Self {
        let rule = Rule { price: Some(Price::fixed(Msat::new(PRICE))), ..Rule::FREE };
        Self { rule, terms: Terms::new("mcp"), msat: PRICE, till: TillPlan::default() }
    }
}

impl House {
    pub(crate) async fn new(plan: Plan) -> Self {
        let folder = TempDir::new().expect("a folder");
        let ledger = Ledger::open(LedgerConfig::new(folder.path().join("ledger.db"))).expect("a ledger");
        let keys = Arc::new(MasterKeys::new((1, [7; 32])));
        let preimage = Preimage::from_bytes([9; 32]);
        let token_id = keys.new_token_id([5; 28]);
        let identifier = Identifier { payment_hash: preimage.payment_hash(), token_id };
        let voucher = Voucher {
            token_id,
            payment_hash: identifier.payment_hash,
            owner: None,
            amount: Msat::new(plan.msat),
            calls: 1,
            note: String::new(),
            created_at: now(),
            expires_at: now() + 600,
        };
        ledger.mint_voucher(voucher).await.expect("booked");
        let root = keys.root_key(&token_id).expect("a root key");
        let caveats = plan.terms.to_caveats().expect("caveats");
        let macaroon = Macaroon::mint(&root, &identifier, "", &caveats).expect("a macaroon");
        let gate = Arc::new(Gate::new(parts(&ledger, &keys, plan.rule, plan.till)));
        let credential = Credential::new(macaroon.encode_v2(), preimage);
        Self { ledger, token_id, gate, keys, credential, calls: Arc::default(), _folder: folder }
    }

    /// The same house with another rule for `paid`, as after a change of the configuration.
    pub(crate) fn repriced(&mut self, rule: Rule) {
        self.gate = Arc::new(Gate::new(parts(&self.ledger, &self.keys, rule, TillPlan::default())));
    }

    /// The credential with caveats that its holder appends.
    pub(crate) fn attenuated(&self, caveats: &[&str]) -> String {
        let macaroon = Macaroon::decode(self.credential.macaroon()).expect("a macaroon");
        let add = |macaroon: Macaroon, caveat: &&str| macaroon.add_caveat(caveat).expect("room for it");
        let macaroon = caveats.iter().fold(macaroon, add);
        Credential::new(macaroon.encode_v2(), self.credential.preimage().clone()).to_text()
    }

    /// Makes the paid call with its credential; gives the response with its body unread.
    pub(crate) async fn call(&self, script: Script) -> Response<GateBody<Chunks>> {
        self.ask(script, "{}", &[("authorization", &format!("L402 {}", self.credential.to_text()))]).await
    }

    /// Makes the call `paid` with these arguments and headers.
    pub(crate) async fn ask(
        &self,
        script: Script,
        arguments: &str,
        headers: &[(&str, &str)],
    ) -> Response<GateBody<Chunks>> {
        let upstream = Upstream { script, calls: Arc::clone(&self.calls) };
        let mut service = GateLayer::new(Arc::clone(&self.gate)).layer(upstream);
        let params = format!(r#"{{"name":"paid","arguments":{arguments}}}"#);
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#);
        let mut request = Request::post("/mcp").header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body))).expect("a request");
        let answered: Result<_, Infallible> = service.call(request).await;
        let Ok(response) = answered;
        response
    }

    /// How often the server was called.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Relaxed)
    }

    /// What the account can spend. What a failed call gives back counts at once, before its end is on disk.
    pub(crate) async fn left(&self) -> i64 {
        self.ledger.balance(&self.token_id).await.expect("readable").expect("an account").available
    }

    pub(crate) async fn read(response: Response<GateBody<Chunks>>) -> Result<Bytes, BoxError> {
        Ok(response.into_body().collect().await?.to_bytes())
    }

    /// The reason in the refusal.
    pub(crate) async fn reason(response: Response<GateBody<Chunks>>) -> String {
        let body = Self::read(response).await.expect("a body");
        let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        body["error"]["data"]["reason"].as_str().unwrap_or_default().to_owned()
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs()
}

/// The longest reply.
pub(crate) const REPLY_MAX: usize = 1 << 20;

/// The address in receipts.
pub(crate) const ISSUER: &str = "https://gate.example.com/mcp";

/// The key that signs receipts.
pub(crate) fn receipt_key() -> Arc<ReceiptKey> {
    Arc::new(ReceiptKey::from_seed(&[3; 32]).expect("a key"))
}

fn parts(ledger: &Ledger, keys: &Arc<MasterKeys>, rule: Rule, till: TillPlan) -> GateParts {
    GateParts {
        till: Some(Arc::new(Till::new(TillSettings {
            service: "mcp".to_owned(),
            keys: Arc::clone(keys),
            ledger: ledger.clone(),
            invoices: None,
            location: String::new(),
            credential_ttl_seconds: 600,
            calls_max: 1,
            failed_payments: octroi_gate::FailedPayments::default(),
            budgets: till.budgets,
            receipts: till.receipts.then(|| Arc::new(ReceiptDesk::new(receipt_key(), ISSUER))),
            work: None,
        }))),
        challenge: ChallengeStyle::Http,
        limits: Limits { reply_bytes_max: REPLY_MAX, ..Limits::default() },
        ..GateParts::new("mcp", policy(rule))
    }
}

pub(crate) const ANSWER: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[],"isError":false}}"#;
pub(crate) const FAILED: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[],"isError":true}}"#;
pub(crate) const ERROR: &str = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"no"}}"#;
pub(crate) const FOREIGN: &str = r#"{"jsonrpc":"2.0","id":2,"result":{"content":[]}}"#;
pub(crate) const INPUT: &str =
    r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"input_required","requestState":"s"}}"#;
pub(crate) const PROGRESS: &str =
    "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":1}}\n\n";
pub(crate) const FINAL: &str = "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"content\":[]}}\n\n";
pub(crate) const FINAL_FAILED: &str =
    "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"isError\":true}}\n\n";

pub(crate) const FINAL_START: &str = "data: {\"jsonrpc\":\"2.0\",\"id\":1,";
pub(crate) const FINAL_END: &str = "\"result\":{\"content\":[]}}\n\n";

/// The paid tool by `rule`, every other one closed, everything else open.
fn policy(rule: Rule) -> Policy {
    let free = || Rules::new([], Rule::FREE);
    Policy {
        tools: Rules::new([(Pattern::new("paid"), rule)], Rule::forbidden()),
        resources: free(),
        prompts: free(),
        hierarchy: ScopeHierarchy::default(),
    }
}
