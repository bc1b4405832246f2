//! The handle every room of the gate shares.

pub(crate) mod open;

use std::sync::Arc;
use std::time::Duration;

use octroi_l402::{PaymentHash, TokenId};
use tokio::time::{Instant, timeout_at};

use crate::account::{AccountRef, Balance};
use crate::board::Board;
use crate::claim::{Claim, Claimed, Here};
use crate::config::Store;
use crate::engine::{Authority, ClaimState, Entry, LoadRequest, Question, Reply};
use crate::entry::{
    Credited, HoldRequest, OutboxRow, Pruned, Quote, QuoteState, Recovery, Settlement, Told, Voucher, Work,
};
use crate::error::{HoldRefused, LedgerError, OpenError, ReadError};
use crate::hold::OpenHold;
use crate::id::{CallId, unix_ms};
use crate::reader::Reader;
use crate::report::{Report, Verification};
use crate::revocation::Revocation;
use crate::state::{Receipt, Shared};

/// The ledger of one gate. Clones share it; when the last is gone it closes by itself, writing what is queued.
#[derive(Clone, Debug)]
pub struct Ledger {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    store: Store,
    recovery: Recovery,
    board: Option<Board>,
}

/// How long the next look for a credit that another gate may have booked is waited for.
const CREDIT_LOOKS: Duration = Duration::from_millis(100);
/// How long the next look at a call that runs on another gate is waited for.
const CLAIM_LOOKS: Duration = Duration::from_millis(50);

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.begin_close();
    }
}

impl Ledger {
    /// Opens a ledger for reading, beside the gate that writes to it.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_read_only(store: &Store) -> Result<Reader, OpenError> {
        Reader::open(store)
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

    /// Where the stream of settlements of `node` is to be resumed.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn settlement_cursor(&self, node: &str) -> Result<Option<String>, LedgerError> {
        match self.inner.shared.ask(Question::Cursor(node.to_owned())).await? {
            Reply::Cursor(cursor) => Ok(cursor),
            _ => Err(misfit()),
        }
    }

    /// The same for every node of a kind: of those that are called `kind`, a colon, and more, and of the one that is called `kind`,
    /// as in ledgers of before nodes had names of their own.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn settlement_cursors(&self, kind: &str) -> Result<Vec<String>, LedgerError> {
        match self.inner.shared.ask(Question::Cursors(kind.to_owned())).await? {
            Reply::Cursors(cursors) => Ok(cursors),
            _ => Err(misfit()),
        }
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
            _ => Err(misfit()),
        }
    }

    /// Claims the right to make the call that `key` stands for (a digest over the caller and its `Idempotency-Key`, or over a
    /// single-use credential and the arguments). `request` is a digest of what the call asks for: another call under the same
    /// key is a [`Claimed::Conflict`]. While somebody else makes the call, its end is waited for, at most `patience`.
    ///
    /// Of concurrent claims one is [`Claimed::New`], over all gates. Hold, make the call, then end the hold with
    /// [`OpenHold::capture_and_keep`]; where the claim is dropped instead, the next try makes the call.
    ///
    /// # Errors
    /// Not claimed; see [`LedgerError`].
    pub async fn claim(
        &self,
        key: [u8; 32],
        request: [u8; 32],
        patience: Duration,
    ) -> Result<Claimed, LedgerError> {
        let shared = &self.inner.shared;
        let over = Instant::now() + patience;
        loop {
            match shared.claim_here(key, request)? {
                Here::Conflict => return Ok(Claimed::Conflict),
                Here::Running(ended) => {
                    // Listening starts before looking, so that no end is missed.
                    let told = ended.notified();
                    if shared.is_claimed(&key) && timeout_at(over, told).await.is_err() {
                        return Ok(Claimed::Running);
                    }
                }
                Here::Free => {
                    let mut claim = Claim { shared: Arc::clone(shared), key, request, stored: false };
                    match self.claim_stored(&mut claim).await? {
                        ClaimState::Free => return Ok(Claimed::New(claim)),
                        ClaimState::Done(answer) => return Ok(Claimed::Done(answer)),
                        ClaimState::Conflict => return Ok(Claimed::Conflict),
                        ClaimState::Revoked => return Ok(Claimed::Revoked),
                        ClaimState::Running if Instant::now() >= over => return Ok(Claimed::Running),
                        ClaimState::Running => {
                            drop(claim);
                            tokio::time::sleep_until(over.min(Instant::now() + CLAIM_LOOKS)).await;
                        }
                    }
                }
            }
        }
    }

    async fn claim_stored(&self, claim: &mut Claim) -> Result<ClaimState, LedgerError> {
        // Where the answer is lost on its way, so that nobody knows whether it is claimed, the claim is given up.
        claim.stored = self.inner.shared.authority() == Authority::Database;
        let entry = Entry::Claim { key: claim.key, request: claim.request };
        let Receipt::Claimed(claimed) = self.inner.shared.enter(entry).await? else { return Err(misfit()) };
        claim.stored &= claimed == ClaimState::Free;
        Ok(claimed)
    }

    /// Revokes: from when this returns nothing can be held for it, on any gate. What is held already is not touched.
    /// `reason` is for the operator's lists.
    ///
    /// # Errors
    /// Not written; see [`LedgerError`].
    pub async fn revoke(&self, what: Revocation, reason: &str) -> Result<(), LedgerError> {
        let entry = Entry::Revoke { what, revoked: true, reason: reason.to_owned() };
        self.inner.shared.enter(entry).await.map(|_| ())
    }

    /// Takes a revocation back.
    ///
    /// # Errors
    /// Not written; see [`LedgerError`].
    pub async fn restore(&self, what: Revocation) -> Result<(), LedgerError> {
        let entry = Entry::Revoke { what, revoked: false, reason: String::new() };
        self.inner.shared.enter(entry).await.map(|_| ())
    }

    /// The operator lets a payment be although something about it is odd: reconciliation names it no more.
    ///
    /// # Errors
    /// Not written; see [`LedgerError`].
    pub async fn accept_payment(&self, payment_hash: &PaymentHash) -> Result<(), LedgerError> {
        self.inner.shared.enter(Entry::Accept(*payment_hash)).await.map(|_| ())
    }

    /// Borrows charges another ledger is to be told of, oldest first, at most `most`. Nobody else is given them for `lease`;
    /// [`Ledger::outbox_told`] says what became of each.
    ///
    /// # Errors
    /// Not written; see [`LedgerError`].
    pub async fn outbox_take(&self, most: u32, lease: Duration) -> Result<Vec<OutboxRow>, LedgerError> {
        let now = unix_ms() / 1_000;
        let entry = Entry::OutboxTake { now, until: now.saturating_add(lease.as_secs()), most };
        match self.inner.shared.enter(entry).await? {
            Receipt::Outbox(rows) => Ok(rows),
            _ => Err(misfit()),
        }
    }

    /// What became of telling of one charge.
    ///
    /// # Errors
    /// Not written; see [`LedgerError`].
    pub async fn outbox_told(&self, id: CallId, told: Told) -> Result<(), LedgerError> {
        let entry = Entry::OutboxTold { id: *id.as_bytes(), told };
        self.inner.shared.enter(entry).await.map(|_| ())
    }

    /// Holds the price of one call. Decided at once in memory; waits only where the account is not in memory yet. The hold
    /// goes to disk behind the caller's back: see [`OpenHold::durable`].
    ///
    /// # Errors
    /// See [`HoldRefused`]; never [`HoldRefused::NeedsLoad`].
    pub async fn hold(&self, request: &HoldRequest<'_>) -> Result<OpenHold, HoldRefused> {
        if self.inner.shared.authority() == Authority::Database {
            return self.inner.shared.hold(request, false)?.granted().await;
        }
        match self.try_hold(request) {
            Err(HoldRefused::NeedsLoad) => {}
            decided => return decided,
        }
        let now = unix_ms() / 1_000;
        let counters = request.limits.iter().map(|limit| limit.taken(request.amount, now).key).collect();
        let load =
            LoadRequest { account: request.account, unit: request.unit, amount: request.amount, counters };
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
        if self.inner.shared.authority() == Authority::Database {
            return Err(HoldRefused::NeedsLoad);
        }
        self.inner.shared.hold(request, false)
    }

    /// Brings an account (or an owner's accounts) into memory. Nothing happens where there is none.
    ///
    /// # Errors
    /// The disk cannot be read, or too much is in flight.
    pub async fn load(&self, account: AccountRef) -> Result<(), LedgerError> {
        self.inner.shared.load(LoadRequest::of(account)).await.map(|_| ())
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
        let request = LoadRequest::of(AccountRef::Token(*token));
        Ok(self.inner.shared.load(request).await?.first().copied())
    }

    /// Waits, at most `patience`, until something has been credited to `token`; says whether. For a payer who shows the
    /// preimage a moment before the node's own event arrives. Where too many wait already it answers at once.
    pub async fn wait_for_credit(&self, token: TokenId, patience: Duration) -> bool {
        let place = self.inner.shared.wait_place(token);
        let over = Instant::now() + patience;
        loop {
            // Listening starts before looking, so that no credit is missed.
            let told = place.as_ref().map(|place| place.told.notified());
            if matches!(self.balance(&token).await, Ok(Some(_))) {
                return true;
            }
            let (Some(told), true) = (told, Instant::now() < over) else { return false };
            // What another gate credits is not told here: it is looked for.
            let look = match self.inner.shared.authority() {
                Authority::Memory => over,
                Authority::Database => over.min(Instant::now() + CREDIT_LOOKS),
            };
            if timeout_at(look, told).await.is_ok() {
                return true;
            }
        }
    }

    /// What is known of a payment hash.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn quote(&self, payment_hash: &PaymentHash) -> Result<QuoteState, LedgerError> {
        match self.inner.shared.ask(Question::Quote(*payment_hash)).await? {
            Reply::Quote(state) => Ok(state),
            _ => Err(misfit()),
        }
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
        Ok(Reader::open(&self.inner.store)?)
    }

    /// Where gates on this ledger leave notes for each other; `None` where no other gate can.
    #[must_use]
    pub fn board(&self) -> Option<&Board> {
        self.inner.board.as_ref()
    }

    /// Forgets what cannot matter any more at `now` (Unix seconds), and of kept answers the oldest beyond their bounds. A few
    /// thousand rows of each kind at a time: call it when [`Ledger::prune_due`] says so.
    ///
    /// # Errors
    /// Not written; see [`LedgerError`].
    pub async fn prune(&self, now: u64) -> Result<Pruned, LedgerError> {
        let kept = self.inner.shared.kept;
        match self.inner.shared.enter(Entry::Prune { now, kept }).await? {
            Receipt::Pruned(pruned) => Ok(pruned),
            _ => Err(misfit()),
        }
    }

    /// Waits until pruning is worth the while: at most for `patience`, less where many answers have been kept since.
    pub async fn prune_due(&self, patience: Duration) {
        let _ = tokio::time::timeout(patience, self.inner.shared.prune_due.notified()).await;
    }

    /// Writes what is queued, folds the log into the file, and stops. Later operations are refused; holds still open are
    /// voided by the next opening.
    pub async fn close(&self) {
        self.inner.shared.begin_close();
        self.inner.shared.closed().await;
    }
}

fn misfit() -> LedgerError {
    LedgerError::Unavailable("an answer that does not fit".to_owned())
}
