//! The handle every room of the gate shares.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use octroi_l402::{PaymentHash, TokenId};
use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::time::timeout;

use crate::account::{AccountRef, Balance, Unit};
use crate::config::LedgerConfig;
use crate::engine::{Engine, Entry, LoadRequest, sqlite};
use crate::entry::{Credited, HoldRequest, Pruned, Quote, QuoteState, Recovery, Settlement, Voucher, Work};
use crate::error::{HoldRefused, LedgerError, OpenError, ReadError};
use crate::hold::OpenHold;
use crate::id::EntryId;
use crate::reader::Reader;
use crate::report::{Report, Verification};
use crate::state::{Receipt, Shared};
use crate::writer;

/// The ledger of one gate. Clones share it; when the last is gone it closes by itself, writing what is queued.
#[derive(Clone, Debug)]
pub struct Ledger {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    path: PathBuf,
    recovery: Recovery,
    /// For short questions; longer ones open a reader of their own.
    lookups: Mutex<Connection>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.begin_close();
    }
}

impl Ledger {
    /// Opens the ledger, creates it where there is none, brings an older one forward, and voids every hold an earlier life
    /// left open. Blocks on the disk.
    ///
    /// # Errors
    /// See [`OpenError`]; a newer schema and a second writer are refused.
    pub fn open(config: LedgerConfig) -> Result<Self, OpenError> {
        let opened = sqlite::open(check(&config)?)?;
        if opened.recovery.voided > 0 {
            tracing::warn!(recovery = ?opened.recovery, "holds of an earlier life were open and are voided");
        }
        Self::start(opened.engine, &config, opened.last_id, opened.recovery)
    }

    /// Starts the writer on an engine that stores to `config.path`.
    pub(crate) fn start(
        engine: impl Engine,
        config: &LedgerConfig,
        last_id: EntryId,
        recovery: Recovery,
    ) -> Result<Self, OpenError> {
        let lookups = Mutex::new(sqlite::open_reader(&config.path)?);
        let shared = Arc::new(Shared::new(config, last_id));
        writer::start(engine, &shared, config.batch, config.retry_after)?;
        let inner = Inner { shared, path: config.path.clone(), recovery, lookups };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Opens a ledger for reading, beside the gate that writes to it.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_read_only(path: &Path) -> Result<Reader, OpenError> {
        Reader::open(path)
    }

    /// What opening found of an earlier life.
    #[must_use]
    pub fn recovered(&self) -> &Recovery {
        &self.inner.recovery
    }

    /// Writes down what an invoice is for. On disk when it returns: the challenge leaves only then.
    ///
    /// # Errors
    /// Not written; see [`LedgerError`].
    pub async fn record_quote(&self, quote: Quote) -> Result<(), LedgerError> {
        self.inner.shared.enter(Entry::Quote(quote)).await.map(|_| ())
    }

    /// Credits a payment, once per payment hash, in the transaction that moves the node's cursor. On disk when it returns.
    /// A payment that arrives after its quote's end is credited like any other, and what arrived is credited, be it more or
    /// less than was asked.
    ///
    /// # Errors
    /// Not written, the cursor neither; see [`LedgerError`].
    pub async fn credit_payment(&self, settlement: Settlement) -> Result<Credited, LedgerError> {
        self.credit(Entry::Payment(settlement)).await
    }

    /// Where the stream of settlements of `node` is to be resumed. Reads the disk (some 10 µs).
    ///
    /// # Errors
    /// The disk cannot be read.
    pub fn settlement_cursor(&self, node: &str) -> Result<Option<String>, ReadError> {
        Ok(sqlite::cursor(&self.inner.lookups.lock(), node)?)
    }

    /// Credits calls for work, once per puzzle. On disk when it returns. [`Credited::Duplicate`] is the answer to a replay.
    ///
    /// # Errors
    /// Not written; see [`LedgerError`].
    pub async fn credit_work(&self, work: Work) -> Result<Credited, LedgerError> {
        self.credit(Entry::Work(work)).await
    }

    /// Credits a prepaid credential, once per payment hash. On disk when it returns.
    ///
    /// # Errors
    /// Not written; see [`LedgerError`].
    pub async fn mint_voucher(&self, voucher: Voucher) -> Result<Credited, LedgerError> {
        self.credit(Entry::Voucher(voucher)).await
    }

    async fn credit(&self, entry: Entry) -> Result<Credited, LedgerError> {
        match self.inner.shared.enter(entry).await? {
            Receipt::Credited(credited) => Ok(credited),
            Receipt::Written | Receipt::Pruned(_) => {
                Err(LedgerError::Unavailable("an answer that does not fit".to_owned()))
            }
        }
    }

    /// Holds the price of one call. Decided at once in memory; waits only where the account is not in memory yet. The hold
    /// goes to disk behind the caller's back: see [`OpenHold::durable`].
    ///
    /// # Errors
    /// See [`HoldRefused`]; never [`HoldRefused::NeedsLoad`].
    pub async fn hold(&self, request: &HoldRequest<'_>) -> Result<OpenHold, HoldRefused> {
        match self.try_hold(request) {
            Err(HoldRefused::NeedsLoad) => {}
            decided => return decided,
        }
        let load = LoadRequest { account: request.account, unit: request.unit, amount: request.amount };
        let loaded = self.inner.shared.load(load).await?;
        match self.inner.shared.hold(request, true) {
            Err(HoldRefused::NeedsLoad) if loaded.is_empty() => Err(HoldRefused::Unknown),
            // It has been dropped from memory between the two lines above: far too much is going on.
            Err(HoldRefused::NeedsLoad) => Err(HoldRefused::Busy),
            decided => decided,
        }
    }

    /// As [`Ledger::hold`], but never waits.
    ///
    /// # Errors
    /// See [`HoldRefused`].
    pub fn try_hold(&self, request: &HoldRequest<'_>) -> Result<OpenHold, HoldRefused> {
        self.inner.shared.hold(request, false)
    }

    /// Brings an account (or an owner's accounts) into memory. Nothing happens where there is none.
    ///
    /// # Errors
    /// The disk cannot be read, or too much is in flight.
    pub async fn load(&self, account: AccountRef) -> Result<(), LedgerError> {
        let request = LoadRequest { account, unit: Unit::Msat, amount: 0 };
        self.inner.shared.load(request).await.map(|_| ())
    }

    /// What is on the account of a credential; `None` where nothing was ever credited to it.
    ///
    /// # Errors
    /// The disk cannot be read, or too much is in flight.
    pub async fn balance(&self, token: &TokenId) -> Result<Option<Balance>, LedgerError> {
        let known = self.inner.shared.lock().accounts.balance(token);
        if known.is_some() {
            return Ok(known);
        }
        let request = LoadRequest { account: AccountRef::Token(*token), unit: Unit::Msat, amount: 0 };
        Ok(self.inner.shared.load(request).await?.first().copied())
    }

    /// Waits, at most `patience`, until something has been credited to `token`; says whether. For a payer who shows the
    /// preimage a moment before the node's own event arrives. Where too many wait already it answers at once.
    pub async fn wait_for_credit(&self, token: TokenId, patience: Duration) -> bool {
        let place = self.inner.shared.wait_place(token);
        // Listening starts before looking, so that no credit is missed.
        let told = place.as_ref().map(|place| place.told.notified());
        if matches!(self.balance(&token).await, Ok(Some(_))) {
            return true;
        }
        match told {
            Some(told) => timeout(patience, told).await.is_ok(),
            None => false,
        }
    }

    /// What is known of a payment hash. Reads the disk (some 10 µs).
    ///
    /// # Errors
    /// The disk cannot be read.
    pub fn quote(&self, payment_hash: &PaymentHash) -> Result<QuoteState, ReadError> {
        Ok(sqlite::quote_state(&self.inner.lookups.lock(), payment_hash)?)
    }

    /// The ledger at a glance. Reads the disk, for long where there are many calls: not for an async task.
    ///
    /// # Errors
    /// The disk cannot be read.
    pub fn report(&self) -> Result<Report, ReadError> {
        self.reader()?.report()
    }

    /// Checks every promise against what is on disk. Reads all of it: not for an async task.
    ///
    /// # Errors
    /// The disk cannot be read.
    pub fn verify(&self) -> Result<Verification, ReadError> {
        self.reader()?.verify()
    }

    /// A reader of its own for longer questions: lists of calls and accounts.
    ///
    /// # Errors
    /// The disk cannot be read.
    pub fn reader(&self) -> Result<Reader, ReadError> {
        Ok(Reader::open(&self.inner.path)?)
    }

    /// Forgets what cannot matter any more at `now` (Unix seconds). A few thousand rows of each kind at a time: call it every
    /// minute.
    ///
    /// # Errors
    /// Not written; see [`LedgerError`].
    pub async fn prune(&self, now: u64) -> Result<Pruned, LedgerError> {
        match self.inner.shared.enter(Entry::Prune(now)).await? {
            Receipt::Pruned(pruned) => Ok(pruned),
            Receipt::Written | Receipt::Credited(_) => Ok(Pruned::default()),
        }
    }

    /// Writes what is queued, folds the log into the file, and stops. Later operations are refused; holds still open are
    /// voided by the next opening.
    pub async fn close(&self) {
        self.inner.shared.begin_close();
        self.inner.shared.closed().await;
    }
}

fn check(config: &LedgerConfig) -> Result<&LedgerConfig, OpenError> {
    let settings =
        [("queue", config.queue), ("batch", config.batch), ("cached_accounts", config.cached_accounts)];
    match settings.into_iter().find(|(_, value)| *value == 0) {
        Some((setting, _)) => Err(OpenError::Setting { setting }),
        None => Ok(config),
    }
}
