//! A Lightning Address: LUD-06, LUD-16 and LUD-21.

use std::sync::Arc;

use http::StatusCode;
use http::request::Parts;
use octroi_l402::Msat;
use serde_json::{Value, json};

use super::faults::{Faults, Telling};
use super::server::{Answer, Api};
use super::stand::Stand;

/// Where the terms stand.
pub(super) const TERMS: &str = "/.well-known/lnurlp/gate";

/// How long an invoice can be paid: the caller does not choose.
const EXPIRY_SECS: u64 = 600;

pub(super) struct Lnurl {
    pub(super) stand: Arc<Stand>,
    pub(super) faults: Arc<Faults>,
}

/// Errors come with status 200.
fn refusal(reason: &str) -> Answer {
    Answer::ok(json!({"status": "ERROR", "reason": reason}))
}

#[async_trait::async_trait]
impl Api for Lnurl {
    fn credential_header(&self) -> &'static str {
        ""
    }

    fn stranger(&self) -> Answer {
        refusal("not reached")
    }

    async fn answer(&self, head: &Parts, _body: &[u8], base: &str) -> Answer {
        let path = head.uri.path();
        if path == TERMS {
            return Answer::ok(json!({
                "tag": "payRequest",
                "callback": format!("{base}/callback?user=gate"),
                "minSendable": 1000,
                "maxSendable": 10_000_000_000_i64,
                "metadata": "[[\"text/plain\",\"gate\"]]",
            }));
        }
        if path == "/callback" {
            return self.callback(head.uri.query().unwrap_or_default(), base).await;
        }
        match path.strip_prefix("/verify/").map(str::parse) {
            Some(Ok(hash)) => match self.stand.made(&hash) {
                Some(made) => Answer::ok(json!({
                    "status": "OK",
                    "settled": self.stand.settled(&hash).await.is_some() && !self.faults.tells(Telling::Skipped),
                    "preimage": Value::Null,
                    "pr": made.invoice.bolt11,
                })),
                None => {
                    Answer::Whole(StatusCode::NOT_FOUND, json!({"status": "ERROR", "reason": "Not found"}))
                }
            },
            _ => Answer::Whole(StatusCode::NOT_FOUND, json!({"status": "ERROR", "reason": "Not found"})),
        }
    }
}

impl Lnurl {
    async fn callback(&self, query: &str, base: &str) -> Answer {
        let mut query = url::form_urlencoded::parse(query.as_bytes());
        let amount = query.find(|(name, _)| name == "amount").and_then(|(_, text)| text.parse().ok());
        let Some(amount) = amount else { return refusal("amount is missing") };
        match self.stand.make(Msat::new(amount), "a call", EXPIRY_SECS, "").await {
            Ok(made) => Answer::ok(json!({
                "pr": made.invoice.bolt11,
                "routes": [],
                "verify": format!("{base}/verify/{}", made.invoice.payment_hash),
            })),
            Err(error) => refusal(&error.to_string()),
        }
    }
}
