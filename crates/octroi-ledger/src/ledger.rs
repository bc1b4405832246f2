//! The handle every room of the gate shares.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use octroi_l402::{PaymentHash, TokenId};

use crate::account::{AccountRef, Balance};
use crate::config::LedgerConfig;
use crate::entry::{Credited, HoldRequest, Pruned, Quote, QuoteState, Recovery, Settlement, Voucher, Work};
use crate::error::{HoldRefused, LedgerError, OpenError, ReadError};
use crate::hold::OpenHold;
use crate::reader::Reader;
use crate::report::{Report, Verification};

/// The ledger of one gate. Clones share it.
#[derive(Clone, Debug)]
pub struct Ledger {
    inner: Arc<()>,
}

impl Ledger {
    /// Opens the ledger, creates it where there is none, brings an older one forward, and voids every hold an earlier life
    /// left open. Blocks on the disk.
    ///
    /// # Errors
    /// See [`OpenError`]; a newer schema and a second writer are refused.
    pub fn open(config: LedgerConfig) -> Result<Self, OpenError> {
        let _ = config;
        todo!()
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
        todo!()
    }

    /// Writes down what an invoice is for. On disk when it returns: the challenge leaves only then.
    ///
    /// # Errors
    /// Not written; see [`LedgerError`].
    pub async fn record_quote(&self, quote: Quote) -> Result<(), LedgerError> {
        let _ = quote;
        todo!()
    }

    /// Credits a payment, once per payment hash, in the transaction that moves the node's cursor. On disk when it returns.
    ///
    /// # Errors
    /// Not written, the cursor neither; see [`LedgerError`].
    pub async fn credit_payment(&self, settlement: Settlement) -> Result<Credited, LedgerError> {
        let _ = settlement;
        todo!()
    }

    /// Where the stream of settlements of `node` is to be resumed. Reads the disk.
    ///
    /// # Errors
    /// The disk cannot be read.
    pub fn settlement_cursor(&self, node: &str) -> Result<Option<String>, ReadError> {
        let _ = node;
        todo!()
    }

    /// Credits calls for work, once per puzzle. On disk when it returns. [`Credited::Duplicate`] is the answer to a replay.
    ///
    /// # Errors
    /// Not written; see [`LedgerError`].
    pub async fn credit_work(&self, work: Work) -> Result<Credited, LedgerError> {
        let _ = work;
        todo!()
    }

    /// Credits a prepaid credential, once per payment hash. On disk when it returns.
    ///
    /// # Errors
    /// Not written; see [`LedgerError`].
    pub async fn mint_voucher(&self, voucher: Voucher) -> Result<Credited, LedgerError> {
        let _ = voucher;
        todo!()
    }

    /// Holds the price of one call. Decided at once in memory; waits only where the account is not in memory yet. The hold
    /// goes to disk behind the caller's back: see [`OpenHold::durable`].
    ///
    /// # Errors
    /// See [`HoldRefused`]; never [`HoldRefused::NeedsLoad`].
    pub async fn hold(&self, request: &HoldRequest<'_>) -> Result<OpenHold, HoldRefused> {
        let _ = request;
        todo!()
    }

    /// As [`Ledger::hold`], but never waits.
    ///
    /// # Errors
    /// See [`HoldRefused`].
    pub fn try_hold(&self, request: &HoldRequest<'_>) -> Result<OpenHold, HoldRefused> {
        let _ = request;
        todo!()
    }

    /// Brings an account (or an owner's accounts) into memory. Nothing happens where there is none.
    ///
    /// # Errors
    /// The disk cannot be read, or too much is in flight.
    pub async fn load(&self, account: AccountRef) -> Result<(), LedgerError> {
        let _ = account;
        todo!()
    }

    /// What is on the account of a credential; `None` where nothing was ever credited to it.
    ///
    /// # Errors
    /// The disk cannot be read, or too much is in flight.
    pub async fn balance(&self, token: &TokenId) -> Result<Option<Balance>, LedgerError> {
        let _ = token;
        todo!()
    }

    /// Waits, at most `patience`, until something has been credited to `token`; says whether. For a payer who shows the
    /// preimage a moment before the node's own event arrives. Where too many wait already it answers at once.
    pub async fn wait_for_credit(&self, token: TokenId, patience: Duration) -> bool {
        let _ = (token, patience);
        todo!()
    }

    /// What is known of a payment hash. Reads the disk (some 10 µs).
    ///
    /// # Errors
    /// The disk cannot be read.
    pub fn quote(&self, payment_hash: &PaymentHash) -> Result<QuoteState, ReadError> {
        let _ = payment_hash;
        todo!()
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
        todo!()
    }

    /// Forgets what cannot matter any more at `now` (Unix seconds).
    ///
    /// # Errors
    /// Not written; see [`LedgerError`].
    pub async fn prune(&self, now: u64) -> Result<Pruned, LedgerError> {
        let _ = now;
        todo!()
    }

    /// Writes what is queued, folds the log into the file, and stops. Later operations are refused; holds still open are
    /// voided by the next opening.
    pub async fn close(&self) {
        todo!()
    }
}
