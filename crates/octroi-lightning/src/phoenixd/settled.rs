//! What arrived at phoenixd: `GET /payments/incoming?from=…`, which lists the latest first.

use std::collections::VecDeque;

use reqwest::Method;
use serde_json::Value;

use super::http::Http;
use super::wire::Incoming;
use crate::NodeError;
use crate::polled::Arrivals;
use crate::queue::Arrival;
use crate::rest::readable;

/// Payments on a page.
const PAGE: usize = 100;

/// Most pages of one question: ten million payments.
const MAX_PAGES: usize = 100_000;

/// Most payments taken over at once, the oldest; the others come with the next question.
const BATCH: usize = 10_000;

#[async_trait::async_trait]
impl Arrivals for Http {
    async fn since(&self, from_ms: u64) -> Result<Vec<(Arrival, u64)>, NodeError> {
        // Without an hash or a time there is nothing to account for; such an entry is no payment of ours.
        Ok(oldest(self, from_ms).await?.iter().rev().filter_map(Incoming::arrival).collect())
    }
}

/// The oldest [`BATCH`] payments since `from`, the latest first.
async fn oldest(http: &Http, from: u64) -> Result<VecDeque<Incoming>, NodeError> {
    let mut oldest = VecDeque::new();
    for page in 0..MAX_PAGES {
        let form = [
            ("from", from.to_string()),
            ("limit", PAGE.to_string()),
            // A payment that arrives meanwhile pushes the others back, so one may come twice, but none is missed.
            ("offset", (page * PAGE).to_string()),
        ];
        let payments: Vec<Value> = http.call(Method::GET, "payments/incoming", &form).await?;
        let is_last = payments.len() < PAGE;
        oldest.extend(readable::<Incoming>(payments));
        oldest.drain(..oldest.len().saturating_sub(BATCH));
        if is_last {
            return Ok(oldest);
        }
    }
    Err(NodeError::BadReply("the list of payments has no end".to_owned()))
}
