//! A wallet as an MCP server: for agents whose own client cannot pay, under the same policy.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HOST};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use octroi_l402::Msat;
use octroi_lightning::bolt11;
use serde_json::{Map, Value, json};
use tower_layer::Layer;
use tower_service::Service;

use crate::agent::unix_now;
use crate::bridge::{Consent, Deferred};
use crate::layer::{Asks, BoxError, Charged, PaidBody, PayLayer, PayService, Unpaid};
use crate::purse::SpendState;
use crate::{AgentError, Approver, HttpClient, Link, Payer};

/// Most bytes of a fetched answer that a model is given.
const FETCHED_BYTES_MAX: usize = 256 * 1024;
/// Most payments that are listed.
const LISTED_MAX: u32 = 100;
/// The revisions spoken, newest first.
const MODERN: &str = "2026-07-28";
const LEGACY: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

/// The service; it speaks both eras of MCP, one message a request.
#[derive(Clone)]
pub struct WalletServer {
    payer: Arc<Payer>,
    http: PayService<HttpClient>,
    link: Arc<Link>,
    consent: Arc<Consent>,
}

type Reply = Response<PaidBody<Full<Bytes>>>;

impl WalletServer {
    /// A server of this payer's wallet, fetching over `http`; `link` asks the owner of a legacy client.
    #[must_use]
    pub fn new(payer: Arc<Payer>, http: HttpClient, link: Arc<Link>) -> Self {
        let http = PayLayer::new(Arc::clone(&payer)).layer(http);
        Self { payer, http, link, consent: Arc::default() }
    }

    async fn answer(self, request: Request<Full<Bytes>>) -> Result<Reply, BoxError> {
        let (head, body) = request.into_parts();
        if head.method != Method::POST {
            return Ok(empty(StatusCode::METHOD_NOT_ALLOWED));
        }
        let modern = head.headers.contains_key("mcp-method");
        let (body, granted) = self.consent.take_answer(body.collect().await?.to_bytes());
        let message: Value = serde_json::from_slice(&body)?;
        let method = message.get("method").and_then(Value::as_str).unwrap_or_default();
        let Some(id) = message.get("id").filter(|_| !method.is_empty()) else {
            return Ok(empty(StatusCode::ACCEPTED));
        };
        let params = message.get("params").cloned().unwrap_or_default();
        let result = match method {
            "initialize" => Ok(hello(&params)),
            "server/discover" => Ok(discovered()),
            "ping" => Ok(json!({})),
            "tools/list" => Ok(json!({"tools": tools(), "ttlMs": 3_600_000, "cacheScope": "public"})),
            "tools/call" => {
                let deferred = Arc::new(Deferred::new(granted));
                let approver: Arc<dyn Approver> =
                    if modern { Arc::clone(&deferred) as _ } else { Arc::clone(&self.link) as _ };
                let called = self.call(&params, approver).await;
                if let Some(question) = deferred.question()
                    && let Some(asked) = self.consent.ask(&body, &question)
                {
                    return Ok(asked);
                }
                called
            }
            _ => Err((-32601, format!("no such method: {method}"))),
        };
        let reply = match result {
            Ok(mut result) => {
                if modern {
                    result["resultType"] = json!("complete");
                }
                json!({"jsonrpc": "2.0", "id": id, "result": result})
            }
            Err((code, message)) => {
                json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})
            }
        };
        let mut response = Response::new(PaidBody::whole(Bytes::from(reply.to_string())));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(response)
    }

    /// Runs a tool. What the wallet refuses is a result that a model can read.
    async fn call(&self, params: &Value, approver: Arc<dyn Approver>) -> Result<Value, (i64, String)> {
        let name = params.get("name").and_then(Value::as_str).unwrap_or_default();
        let nothing = Map::new();
        let arguments = params.get("arguments").and_then(Value::as_object).unwrap_or(&nothing);
        let made = match name {
            "balance" => self.balance().await,
            "pay_invoice" => self.pay(arguments, approver).await,
            "fetch" => self.fetch(arguments, approver).await,
            "decode_invoice" => decode(arguments),
            "list_spending" => self.spending(arguments),
            _ => return Err((-32602, format!("no such tool: {name}"))),
        };
        Ok(match made {
            Ok(value) => {
                let text = value.to_string();
                json!({"content": [{"type": "text", "text": text}], "structuredContent": value, "isError": false})
            }
            Err(error) => json!({"content": [{"type": "text", "text": error.to_string()}], "isError": true}),
        })
    }

    async fn balance(&self) -> Result<Value, AgentError> {
        let wallet = self.payer.wallet();
        let wallet = wallet.ok_or_else(|| AgentError::Config("there is no wallet".to_owned()))?;
        let balances = wallet.balances().await.map_err(|error| AgentError::Pay(error.into()))?;
        let spent = self.payer.purse().totals(None, unix_now())?;
        let policy = self.payer.policy();
        let left =
            |limit: Option<Msat>, spent: Msat| limit.map(|limit| (limit.as_i64() - spent.as_i64()).max(0));
        Ok(json!({
            "outbound_msat": balances.outbound.as_i64(),
            "inbound_msat": balances.inbound.map(Msat::as_i64),
            "left_this_hour_msat": left(policy.per_hour, spent.hour),
            "left_this_day_msat": left(policy.per_day, spent.day),
        }))
    }

    async fn pay(
        &self,
        arguments: &Map<String, Value>,
        approver: Arc<dyn Approver>,
    ) -> Result<Value, AgentError> {
        let invoice = text(arguments, "invoice")?.to_owned();
        let payer = Arc::clone(&self.payer);
        // In a task of its own: what becomes of it is written down, even where the client gives up.
        let paying = tokio::spawn(async move { payer.pay_invoice_asking(&invoice, Some(approver)).await });
        let (paid, preimage) =
            paying.await.map_err(|_| AgentError::Config("the payment's task was stopped".to_owned()))??;
        Ok(json!({
            "amount_msat": paid.amount.as_i64(),
            "fee_msat": paid.fee.as_i64(),
            "payment_hash": paid.payment_hash.to_string(),
            "preimage": preimage.to_hex(),
        }))
    }

    async fn fetch(
        &self,
        arguments: &Map<String, Value>,
        approver: Arc<dyn Approver>,
    ) -> Result<Value, AgentError> {
        let mut request = request(arguments)?;
        request.extensions_mut().insert(Asks(approver));
        let mut http = self.http.clone();
        let answered = async {
            std::future::poll_fn(|cx| http.poll_ready(cx)).await?;
            http.call(request).await
        };
        let answer = answered.await.map_err(|error| match error.downcast::<AgentError>() {
            Ok(error) => *error,
            Err(error) => AgentError::Network(error.to_string()),
        })?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, FETCHED_BYTES_MAX).collect().await;
        let body = body.map_err(|_| AgentError::TooLong { max: FETCHED_BYTES_MAX })?.to_bytes();
        let charged: Charged = head.extensions.get().copied().unwrap_or_default();
        let why = head.extensions.get::<Unpaid>().map(|unpaid| unpaid.0.to_string());
        Ok(json!({
            "status": head.status.as_u16(),
            "content_type": head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()),
            "body": String::from_utf8_lossy(&body),
            "paid_msat": charged.paid.map(|paid| paid.amount.as_i64() + paid.fee.as_i64()),
            "not_paid": why,
        }))
    }

    fn spending(&self, arguments: &Map<String, Value>) -> Result<Value, AgentError> {
        let asked = arguments.get("last").and_then(Value::as_u64).unwrap_or(20);
        let last = u32::try_from(asked).unwrap_or(LISTED_MAX).min(LISTED_MAX);
        let purse = self.payer.purse();
        let totals = purse.totals(None, unix_now())?;
        let payments = purse.receipts(last)?.into_iter().map(|receipt| {
            let state = match receipt.state {
                SpendState::Open => "open",
                SpendState::Paid => "paid",
                SpendState::Failed => "failed",
            };
            json!({
                "server": receipt.server,
                "tool": receipt.tool,
                "description": receipt.description,
                "cost_msat": receipt.cost.as_i64(),
                "state": state,
                "at": receipt.at,
            })
        });
        Ok(json!({
            "hour_msat": totals.hour.as_i64(),
            "day_msat": totals.day.as_i64(),
            "payments": payments.collect::<Vec<_>>(),
        }))
    }
}

impl Service<Request<Full<Bytes>>> for WalletServer {
    type Response = Reply;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Reply, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        Box::pin(self.clone().answer(request))
    }
}

fn text<'a>(arguments: &'a Map<String, Value>, name: &str) -> Result<&'a str, AgentError> {
    let given = arguments.get(name).and_then(Value::as_str);
    given.ok_or_else(|| AgentError::Config(format!("the argument {name} must be a string")))
}

fn decode(arguments: &Map<String, Value>) -> Result<Value, AgentError> {
    let read = bolt11::decode(text(arguments, "invoice")?).map_err(crate::BillError::Invoice)?;
    Ok(json!({
        "amount_msat": read.amount.map(Msat::as_i64),
        "description": read.description,
        "expires_at": read.expires_at,
        "is_expired": read.is_expired(unix_now()),
        "network": read.network,
        "payee": read.payee,
        "payment_hash": read.payment_hash.to_string(),
    }))
}

/// The request that a model asks for. It may not name credentials of its own: those of this machine are not its to use.
fn request(arguments: &Map<String, Value>) -> Result<Request<Full<Bytes>>, AgentError> {
    let wrong = |what: &str| AgentError::Config(format!("{what} cannot be used"));
    let body = arguments.get("body").and_then(Value::as_str).unwrap_or_default();
    let mut request = Request::new(Full::new(Bytes::from(body.to_owned())));
    *request.uri_mut() = text(arguments, "url")?.parse().map_err(|_| wrong("the url"))?;
    if !matches!(request.uri().scheme_str(), Some("http" | "https")) {
        return Err(wrong("the url"));
    }
    let method = arguments.get("method").and_then(Value::as_str).unwrap_or("GET");
    *request.method_mut() = method.parse().map_err(|_| wrong("the method"))?;
    for (name, value) in arguments.get("headers").and_then(Value::as_object).into_iter().flatten() {
        let name: HeaderName = name.parse().map_err(|_| wrong("a header"))?;
        let value: HeaderValue =
            value.as_str().and_then(|value| value.parse().ok()).ok_or_else(|| wrong("a header"))?;
        if name != HOST && name != AUTHORIZATION && name != COOKIE {
            request.headers_mut().insert(name, value);
        }
    }
    Ok(request)
}

fn hello(params: &Value) -> Value {
    let asked = params.get("protocolVersion").and_then(Value::as_str);
    let version = LEGACY.into_iter().find(|known| asked == Some(known)).unwrap_or(LEGACY[0]);
    json!({"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": server_info()})
}

fn discovered() -> Value {
    json!({
        "supportedVersions": [MODERN],
        "capabilities": {"tools": {}},
        "ttlMs": 3_600_000,
        "cacheScope": "public",
        "_meta": {"io.modelcontextprotocol/serverInfo": server_info()},
    })
}

fn server_info() -> Value {
    json!({"name": "octroi-wallet", "version": env!("CARGO_PKG_VERSION")})
}

fn tools() -> Value {
    let tool = |name: &str, description: &str, properties: Value, required: &[&str], reads: bool| {
        json!({
            "name": name,
            "description": description,
            "inputSchema": {"type": "object", "properties": properties, "required": required, "additionalProperties": false},
            "annotations": {"readOnlyHint": reads, "destructiveHint": !reads, "openWorldHint": true},
        })
    };
    let invoice = json!({"invoice": {"type": "string", "description": "A BOLT 11 Lightning invoice."}});
    json!([
        tool(
            "balance",
            "What the Lightning wallet can send and receive, and what may still be spent.",
            json!({}),
            &[],
            true
        ),
        tool(
            "pay_invoice",
            "Pays a Lightning invoice within the owner's limits and returns its preimage.",
            invoice.clone(),
            &["invoice"],
            false
        ),
        tool(
            "fetch",
            "Fetches a URL over HTTP; when the server asks for payment (402, L402) it is paid within the owner's limits.",
            json!({
                "url": {"type": "string"},
                "method": {"type": "string", "description": "GET unless given."},
                "headers": {"type": "object", "additionalProperties": {"type": "string"}},
                "body": {"type": "string"},
            }),
            &["url"],
            false,
        ),
        tool("decode_invoice", "Reads a Lightning invoice without paying it.", invoice, &["invoice"], true),
        tool(
            "list_spending",
            "The last payments, and what was spent in the last hour and day.",
            json!({"last": {"type": "integer", "minimum": 1, "maximum": LISTED_MAX}}),
            &[],
            true,
        ),
    ])
}

fn empty(status: StatusCode) -> Reply {
    let mut response = Response::new(PaidBody::whole(Bytes::new()));
    *response.status_mut() = status;
    response
}
