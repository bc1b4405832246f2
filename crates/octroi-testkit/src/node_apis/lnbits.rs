//! One wallet of an LNbits. Its own ledger is the node's.

use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{Method, StatusCode};
use octroi_l402::{Msat, PaymentHash};
use octroi_lightning::{NodeError, Outgoing, bolt11};
use serde_json::{Value, json};

use super::faults::{Faults, Telling};
use super::server::{Answer, Api};
use super::stand::{Stand, now};

/// How long one payment may take.
const PAYING: Duration = Duration::from_secs(60);
/// The most paid for routing.
const FEE: Msat = Msat::new(10_000);
/// LNbits' status for what its node could not do.
const FAILED: u16 = 520;

pub(super) struct Lnbits {
    pub(super) stand: Arc<Stand>,
    pub(super) faults: Arc<Faults>,
}

fn refusal(status: u16, detail: &str) -> Answer {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Answer::Whole(status, json!({"detail": detail, "status": "failed"}))
}

#[async_trait::async_trait]
impl Api for Lnbits {
    fn credential_header(&self) -> &'static str {
        "x-api-key"
    }

    fn stranger(&self) -> Answer {
        Answer::Whole(StatusCode::NOT_FOUND, json!({"detail": "Wallet not found."}))
    }

    async fn answer(&self, head: &Parts, body: &[u8], _base: &str) -> Answer {
        let asked: Value = serde_json::from_slice(body).unwrap_or_default();
        let path: Vec<&str> = head.uri.path().trim_matches('/').split('/').collect();
        match (&head.method, path.as_slice()) {
            (&Method::POST, ["api", "v1", "payments"]) if asked["out"] == true => self.pay(&asked).await,
            (&Method::POST, ["api", "v1", "payments"]) => self.create(&asked).await,
            (&Method::GET, ["api", "v1", "payments"]) => self.list(head.uri.query().unwrap_or_default()),
            (&Method::GET, ["api", "v1", "payments", hash]) => match hash.parse() {
                Ok(hash) => self.look_up(&hash).await,
                Err(_) => refusal(404, "Payment does not exist."),
            },
            (&Method::GET, ["api", "v1", "wallet"]) => match self.stand.node.balances().await {
                Ok(balances) => Answer::ok(json!({"name": "gate", "balance": balances.outbound.as_i64()})),
                Err(error) => refusal(FAILED, &error.to_string()),
            },
            _ => refusal(404, "Not Found"),
        }
    }
}

impl Lnbits {
    async fn create(&self, asked: &Value) -> Answer {
        let amount = asked["amount"].as_i64().and_then(Msat::from_sat).unwrap_or(Msat::ZERO);
        let memo = asked["memo"].as_str().unwrap_or_default();
        match self.stand.make(amount, memo, asked["expiry"].as_u64().unwrap_or(3600), "").await {
            Ok(made) => {
                let mut record =
                    record(&made.invoice.payment_hash, made.invoice.amount.as_i64(), "pending", now());
                record["bolt11"] = made.invoice.bolt11.clone().into();
                record["payment_request"] = made.invoice.bolt11.into();
                Answer::Whole(StatusCode::CREATED, record)
            }
            Err(NodeError::Refused(words)) => refusal(400, &words),
            Err(error) => refusal(FAILED, &error.to_string()),
        }
    }

    async fn pay(&self, asked: &Value) -> Answer {
        let text = asked["bolt11"].as_str().unwrap_or_default();
        let Ok(decoded) = bolt11::decode(text) else { return refusal(400, "Bolt11 decoding failed.") };
        match self.stand.node.pay(text, FEE, PAYING).await {
            Ok(payment) => {
                let record = record(&decoded.payment_hash, -payment.amount.as_i64(), "success", now());
                Answer::Whole(StatusCode::CREATED, record)
            }
            Err(error) => refusal(FAILED, &format!("Payment failed: {error}")),
        }
    }

    fn list(&self, query: &str) -> Answer {
        let query: Vec<(String, String)> =
            url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let number = |name: &str| {
            query
                .iter()
                .find(|(given, _)| given == name)
                .and_then(|(_, text)| text.parse::<usize>().ok())
                .unwrap_or(0)
        };
        let mut settled = self.stand.all_settled();
        let (mut offset, mut limit) = (number("offset"), number("limit"));
        if !settled.is_empty() && self.faults.tells(Telling::FromTheStart) {
            (offset, limit) = (0, settled.len());
        } else if !settled.is_empty() && self.faults.tells(Telling::Skipped) {
            settled.pop();
        } else if !settled.is_empty() && self.faults.tells(Telling::Twice) {
            settled.extend(settled.last().copied());
        }
        let page = settled.iter().rev().skip(offset).take(limit);
        Answer::ok(
            page.map(|settled| record(&settled.payment_hash, settled.amount.as_i64(), "success", settled.at))
                .collect(),
        )
    }

    async fn look_up(&self, hash: &PaymentHash) -> Answer {
        if let Some(settled) = self.stand.settled(hash).await {
            let details = record(hash, settled.amount.as_i64(), "success", settled.at);
            return Answer::ok(json!({"paid": true, "preimage": null, "details": details}));
        }
        if let Some(made) = self.stand.made(hash) {
            let mut details = record(hash, made.invoice.amount.as_i64(), "pending", made.created_at);
            details["expiry"] = rfc3339(made.invoice.expires_at).into();
            return Answer::ok(
                json!({"paid": false, "status": "pending", "preimage": null, "details": details}),
            );
        }
        match self.stand.outgoing(hash).await {
            Outgoing::Paid(payment) => {
                let mut details = record(hash, -payment.amount.as_i64(), "success", now());
                details["preimage"] = payment.preimage.to_hex().into();
                details["fee"] = (-payment.fee.as_i64()).into();
                Answer::ok(json!({"paid": true, "preimage": payment.preimage.to_hex(), "details": details}))
            }
            Outgoing::Failed => Answer::ok(
                json!({"paid": false, "status": "failed", "details": record(hash, -1, "failed", now())}),
            ),
            Outgoing::Pending => Answer::ok(
                json!({"paid": false, "status": "pending", "details": record(hash, -1, "pending", now())}),
            ),
            Outgoing::Unknown => refusal(404, "Payment does not exist."),
        }
    }
}

fn record(hash: &PaymentHash, amount: i64, status: &str, at: u64) -> Value {
    let at = rfc3339(at);
    json!({
        "checking_id": hash.to_string(),
        "payment_hash": hash.to_string(),
        "wallet_id": "w",
        "amount": amount,
        "fee": 0,
        "status": status,
        "preimage": null,
        "time": at,
        "created_at": at,
        "updated_at": at,
    })
}

/// As LNbits writes it, with microseconds and a zone.
fn rfc3339(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Days in the Gregorian calendar from March of the year 0, in eras of 400 years.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.000000+00:00")
}
