//! The ledger: accounts, holds, captures and credits in millisatoshi, durable and exactly once.
//!
//! One credential is one account. A call holds its price, and the hold ends once: captured or voided. Whether an account can
//! bear a hold is decided in memory at once; the hold goes to disk while the call is under way, and the reply waits for it
//! ([`OpenHold::durable`]). One thread writes, many operations to a transaction.
//!
//! What is promised, and where it is kept:
//!
//! 1. Double entry, append-only: a transaction is one row that takes from one account what it gives to another, and the
//!    database refuses to change it (`engine/sqlite/schema/`). In SQLite what a call charges is on disk with the call, and comes to
//!    the balances later (`engine/sqlite/settle.rs`).
//! 2. No account below zero, holds counted: decided in [`Ledger::hold`], and again by the database when it is written.
//! 3. A hold is durable before the reply: [`OpenHold::durable`].
//! 4. A hold ends exactly once: [`OpenHold::capture`], [`OpenHold::void`] and dropping it consume it; on disk its row moves
//!    from `holds` to `calls`.
//! 5. After a crash every open hold is voided, in the payer's favour: [`Ledger::recovered`].
//! 6. A payment is credited once, together with the node's cursor: [`Ledger::credit_payment`].
//! 7. A retried call is charged once, and answered as it was the first time: [`Ledger::claim`].
//! 8. Where the ledger cannot write, holds are refused: [`HoldRefused`].

mod account;
mod accounts;
mod board;
mod claim;
mod config;
mod counters;
mod engine;
mod entry;
mod error;
mod hold;
mod id;
mod ledger;
mod limit;
mod reader;
mod report;
mod revocation;
mod state;
mod tools;
mod writer;

pub use account::{AccountRef, Balance, MAX_AMOUNT, Unit};
pub use board::{Board, BoardError, MAX_NOTE, MAX_STRIKES, Standing, Strike};
pub use claim::{Answer, Claim, Claimed, MAX_ANSWER_MEDIA};
pub use config::{
    DEFAULT_BATCH, DEFAULT_CACHED_ACCOUNTS, DEFAULT_KEPT_ANSWERS, DEFAULT_KEPT_BODY, DEFAULT_KEPT_BYTES,
    DEFAULT_KEPT_FOR, DEFAULT_LEASE, DEFAULT_QUEUE, DEFAULT_SETTLE_AFTER, DEFAULT_TIMEOUT, DEFAULT_WAITERS,
    DEFAULT_WAL_BYTES, LedgerConfig, Store,
};
pub use entry::{
    Credited, HoldRequest, OutboxRow, Pruned, Quote, QuoteState, Recovery, Settlement, Told, Voucher, Work,
};
pub use error::{HoldRefused, LedgerError, OpenError, ReadError, UrlError};
pub use hold::OpenHold;
pub use id::{CallId, NotCallId};
pub use ledger::Ledger;
pub use limit::{Counts, Limit, MAX_LIMITS, Window};
pub use reader::{BillRow, OpenHoldRow, PaymentRow, Reader, UnpaidRow};
pub use report::{AccountRow, CallEnd, CallRow, JournalRow, Report, Revenue, Verification, Violation};
pub use revocation::{Revocation, RevocationRow};

/// How long an unpaid quote is remembered after its end, in seconds. An invoice cannot be paid after its end, but a payment
/// under way then may still arrive; later than this it goes to the suspense account.
pub const QUOTE_MARGIN_SECONDS: u64 = 7 * 24 * 3600;
/// How long a charge stays in the outbox after another ledger has been told of it, in seconds.
pub const OUTBOX_SECONDS: u64 = 35 * 24 * 3600;
/// Most violations of one kind that are listed.
pub const MAX_VIOLATIONS: u32 = 100;
/// Most rows one list returns.
pub const MAX_ROWS: u32 = 10_000;
