//! Reading a ledger, beside its writers or without one.

use std::path::Path;

use octroi_l402::TokenId;
use rusqlite::Connection;

use crate::config::{Place, Store};
use crate::engine::postgres::PostgresReader;
use crate::engine::sqlite;
use crate::error::{OpenError, ReadError};
use crate::report::{AccountRow, CallRow, JournalRow, Report, Verification};
use crate::revocation::RevocationRow;

/// A read-only view of a ledger. Its methods block: not for an async task.
#[derive(Debug)]
pub struct Reader(Engine);

#[derive(Debug)]
enum Engine {
    Sqlite(Connection),
    Postgres(Box<PostgresReader>),
}

/// Asks whichever engine it is.
macro_rules! ask {
    ($reader:expr, $question:ident $(, $argument:expr)*) => {
        match &$reader.0 {
            Engine::Sqlite(connection) => Ok(sqlite::$question(connection $(, $argument)*)?),
            Engine::Postgres(reader) => reader.$question($($argument),*),
        }
    };
}

impl Reader {
    pub(crate) fn open(store: &Store) -> Result<Self, OpenError> {
        Ok(Self(match &store.0 {
            Place::Sqlite(path) => Engine::Sqlite(sqlite::open_reader(path)?),
            Place::Postgres(place) => Engine::Postgres(Box::new(PostgresReader::open(place)?)),
        }))
    }

    /// The ledger at a glance.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn report(&self) -> Result<Report, ReadError> {
        ask!(self, report)
    }

    /// Checks every promise against what is stored.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn verify(&self) -> Result<Verification, ReadError> {
        ask!(self, verify)
    }

    /// The last `limit` calls that have ended, newest first. At most [`MAX_ROWS`](crate::MAX_ROWS).
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn calls(&self, limit: u32) -> Result<Vec<CallRow>, ReadError> {
        ask!(self, calls, limit)
    }

    /// The last `limit` accounts that were opened, newest first. At most [`MAX_ROWS`](crate::MAX_ROWS).
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn accounts(&self, limit: u32) -> Result<Vec<AccountRow>, ReadError> {
        ask!(self, accounts, limit)
    }

    /// What is revoked, newest first. At most [`MAX_ROWS`](crate::MAX_ROWS).
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn revocations(&self) -> Result<Vec<RevocationRow>, ReadError> {
        ask!(self, revocations)
    }

    /// The account of one credential.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn account(&self, token: &TokenId) -> Result<Option<AccountRow>, ReadError> {
        ask!(self, account, token)
    }

    /// What moved, oldest first: the next `limit` after `after` (an id in hexadecimal; `None`: from the beginning). At most
    /// [`MAX_ROWS`](crate::MAX_ROWS). An id that is none begins at the beginning.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn journal(&self, after: Option<&str>, limit: u32) -> Result<Vec<JournalRow>, ReadError> {
        let mut id = [0; 16];
        if after.is_some_and(|after| hex::decode_to_slice(after, &mut id).is_err()) {
            id = [0; 16];
        }
        ask!(self, journal, &id, limit)
    }

    /// Copies the whole ledger as of now into a new file at `path`, also beside a running gate. For ledgers in SQLite.
    ///
    /// # Errors
    /// The ledger cannot be read, `path` cannot be written or exists; [`ReadError::NoBackup`] for PostgreSQL.
    pub fn backup(&self, path: &Path) -> Result<(), ReadError> {
        match &self.0 {
            Engine::Sqlite(connection) => Ok(sqlite::backup(connection, path)?),
            Engine::Postgres(_) => Err(ReadError::NoBackup),
        }
    }
}
