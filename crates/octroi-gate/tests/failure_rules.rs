//! What a paid call costs when it goes wrong: the table of `docs/payments.md`, row by row, over the layer itself.
//!
//! The inner service is scripted, the ledger is real, the credential is a voucher of one call's price.

#![allow(clippy::expect_used, reason = "a test may fail")]

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use octroi_gate::policy::{Pattern, Policy, Rule, Rules};
use octroi_gate::{
    BoxError, ChallengeStyle, Gate, GateBody, GateLayer, GateParts, Limits, RequestHeaders, Till,
    TillSettings,
};
use octroi_l402::{Credential, Identifier, Macaroon, MasterKeys, Msat, Preimage, Terms, TokenId};
use octroi_ledger::{Ledger, LedgerConfig, Voucher};
use tempfile::TempDir;
use tower_layer::Layer;
use tower_service::Service;

const PRICE: i64 = 3_000;

/// What the scripted upstream answers.
#[derive(Clone)]
enum Script {
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
struct Upstream(Script);

/// Chunks, then an end or an error.
struct Chunks {
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
        let script = self.0.clone();
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

struct House {
    ledger: Ledger,
    gate: Arc<Gate>,
    credential: String,
    token_id: TokenId,
    _folder: TempDir,
}

impl House {
    async fn new(charge_failed: bool) -> Self {
        let folder = TempDir::new().expect("a folder");
        let ledger = Ledger::open(LedgerConfig::new(folder.path().join("ledger.db"))).expect("a ledger");
        let keys = Arc::new(MasterKeys::new((1, [7; 32])));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs();
        let preimage = Preimage::from_bytes([9; 32]);
        let token_id = keys.new_token_id([5; 28]);
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
        ledger.mint_voucher(voucher).await.expect("booked");
        let caveats = Terms::new("mcp").to_caveats().expect("caveats");
        let root = keys.root_key(&token_id).expect("a root key");
        let macaroon = Macaroon::mint(&root, &identifier, "", &caveats).expect("a macaroon");
        let rule = Rule { price: Some(Msat::new(PRICE)), charge_failed, ..Rule::FREE };
        let free = || Rules::new([], Rule::FREE);
        let gate = Gate::new(GateParts {
            service: "mcp".to_owned(),
            policy: Policy {
                tools: Rules::new([(Pattern::new("paid"), rule)], Rule::forbidden()),
                resources: free(),
                prompts: free(),
            },
            identity: None,
            till: Some(Arc::new(Till::new(TillSettings {
                keys,
                ledger: ledger.clone(),
                invoices: None,
                location: String::new(),
                credential_ttl_seconds: 600,
                calls_max: 1,
                work: None,
            }))),
            own_tools: None,
            challenge: ChallengeStyle::Http,
            request_headers: RequestHeaders::default(),
            limits: Limits {
                body_bytes_max: 1 << 20,
                reply_bytes_max: 4096,
                json: octroi_mcp::json::Limits::default(),
            },
        });
        let credential = Credential::new(macaroon.encode_v2(), preimage).to_text();
        Self { ledger, gate: Arc::new(gate), credential, token_id, _folder: folder }
    }

    /// Makes the paid call; gives the response with its body unread.
    async fn call(&self, script: Script) -> Response<GateBody<Chunks>> {
        let mut service = GateLayer::new(Arc::clone(&self.gate)).layer(Upstream(script));
        let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"paid"}}"#;
        let request = Request::post("/mcp")
            .header("content-type", "application/json")
            .header("authorization", format!("L402 {}", self.credential))
            .body(Full::new(Bytes::from(body)))
            .expect("a request");
        let answered: Result<_, Infallible> = service.call(request).await;
        let Ok(response) = answered;
        response
    }

    /// What the account can spend. What a failed call gives back counts at once, before its end is on disk.
    async fn left(&self) -> i64 {
        self.ledger.balance(&self.token_id).await.expect("readable").expect("an account").available
    }

    async fn read(response: Response<GateBody<Chunks>>) -> Result<Bytes, BoxError> {
        Ok(response.into_body().collect().await?.to_bytes())
    }
}

const ANSWER: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[],"isError":false}}"#;
const FAILED: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[],"isError":true}}"#;
const ERROR: &str = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"no"}}"#;
const FOREIGN: &str = r#"{"jsonrpc":"2.0","id":2,"result":{"content":[]}}"#;
const INPUT: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"input_required","requestState":"s"}}"#;
const PROGRESS: &str =
    "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":1}}\n\n";
const FINAL: &str = "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"content\":[]}}\n\n";
const FINAL_FAILED: &str = "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"isError\":true}}\n\n";

#[tokio::test]
async fn a_call_is_charged_exactly_when_it_was_answered() {
    let ok = StatusCode::OK;
    for (name, script, charged) in [
        ("a result", Script::Json(ok, ANSWER), true),
        ("a result with isError", Script::Json(ok, FAILED), false),
        ("a JSON-RPC error", Script::Json(ok, ERROR), false),
        ("a reply to another request", Script::Json(ok, FOREIGN), false),
        ("more input wanted", Script::Json(ok, INPUT), false),
        ("garbage", Script::Json(ok, "<html>"), false),
        ("an empty reply", Script::Json(StatusCode::ACCEPTED, ""), false),
        ("a result under a 500", Script::Json(StatusCode::INTERNAL_SERVER_ERROR, ANSWER), false),
        ("the gate's own 401", Script::Json(StatusCode::UNAUTHORIZED, ""), false),
        ("no connection", Script::Refused, false),
        ("a stream with its result", Script::Events(&[PROGRESS, FINAL], false), true),
        (
            "a stream whose result is cut into chunks",
            Script::Events(&[PROGRESS, FINAL_START, FINAL_END], false),
            true,
        ),
        ("a stream that fails", Script::Events(&[PROGRESS, FINAL_FAILED], false), false),
        ("a stream that ends without a result", Script::Events(&[PROGRESS], false), false),
        ("a stream that is cut", Script::Events(&[PROGRESS], true), false),
        ("a stream that is cut after its result", Script::Events(&[FINAL], true), true),
    ] {
        let house = House::new(false).await;
        let _ = House::read(house.call(script).await).await;
        assert_eq!(house.left().await, if charged { 0 } else { PRICE }, "{name}");
        assert!(house.ledger.verify().expect("readable").is_sound(), "{name}");
    }
}

const FINAL_START: &str = "data: {\"jsonrpc\":\"2.0\",\"id\":1,";
const FINAL_END: &str = "\"result\":{\"content\":[]}}\n\n";

#[tokio::test]
async fn a_rule_may_charge_failed_calls_but_never_unanswered_ones() {
    for (script, charged) in [
        (Script::Json(StatusCode::OK, FAILED), true),
        (Script::Json(StatusCode::OK, ERROR), false),
        (Script::Refused, false),
    ] {
        let house = House::new(true).await;
        let _ = House::read(house.call(script).await).await;
        assert_eq!(house.left().await, if charged { 0 } else { PRICE });
    }
}

#[tokio::test]
async fn a_caller_that_leaves_pays_only_after_the_first_byte() {
    let house = House::new(false).await;
    let call = house.call(Script::Silent);
    // The call is on its way to the upstream, which never answers, when its caller goes away.
    assert!(tokio::time::timeout(std::time::Duration::from_millis(50), call).await.is_err());
    assert_eq!(house.left().await, PRICE, "before the answer");

    let house = House::new(false).await;
    drop(house.call(Script::Events(&[PROGRESS, FINAL], false)).await);
    assert_eq!(house.left().await, PRICE, "before the first byte");

    let house = House::new(false).await;
    let mut response = house.call(Script::Events(&[PROGRESS, FINAL], false)).await;
    assert!(response.body_mut().frame().await.is_some(), "the first byte");
    drop(response);
    assert_eq!(house.left().await, 0, "after the first byte");
}

#[tokio::test]
async fn the_same_credential_pays_again_after_a_failure_and_only_once_in_all() {
    let house = House::new(false).await;
    let _ = House::read(house.call(Script::Json(StatusCode::OK, FAILED)).await).await;
    let response = house.call(Script::Json(StatusCode::OK, ANSWER)).await;
    assert_eq!(response.headers()["octroi-price"], "3000");
    assert_eq!(response.headers()["octroi-balance"], "0");
    assert_eq!(House::read(response).await.expect("a body"), ANSWER, "byte for byte");
    let refused = house.call(Script::Json(StatusCode::OK, ANSWER)).await;
    assert_ne!(refused.status(), StatusCode::OK);
    assert_eq!(house.left().await, 0);
}

#[tokio::test]
async fn a_reply_beyond_the_bound_is_refused_and_free() {
    static LONG: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
        format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"text":"{}"}}}}"#, "x".repeat(8192))
    });
    let house = House::new(false).await;
    let response = house.call(Script::Json(StatusCode::OK, LONG.as_str())).await;
    assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
    assert_eq!(house.left().await, PRICE);
}
