//! LND's REST interface: 64-bit integers are texts, bytes are base64, errors are `{"code":…,"message":…,"details":[]}`.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use http::request::Parts;
use http::{Method, StatusCode};
use octroi_l402::{Msat, PaymentHash};
use octroi_lightning::{NodeError, Outgoing, PayError, Payment, bolt11};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::faults::{Faults, Telling};
use super::server::{Answer, Api};
use super::stand::{Settled, Stand, now};

pub(super) struct Lnd {
    pub(super) stand: Arc<Stand>,
    pub(super) faults: Arc<Faults>,
}

/// gRPC's codes, and the statuses that the gateway makes of them.
fn failure(code: u32, message: &str) -> Answer {
    let status = match code {
        3 => StatusCode::BAD_REQUEST,
        5 => StatusCode::NOT_FOUND,
        6 => StatusCode::CONFLICT,
        14 => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    Answer::Whole(status, json!({"code": code, "message": message, "details": []}))
}

fn node_failure(error: &NodeError) -> Answer {
    match error {
        NodeError::Refused(words) => failure(2, words),
        other => failure(14, &other.to_string()),
    }
}

#[async_trait::async_trait]
impl Api for Lnd {
    fn credential_header(&self) -> &'static str {
        "grpc-metadata-macaroon"
    }

    fn stranger(&self) -> Answer {
        failure(2, "verification failed: signature mismatch after caveat verification")
    }

    /// Baked with `info:read` alone: macaroons of version 2, whose identifier is LND's version 3 (`MacaroonId { nonce, storage_id, ops }`).
    fn weak(&self) -> String {
        let field = |number: u8, bytes: &[u8]| {
            let length = u8::try_from(bytes.len()).unwrap_or(u8::MAX);
            [&[number << 3 | 2, length], bytes].concat()
        };
        let op = [field(1, b"info"), field(2, b"read")].concat();
        let identifier = [vec![3], field(1, &[7; 16]), field(2, b"0"), field(3, &op)].concat();
        let length = u8::try_from(identifier.len()).unwrap_or(u8::MAX);
        let packets = [&[2, 2, length], &identifier[..], &[0, 0, 6, 32], &[9; 32]].concat();
        packets.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn too_weak(&self, head: &Parts) -> Option<Answer> {
        (head.uri.path() != "/v1/getinfo").then(|| failure(2, "permission denied"))
    }

    async fn answer(&self, head: &Parts, body: &[u8], _base: &str) -> Answer {
        let query: Vec<(String, String)> =
            url::form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes())
                .into_owned()
                .collect();
        let asked: Value = serde_json::from_slice(body).unwrap_or_default();
        let path: Vec<&str> = head.uri.path().trim_matches('/').split('/').collect();
        match (&head.method, path.as_slice()) {
            (&Method::POST, ["v1", "invoices"]) => self.add(&asked).await,
            (&Method::GET, ["v1", "invoices"]) => {
                let number = |name: &str| query.iter().find(|(given, _)| given == name)?.1.parse().ok();
                self.list(number("index_offset"), number("num_max_invoices").unwrap_or(100))
            }
            (&Method::GET, ["v1", "invoices", "subscribe"]) => {
                let from = query.iter().find(|(name, _)| name == "settle_index");
                self.subscribe(from.and_then(|(_, number)| number.parse().ok()).unwrap_or(0))
            }
            (&Method::GET, ["v1", "invoice", hash]) => match hash.parse() {
                Ok(hash) => self.look_up(&hash).await,
                Err(_) => failure(3, "invalid r_hash"),
            },
            (&Method::POST, ["v2", "router", "send"]) => self.send(&asked).await,
            (&Method::GET, ["v2", "router", "track", hash]) => self.track(hash).await,
            (&Method::GET, ["v1", "balance", "channels"]) => self.balance().await,
            (&Method::GET, ["v1", "balance", "blockchain"]) => Answer::ok(json!({"total_balance": "0"})),
            (&Method::GET, ["v1", "channels"]) => self.channels().await,
            (&Method::GET, ["v1", "getinfo"]) => self.info().await,
            _ => failure(5, "Not Found"),
        }
    }
}

impl Lnd {
    async fn add(&self, asked: &Value) -> Answer {
        let number = |name: &str| asked[name].as_str().and_then(|text| text.parse::<i64>().ok());
        let amount = Msat::new(number("value_msat").unwrap_or(0));
        let memo = asked["memo"].as_str().unwrap_or_default();
        let expiry = number("expiry").and_then(|secs| u64::try_from(secs).ok()).unwrap_or(86_400);
        match self.stand.make(amount, memo, expiry, "").await {
            Ok(made) => Answer::ok(json!({
                "r_hash": STANDARD.encode(made.invoice.payment_hash.as_bytes()),
                "payment_request": made.invoice.bolt11,
                "add_index": "1",
                "payment_addr": STANDARD.encode([0; 32]),
            })),
            Err(error) => node_failure(&error),
        }
    }

    async fn look_up(&self, hash: &PaymentHash) -> Answer {
        if let Some(settled) = self.stand.settled(hash).await {
            return Answer::ok(self.settled(&settled));
        }
        let Some(made) = self.stand.made(hash) else { return failure(5, "unable to locate invoice") };
        let expired = made.invoice.expires_at <= now();
        Answer::ok(json!({
            "memo": made.description,
            "r_hash": STANDARD.encode(hash.as_bytes()),
            "value_msat": made.invoice.amount.as_i64().to_string(),
            "state": if expired { "CANCELED" } else { "OPEN" },
            "settled": false,
            "creation_date": made.created_at.to_string(),
            "expiry": made.invoice.expires_at.saturating_sub(made.created_at).to_string(),
            "settle_date": "0",
            "settle_index": "0",
            "amt_paid_msat": "0",
        }))
    }

    fn settled(&self, settled: &Settled) -> Value {
        json!({
            "r_hash": STANDARD.encode(settled.payment_hash.as_bytes()),
            "state": "SETTLED",
            "settled": true,
            "creation_date": settled.at.to_string(),
            "settle_date": settled.at.to_string(),
            "settle_index": settled.number.to_string(),
            "amt_paid_msat": settled.amount.as_i64().to_string(),
            "payment_request": self.stand.made(&settled.payment_hash).map(|made| made.invoice.bolt11),
            "htlcs": [],
        })
    }

    /// The latest, or the latest before a number; only what settled is here.
    fn list(&self, before: Option<usize>, most: usize) -> Answer {
        let settled = self.stand.all_settled();
        let end = before.map_or(settled.len(), |before| before.saturating_sub(1).min(settled.len()));
        let begin = end.saturating_sub(most);
        Answer::ok(json!({
            "invoices": settled[begin..end].iter().map(|settled| self.settled(settled)).collect::<Vec<_>>(),
            "last_index_offset": end.to_string(),
            "first_index_offset": (begin + 1).to_string(),
        }))
    }

    /// Nothing of the past to who names no number.
    fn subscribe(&self, from: usize) -> Answer {
        let (lines, receiver) = mpsc::channel(16);
        let stand = Arc::clone(&self.stand);
        let mut number = if from == 0 { *stand.count.borrow() } else { from };
        if self.faults.tells(Telling::FromTheStart) {
            number = 0;
        }
        let api = Self { stand: Arc::clone(&stand), faults: Arc::clone(&self.faults) };
        tokio::spawn(async move {
            loop {
                let settled = tokio::select! {
                    settled = stand.wait_after(number) => settled,
                    () = lines.closed() => return,
                };
                number = settled.number;
                if api.faults.tells(Telling::Skipped) {
                    continue;
                }
                // An invoice is told of when it is made, too.
                let hash = STANDARD.encode(settled.payment_hash.as_bytes());
                let open = json!({"result": {"r_hash": hash, "state": "OPEN", "settle_index": "0"}});
                let line = json!({"result": api.settled(&settled)});
                let again = api.faults.tells(Telling::Twice).then(|| line.clone());
                for line in [open, line].into_iter().chain(again) {
                    if lines.send(line.to_string()).await.is_err() {
                        return;
                    }
                }
            }
        });
        Answer::Lines(receiver)
    }

    async fn send(&self, asked: &Value) -> Answer {
        let text = asked["payment_request"].as_str().unwrap_or_default();
        let Ok(decoded) = bolt11::decode(text) else {
            return failure(2, "invalid payment request: checksum failed");
        };
        if self.stand.outgoing(&decoded.payment_hash).await != Outgoing::Unknown {
            return failure(6, "invoice is already paid");
        }
        let fee = asked["fee_limit_msat"].as_str().and_then(|text| text.parse().ok()).unwrap_or(0);
        let seconds = asked["timeout_seconds"].as_u64().unwrap_or(60);
        match self.stand.node.pay(text, Msat::new(fee), Duration::from_secs(seconds)).await {
            Ok(payment) => Answer::ok(json!({"result": sent(&payment)})),
            Err(PayError::NoRoute) => Answer::ok(json!({"result": {
                "status": "FAILED", "payment_preimage": "00".repeat(32), "failure_reason": "FAILURE_REASON_NO_ROUTE",
            }})),
            Err(PayError::Expired) => failure(2, "invoice expired. Valid until 2020-01-01"),
            Err(error) => failure(2, &error.to_string()),
        }
    }

    async fn track(&self, hash: &str) -> Answer {
        let hash = URL_SAFE.decode(hash).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        let Some(hash) = hash else { return failure(3, "invalid hash length") };
        match self.stand.outgoing(&PaymentHash::from_bytes(hash)).await {
            Outgoing::Unknown => failure(5, "payment isn't initiated"),
            Outgoing::Paid(payment) => Answer::ok(json!({"result": sent(&payment)})),
            Outgoing::Failed => Answer::ok(json!({"result": {"status": "FAILED"}})),
            Outgoing::Pending => Answer::ok(json!({"result": {"status": "IN_FLIGHT"}})),
        }
    }

    async fn balance(&self) -> Answer {
        let Ok(balances) = self.stand.node.balances().await else { return failure(14, "no balance") };
        let amount = |msat: Msat| json!({"sat": (msat.as_i64() / 1000).to_string(), "msat": msat.as_i64().to_string()});
        Answer::ok(json!({
            "balance": (balances.outbound.as_i64() / 1000).to_string(),
            "local_balance": amount(balances.outbound),
            "remote_balance": amount(balances.inbound.unwrap_or(Msat::ZERO)),
        }))
    }

    async fn channels(&self) -> Answer {
        let Ok(channels) = self.stand.node.channels().await else { return failure(14, "no channels") };
        let channels: Vec<Value> = channels
            .iter()
            .map(|channel| {
                let sat = |msat: Msat| (msat.as_i64() / 1000).to_string();
                json!({
                    "active": channel.usable,
                    "remote_pubkey": channel.peer,
                    "channel_point": format!("{}:0", channel.id),
                    "capacity": channel.capacity_sat.to_string(),
                    "local_balance": sat(channel.outbound),
                    "remote_balance": sat(channel.inbound),
                    "local_constraints": {"chan_reserve_sat": "0"},
                    "remote_constraints": {"chan_reserve_sat": "0"},
                })
            })
            .collect();
        Answer::ok(json!({"channels": channels}))
    }

    async fn info(&self) -> Answer {
        let Ok(info) = self.stand.node.info().await else { return failure(14, "no info") };
        Answer::ok(json!({
            "version": "0.20.0-beta",
            "identity_pubkey": info.id,
            "alias": info.alias,
            "num_active_channels": info.usable_channels,
            "num_inactive_channels": info.channels - info.usable_channels,
            "block_height": info.block_height,
            "synced_to_chain": info.synced,
            "chains": [{"chain": "bitcoin", "network": info.network}],
        }))
    }
}

fn sent(payment: &Payment) -> Value {
    json!({
        "payment_hash": payment.payment_hash.to_string(),
        "status": "SUCCEEDED",
        "payment_preimage": payment.preimage.to_hex(),
        "value_msat": payment.amount.as_i64().to_string(),
        "fee_msat": payment.fee.as_i64().to_string(),
        "failure_reason": "FAILURE_REASON_NONE",
    })
}
