//! `GET /v1/invoices/subscribe`: one JSON object a line, for as long as the connection lasts.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Response;

use super::Api;
use super::wire::{InvoiceList, InvoiceRecord, Line};
use crate::NodeError;
use crate::feed::Source;
use crate::node::unix_now;
use crate::queue::Arrival;
use crate::rest::{Content, failure};

/// Most bytes of a line: an invoice with its parts.
const LINE_MAX: usize = 1024 * 1024;

/// A stream that says nothing for so long is opened anew: the other end may be gone without a word. Nothing is missed.
const QUIET: Duration = Duration::from_secs(600);

/// LND streams nothing of the past to who names no number. So at the very first start the latest invoices are listed,
/// and those that settled this lately are taken over: money that came while nobody had listened yet.
const LOOK_BACK_SECS: u64 = 3600;
/// How many are listed.
const LISTED: u32 = 1000;

pub(super) struct Stream {
    api: Arc<Api>,
    open: Option<Open>,
    listed: VecDeque<Arrival>,
}

struct Open {
    response: Response,
    /// What came after the last whole line.
    rest: Vec<u8>,
}

impl Stream {
    pub(super) const fn new(api: Arc<Api>) -> Self {
        Self { api, open: None, listed: VecDeque::new() }
    }

    async fn connect(&mut self, mark: Option<u64>) -> Result<(), NodeError> {
        let query = [("settle_index", mark.unwrap_or(0).to_string())];
        let response = self.api.0.open("v1/invoices/subscribe", Content::Query(&query)).await?;
        if mark.is_none() {
            self.listed = self.lately().await?;
        }
        self.open = Some(Open { response, rest: Vec::new() });
        Ok(())
    }

    async fn lately(&self) -> Result<VecDeque<Arrival>, NodeError> {
        let list: InvoiceList =
            self.api.get(&format!("v1/invoices?reversed=true&num_max_invoices={LISTED}")).await?;
        let since = unix_now().saturating_sub(LOOK_BACK_SECS);
        let arrivals = list.invoices.iter().filter_map(InvoiceRecord::arrival);
        let mut lately: Vec<Arrival> = arrivals.filter(|arrival| arrival.settled_at >= since).collect();
        lately.sort_unstable_by_key(|arrival| arrival.mark);
        Ok(lately.into())
    }
}

#[async_trait::async_trait]
impl Source for Stream {
    async fn next(&mut self, mark: Option<u64>) -> Result<Arrival, NodeError> {
        loop {
            if let Some(arrival) = self.listed.pop_front() {
                return Ok(arrival);
            }
            let Some(open) = &mut self.open else {
                self.connect(mark).await?;
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
}

impl Open {
    /// The next settlement on the stream. Safe to cancel: what has been read stays here.
    async fn settled(&mut self) -> Result<Arrival, NodeError> {
        loop {
            while let Some(end) = line_end(&self.rest) {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
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
}

fn line_end(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == b'\n')
}

/// A settlement; `None` for an invoice that was only made, or cancelled.
fn read(line: &[u8]) -> Result<Option<Arrival>, NodeError> {
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
        for junk in ["<html>", "{}", "[]", r#"{"result":{"settle_index":-1}}"#] {
            assert!(matches!(read(junk.as_bytes()), Err(NodeError::BadReply(_))), "{junk}");
        }
        let failed = read(br#"{"error":{"code":14,"message":"server is still in the process of starting"}}"#);
        assert!(matches!(failed, Err(NodeError::Unreachable(_))));
    }
}
