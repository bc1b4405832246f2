//! What arrived at phoenixd, in the order in which it arrived.
//!
//! `GET /payments/incoming?from=…` lists what was received since a moment, the latest first. It is asked from a
//! minute before the latest known, so that a payment is not missed whose time of arrival was written late.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use octroi_l402::PaymentHash;
use parking_lot::Mutex;
use reqwest::Method;

use super::http::Http;
use super::wire::Incoming;
use crate::queue::{Queue, settled_at};
use crate::{NodeError, Settlement};

/// How often phoenixd is asked while nothing arrives.
const POLL: Duration = Duration::from_millis(500);

/// How far back each question reaches behind the latest known arrival, in milliseconds.
const OVERLAP_MS: u64 = 60_000;

/// Payments on a page.
const PAGE: usize = 100;

/// Most pages of one question: ten million payments.
const MAX_PAGES: usize = 100_000;

/// Most payments taken over at once, the oldest; the others come with the next question.
const BATCH: usize = 1_000;

/// Most settlements waiting for the ledger; until it catches up phoenixd is not asked.
const MAX_WAITING: usize = 10_000;

pub(super) struct Settled {
    queue: Queue,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// The latest arrival taken over, in milliseconds; `None` before the first question.
    latest: Option<u64>,
    /// What was taken over, as far back as questions reach, with its time of arrival.
    recent: HashMap<PaymentHash, u64>,
}

impl Settled {
    pub(super) fn new() -> Self {
        Self { queue: Queue::new(), known: Mutex::default() }
    }

    pub(super) async fn next(&self, http: &Http, after: Option<&str>) -> Result<Settlement, NodeError> {
        loop {
            if let Some(settlement) = self.queue.first_after(after) {
                return Ok(settlement);
            }
            if self.queue.len() >= MAX_WAITING || !self.poll(http, after).await? {
                tokio::time::sleep(POLL).await;
            }
        }
    }

    pub(super) fn acknowledge(&self, hash: &PaymentHash) {
        self.queue.remove(hash);
    }

    /// Takes over what is new; whether anything was.
    pub(super) async fn poll(&self, http: &Http, after: Option<&str>) -> Result<bool, NodeError> {
        let latest = self.known.lock().latest;
        // In a new run of the process the ledger's cursor says where the last one stood.
        let latest = latest.unwrap_or_else(|| after.and_then(settled_at).unwrap_or(0).saturating_mul(1000));
        let oldest = oldest_arrivals(http, latest.saturating_sub(OVERLAP_MS)).await?;
        let mut new = false;
        let mut known = self.known.lock();
        let mut latest = latest;
        for payment in oldest.iter().rev() {
            // Without an hash or a time there is nothing to account for; such an entry is no payment of ours.
            let Some((hash, amount, completed_at)) = payment.arrival() else { continue };
            latest = latest.max(completed_at);
            if known.recent.insert(hash, completed_at).is_none() {
                self.queue.push((hash, amount, completed_at / 1000));
                new = true;
            }
        }
        known.latest = Some(latest);
        let reach = latest.saturating_sub(2 * OVERLAP_MS);
        known.recent.retain(|_, completed_at| *completed_at >= reach);
        Ok(new)
    }
}

/// The oldest [`BATCH`] payments since `from`, the latest first.
async fn oldest_arrivals(http: &Http, from: u64) -> Result<VecDeque<Incoming>, NodeError> {
    let mut oldest = VecDeque::new();
    for page in 0..MAX_PAGES {
        let form = [
            ("from", from.to_string()),
            ("limit", PAGE.to_string()),
            // A payment that arrives meanwhile pushes the others back, so one may come twice, but none is missed.
            ("offset", (page * PAGE).to_string()),
        ];
        let payments: Vec<Incoming> = http.call(Method::GET, "payments/incoming", &form).await?;
        let is_last = payments.len() < PAGE;
        oldest.extend(payments);
        oldest.drain(..oldest.len().saturating_sub(BATCH));
        if is_last {
            return Ok(oldest);
        }
    }
    Err(NodeError::BadReply("the list of payments has no end".to_owned()))
}
