//! What arrived at the wallet: told by notifications at once, and found by asking whenever one may have been lost.
//!
//! NIP-47 has no stream that is taken up again, so the open invoices are kept in a file. After a start, and each time a
//! relay was found again, the wallet is asked for its list of payments since the oldest of them; one that shows no list is
//! asked about each of them.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use octroi_l402::{Msat, PaymentHash};
use parking_lot::Mutex;
use serde_json::json;

use super::link::{AskError, Link};
use super::wire::{Transaction, Transactions};
use crate::known::Known;
use crate::open::{OpenInvoices, OpenRecord, Pauses};
use crate::queue::Queue;
use crate::rest::{TIMEOUT, readable};
use crate::{Invoice, NodeError, Settlement};

/// Payments on a page: with their invoices they have to fit into one event (NIP-44: 64 KiB).
const PAGE: usize = 20;

/// Most pages of one question.
const PAGES_MAX: usize = 500;

/// Clocks differ, in seconds.
const SKEW: u64 = 60;

/// Invoices asked about at the same time.
const AT_ONCE: usize = 8;

/// The longest wait before it is looked again which invoice is due.
const TICK: Duration = Duration::from_millis(500);

/// How often the list is asked for where no notification tells of a payment.
const LIST_EVERY: Duration = Duration::from_secs(2);

/// How often it is where notifications do.
const LIST_SELDOM: Duration = Duration::from_secs(300);

/// When one invoice is asked about where notifications tell of payments.
const TOLD: Pauses = Pauses { min: Duration::from_secs(60), max: Duration::from_secs(1800) };

/// The settlements of one wallet.
pub(super) struct Settled {
    queue: Queue,
    open: OpenInvoices,
    known: Mutex<Known>,
    looked: Mutex<Looked>,
}

/// What was asked last.
#[derive(Default)]
struct Looked {
    at: Option<Instant>,
    times_found: u64,
    /// The wallet says that it has a list, and does not give it.
    no_list: bool,
}

impl Settled {
    pub(super) fn load(file: PathBuf) -> Result<Self, NodeError> {
        Ok(Self::of(OpenInvoices::load(file)?))
    }

    pub(super) fn in_memory() -> Self {
        Self::of(OpenInvoices::in_memory())
    }

    fn of(open: OpenInvoices) -> Self {
        Self { queue: Queue::new(), open, known: Mutex::default(), looked: Mutex::default() }
    }

    pub(super) fn has_room(&self) -> bool {
        self.open.has_room()
    }

    /// Remembers an invoice until it is in the ledger.
    pub(super) fn made(&self, invoice: &Invoice, created_at: u64, told: bool) -> Result<(), NodeError> {
        let record = OpenRecord {
            verify: String::new(),
            amount_msat: invoice.amount.as_i64(),
            created_at,
            expires_at: invoice.expires_at,
        };
        let wait = if told { TOLD.min } else { Duration::ZERO };
        self.open.insert(invoice.payment_hash, record, wait)
    }

    /// What an invoice asked for; nothing where it is not known.
    pub(super) fn asked(&self, hash: &PaymentHash) -> Msat {
        self.open.get(hash).map_or(Msat::ZERO, |record| Msat::new(record.amount_msat))
    }

    pub(super) fn acknowledge(&self, hash: &PaymentHash) -> Result<(), NodeError> {
        self.open.remove(hash)?;
        self.queue.remove(hash);
        Ok(())
    }

    pub(super) async fn next(&self, link: &Link, after: Option<&str>) -> Result<Settlement, NodeError> {
        loop {
            link.notices().iter().for_each(|told| self.take(told));
            if let Some(settlement) = self.queue.first_after(after) {
                return Ok(settlement);
            }
            link.ready().await?;
            if !self.look(link).await? {
                let _ = tokio::time::timeout(TICK, link.shared.news.notified()).await;
            }
        }
    }

    /// Asks, if it is time; whether it was.
    async fn look(&self, link: &Link) -> Result<bool, NodeError> {
        let info = link.info().unwrap_or_default();
        let times_found = link.times_found();
        let (lost, last, no_list) = {
            let looked = self.looked.lock();
            (looked.times_found != times_found || looked.at.is_none(), looked.at, looked.no_list)
        };
        if lost {
            self.open.ask_all_now(Instant::now());
        }
        let lists = !no_list && info.methods.iter().any(|method| method == "list_transactions");
        let every = if info.notifies { LIST_SELDOM } else { LIST_EVERY };
        let due = lost || last.is_none_or(|at| at.elapsed() >= every);
        let asked = match (lists, self.open.oldest()) {
            // Nothing is open, so nothing can have been paid.
            (_, None) => false,
            (true, Some(_)) if !due => false,
            (true, Some(oldest)) => match self.list(link, oldest).await {
                Err(NodeError::Refused(_) | NodeError::Unsupported(_)) => {
                    self.looked.lock().no_list = true;
                    return Ok(true);
                }
                listed => listed.map(|()| true)?,
            },
            (false, Some(_)) => {
                let pauses = if info.notifies { TOLD } else { Pauses::ASKING };
                self.each(link, pauses).await?
            }
        };
        let mut looked = self.looked.lock();
        looked.times_found = times_found;
        if due {
            looked.at = Some(Instant::now());
        }
        Ok(asked)
    }

    /// Every payment for an invoice made since `oldest`.
    async fn list(&self, link: &Link, oldest: u64) -> Result<(), NodeError> {
        for page in 0..PAGES_MAX {
            let asked = json!({
                "from": oldest.saturating_sub(SKEW),
                "limit": PAGE,
                // A new payment pushes the others back, so one may come twice, but none is missed.
                "offset": page * PAGE,
                "unpaid": false,
                "type": "incoming",
            });
            let found: Transactions = link.ask("list_transactions", &asked, TIMEOUT).await?;
            let whole = found.transactions.len() >= PAGE;
            readable(found.transactions).iter().for_each(|payment| self.take(payment));
            if !whole {
                return Ok(());
            }
        }
        Err(NodeError::BadReply("the list of payments has no end".to_owned()))
    }

    /// Each invoice whose turn it is; whether there was any.
    async fn each(&self, link: &Link, pauses: Pauses) -> Result<bool, NodeError> {
        let due = self.open.due(Instant::now(), AT_ONCE, pauses);
        let asked = due.iter().map(|(hash, _)| async move {
            let asked = json!({"payment_hash": hash.to_string()});
            link.ask::<Transaction>("lookup_invoice", &asked, TIMEOUT).await
        });
        let mut trouble = None;
        for answer in futures_util::future::join_all(asked).await {
            match answer {
                Ok(found) => self.take(&found),
                // The wallet has forgotten it.
                Err(AskError::Wallet(failure)) if failure.code == "NOT_FOUND" => {}
                Err(error) => trouble = Some(NodeError::from(error)),
            }
        }
        trouble.map_or(Ok(!due.is_empty()), Err)
    }

    /// Takes a payment over, if it is one and is new.
    fn take(&self, payment: &Transaction) {
        let Some(hash) = payment.hash() else { return };
        let Some(arrival) = payment.arrival(self.asked(&hash)) else { return };
        if self.known.lock().is_new(hash) {
            self.open.settled(&hash);
            self.queue.push(arrival);
        }
    }
}
