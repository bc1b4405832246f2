//! `GET /v1/invoices/subscribe`: one JSON object a line, for as long as the connection lasts.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Response;

use super::Api;
use super::wire::{InvoiceList, InvoiceRecord, Line};
use crate::NodeError;
use crate::feed::{Source, look_back};
use crate::queue::{Arrival, Place};
use crate::rest::{Content, failure};

/// Most bytes of a line: an invoice with its parts.
const LINE_MAX: usize = 1024 * 1024;

/// A stream that says nothing for so long is opened anew: the other end may be gone without a word. Nothing is missed.
const QUIET: Duration = Duration::from_secs(600);

/// LND streams nothing of the past to who names no number. Then the latest invoices are listed, so many on a page: with their texts
/// they have to fit into one answer.
const LISTED: u32 = 500;

/// Most pages of such a list.
const PAGES_MAX: usize = 200;

pub(super) struct Stream {
    api: Arc<Api>,
    open: Option<Open>,
    listed: VecDeque<Arrival>,
}

struct Open {
    response: Response,
    /// What came after the last whole line.
    rest: Vec<u8>,
    /// How much of it was searched for the end of a line.
    searched: usize,
}

impl Stream {
    pub(super) const fn new(api: Arc<Api>) -> Self {
        Self { api, open: None, listed: VecDeque::new() }
    }

    async fn connect(&mut self, last: Option<Place>) -> Result<(), NodeError> {
        let mark = self.mark(last).await?;
        let query = [("settle_index", mark.unwrap_or(0).to_string())];
        let response = self.api.0.open("v1/invoices/subscribe", Content::Query(&query)).await?;
        if mark.is_none() {
            self.listed = self.since(look_back(last)).await?;
        }
        self.open = Some(Open { response, rest: Vec::new(), searched: 0 });
        Ok(())
    }

    /// The number to go on from: that of `last`, where this LND has that payment under it.
    async fn mark(&self, last: Option<Place>) -> Result<Option<u64>, NodeError> {
        let Some(Place { mark: Some(mark), payment_hash: Some(hash), .. }) = last else { return Ok(None) };
        let record = self.api.invoice(&hash).await?.and_then(|record| record.arrival());
        let same = record.is_some_and(|arrival| arrival.mark == mark && mark > 0);
        if !same {
            tracing::warn!(
                "LND counts its settlements otherwise than the ledger knows; the latest are looked through"
            );
        }
        Ok(same.then_some(mark))
    }

    /// What settled since `from` (Unix seconds), the oldest first.
    async fn since(&self, from: u64) -> Result<VecDeque<Arrival>, NodeError> {
        let mut found = Vec::new();
        let mut before = String::new();
        for _ in 0..PAGES_MAX {
            let path = format!("v1/invoices?reversed=true&num_max_invoices={LISTED}{before}");
            let list: InvoiceList = self.api.get(&path).await?;
            let arrivals = list.invoices.iter().filter_map(InvoiceRecord::arrival);
            found.extend(arrivals.filter(|arrival| arrival.settled_at >= from));
            // What expired before cannot have been paid since.
            let over = list.invoices.iter().all(|invoice| invoice.expires_at() < from);
            if over || list.first_index_offset <= 1 {
                break;
            }
            before = format!("&index_offset={}", list.first_index_offset);
        }
        found.sort_unstable_by_key(|arrival| arrival.mark);
        Ok(found.into())
    }
}

#[async_trait::async_trait]
impl Source for Stream {
    async fn next(&mut self, last: Option<Place>) -> Result<Arrival, NodeError> {
        loop {
            if let Some(arrival) = self.listed.pop_front() {
                return Ok(arrival);
            }
            let Some(open) = &mut self.open else {
                self.connect(last).await?;
                continue;
            };
            let found = match tokio::time::timeout(QUIET, open.settled()).await {
                Ok(Ok(arrival)) => return Ok(arrival),
                Ok(Err(error)) => Err(error),
                Err(_) => Ok(()),
            };
            self.open = None;
            found?;
        }
    }

    fn restart(&mut self) {
        self.open = None;
        self.listed.clear();
    }
}

impl Open {
    /// The next settlement on the stream. Safe to cancel: what has been read stays here.
    async fn settled(&mut self) -> Result<Arrival, NodeError> {
        loop {
            while let Some(line) = self.line() {
                if let Some(arrival) = read(&line)? {
                    return Ok(arrival);
                }
            }
            if self.rest.len() > LINE_MAX {
                return Err(NodeError::BadReply(format!("a line of more than {LINE_MAX} bytes")));
            }
            let chunk = self.response.chunk().await.map_err(|error| failure(&error))?;
            let Some(chunk) = chunk else {
                return Err(NodeError::Unreachable("the stream of settlements ended".to_owned()));
            };
            self.rest.extend_from_slice(&chunk);
        }
    }

    /// The next whole line. What was searched is not searched again, however small the pieces come.
    fn line(&mut self) -> Option<Vec<u8>> {
        let end = self.rest[self.searched..].iter().position(|byte| *byte == b'\n');
        let Some(end) = end.map(|end| self.searched + end) else {
            self.searched = self.rest.len();
            return None;
        };
        self.searched = 0;
        Some(self.rest.drain(..=end).collect())
    }
}

/// A settlement; `None` for an invoice that was only made, or cancelled.
pub(super) fn read(line: &[u8]) -> Result<Option<Arrival>, NodeError> {
    if line.trim_ascii().is_empty() {
        return Ok(None);
    }
    let line: Line<InvoiceRecord> =
        serde_json::from_slice(line).map_err(|error| NodeError::BadReply(error.to_string()))?;
    match (line.result, line.error) {
        (Some(invoice), _) => Ok(invoice.arrival()),
        (None, Some(error)) => Err(NodeError::Unreachable(crate::rest::words(error.message.as_bytes()))),
        (None, None) => Err(NodeError::BadReply("neither a result nor an error".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_settled_counts() {
        let hash = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
        let line = |state: &str| {
            format!(
                r#"{{"result":{{"r_hash":"{hash}","state":"{state}","amt_paid_msat":"3001","settle_date":"7","settle_index":"9"}}}}"#
            )
        };
        for state in ["OPEN", "CANCELED", "ACCEPTED", ""] {
            assert_eq!(read(line(state).as_bytes()), Ok(None), "{state}");
        }
        let arrival = read(line("SETTLED").as_bytes()).unwrap().unwrap();
        assert_eq!((arrival.amount.as_i64(), arrival.settled_at, arrival.mark), (3001, 7, 9));
        assert_eq!(read(b" \n"), Ok(None));
        for amount in ["0", "-1", "9223372036854775807", "99999999999999999999", "x"] {
            let odd = line("SETTLED").replace("3001", amount);
            assert_eq!(read(odd.as_bytes()), Ok(None), "{amount}");
        }
        assert_eq!(read(br#"{"result":{"settle_index":-1,"amt_paid_msat":1.5}}"#), Ok(None));
        for junk in ["<html>", "{}", "[]"] {
            assert!(matches!(read(junk.as_bytes()), Err(NodeError::BadReply(_))), "{junk}");
        }
        let failed = read(br#"{"error":{"code":14,"message":"server is still in the process of starting"}}"#);
        assert!(matches!(failed, Err(NodeError::Unreachable(_))));
    }
}
