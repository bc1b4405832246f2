//! Where the ledger lives and how much it may take on at once.

use std::path::PathBuf;
use std::time::Duration;

/// Operations a ledger accepts before it answers busy, unless the config says otherwise.
pub const DEFAULT_QUEUE: usize = 65_536;
/// Most operations in one transaction on disk, unless the config says otherwise.
pub const DEFAULT_BATCH: usize = 256;
/// Accounts kept in memory, unless the config says otherwise. One takes about 200 bytes.
pub const DEFAULT_CACHED_ACCOUNTS: usize = 100_000;
/// Callers that may wait for a payment at the same time, unless the config says otherwise.
pub const DEFAULT_WAITERS: usize = 4_096;
/// Size of the write-ahead log, in bytes, past which it is started over, unless the config says otherwise.
pub const DEFAULT_WAL_BYTES: u64 = 64 * 1024 * 1024;

/// Settings of the embedded ledger.
#[derive(Clone, Debug)]
pub struct LedgerConfig {
    /// The database file; created with mode 0600 when it does not exist. `<path>.lock` beside it keeps a second writer out.
    pub path: PathBuf,
    /// Most operations in flight: open holds, and writes that are not yet on disk. At least 1.
    pub queue: usize,
    /// Most operations in one transaction on disk. At least 1.
    pub batch: usize,
    /// Accounts, and as many owners, kept in memory. Those with an open hold always are. At least 1.
    pub cached_accounts: usize,
    /// Callers that may wait for a payment at the same time.
    pub waiters: usize,
    /// Size of the write-ahead log, in bytes, past which it is started over.
    pub wal_bytes: u64,
    /// How long to wait between looks at a disk that failed.
    pub retry_after: Duration,
}

impl LedgerConfig {
    /// The default limits for a ledger in the file at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            queue: DEFAULT_QUEUE,
            batch: DEFAULT_BATCH,
            cached_accounts: DEFAULT_CACHED_ACCOUNTS,
            waiters: DEFAULT_WAITERS,
            wal_bytes: DEFAULT_WAL_BYTES,
            retry_after: Duration::from_millis(250),
        }
    }
}
