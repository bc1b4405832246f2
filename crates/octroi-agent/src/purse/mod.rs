//! The purse: credentials that were paid for, every payment made for them, and what a server asked last.
//!
//! One SQLite file, used by any number of processes at once. What opens doors is sealed ([`vault`]); what may be spent is
//! decided in the same transaction that writes the spend down ([`spends`]).

mod credentials;
mod session;
mod spends;
mod turn;
mod vault;

use std::path::Path;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use rusqlite::{Connection, ErrorCode, OptionalExtension, TransactionBehavior, params};

pub use credentials::Bought;
pub use spends::{Receipt, SpendState, Totals};
pub use vault::KeySource;

pub(crate) use credentials::{Kept, Opens};
pub(crate) use spends::{Begun, HOUR, Limits, Spend};
pub(crate) use turn::Turn;

use turn::Turns;
use vault::Vault;

/// Most credentials kept; beyond it those that ended first, or were bought first, are given up.
const CREDENTIALS_MAX: i64 = 4096;
/// Most payments without an outcome; beyond it nothing more is paid.
const SPENDS_MAX: i64 = 64;
/// Most payments remembered; beyond it the oldest are forgotten, but none of the last week.
const RECEIPTS_MAX: i64 = 100_000;
/// Most servers' terms and sessions remembered.
const TERMS_MAX: i64 = 4096;
/// How long another process may keep the file locked before a change is given up. None holds it longer than a write.
const BUSY_WAIT: Duration = Duration::from_secs(10);
/// Between two tries where SQLite itself does not wait.
const BUSY_PAUSE: Duration = Duration::from_millis(5);
/// The version of the form.
const VERSION: i64 = 2;
/// From the first form to the second.
const SECOND: &str = "ALTER TABLE credentials ADD COLUMN worked INTEGER NOT NULL DEFAULT 0";
/// Says that a SQLite file is a purse ("OcPu").
const APPLICATION_ID: i64 = 0x4f63_5075;
/// What is sealed to recognise the key.
const CHECK: &str = "octroi purse";

/// What went wrong with keeping credentials. The owner's disk, key, or another process.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PurseError {
    /// A file cannot be read or written.
    #[error("the file cannot be used: {0}")]
    Io(#[from] std::io::Error),
    /// The database cannot be read or written.
    #[error("the file cannot be used: {0}")]
    Store(#[from] rusqlite::Error),
    /// The file is not a purse, or a newer one.
    #[error("the file is not a purse of this version: {0}")]
    Format(String),
    /// The key does not open this purse, or what lies in it was changed.
    #[error("the key does not open this purse")]
    WrongKey,
    /// The key cannot be had.
    #[error("the purse's key: {0}")]
    Key(String),
    /// Another process buys the same, and does not come to an end.
    #[error("another process uses this purse")]
    Busy,
    /// The payment hash was paid before, or is being paid for something else. Nothing is paid for it.
    #[error("an invoice with this payment hash was paid before")]
    PaidBefore,
    /// What was to be put in is no credential: its giver's fault.
    #[error("a credential is <macaroon>:<preimage>")]
    NotACredential,
    /// Too many payments have no outcome yet.
    #[error("{SPENDS_MAX} payments have no outcome yet")]
    TooManyOpen,
}

/// Credentials by endpoint and tool, and payments; in memory, or in a file that only its owner can read.
///
/// Share one between agents with an `Arc`, and one file between processes. Every change is in the file before the method
/// returns; a payment is on disk (flushed) before it is made.
pub struct Purse {
    /// For payments: every commit is flushed to the disk.
    careful: Mutex<Connection>,
    /// For counting calls off: a power cut may lose the last of them, and the server has the last word anyway. None in
    /// memory.
    quick: Option<Mutex<Connection>>,
    vault: Vault,
    turns: Turns,
}

impl Default for Purse {
    /// In memory. Where the system gives no randomness, or no memory, nothing can be kept and the program cannot go on.
    #[allow(clippy::expect_used, reason = "no file is involved, and there is nothing to fall back to")]
    fn default() -> Self {
        Self::in_memory().expect("randomness and memory")
    }
}

impl Purse {
    /// A purse that is forgotten with the process.
    ///
    /// # Errors
    /// The operating system gives no randomness.
    pub fn in_memory() -> Result<Self, PurseError> {
        let mut connection = Connection::open_in_memory()?;
        prepare(&mut connection)?;
        let (careful, vault) = (Mutex::new(connection), Vault::forgetful()?);
        Ok(Self { careful, quick: None, vault, turns: Turns::in_memory() })
    }

    /// The purse in the file at `path`, which is made (mode 0600) where there is none, with the key file beside it.
    ///
    /// # Errors
    /// [`PurseError`].
    pub fn open(path: &Path) -> Result<Self, PurseError> {
        Self::open_with(path, &KeySource::beside(path))
    }

    /// The purse in the file at `path` under a key of the owner's choice.
    ///
    /// # Errors
    /// [`PurseError`]; [`PurseError::WrongKey`] when it was made with another key.
    pub fn open_with(path: &Path, key: &KeySource) -> Result<Self, PurseError> {
        vault::touch_private(path)?;
        let mut careful = connect(path, "FULL")?;
        prepare(&mut careful)?;
        let salt = meta(&careful, "salt", || Ok(vault::random::<{ vault::SALT_LEN }>()?.to_vec()))?;
        let vault = Vault::open(key, &salt)?;
        let check = meta(&careful, "check", || vault.seal("check", CHECK.as_bytes()))?;
        if vault.open_sealed("check", &check)?.as_slice() != CHECK.as_bytes() {
            return Err(PurseError::WrongKey);
        }
        let quick = Some(Mutex::new(connect(path, "NORMAL")?));
        Ok(Self { careful: Mutex::new(careful), quick, vault, turns: Turns::beside(path)? })
    }

    /// Waits for the turn to buy `tool` of `endpoint`.
    pub(crate) async fn turn(&self, endpoint: &str, tool: &str) -> Result<Turn, PurseError> {
        self.turns.wait(&(endpoint, tool)).await
    }

    /// What the server asked for a call.
    pub(crate) fn learn_terms(
        &self,
        endpoint: &str,
        tool: &str,
        price_msat: Option<i64>,
        work_bits: Option<f64>,
        now: u64,
    ) -> Result<(), PurseError> {
        let sql = "INSERT INTO terms VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET \
                   price_msat = ?3, work_bits = ?4, seen_at = ?5";
        let quick = self.quick();
        quick.prepare_cached(sql)?.execute(params![endpoint, tool, price_msat, work_bits, seconds(now)])?;
        let old = "DELETE FROM terms WHERE seen_at < (SELECT seen_at FROM terms ORDER BY seen_at DESC LIMIT 1 OFFSET ?1)";
        quick.prepare_cached(old)?.execute([TERMS_MAX])?;
        Ok(())
    }

    /// Whether the server asked for payment for a call since then.
    pub(crate) fn asked_since(&self, endpoint: &str, tool: &str, since: u64) -> Result<bool, PurseError> {
        let sql = "SELECT 1 FROM terms WHERE endpoint = ?1 AND tool = ?2 AND seen_at >= ?3";
        let asked = params![endpoint, tool, seconds(since)];
        Ok(self.quick().prepare_cached(sql)?.query_row(asked, |_| Ok(())).optional()?.is_some())
    }

    /// The bits of the puzzle that the server took for a call when it was last asked.
    pub(crate) fn work_offered(&self, endpoint: &str, tool: &str) -> Result<Option<f64>, PurseError> {
        let sql = "SELECT work_bits FROM terms WHERE endpoint = ?1 AND tool = ?2";
        let bits = self.quick().prepare_cached(sql)?.query_row([endpoint, tool], |row| row.get(0));
        Ok(bits.optional()?.flatten())
    }

    fn careful(&self) -> MutexGuard<'_, Connection> {
        self.careful.lock()
    }

    fn quick(&self) -> MutexGuard<'_, Connection> {
        self.quick.as_ref().unwrap_or(&self.careful).lock()
    }
}

/// Opens one connection; `flush` is SQLite's `synchronous`.
fn connect(path: &Path, flush: &str) -> Result<Connection, PurseError> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_WAIT)?;
    let mode = write_ahead(&connection)?;
    if mode != "wal" {
        return Err(PurseError::Format(format!("journal mode {mode}")));
    }
    connection.pragma_update(None, "synchronous", flush)?;
    Ok(connection)
}

/// Asks for a write-ahead log; what SQLite made of that. While another process makes the file it answers at once that it is
/// busy, where a wait might never end (<https://sqlite.org/c3ref/busy_handler.html>), so it is asked again.
fn write_ahead(connection: &Connection) -> Result<String, PurseError> {
    let give_up = Instant::now() + BUSY_WAIT;
    loop {
        let mode = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get::<_, String>(0));
        match mode.map_err(|error| (error.sqlite_error_code(), error)) {
            Ok(mode) => return Ok(mode),
            Err((Some(ErrorCode::DatabaseBusy), _)) if Instant::now() < give_up => {
                std::thread::sleep(BUSY_PAUSE);
            }
            Err((Some(ErrorCode::NotADatabase), _)) => {
                return Err(PurseError::Format("not a database".to_owned()));
            }
            Err((_, error)) => return Err(error.into()),
        }
    }
}

/// Makes the tables where there are none; several processes may try at once.
fn prepare(connection: &mut Connection) -> Result<(), PurseError> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let number = |name: &str| tx.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
    let (version, id) = (number("user_version")?, number("application_id")?);
    let tables: i64 = tx.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match (version, id, tables) {
        (0, 0, 0) => {
            tx.execute_batch(include_str!("schema.sql"))?;
            tx.pragma_update(None, "user_version", VERSION)?;
            tx.pragma_update(None, "application_id", APPLICATION_ID)?;
        }
        (VERSION, APPLICATION_ID, _) => {}
        (1, APPLICATION_ID, _) => {
            tx.execute_batch(SECOND)?;
            tx.pragma_update(None, "user_version", VERSION)?;
        }
        (other, APPLICATION_ID, _) => return Err(PurseError::Format(format!("version {other}"))),
        _ => return Err(PurseError::Format("another program's database".to_owned())),
    }
    Ok(tx.commit()?)
}

/// The value under `key`; made by `make` where there is none, by whoever comes first.
fn meta(
    connection: &Connection,
    key: &str,
    make: impl FnOnce() -> Result<Vec<u8>, PurseError>,
) -> Result<Vec<u8>, PurseError> {
    let read =
        || connection.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0)).optional();
    if let Some(value) = read()? {
        return Ok(value);
    }
    connection.execute("INSERT OR IGNORE INTO meta VALUES (?1, ?2)", params![key, make()?])?;
    read()?.ok_or_else(|| PurseError::Format(format!("no {key}")))
}

/// Unix seconds as SQLite keeps them.
fn seconds(unix: u64) -> i64 {
    i64::try_from(unix).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
