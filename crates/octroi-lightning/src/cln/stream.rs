//! `waitanyinvoice`: the payment after a number, waited for.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::transport::{CallError, Transport};
use super::wire::InvoiceRecord;
use crate::NodeError;
use crate::feed::{Source, look_back};
use crate::queue::{Arrival, Place};
use crate::rest::TIMEOUT;

/// How long one question waits at the node; then it is asked again.
const WAIT: Duration = Duration::from_secs(60);

/// `waitanyinvoice`'s code for "nothing in that time".
const NOTHING: i64 = 904;

pub(super) struct Stream {
    transport: Arc<Transport>,
    /// `None` until it is known whether the node counts as the ledger knows it, and again after each failure.
    at: Option<At>,
}

/// Where the stream has got to.
#[derive(Clone, Copy)]
struct At {
    /// The number of the last payment that was read.
    index: u64,
    /// Payments that settled earlier (Unix seconds) are passed over.
    from: u64,
}

impl Stream {
    pub(super) const fn new(transport: Arc<Transport>) -> Self {
        Self { transport, at: None }
    }

    /// After `last`, where this node has that payment under that number; else from its first payment on, of which the old ones
    /// are passed over: at the very first start they were not the gate's, later the ledger has them.
    async fn begin(&self, last: Option<Place>) -> Result<At, NodeError> {
        let anew = At { index: 0, from: look_back(last) };
        let Some(Place { mark: Some(mark), payment_hash: Some(hash), .. }) = last else { return Ok(anew) };
        let record = self.transport.invoice(&hash).await?.and_then(|record| record.arrival());
        if record.is_some_and(|arrival| arrival.mark == mark) {
            return Ok(At { index: mark, from: 0 });
        }
        tracing::warn!(
            "Core Lightning counts its payments otherwise than the ledger knows; they are looked through"
        );
        Ok(anew)
    }

    /// The first payment after a number; `None` when there was none in the time of one question.
    async fn after(&self, index: u64) -> Result<Option<InvoiceRecord>, NodeError> {
        let asked = json!({"lastpay_index": index, "timeout": WAIT.as_secs()});
        match self.transport.ask("waitanyinvoice", &asked, WAIT + TIMEOUT).await {
            Ok(record) => Ok(Some(record)),
            Err(CallError::Failure(failure)) if failure.code == NOTHING => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

#[async_trait::async_trait]
impl Source for Stream {
    async fn next(&mut self, last: Option<Place>) -> Result<Arrival, NodeError> {
        loop {
            let at = match self.at {
                Some(at) => at,
                None => self.begin(last).await?,
            };
            self.at = None;
            let Some(record) = self.after(at.index).await? else {
                // Where it goes on from a known payment it looks again whether that one is still there.
                self.at = (at.from > 0).then_some(at);
                continue;
            };
            let index = record.pay_index.filter(|index| *index > at.index).ok_or_else(|| {
                NodeError::BadReply("a payment without its number, or an old one".to_owned())
            })?;
            self.at = Some(At { index, ..at });
            match record.arrival() {
                Some(arrival) if arrival.settled_at >= at.from => {
                    self.at = Some(At { index, from: 0 });
                    return Ok(arrival);
                }
                Some(_) => {}
                // It would stand in the way of all that comes after it.
                None => tracing::warn!(index, "a payment that makes no sense is passed over"),
            }
        }
    }

    fn restart(&mut self) {
        self.at = None;
    }
}
