//! Why the ledger says no, and whose fault it is.

use std::path::PathBuf;

use crate::account::Unit;

/// Why a ledger cannot be opened. The fault is the operator's, or the disk's.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process writes to this ledger.
    #[error("another process writes to the ledger {}; stop it first, or use the read-only commands", .path.display())]
    InUse {
        /// The ledger's file.
        path: PathBuf,
    },
    /// There is no ledger to read.
    #[error("there is no ledger at {}", .path.display())]
    Missing {
        /// The file that is not there.
        path: PathBuf,
    },
    /// The file is a database of something else.
    #[error("{} is not an octroi ledger", .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A later version of octroi wrote this ledger.
    #[error("the ledger has schema {found}, this octroi knows up to {known}: upgrade octroi")]
    Newer {
        /// The schema of the file.
        found: i64,
        /// The newest schema this program knows.
        known: i64,
    },
    /// The ledger was written by an earlier version and has not been brought forward; only its gate does that.
    #[error(
        "the ledger has schema {found}, this octroi reads {known}: start the gate once to bring it forward"
    )]
    Older {
        /// The schema of the file.
        found: i64,
        /// The schema this program reads.
        known: i64,
    },
    /// What it says of open holds does not fit what it says of accounts: `octroi ledger verify` tells more.
    #[error("the ledger contradicts itself: octroi ledger verify says where")]
    Inconsistent,
    /// A setting is out of its bounds.
    #[error("the ledger's {setting} must be at least 1")]
    Setting {
        /// The setting's name.
        setting: &'static str,
    },
    /// The operating system gives no randomness.
    #[error("the operating system gives no randomness")]
    Random,
    /// The operating system refused the file or the thread.
    #[error("cannot open the ledger: {0}")]
    Io(#[from] std::io::Error),
    /// SQLite refused.
    #[error("cannot open the ledger: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// PostgreSQL refused, or cannot be reached.
    #[error("cannot open the ledger's database: {0}")]
    Postgres(String),
    /// The URL does not say where a ledger is.
    #[error("the ledger's URL: {0}")]
    Url(#[from] UrlError),
}

/// Why a URL does not say where a ledger is. The fault is in the configuration. Never shows the URL: it may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UrlError(pub(crate) String);

/// Why an entry was not written. Nothing was charged or credited.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// Too many operations are in flight. Ours; try again shortly.
    #[error("the ledger has too many operations in flight")]
    Busy,
    /// The disk cannot be written, or the ledger is closed. Ours.
    #[error("the ledger cannot write: {0}")]
    Unavailable(String),
    /// The disk knows of less money than memory did; memory has been corrected. Ours.
    #[error("the ledger on disk does not cover this hold")]
    Refused,
    /// The account counts in the other unit. The program's.
    #[error("the account does not count in {0}")]
    OtherUnit(Unit),
    /// The payment hash or token id already belongs to another quote. The program's.
    #[error("the payment hash is already quoted for something else")]
    QuoteTaken,
    /// The amount is not positive, or above [`MAX_AMOUNT`](crate::MAX_AMOUNT), or would overflow the account.
    #[error("the amount is out of bounds")]
    Amount,
}

/// Why a hold was refused. Nothing was charged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HoldRefused {
    /// Nothing was ever credited to this account; nothing is left to this owner.
    #[error("nothing was credited to this account")]
    Unknown,
    /// The account has less than that, holds counted.
    #[error("the account has {available} left")]
    Insufficient {
        /// What is left, in the unit of the hold; for an owner, in the fullest of its accounts.
        available: i64,
    },
    /// Credit bought with work is past its end. Money has no end: its credential is renewed instead.
    #[error("the credit has expired")]
    Expired,
    /// The account counts in another unit than the hold.
    #[error("the account counts in {0}")]
    OtherUnit(Unit),
    /// One of the limits the call is under does not bear it.
    #[error("a limit has {left} left until {until}")]
    Limited {
        /// Which, by its place in [`HoldRequest::limits`](crate::HoldRequest::limits).
        limit: usize,
        /// What is left of it.
        left: i64,
        /// When it starts over, in Unix seconds.
        until: u64,
    },
    /// The credential, its owner or the master key it was made under has been revoked.
    #[error("the credential has been revoked")]
    Revoked,
    /// The amount is negative or above [`MAX_AMOUNT`](crate::MAX_AMOUNT). The program's fault.
    #[error("the amount is out of bounds")]
    Amount,
    /// The account is not in memory: [`Ledger::load`](crate::Ledger::load) it, then ask again. Only
    /// [`Ledger::try_hold`](crate::Ledger::try_hold) says so.
    #[error("the account is not in memory")]
    NeedsLoad,
    /// Too many operations are in flight; try again shortly.
    #[error("the ledger has too many operations in flight")]
    Busy,
    /// The disk cannot be written, or the ledger is closed.
    #[error("the ledger cannot write: {0}")]
    Unavailable(String),
}

impl From<LedgerError> for HoldRefused {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Busy => Self::Busy,
            other => Self::Unavailable(other.to_string()),
        }
    }
}

/// Why the ledger cannot be read. The disk's fault.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It cannot be opened for reading.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// SQLite cannot read it.
    #[error("cannot read the ledger: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// PostgreSQL cannot read it, or cannot be reached.
    #[error("cannot read the ledger: {0}")]
    Postgres(String),
    /// This kind of ledger is copied with its own database's tools.
    #[error("a ledger in PostgreSQL is backed up with pg_dump")]
    NoBackup,
    /// A row has other columns than the schema says: somebody else has changed it.
    #[error("a row of the ledger is not as its schema says")]
    Misfit,
}
