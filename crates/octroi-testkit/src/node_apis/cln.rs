//! Core Lightning's methods, over clnrest and over the Unix socket.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use http::request::Parts;
use http::{Method, StatusCode};
use octroi_l402::{Msat, PaymentHash};
use octroi_lightning::{NodeError, Outgoing, PayError};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::{JoinHandle, JoinSet};

use super::faults::{Fault, Faults, Telling};
use super::server::{Answer, Api};
use super::stand::{Made, Settled, Stand, now};

/// A refusal: code and words.
type Refused = (i64, String);

pub(super) struct Methods {
    pub(super) stand: Arc<Stand>,
    pub(super) faults: Arc<Faults>,
}

pub(super) struct Rest(pub(super) Methods);

#[async_trait::async_trait]
impl Api for Rest {
    fn credential_header(&self) -> &'static str {
        "rune"
    }

    fn stranger(&self) -> Answer {
        let words = json!({"code": 1501, "message": "Not authorized: Not derived from master"});
        Answer::Whole(StatusCode::UNAUTHORIZED, words)
    }

    /// 32 bytes of authentication, and a restriction to one method.
    fn weak(&self) -> String {
        URL_SAFE.encode([&[7; 32], &b"method=getinfo"[..]].concat())
    }

    fn too_weak(&self, head: &Parts) -> Option<Answer> {
        let words = json!({"code": 1502, "message": "Not permitted: method is not equal to getinfo"});
        (head.uri.path() != "/v1/getinfo").then(|| Answer::Whole(StatusCode::UNAUTHORIZED, words))
    }

    async fn answer(&self, head: &Parts, body: &[u8], _base: &str) -> Answer {
        let method = head.uri.path().strip_prefix("/v1/").filter(|_| head.method == Method::POST);
        let Some(method) = method else {
            return Answer::Whole(StatusCode::NOT_FOUND, json!({"message": "no"}));
        };
        let params = serde_json::from_slice(body).unwrap_or_default();
        match self.0.call(method, &params).await {
            Ok(result) => Answer::Whole(StatusCode::CREATED, result),
            Err((code, message)) => {
                let status =
                    if code == -32601 { StatusCode::NOT_FOUND } else { StatusCode::INTERNAL_SERVER_ERROR };
                Answer::Whole(status, json!({"code": code, "message": message}))
            }
        }
    }
}

/// JSON-RPC 2.0 on a Unix socket; answers end with an empty line.
pub(super) fn listen(methods: Arc<Methods>, faults: Arc<Faults>, path: &Path) -> io::Result<JoinHandle<()>> {
    let listener = UnixListener::bind(path)?;
    Ok(tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(answer(stream, Arc::clone(&methods), Arc::clone(&faults)));
            while connections.try_join_next().is_some() {}
        }
    }))
}

async fn answer(mut stream: UnixStream, methods: Arc<Methods>, faults: Arc<Faults>) -> io::Result<()> {
    let mut bytes = Vec::new();
    let request: Value = loop {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
        if let Ok(request) = serde_json::from_slice(&bytes) {
            break request;
        }
    };
    let fault = faults.take();
    faults.lag().await;
    let mut cuts = faults.cuts();
    if let Some(Fault::Answer(_, text)) = fault {
        return stream.write_all(format!("{text}\n\n").as_bytes()).await;
    }
    let called = methods.call(request["method"].as_str().unwrap_or_default(), &request["params"]);
    let result = tokio::select! {
        result = called => result,
        _ = cuts.changed() => return stream.write_all(b"{\"jsonrpc\":\"2.0\",\"res").await,
    };
    let reply = match (fault, result) {
        (Some(Fault::CutOff), _) => return stream.write_all(b"{\"jsonrpc\":\"2.0\",\"res").await,
        (Some(Fault::Dribble), _) => loop {
            stream.write_all(b" ").await?;
            tokio::time::sleep(super::server::DRIBBLE).await;
        },
        (fault, result) => {
            if let Some(Fault::Slow(by)) = fault {
                tokio::time::sleep(by).await;
            }
            let id = &request["id"];
            match result {
                Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string(),
                Err((code, message)) => {
                    json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})
                        .to_string()
                }
            }
        }
    };
    stream.write_all(format!("{reply}\n\n").as_bytes()).await
}

impl Methods {
    async fn call(&self, method: &str, params: &Value) -> Result<Value, Refused> {
        match method {
            "invoice" => self.invoice(params).await,
            "listinvoices" => self.list(params).await,
            "waitanyinvoice" => self.wait(params).await,
            "delinvoice" => self.delete(params),
            "xpay" => self.pay(params).await,
            "listpays" => self.pays(params).await,
            "listpeerchannels" => self.channels().await,
            "listfunds" => Ok(json!({"outputs": [], "channels": []})),
            "getinfo" => self.info().await,
            _ => Err((-32601, format!("Unknown command '{method}'"))),
        }
    }

    async fn invoice(&self, params: &Value) -> Result<Value, Refused> {
        let amount = params["amount_msat"].as_i64().unwrap_or(0);
        let text = |name: &str| params[name].as_str().unwrap_or_default();
        let expiry = params["expiry"].as_u64().unwrap_or(604_800);
        let made = self.stand.make(Msat::new(amount), text("description"), expiry, text("label")).await;
        let made = made.map_err(|error| (-32602, error.to_string()))?;
        Ok(json!({
            "payment_hash": made.invoice.payment_hash.to_string(),
            "expires_at": made.invoice.expires_at,
            "bolt11": made.invoice.bolt11,
            "payment_secret": "00".repeat(32),
            "created_index": 1,
        }))
    }

    async fn list(&self, params: &Value) -> Result<Value, Refused> {
        let hash: PaymentHash = hash(params)?;
        let settled = self.stand.settled(&hash).await;
        let record = self.stand.made(&hash).map(|made| match settled {
            Some(settled) => paid(&settled, Some(&made)),
            None => unpaid(&made),
        });
        Ok(json!({"invoices": record.into_iter().collect::<Vec<_>>()}))
    }

    async fn wait(&self, params: &Value) -> Result<Value, Refused> {
        let after =
            params["lastpay_index"].as_u64().and_then(|number| usize::try_from(number).ok()).unwrap_or(0);
        let after = match () {
            () if self.faults.tells(Telling::FromTheStart) => 0,
            () if after > 0 && self.faults.tells(Telling::Twice) => after - 1,
            () => after,
        };
        let patience = Duration::from_secs(params["timeout"].as_u64().unwrap_or(3600));
        let settled = tokio::time::timeout(patience, self.stand.wait_after(after)).await;
        let mut settled =
            settled.map_err(|_| (904, "Timed out while waiting for invoice to be paid".to_owned()))?;
        if self.faults.tells(Telling::Skipped) {
            settled = self.stand.wait_after(settled.number).await;
        }
        Ok(paid(&settled, self.stand.made(&settled.payment_hash).as_ref()))
    }

    fn delete(&self, params: &Value) -> Result<Value, Refused> {
        let label = params["label"].as_str().unwrap_or_default();
        if self.stand.drop_label(label) {
            Ok(json!({"label": label}))
        } else {
            Err((905, "Unknown invoice".to_owned()))
        }
    }

    async fn pay(&self, params: &Value) -> Result<Value, Refused> {
        let text = params["invstring"].as_str().unwrap_or_default();
        let fee = Msat::new(params["maxfee"].as_i64().unwrap_or(0));
        let patience = Duration::from_secs(params["retry_for"].as_u64().unwrap_or(60));
        match self.stand.node.pay(text, fee, patience).await {
            Ok(payment) => Ok(json!({
                "payment_preimage": payment.preimage.to_hex(),
                "amount_msat": payment.amount.as_i64(),
                "amount_sent_msat": payment.amount.as_i64() + payment.fee.as_i64(),
                "failed_parts": 0,
                "successful_parts": 1,
            })),
            Err(PayError::NoRoute) => Err((205, "We could not find a usable set of paths".to_owned())),
            Err(PayError::Expired) => Err((207, "Invoice expired".to_owned())),
            Err(PayError::Rejected) => Err((203, "Destination said it doesn't know invoice".to_owned())),
            Err(error) => Err((209, error.to_string())),
        }
    }

    async fn pays(&self, params: &Value) -> Result<Value, Refused> {
        let hash = hash(params)?;
        let pay = match self.stand.outgoing(&hash).await {
            Outgoing::Unknown => None,
            Outgoing::Pending => Some(json!({"status": "pending"})),
            Outgoing::Failed => Some(json!({"status": "failed"})),
            Outgoing::Paid(payment) => Some(json!({
                "status": "complete",
                "payment_hash": hash.to_string(),
                "preimage": payment.preimage.to_hex(),
                "amount_msat": payment.amount.as_i64(),
                "amount_sent_msat": payment.amount.as_i64() + payment.fee.as_i64(),
            })),
        };
        Ok(json!({"pays": pay.into_iter().collect::<Vec<_>>()}))
    }

    async fn channels(&self) -> Result<Value, Refused> {
        let channels = self.stand.node.channels().await.map_err(internal)?;
        let channels: Vec<Value> = channels
            .iter()
            .map(|channel| {
                json!({
                    "peer_id": channel.peer,
                    "peer_connected": channel.usable,
                    "state": "CHANNELD_NORMAL",
                    "channel_id": channel.id,
                    "total_msat": channel.capacity_sat * 1000,
                    "spendable_msat": channel.outbound.as_i64(),
                    "receivable_msat": channel.inbound.as_i64(),
                })
            })
            .collect();
        Ok(json!({"channels": channels}))
    }

    async fn info(&self) -> Result<Value, Refused> {
        let info = self.stand.node.info().await.map_err(internal)?;
        Ok(json!({
            "id": info.id,
            "alias": info.alias,
            "network": info.network,
            "blockheight": info.block_height,
            "num_active_channels": info.usable_channels,
            "num_inactive_channels": info.channels - info.usable_channels,
            "version": "v26.06",
        }))
    }
}

#[allow(clippy::needless_pass_by_value, reason = "what map_err hands over")]
fn internal(error: NodeError) -> Refused {
    (-32603, error.to_string())
}

fn hash(params: &Value) -> Result<PaymentHash, Refused> {
    let text = params["payment_hash"].as_str().unwrap_or_default();
    text.parse().map_err(|_| (-32602, "payment_hash: should be a 32 byte hex value".to_owned()))
}

fn unpaid(made: &Made) -> Value {
    let expired = made.invoice.expires_at <= now();
    json!({
        "label": made.label,
        "payment_hash": made.invoice.payment_hash.to_string(),
        "status": if expired { "expired" } else { "unpaid" },
        "amount_msat": made.invoice.amount.as_i64(),
        "expires_at": made.invoice.expires_at,
    })
}

fn paid(settled: &Settled, made: Option<&Made>) -> Value {
    json!({
        "label": made.map(|made| made.label.clone()),
        "payment_hash": settled.payment_hash.to_string(),
        "status": "paid",
        "expires_at": made.map_or(0, |made| made.invoice.expires_at),
        "pay_index": settled.number,
        "amount_received_msat": settled.amount.as_i64(),
        "paid_at": settled.at,
    })
}
