//! What arrived at the wallet: its list of payments, the latest change first.

use std::collections::VecDeque;

use reqwest::Method;
use serde_json::Value;

use super::Api;
use super::wire::Record;
use crate::NodeError;
use crate::polled::Arrivals;
use crate::queue::Arrival;
use crate::rest::{Content, TIMEOUT, readable};

/// Payments on a page.
const PAGE: usize = 100;

/// Most pages of one question: a million payments.
const MAX_PAGES: usize = 10_000;

/// Most payments taken over at once, the oldest; the others come with the next question, which begins later.
const BATCH: usize = 10_000;

#[async_trait::async_trait]
impl Arrivals for Api {
    async fn since(&self, from_ms: u64) -> Result<Vec<(Arrival, u64)>, NodeError> {
        let mut found = VecDeque::new();
        for page in 0..MAX_PAGES {
            let query = [
                ("limit", PAGE.to_string()),
                ("offset", (page * PAGE).to_string()),
                ("sortby", "updated_at".to_owned()),
                ("direction", "desc".to_owned()),
                ("status[eq]", "success".to_owned()),
            ];
            let reply = self.0.send(Method::GET, "api/v1/payments", Content::Query(&query), TIMEOUT).await?;
            if !reply.status.is_success() {
                return Err(self.failure(reply.status, &reply.body));
            }
            let listed: Vec<Value> = reply.parse()?;
            let whole = listed.len() >= PAGE;
            let records: Vec<Record> = readable(listed);
            let last = !whole || records.iter().any(|record| record.updated_ms() < from_ms);
            let arrivals = records.iter().filter_map(Record::arrival);
            found.extend(arrivals.filter(|(_, arrived_ms)| *arrived_ms >= from_ms));
            found.drain(..found.len().saturating_sub(BATCH));
            if last {
                return Ok(found.into_iter().rev().collect());
            }
        }
        Err(NodeError::BadReply("the list of payments has no end".to_owned()))
    }
}
