//! The embedded engine: one SQLite file with a write-ahead log, flushed at every commit.

mod apply;
mod aside;
mod credit;
mod house;
mod open;
mod prune;
mod questions;
mod records;
mod rows;
mod settle;

use std::fs::File;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode};

use super::{Command, Engine, EngineError, LoadRequest, Loaded, Outcome, Question, Reply};
use crate::error::LedgerError;
use apply::Batch;
use house::House;
use settle::Unsettled;

pub(crate) use open::{migrate, open, open_reader};
pub(crate) use questions::backup;
pub(crate) use records::answers;

/// How often the log is folded into the file while there is work. The writer does it itself, between two batches: nobody
/// else writes then, so the log is emptied and starts over instead of growing.
const CHECKPOINT_EVERY: Duration = Duration::from_millis(250);
/// How long the writer, and every call behind it, waits for readers of an old state when the log has grown too long.
const READERS_LEAVE: Duration = Duration::from_millis(20);
/// SQLite's page, in bytes.
const PAGE: u64 = 4_096;

/// What an engine is opened with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// Bytes of the log past which it is started over.
    pub(crate) wal_bytes: u64,
    /// Calls that may have ended before their charges begin to come to the balances.
    pub(crate) settle_after: usize,
}

/// A ledger in one SQLite file.
pub(crate) struct SqliteEngine {
    connection: Connection,
    house: House,
    unsettled: Unsettled,
    /// A transaction failed, and what is unsettled is to be read again: nobody can say whether it was committed.
    doubtful: bool,
    wal_bytes: u64,
    written: bool,
    checkpointed: Instant,
    /// Keeps other writers out for as long as it is open.
    _lock: File,
}

/// Why part of a batch was not applied.
enum NotApplied {
    /// The database's own rules refuse what a command says.
    Refused,
    /// The database cannot write.
    Broken(rusqlite::Error),
}

impl From<rusqlite::Error> for NotApplied {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch) => Self::Refused,
            _ => Self::Broken(error),
        }
    }
}

impl From<rusqlite::Error> for EngineError {
    fn from(error: rusqlite::Error) -> Self {
        Self(error.to_string())
    }
}

impl SqliteEngine {
    fn new(connection: Connection, house: House, lock: File, sizes: Sizes) -> Self {
        let unsettled = Unsettled::nothing(sizes.settle_after);
        let checkpointed = Instant::now();
        let wal_bytes = sizes.wal_bytes;
        Self {
            connection,
            house,
            unsettled,
            doubtful: false,
            wal_bytes,
            written: false,
            checkpointed,
            _lock: lock,
        }
    }

    /// All at once: every balance is changed once, by the sum of what the batch does to it.
    fn together(&mut self, commands: &[Command<'_>]) -> Result<Vec<Outcome>, NotApplied> {
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let draft = self.unsettled.step(&self.connection)?;
        let (outcomes, draft) =
            Batch::apply(&self.connection, &mut self.house, (&self.unsettled, draft), commands)?;
        self.connection.execute_batch("COMMIT")?;
        self.unsettled.committed(draft);
        Ok(outcomes)
    }

    /// One by one, still in one transaction: finds the commands that the database refuses.
    fn one_by_one(&mut self, commands: &[Command<'_>]) -> Result<Vec<Outcome>, rusqlite::Error> {
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let mut outcomes = Vec::with_capacity(commands.len());
        let mut draft = self.unsettled.draft();
        for command in commands {
            self.connection.execute_batch("SAVEPOINT command")?;
            let books = (&self.unsettled, draft.clone());
            match Batch::apply(&self.connection, &mut self.house, books, std::slice::from_ref(command)) {
                Ok((mut one, with_it)) => {
                    outcomes.append(&mut one);
                    draft = with_it;
                }
                Err(NotApplied::Refused) => {
                    self.connection.execute_batch("ROLLBACK TO command")?;
                    self.house.forget();
                    outcomes.push(Err(LedgerError::Refused));
                }
                Err(NotApplied::Broken(error)) => return Err(error),
            }
            self.connection.execute_batch("RELEASE command")?;
        }
        self.connection.execute_batch("COMMIT")?;
        self.unsettled.committed(draft);
        Ok(outcomes)
    }

    /// Settles some of what is unsettled, while nobody waits.
    fn settle(&mut self) -> Result<(), EngineError> {
        self.recall()?;
        match self.settle_some() {
            Ok(()) => Ok(()),
            Err(error) => {
                self.roll_back();
                self.doubtful = true;
                Err(match error {
                    NotApplied::Broken(error) => error.into(),
                    NotApplied::Refused => EngineError("the file refuses it".to_owned()),
                })
            }
        }
    }

    fn settle_some(&mut self) -> Result<(), NotApplied> {
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let draft = self.unsettled.step_idly(&self.connection)?;
        self.connection.execute_batch("COMMIT")?;
        self.unsettled.committed(draft);
        self.written = true;
        Ok(())
    }

    fn roll_back(&mut self) {
        self.house.forget();
        // After some errors SQLite has rolled back by itself.
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "the ledger cannot roll back");
        }
    }

    /// Ends the doubt a failed transaction has left.
    fn recall(&mut self) -> rusqlite::Result<()> {
        if self.doubtful {
            self.unsettled.recall(&self.connection)?;
            self.doubtful = false;
        }
        Ok(())
    }

    /// Folds the log into the file; says how long the log is, in bytes. The next write starts it over, unless somebody reads
    /// an old state: for them it waits only when the log has grown too long.
    fn fold(&self, last: bool) -> rusqlite::Result<u64> {
        let log = self.checkpoint(if last { "TRUNCATE" } else { "PASSIVE" })?;
        if log <= self.wal_bytes {
            return Ok(log);
        }
        self.connection.busy_timeout(READERS_LEAVE)?;
        let restarted = self.checkpoint("RESTART");
        self.connection.busy_timeout(open::BUSY)?;
        restarted
    }

    fn checkpoint(&self, mode: &str) -> rusqlite::Result<u64> {
        let sql = format!("PRAGMA wal_checkpoint({mode})");
        let pages: i64 = self.connection.query_row(&sql, [], |row| row.get(1))?;
        Ok(u64::try_from(pages).unwrap_or(0) * PAGE)
    }
}

impl Engine for SqliteEngine {
    fn commit(&mut self, batch: &[Command<'_>]) -> Result<Vec<Outcome>, EngineError> {
        self.recall()?;
        self.written = true;
        let result = match self.together(batch) {
            Ok(outcomes) => return Ok(outcomes),
            Err(NotApplied::Broken(error)) => Err(error),
            Err(NotApplied::Refused) => {
                self.roll_back();
                self.one_by_one(batch)
            }
        };
        if result.is_err() {
            self.roll_back();
            self.doubtful = true;
        }
        Ok(result?)
    }

    fn load(&mut self, request: &LoadRequest) -> Result<Loaded, EngineError> {
        self.recall()?;
        Ok(questions::load(&self.connection, &self.unsettled, request)?)
    }

    fn ask(&mut self, question: &Question) -> Result<Reply, EngineError> {
        Ok(match question {
            Question::Cursor(node) => Reply::Cursor(questions::cursor(&self.connection, node)?),
            Question::Cursors(kind) => Reply::Cursors(questions::cursors(&self.connection, kind)?),
            Question::Quote(hash) => Reply::Quote(questions::quote_state(&self.connection, hash)?),
        })
    }

    fn probe(&mut self) -> Result<(), EngineError> {
        self.connection.execute("UPDATE pulse SET beats = beats + 1", [])?;
        Ok(())
    }

    fn upkeep(&mut self, last: bool) -> bool {
        if !last && self.written && self.checkpointed.elapsed() < CHECKPOINT_EVERY {
            return true;
        }
        if !last && !self.written && !self.unsettled.is_pending() {
            return false;
        }
        // Nothing was written for a while, or nothing will be any more: there is time to settle.
        let mut works = true;
        while works && (last || !self.written) && self.unsettled.is_pending() {
            if let Err(error) = self.settle() {
                tracing::warn!(%error, "what calls were charged does not come to their balances yet");
                works = false;
            }
        }
        if let Err(error) = self.fold(last) {
            tracing::warn!(%error, "the ledger's log was not folded into its file; it grows");
        }
        self.written = false;
        self.checkpointed = Instant::now();
        works && self.unsettled.is_pending()
    }
}

#[cfg(test)]
mod migration_tests;
#[cfg(test)]
mod settle_tests;
#[cfg(test)]
mod tests;

#[cfg(test)]
impl SqliteEngine {
    /// Breaks the disk, or mends it.
    pub(crate) fn pragma(&self, pragma: &str) {
        self.connection.execute_batch(&format!("PRAGMA {pragma}")).unwrap();
    }

    /// How often the disk has been found to work.
    pub(crate) fn pulse(&self) -> u8 {
        self.connection.query_row("SELECT beats FROM pulse", [], |row| row.get(0)).unwrap()
    }
}
