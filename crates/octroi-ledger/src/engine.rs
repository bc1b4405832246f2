//! The seam between the ledger's rules and what stores it: an engine commits batches and answers questions.

pub(crate) mod checks;
pub(crate) mod codes;
pub(crate) mod postgres;
pub(crate) mod records;
pub(crate) mod sql;
pub(crate) mod sqlite;

use std::sync::Arc;

use octroi_l402::{PaymentHash, TokenId};

use crate::account::{AccountRef, Balance, Unit};
use crate::claim::Answer;
use crate::entry::{Credited, OutboxRow, Pruned, Quote, QuoteState, Settlement, Told, Voucher, Work};
use crate::error::{HoldRefused, LedgerError};
use crate::id::EntryId;
use crate::limit::{CounterKey, Taken};
use crate::report::CallEnd;
use crate::revocation::Revocation;
use crate::tools::ToolName;

/// The engine's own number of an account; greater is younger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct AccountId(pub(crate) i64);

/// Whose calls that cost nothing are. No account has this number.
pub(crate) const NOBODY: AccountId = AccountId(0);

/// Who decides whether an account bears a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Authority {
    /// This process, in memory: it alone writes.
    Memory,
    /// The database: other gates spend from the same accounts.
    Database,
}

/// Stores the ledger. Called by one thread only.
pub(crate) trait Engine: Send + 'static {
    /// Writes `batch` in order, so that every gate sees it; where memory decides, durably. One outcome for each command: what could
    /// not be written because of what it says is refused alone.
    ///
    /// # Errors
    /// Where memory decides: nothing of the batch was written. Where the database decides: any of it may have been, and the
    /// writer undoes what it may not keep.
    fn commit(&mut self, batch: &[Command<'_>]) -> Result<Vec<Outcome>, EngineError>;

    /// Makes durable what the last commits have written, where [`Engine::commit`] does not by itself.
    ///
    /// # Errors
    /// It may be lost: the writer undoes what it may not keep.
    fn flush(&mut self) -> Result<(), EngineError> {
        Ok(())
    }

    /// What is stored of the accounts (oldest first) and the counters meant by `request`.
    fn load(&mut self, request: &LoadRequest) -> Result<Loaded, EngineError>;

    /// Answers a short question.
    fn ask(&mut self, question: &Question) -> Result<Reply, EngineError>;

    /// Learns whether writing works again.
    fn probe(&mut self) -> Result<(), EngineError>;

    /// Housekeeping between batches; `last` when no batch will follow. Says whether it wants to be called again soon even
    /// when there is nothing to write.
    fn upkeep(&mut self, last: bool) -> bool;
}

/// The engine could not write, or not read.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct EngineError(pub(crate) String);

/// A hold as it is written.
#[derive(Debug)]
pub(crate) struct HoldRow {
    pub(crate) id: EntryId,
    /// Who is to pay.
    pub(crate) payer: AccountRef,
    /// The account that pays, where memory decides.
    pub(crate) account: AccountId,
    pub(crate) unit: Unit,
    pub(crate) amount: i64,
    pub(crate) tool: Arc<ToolName>,
    /// What it takes of limits.
    pub(crate) taken: Box<[Taken]>,
    /// The customer to be billed for it.
    pub(crate) bill: Option<Box<str>>,
}

/// Something to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Command<'a> {
    /// Open a hold.
    Hold(&'a HoldRow),
    /// End a hold; nothing happens where it has ended.
    End(EndRow<'a>),
    /// Anything else, under an id of its own.
    Entry { id: EntryId, at_ms: u64, entry: &'a Entry },
}

/// The end of a hold as it is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EndRow<'a> {
    pub(crate) hold: &'a HoldRow,
    pub(crate) captured: i64,
    pub(crate) end: CallEnd,
    pub(crate) at_ms: u64,
    /// The answer to keep, where the call may be tried again.
    pub(crate) answer: Option<AnswerRow<'a>>,
}

/// An answer as it is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AnswerRow<'a> {
    pub(crate) key: &'a [u8; 32],
    pub(crate) request: &'a [u8; 32],
    pub(crate) answer: &'a Answer,
    /// How long it is kept.
    pub(crate) seconds: u64,
}

/// What is written outside a call.
#[derive(Debug)]
pub(crate) enum Entry {
    Quote(Quote),
    Payment(Settlement),
    Work(Work),
    Voucher(Voucher),
    /// Claim a call that may be tried again.
    Claim {
        key: [u8; 32],
        request: [u8; 32],
    },
    /// Give the claim up.
    Unclaim([u8; 32]),
    /// Take something back, or restore it.
    Revoke {
        what: Revocation,
        revoked: bool,
        reason: String,
    },
    /// The operator lets a payment be.
    Accept(PaymentHash),
    /// Lend the oldest charges another ledger is to be told of, at most so many, to one teller until this Unix second.
    OutboxTake {
        now: u64,
        until: u64,
        most: u32,
    },
    /// What became of one.
    OutboxTold {
        id: [u8; 16],
        told: Told,
    },
    /// Forget what cannot matter any more at this Unix second, and keep no more answers than this.
    Prune {
        now: u64,
        kept: Kept,
    },
}

/// Most answers kept for calls that are tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) answers: i64,
    /// Of their bodies together.
    pub(crate) bytes: i64,
}

/// Most rows of one kind forgotten in one transaction, so that calls do not wait for it.
pub(crate) const PRUNE_ROWS: i64 = 5_000;

/// What became of one command.
pub(crate) type Outcome = Result<Effect, LedgerError>;

/// What a command changed beyond what it says itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Written,
    /// The database decided a hold: what the account has left, or why not.
    Decided(Result<i64, HoldRefused>),
    /// `amount` was credited to `account`, whose state is as it was when the command was written.
    Credited {
        account: AccountState,
        amount: i64,
    },
    /// Nothing was credited to anybody.
    NotCredited(Credited),
    Claimed(ClaimState),
    Outbox(Vec<OutboxRow>),
    Pruned(Pruned),
}

/// What is stored of a call that may be tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ClaimState {
    /// Nothing; it is claimed now.
    Free,
    /// Another gate has it under way.
    Running,
    Done(Answer),
    Conflict,
    /// It was made and charged; whose credential paid for it is revoked since.
    Revoked,
}

/// A short question.
#[derive(Debug)]
pub(crate) enum Question {
    Cursor(String),
    /// Of all nodes of a kind.
    Cursors(String),
    Quote(PaymentHash),
}

/// Its answer.
#[derive(Debug)]
pub(crate) enum Reply {
    Cursor(Option<String>),
    Cursors(Vec<String>),
    Quote(QuoteState),
}

/// Which accounts and counters to load.
#[derive(Clone, Debug)]
pub(crate) struct LoadRequest {
    pub(crate) account: AccountRef,
    /// Of an owner with too many accounts, those that can bear this are loaded too.
    pub(crate) unit: Unit,
    pub(crate) amount: i64,
    pub(crate) counters: Vec<CounterKey>,
}

impl LoadRequest {
    pub(crate) const fn of(account: AccountRef) -> Self {
        Self { account, unit: Unit::Msat, amount: 0, counters: Vec::new() }
    }
}

/// What was loaded.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) accounts: Vec<AccountState>,
    /// What each counter that was asked for stands at.
    pub(crate) counters: Vec<(CounterKey, i64)>,
}

/// Most accounts of one owner loaded because something is left on them.
pub(crate) const OWNER_ACCOUNTS: usize = 1_024;
/// Most accounts of one owner loaded beyond those because they can bear the hold at hand.
pub(crate) const OWNER_BEARERS: usize = 64;

/// An account as it is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AccountState {
    pub(crate) id: AccountId,
    pub(crate) token: TokenId,
    pub(crate) owner: Option<[u8; 32]>,
    pub(crate) unit: Unit,
    pub(crate) balance: i64,
    pub(crate) held: i64,
    /// Unix seconds.
    pub(crate) expires_at: u64,
}

impl AccountState {
    pub(crate) const fn as_balance(&self) -> Balance {
        Balance {
            unit: self.unit,
            available: self.balance - self.held,
            held: self.held,
            owner: self.owner,
            expires_at: self.expires_at,
        }
    }
}
