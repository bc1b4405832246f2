//! What arrived at the wallet: its list of payments, the latest change first.

use reqwest::Method;

use super::Api;
use super::wire::Record;
use crate::NodeError;
use crate::polled::Arrivals;
use crate::queue::Arrival;
use crate::rest::{Content, TIMEOUT};

/// Payments on a page.
const PAGE: usize = 100;

/// Most pages of one question. What lies beyond comes with the next question, which begins later.
const MAX_PAGES: usize = 10_000;

#[async_trait::async_trait]
impl Arrivals for Api {
    async fn since(&self, from_ms: u64) -> Result<Vec<(Arrival, u64)>, NodeError> {
        let mut found = Vec::new();
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
            let records: Vec<Record> = reply.parse()?;
            let last = records.len() < PAGE || records.iter().any(|record| record.updated_ms() < from_ms);
            let arrivals = records.iter().filter_map(Record::arrival);
            found.extend(arrivals.filter(|(_, arrived_ms)| *arrived_ms >= from_ms));
            if last {
                found.reverse();
                return Ok(found);
            }
        }
        Err(NodeError::BadReply("the list of payments has no end".to_owned()))
    }
}
