//! A hold that has not ended.

use std::sync::{Arc, OnceLock};

use tokio::sync::Notify;

use crate::claim::{Answer, Claim};
use crate::engine::HoldRow;
use crate::error::{HoldRefused, LedgerError};
use crate::id::CallId;
use crate::report::CallEnd;
use crate::state::{KeptAnswer, Shared};

/// What the writer and the caller of a hold share.
#[derive(Debug)]
pub(crate) struct HoldCell {
    pub(crate) row: HoldRow,
    written: OnceLock<Result<(), LedgerError>>,
    /// Where the database decides: what it said.
    decided: OnceLock<Result<Granted, HoldRefused>>,
    told: Notify,
}

/// A hold the database has granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Granted {
    /// What the account has left.
    pub(crate) left: i64,
}

impl HoldCell {
    pub(crate) fn new(row: HoldRow) -> Self {
        Self { row, written: OnceLock::new(), decided: OnceLock::new(), told: Notify::new() }
    }

    /// Whether the hold is not on disk and never will be.
    pub(crate) fn has_failed(&self) -> bool {
        matches!(self.written.get(), Some(Err(_)))
    }

    /// Decides whether the hold is on disk. The first word stands; [`HoldCell::tell`] passes it on.
    pub(crate) fn decide(&self, written: Result<(), LedgerError>) {
        let _ = self.written.set(written);
    }

    /// What the database says of the hold; goes before [`HoldCell::decide`].
    pub(crate) fn judge(&self, decided: Result<Granted, HoldRefused>) {
        let _ = self.decided.set(decided);
    }

    pub(crate) fn tell(&self) {
        self.told.notify_waiters();
    }

    /// Waits for what the database says.
    async fn judged(&self) -> Result<Granted, HoldRefused> {
        loop {
            // Listening starts before looking, so that no word is missed.
            let told = self.told.notified();
            if let Some(decided) = self.decided.get() {
                return decided.clone();
            }
            if let Some(written) = self.written.get() {
                return Err(written.clone().err().map_or(HoldRefused::Busy, HoldRefused::from));
            }
            told.await;
        }
    }

    async fn wait(&self) -> Result<(), LedgerError> {
        loop {
            // Listening starts before looking, so that no word is missed.
            let told = self.told.notified();
            if let Some(written) = self.written.get() {
                return written.clone();
            }
            told.await;
        }
    }
}

/// A hold on its way to the disk. However it is lost, whoever waits for it hears of it.
#[derive(Debug)]
pub(crate) struct HoldTicket(pub(crate) Arc<HoldCell>);

impl Drop for HoldTicket {
    fn drop(&mut self) {
        if self.0.written.get().is_none() {
            self.0.decide(Err(LedgerError::Unavailable("its writer has stopped".to_owned())));
        }
        self.0.tell();
    }
}

/// Money (or calls) held for one call. It ends exactly once: captured, voided, or voided by being dropped.
#[derive(Debug)]
#[must_use = "a hold that is dropped is voided"]
pub struct OpenHold {
    cell: Arc<HoldCell>,
    shared: Arc<Shared>,
    balance_after: i64,
    ended: bool,
}

impl OpenHold {
    pub(crate) fn new(cell: Arc<HoldCell>, shared: Arc<Shared>, balance_after: i64) -> Self {
        Self { cell, shared, balance_after, ended: false }
    }

    /// Where the database decides: waits for its word.
    pub(crate) async fn granted(mut self) -> Result<Self, HoldRefused> {
        self.balance_after = self.cell.judged().await?.left;
        Ok(self)
    }

    /// Waits until the hold is on disk; the reply waits for this.
    ///
    /// # Errors
    /// The hold is not on disk and will not be: the call is not charged and its reply must not be given away.
    pub async fn durable(&self) -> Result<(), LedgerError> {
        self.cell.wait().await
    }

    /// Charges `amount` of what is held and gives the rest back. More than is held charges what is held; less than 0 nothing.
    pub fn capture(mut self, amount: i64) {
        self.end(amount.clamp(0, self.cell.row.amount), CallEnd::Captured, None);
    }

    /// As [`OpenHold::capture`]; whoever claims the same call again while it is kept
    /// ([`LedgerConfig::kept_for`](crate::LedgerConfig::kept_for)) is given `answer`. The charge and the answer are written together: there is never one without the other.
    pub fn capture_and_keep(mut self, amount: i64, claim: Claim, answer: Answer) {
        let keeping = self.shared.keeping;
        let kept =
            Box::new(KeptAnswer { claim, answer: answer.bounded(keeping.body), seconds: keeping.seconds });
        self.end(amount.clamp(0, self.cell.row.amount), CallEnd::Captured, Some(kept));
    }

    /// Gives everything back.
    pub fn void(mut self) {
        self.end(0, CallEnd::Voided, None);
    }

    /// The call's id.
    #[must_use]
    pub fn id(&self) -> CallId {
        CallId::of(self.cell.row.id)
    }

    /// What the account has left while this hold is open, in the unit of the hold.
    #[must_use]
    pub fn balance_after(&self) -> i64 {
        self.balance_after
    }

    fn end(&mut self, captured: i64, end: CallEnd, kept: Option<Box<KeptAnswer>>) {
        self.ended = true;
        self.shared.end(&self.cell, captured, end, kept);
    }
}

impl Drop for OpenHold {
    fn drop(&mut self) {
        if !self.ended {
            self.end(0, CallEnd::Voided, None);
        }
    }
}
