//! Reading a ledger, beside its writer or without one.

use std::path::Path;

use octroi_l402::TokenId;
use rusqlite::Connection;

use crate::engine::sqlite;
use crate::error::{OpenError, ReadError};
use crate::report::{AccountRow, CallRow, Report, Verification};
use crate::revocation::RevocationRow;

/// A read-only view of a ledger. Its methods read the disk: not for an async task.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
}

impl Reader {
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        Ok(Self { connection: sqlite::open_reader(path)? })
    }

    /// The ledger at a glance.
    ///
    /// # Errors
    /// The disk cannot be read.
    pub fn report(&self) -> Result<Report, ReadError> {
        Ok(sqlite::report(&self.connection)?)
    }

    /// Checks every promise against what is on disk.
    ///
    /// # Errors
    /// The disk cannot be read.
    pub fn verify(&self) -> Result<Verification, ReadError> {
        Ok(sqlite::verify(&self.connection)?)
    }

    /// The last `limit` calls that have ended, newest first. At most [`MAX_ROWS`](crate::MAX_ROWS).
    ///
    /// # Errors
    /// The disk cannot be read.
    pub fn calls(&self, limit: u32) -> Result<Vec<CallRow>, ReadError> {
        Ok(sqlite::calls(&self.connection, limit)?)
    }

    /// The last `limit` accounts that were opened, newest first. At most [`MAX_ROWS`](crate::MAX_ROWS).
    ///
    /// # Errors
    /// The disk cannot be read.
    pub fn accounts(&self, limit: u32) -> Result<Vec<AccountRow>, ReadError> {
        Ok(sqlite::accounts(&self.connection, limit)?)
    }

    /// What is revoked, newest first. At most [`MAX_ROWS`](crate::MAX_ROWS).
    ///
    /// # Errors
    /// The disk cannot be read.
    pub fn revocations(&self) -> Result<Vec<RevocationRow>, ReadError> {
        Ok(sqlite::revocations(&self.connection)?)
    }

    /// The account of one credential.
    ///
    /// # Errors
    /// The disk cannot be read.
    pub fn account(&self, token: &TokenId) -> Result<Option<AccountRow>, ReadError> {
        Ok(sqlite::account(&self.connection, token)?)
    }
}
