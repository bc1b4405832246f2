//! Where the ledger lives and how much it may take on at once.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::engine::postgres::PostgresPlace;
use crate::engine::sqlite::Sizes;
use crate::error::UrlError;

/// Operations a ledger accepts before it answers busy, unless the config says otherwise.
pub const DEFAULT_QUEUE: usize = 65_536;
/// Most operations in one transaction, unless the config says otherwise.
pub const DEFAULT_BATCH: usize = 256;
/// Accounts kept in memory, unless the config says otherwise. One takes about 200 bytes.
pub const DEFAULT_CACHED_ACCOUNTS: usize = 100_000;
/// Callers that may wait for a payment at the same time, unless the config says otherwise.
pub const DEFAULT_WAITERS: usize = 4_096;
/// Size of the write-ahead log, in bytes, past which it is started over, unless the config says otherwise.
pub const DEFAULT_WAL_BYTES: u64 = 64 * 1024 * 1024;
/// Calls that may have ended before their charges begin to come to the balances on disk, unless the config says otherwise.
pub const DEFAULT_SETTLE_AFTER: usize = 32_768;
/// Answers kept for calls that are tried again, unless the config says otherwise.
pub const DEFAULT_KEPT_ANSWERS: u32 = 1_000_000;
/// Bytes of their bodies together, unless the config says otherwise.
pub const DEFAULT_KEPT_BYTES: u64 = 256 * 1024 * 1024;
/// Bytes of one of them, unless the config says otherwise. A longer one is charged and remembered without its body.
pub const DEFAULT_KEPT_BODY: usize = 256 * 1024;
/// How long an answer is kept, unless the config says otherwise.
pub const DEFAULT_KEPT_FOR: Duration = Duration::from_secs(24 * 3600);
/// How long PostgreSQL may take for one batch, unless the config says otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a gate that is not heard of counts as living, unless the config says otherwise.
pub const DEFAULT_LEASE: Duration = Duration::from_secs(30);

/// Where a ledger is.
#[derive(Clone)]
pub struct Store(pub(crate) Place);

#[derive(Clone)]
pub(crate) enum Place {
    Sqlite(PathBuf),
    Postgres(Box<PostgresPlace>),
}

impl Store {
    /// A SQLite file, created with mode 0600 when it does not exist. `<path>.lock` beside it keeps a second writer out.
    pub fn sqlite(path: impl Into<PathBuf>) -> Self {
        Self(Place::Sqlite(path.into()))
    }

    /// A schema of a PostgreSQL database: `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, with `schema` (default `octroi`),
    /// `sslmode` (`disable`, `require`, `verify-full`) and `sslrootcert` (a PEM file) as query parameters. Several gates may
    /// share it. `timeout` bounds one batch; `lease` is how long a gate that is not heard of counts as living.
    ///
    /// # Errors
    /// The URL cannot be read.
    pub fn postgres(url: &str, timeout: Duration, lease: Duration) -> Result<Self, UrlError> {
        Ok(Self(Place::Postgres(Box::new(PostgresPlace::parse(url, timeout, lease)?))))
    }

    /// `sqlite://PATH`, or `postgres://…` as for [`Store::postgres`].
    ///
    /// # Errors
    /// It is neither.
    pub fn parse(url: &str, timeout: Duration, lease: Duration) -> Result<Self, UrlError> {
        match url.split_once("://") {
            Some(("sqlite", path)) if !path.is_empty() && !path.contains(['?', '#']) => {
                Ok(Self::sqlite(path))
            }
            Some(("postgres" | "postgresql", _)) => Self::postgres(url, timeout, lease),
            _ => Err(UrlError("not a ledger URL".to_owned())),
        }
    }

    /// The file, where it is one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match &self.0 {
            Place::Sqlite(path) => Some(path),
            Place::Postgres(_) => None,
        }
    }

    /// Whether several gates may write at the same time.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        matches!(self.0, Place::Postgres(_))
    }
}

impl PartialEq for Store {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Place::Sqlite(a), Place::Sqlite(b)) => a == b,
            (Place::Postgres(a), Place::Postgres(b)) => a.is_same(b),
            _ => false,
        }
    }
}

impl Eq for Store {}

impl fmt::Display for Store {
    /// For people: without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Sqlite(path) => write!(f, "{}", path.display()),
            Place::Postgres(place) => write!(f, "{place}"),
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({self})")
    }
}

/// Settings of a ledger.
#[derive(Clone, Debug)]
pub struct LedgerConfig {
    /// Where it is.
    pub store: Store,
    /// Most operations in flight: open holds, and writes that are not yet durable. At least 1.
    pub queue: usize,
    /// Most operations in one transaction. At least 1.
    pub batch: usize,
    /// Accounts, as many owners, and as many counters of limits, kept in memory. Those with an open hold always are. At least 1.
    /// Nothing is kept where the database decides.
    pub cached_accounts: usize,
    /// Callers that may wait for a payment at the same time.
    pub waiters: usize,
    /// Size of SQLite's write-ahead log, in bytes, past which it is started over.
    pub wal_bytes: u64,
    /// SQLite only: after so many ended calls their charges, which are on disk with them, begin to come to the balances of their accounts.
    /// About twice as many may be on their way. More is faster where there are many credentials; memory (some 200 bytes a call), the
    /// opening after a crash, and the operator's questions grow with it. At least 1.
    pub settle_after: usize,
    /// Most answers kept for calls that are tried again; of more, the oldest are forgotten.
    pub kept_answers: u32,
    /// Most bytes of their bodies together; of more, the oldest bodies are dropped: those calls are still charged once. Where gates share a
    /// ledger, of all of them. Either bound may be exceeded by a sixteenth for a moment.
    pub kept_bytes: u64,
    /// Most bytes of one of them; a longer one is charged and remembered without its body. 0: no body is kept.
    pub kept_body: usize,
    /// How long an answer is kept, in whole seconds. Longer than any caller waits for one.
    pub kept_for: Duration,
    /// How long to wait between looks at a disk or a database that failed.
    pub retry_after: Duration,
}

impl LedgerConfig {
    /// The default limits for a ledger in the file at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self::at(Store::sqlite(path))
    }

    /// The default limits for a ledger at `store`.
    pub fn at(store: Store) -> Self {
        Self {
            store,
            queue: DEFAULT_QUEUE,
            batch: DEFAULT_BATCH,
            cached_accounts: DEFAULT_CACHED_ACCOUNTS,
            waiters: DEFAULT_WAITERS,
            wal_bytes: DEFAULT_WAL_BYTES,
            settle_after: DEFAULT_SETTLE_AFTER,
            kept_answers: DEFAULT_KEPT_ANSWERS,
            kept_bytes: DEFAULT_KEPT_BYTES,
            kept_body: DEFAULT_KEPT_BODY,
            kept_for: DEFAULT_KEPT_FOR,
            retry_after: Duration::from_millis(250),
        }
    }

    /// What the engine in a file is opened with.
    pub(crate) const fn sizes(&self) -> Sizes {
        Sizes { wal_bytes: self.wal_bytes, settle_after: self.settle_after }
    }
}
