//! The seam between the ledger's rules and what stores it: an engine commits batches and loads accounts.

pub(crate) mod sqlite;

use std::sync::Arc;

use octroi_l402::TokenId;

use crate::account::{AccountRef, Unit};
use crate::entry::{Credited, Pruned, Quote, Settlement, Voucher, Work};
use crate::error::LedgerError;
use crate::id::EntryId;
use crate::report::CallEnd;
use crate::tools::ToolName;

/// The engine's own number of an account; greater is younger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct AccountId(pub(crate) i64);

/// Stores the ledger. Called by one thread only.
pub(crate) trait Engine: Send + 'static {
    /// Writes `batch` in order, in one transaction, and makes it durable. One outcome for each command: what could not be
    /// written because of what it says is refused alone.
    ///
    /// # Errors
    /// Nothing of the batch was written.
    fn commit(&mut self, batch: &[Command<'_>]) -> Result<Vec<Outcome>, EngineError>;

    /// The accounts meant by `request`, oldest first.
    fn load(&mut self, request: &LoadRequest) -> Result<Vec<AccountState>, EngineError>;

    /// Learns whether writing works again.
    fn probe(&mut self) -> Result<(), EngineError>;

    /// Housekeeping between batches; `last` when no batch will follow. Says whether it wants to be called again soon even
    /// when there is nothing to write.
    fn upkeep(&mut self, last: bool) -> bool;
}

/// The engine could not write, or not read. Nothing changed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct EngineError(pub(crate) String);

/// A hold as it is written.
#[derive(Debug)]
pub(crate) struct HoldRow {
    pub(crate) id: EntryId,
    pub(crate) account: AccountId,
    pub(crate) unit: Unit,
    pub(crate) amount: i64,
    pub(crate) tool: Arc<ToolName>,
    pub(crate) call_ref: Option<[u8; 32]>,
}

/// Something to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Command<'a> {
    /// Open a hold.
    Hold(&'a HoldRow),
    /// End a hold; nothing happens where it has ended.
    End { hold: &'a HoldRow, captured: i64, end: CallEnd, at_ms: u64 },
    /// Anything else, under an id of its own.
    Entry { id: EntryId, at_ms: u64, entry: &'a Entry },
}

/// What is written outside a call.
#[derive(Debug)]
pub(crate) enum Entry {
    Quote(Quote),
    Payment(Settlement),
    Work(Work),
    Voucher(Voucher),
    /// Forget what cannot matter any more at this Unix second.
    Prune(u64),
}

/// What became of one command.
pub(crate) type Outcome = Result<Effect, LedgerError>;

/// What a command changed beyond what it says itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Written,
    /// `amount` was credited to `account`, whose state is as it was when the command was written.
    Credited {
        account: AccountState,
        amount: i64,
    },
    /// Nothing was credited to anybody.
    NotCredited(Credited),
    Pruned(Pruned),
}

/// Which accounts to load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoadRequest {
    pub(crate) account: AccountRef,
    /// Of an owner with too many accounts, those that can bear this are loaded too.
    pub(crate) unit: Unit,
    pub(crate) amount: i64,
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
