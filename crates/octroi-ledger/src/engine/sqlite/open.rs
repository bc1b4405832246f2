//! Opens the file: creates it, keeps other writers out, brings the schema forward, resolves what a crash left.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags, Row, TransactionBehavior};

use super::super::AccountId;
use super::super::codes::unit_from;
use super::apply::{Batch, Ended};
use super::house::House;
use super::settle::Unsettled;
use super::{NotApplied, Sizes, SqliteEngine};
use crate::account::Unit;
use crate::entry::Recovery;
use crate::error::OpenError;
use crate::id::{EntryId, unix_ms};
use crate::limit::Taken;
use crate::report::CallEnd;
use crate::revocation::{Revocation, Revoked};

/// `octr`, in the file's header: what kind of database it is.
const APPLICATION_ID: i64 = 0x6f63_7472;
/// Each brings a ledger one schema forward; the first makes it.
const MIGRATIONS: [&str; 6] = [
    include_str!("schema/0001.sql"),
    include_str!("schema/0002.sql"),
    include_str!("schema/0003.sql"),
    include_str!("schema/0004.sql"),
    include_str!("schema/0005.sql"),
    include_str!("schema/0006.sql"),
];
const SCHEMA: i64 = MIGRATIONS.len() as i64;

/// How long the lock that keeps a second writer out is waited for. An earlier gate may be about to end, and a program that is
/// just being started has copies of all its parent's files, this lock's too, for the moment before it is itself.
const LOCK_WAIT: Duration = Duration::from_secs(1);
/// Between two tries for it.
const LOCK_RETRY: Duration = Duration::from_millis(10);
/// How long anybody waits for a lock on the file. Readers and the one writer do not block each other; this covers the moments
/// in which the log is started over.
pub(super) const BUSY: Duration = Duration::from_secs(2);
/// The writer's page cache, in KiB, negative as SQLite wants it.
const CACHE_KIB: i64 = -65_536;

/// An engine ready to write.
pub(crate) struct Opened {
    pub(crate) engine: SqliteEngine,
    /// The greatest id on disk.
    pub(crate) last_id: EntryId,
    pub(crate) revoked: Revoked,
    pub(crate) recovery: Recovery,
}

/// Opens the ledger for writing.
pub(crate) fn open(path: &Path, sizes: Sizes) -> Result<Opened, OpenError> {
    let lock = lock(path)?;
    // SQLite gives its log the mode of the file.
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    let mut connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(64);
    let found = schema_of(&connection, path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "cache_size", CACHE_KIB)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    migrate_from(&mut connection, found)?;
    let mut house = House::default();
    let recovery = recover(&mut connection, &mut house)?;
    // What an earlier life had borrowed is nobody's any more.
    connection.execute("UPDATE outbox SET next_at = 0 WHERE state = 0 AND next_at <> 0", [])?;
    let last_id = last_id(&connection)?;
    let revoked = revoked(&connection)?;
    let engine = SqliteEngine::new(connection, house, lock, sizes);
    Ok(Opened { engine, last_id, revoked, recovery })
}

/// Brings the schema forward, and says which it was and is.
pub(crate) fn migrate(path: &Path) -> Result<(i64, i64), OpenError> {
    let _lock = lock(path)?;
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    let mut connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(BUSY)?;
    let found = schema_of(&connection, path)?;
    migrate_from(&mut connection, found)?;
    Ok((found, SCHEMA))
}

/// Opens the ledger for reading, whoever writes to it.
pub(crate) fn open_reader(path: &Path) -> Result<Connection, OpenError> {
    if !path.exists() {
        return Err(OpenError::Missing { path: path.to_owned() });
    }
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(BUSY)?;
    match schema_of(&connection, path)? {
        0 => Err(OpenError::Foreign { path: path.to_owned() }),
        found if found < SCHEMA => Err(OpenError::Older { found, known: SCHEMA }),
        _ => Ok(connection),
    }
}

/// A lock of its own beside the file: SQLite's locks come and go with each transaction. The system drops it with the process.
fn lock(path: &Path) -> Result<File, OpenError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(PathBuf::from(name))?;
    let asked = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if asked.elapsed() < LOCK_WAIT => std::thread::sleep(LOCK_RETRY),
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
    }
}

/// The schema of the file; 0 for an empty one.
fn schema_of(connection: &Connection, path: &Path) -> Result<i64, OpenError> {
    let foreign = || OpenError::Foreign { path: path.to_owned() };
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let application = match pragma("application_id") {
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::NotADatabase) => {
            return Err(foreign());
        }
        other => other?,
    };
    let found = pragma("user_version")?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match (application, tables) {
        (0, 0) => Ok(0),
        (APPLICATION_ID, _) if found > SCHEMA => Err(OpenError::Newer { found, known: SCHEMA }),
        (APPLICATION_ID, _) => Ok(found),
        _ => Err(foreign()),
    }
}

fn migrate_from(connection: &mut Connection, found: i64) -> Result<(), OpenError> {
    let done = usize::try_from(found).unwrap_or(0);
    if done == MIGRATIONS.len() {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for migration in MIGRATIONS.iter().skip(done) {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", SCHEMA)?;
    transaction.commit()?;
    Ok(())
}

/// Settles what is unsettled, and voids every open hold: whether its reply was delivered cannot be known, so the payer has the
/// benefit.
fn recover(connection: &mut Connection, house: &mut House) -> Result<Recovery, OpenError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    settle(&transaction)?;
    let open: Vec<(Ended, Vec<Taken>)> = {
        let mut statement = transaction.prepare(
            "SELECT h.id, h.account, coalesce(a.unit, 0), h.tool, h.amount, h.limits
             FROM holds h LEFT JOIN holders a ON a.id = h.account",
        )?;
        statement.query_map([], open_hold)?.collect::<Result<_, _>>()?
    };
    let mut recovery = Recovery::default();
    if !open.is_empty() {
        for (hold, _) in &open {
            recovery.voided += 1;
            match hold.unit {
                Unit::Msat => recovery.msat += hold.held,
                Unit::Call => recovery.calls += hold.held,
            }
        }
        let settled = Unsettled::nothing(usize::MAX);
        Batch::recover(&transaction, house, &settled, &open).map_err(|error| match error {
            NotApplied::Broken(error) => OpenError::Sqlite(error),
            NotApplied::Refused => OpenError::Inconsistent,
        })?;
    }
    // All of them have ended, and nothing they have moved is missing from a balance.
    transaction.execute_batch(
        "DELETE FROM begun; UPDATE settling SET upto = zeroblob(16), below = 0 WHERE below <> 0",
    )?;
    transaction.commit()?;
    Ok(recovery)
}

/// Brings all balances up to date.
fn settle(connection: &Connection) -> Result<(), OpenError> {
    let mut sums = connection.prepare("SELECT account, sum(amount) FROM unsettled GROUP BY account")?;
    let sums: Vec<(i64, i64)> =
        sums.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
    let mut update = connection.prepare("UPDATE balances SET balance = balance + ?2 WHERE id = ?1")?;
    for (account, sum) in sums {
        match update.execute([account, sum]).map_err(NotApplied::from) {
            Ok(1) => {}
            Ok(_) | Err(NotApplied::Refused) => return Err(OpenError::Inconsistent),
            Err(NotApplied::Broken(error)) => return Err(OpenError::Sqlite(error)),
        }
    }
    Ok(())
}

fn open_hold(row: &Row<'_>) -> rusqlite::Result<(Ended, Vec<Taken>)> {
    let limits: Option<Vec<u8>> = row.get(5)?;
    let call = Ended {
        id: EntryId::from_bytes(row.get(0)?),
        account: AccountId(row.get(1)?),
        unit: unit_from(row.get(2)?),
        tool: row.get(3)?,
        held: row.get(4)?,
        captured: 0,
        end: CallEnd::Recovered,
        at_ms: unix_ms(),
    };
    Ok((call, Taken::decode(&limits.unwrap_or_default())))
}

fn revoked(connection: &Connection) -> rusqlite::Result<Revoked> {
    let mut statement = connection.prepare("SELECT kind, subject FROM revocations")?;
    let rows = statement.query_map([], |row| {
        let subject: Vec<u8> = row.get(1)?;
        Ok(Revocation::from_code(row.get(0)?, &subject))
    })?;
    rows.filter_map(Result::transpose).collect()
}

fn last_id(connection: &Connection) -> rusqlite::Result<EntryId> {
    let last: Option<[u8; 16]> = connection.query_row(
        "SELECT max(id) FROM (SELECT max(id) AS id FROM transactions UNION ALL SELECT max(id) FROM calls
             UNION ALL SELECT max(id) FROM begun)",
        [],
        |row| row.get(0),
    )?;
    Ok(EntryId::from_bytes(last.unwrap_or_default()))
}
