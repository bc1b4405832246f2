//! `waitanyinvoice`: the payment after a number, waited for.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::transport::{CallError, Transport};
use super::wire::InvoiceRecord;
use crate::NodeError;
use crate::feed::Source;
use crate::node::unix_now;
use crate::queue::Arrival;
use crate::rest::TIMEOUT;

/// How long one question waits at the node; then it is asked again.
const WAIT: Duration = Duration::from_secs(60);

/// `waitanyinvoice`'s code for "nothing in that time".
const NOTHING: i64 = 904;

/// At the very first start payments older than this are passed over: they were not the gate's.
const LOOK_BACK_SECS: u64 = 3600;

pub(super) struct Stream {
    transport: Arc<Transport>,
    /// Where the very first start has got to.
    skipped: u64,
}

impl Stream {
    pub(super) const fn new(transport: Arc<Transport>) -> Self {
        Self { transport, skipped: 0 }
    }
}

#[async_trait::async_trait]
impl Source for Stream {
    async fn next(&mut self, mark: Option<u64>) -> Result<Arrival, NodeError> {
        loop {
            let after = mark.unwrap_or(self.skipped);
            let asked = json!({"lastpay_index": after, "timeout": WAIT.as_secs()});
            let answer = self.transport.ask::<InvoiceRecord>("waitanyinvoice", &asked, WAIT + TIMEOUT).await;
            let record = match answer {
                Ok(record) => record,
                Err(CallError::Failure(failure)) if failure.code == NOTHING => continue,
                Err(error) => return Err(error.into()),
            };
            let arrival = record.arrival().filter(|arrival| arrival.mark > after).ok_or_else(|| {
                NodeError::BadReply("a payment without its number, or an old one".to_owned())
            })?;
            if mark.is_none() && arrival.settled_at < unix_now().saturating_sub(LOOK_BACK_SECS) {
                self.skipped = arrival.mark;
                continue;
            }
            return Ok(arrival);
        }
    }
}
