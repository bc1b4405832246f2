//! Reading a ledger, beside its writers or without one.

mod books;

use std::path::Path;

use octroi_l402::TokenId;
use rusqlite::Connection;

use crate::config::{Place, Store};
use crate::engine::checks::{CHECKS, Check, OF_FILES};
use crate::engine::codes::{end_from, unit_from};
use crate::engine::postgres::PostgresReader;
use crate::engine::records::{Ask, Given, Record};
use crate::engine::{sql, sqlite};
use crate::error::{OpenError, ReadError};
use crate::report::{AccountRow, CallRow, JournalRow, Report, Revenue, Verification, Violation};
use crate::revocation::{Revocation, RevocationRow};
use crate::{MAX_ROWS, MAX_VIOLATIONS};

pub use books::{BillRow, OpenHoldRow, PaymentRow, UnpaidRow};

/// A read-only view of a ledger. Its methods block: not for an async task.
#[derive(Debug)]
pub struct Reader(Engine);

#[derive(Debug)]
enum Engine {
    Sqlite(Connection),
    Postgres(Box<PostgresReader>),
}

/// At most as many rows as one list returns.
fn at_most(limit: u32) -> Given<'static> {
    Given::Int(limit.min(MAX_ROWS).into())
}

impl Reader {
    pub(crate) fn open(store: &Store) -> Result<Self, OpenError> {
        Ok(Self(match &store.0 {
            Place::Sqlite(path) => Engine::Sqlite(sqlite::open_reader(path)?),
            Place::Postgres(place) => Engine::Postgres(Box::new(PostgresReader::open(place)?)),
        }))
    }

    /// Asks several questions as of one moment.
    fn ask(&self, asks: &[Ask<'_>]) -> Result<Vec<Vec<Record>>, ReadError> {
        match &self.0 {
            Engine::Sqlite(connection) => Ok(sqlite::answers(connection, asks)?),
            Engine::Postgres(reader) => reader.answers(asks),
        }
    }

    /// Asks one question, and reads its rows.
    fn rows<T>(
        &self,
        sql: &str,
        given: &[Given<'_>],
        read: impl Fn(&Record) -> Result<T, ReadError>,
    ) -> Result<Vec<T>, ReadError> {
        self.ask(&[Ask { sql, given }])?.iter().flatten().map(read).collect()
    }

    /// The ledger at a glance.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn report(&self) -> Result<Report, ReadError> {
        let answers = self.ask(&[Ask::plain(sql::TOTALS), Ask::plain(sql::REVENUE)])?;
        let [totals, revenue] = answers.as_slice() else { return Err(ReadError::Misfit) };
        let row = totals.first().ok_or(ReadError::Misfit)?;
        Ok(Report {
            accounts: row.count(0)?,
            credit_msat: row.int(1)?,
            credit_calls: row.int(2)?,
            received_msat: -row.int(3)?,
            vouchers_msat: -row.int(4)?,
            suspense_msat: row.int(5)?,
            revenue: revenue.iter().map(revenue_row).collect::<Result<_, _>>()?,
            captured: row.count(6)?,
            voided: row.count(7)?,
            open_holds: row.count(8)?,
            unpaid_quotes: row.count(9)?,
            outbox_waiting: row.count(10)?,
            outbox_refused: row.count(11)?,
        })
    }

    /// Checks every promise against what is stored, as of one moment.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn verify(&self) -> Result<Verification, ReadError> {
        self.check(|asks| self.ask(asks))
    }

    /// As [`Reader::verify`], each promise as of its own moment: beside a gate that writes much, so that its log can start over in
    /// between.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn verify_in_turn(&self) -> Result<Verification, ReadError> {
        self.check(|asks| {
            let mut answers = Vec::with_capacity(asks.len());
            for ask in asks {
                answers.extend(self.ask(std::slice::from_ref(ask))?);
            }
            Ok(answers)
        })
    }

    fn check(
        &self,
        ask: impl FnOnce(&[Ask<'_>]) -> Result<Vec<Vec<Record>>, ReadError>,
    ) -> Result<Verification, ReadError> {
        let own = match &self.0 {
            Engine::Sqlite(_) => &OF_FILES[..],
            Engine::Postgres(_) => &[],
        };
        let checks: Vec<&Check> = CHECKS.iter().chain(own).collect();
        let limited: Vec<String> =
            checks.iter().map(|check| format!("{} LIMIT {MAX_VIOLATIONS}", check.breaches)).collect();
        let mut asks = vec![Ask::plain(sql::CHECKED)];
        asks.extend(limited.iter().map(|sql| Ask::plain(sql)));
        let answers = ask(&asks)?;
        let (counts, breaches) = answers.split_first().ok_or(ReadError::Misfit)?;
        let counts = counts.first().ok_or(ReadError::Misfit)?;
        let mut violations = Vec::new();
        for (check, rows) in checks.into_iter().zip(breaches) {
            for row in rows {
                violations.push(Violation { promise: check.promise, detail: row.text(0)? });
            }
        }
        Ok(Verification {
            transactions: counts.count(0)?,
            calls: counts.count(1)?,
            accounts: counts.count(2)?,
            violations,
        })
    }

    /// The last `limit` calls that have ended, newest first. At most [`MAX_ROWS`](crate::MAX_ROWS).
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn calls(&self, limit: u32) -> Result<Vec<CallRow>, ReadError> {
        self.rows(sql::CALLS, &[at_most(limit)], |row| {
            Ok(CallRow {
                id: row.hex(0)?,
                token: row.maybe_hex(1)?,
                service: row.text(2)?,
                tool: row.text(3)?,
                unit: unit_from(row.int(4)?),
                held: row.int(5)?,
                captured: row.int(6)?,
                end: end_from(row.int(7)?),
                ended_ms: row.int(8)?,
            })
        })
    }

    /// The last `limit` accounts that were opened, newest first. At most [`MAX_ROWS`](crate::MAX_ROWS).
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn accounts(&self, limit: u32) -> Result<Vec<AccountRow>, ReadError> {
        self.rows(sql::ACCOUNTS, &[at_most(limit)], account_row)
    }

    /// What is revoked, newest first. At most [`MAX_ROWS`](crate::MAX_ROWS).
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn revocations(&self) -> Result<Vec<RevocationRow>, ReadError> {
        let rows = self.rows(sql::REVOCATIONS, &[at_most(MAX_ROWS)], |row| {
            let what = Revocation::from_code(row.int(0)?, row.bytes(1)?);
            let (at, reason) = (row.count(2)?, row.text(3)?);
            Ok(what.map(|what| what.row(at, reason)))
        })?;
        Ok(rows.into_iter().flatten().collect())
    }

    /// The account of one credential.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn account(&self, token: &TokenId) -> Result<Option<AccountRow>, ReadError> {
        Ok(self.rows(sql::ACCOUNT, &[Given::Bytes(token.as_bytes())], account_row)?.pop())
    }

    /// What moved, oldest first: the next `limit` after `after` (an id in hexadecimal; `None`: from the beginning). At most
    /// [`MAX_ROWS`](crate::MAX_ROWS). An id that is none begins at the beginning.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn journal(&self, after: Option<&str>, limit: u32) -> Result<Vec<JournalRow>, ReadError> {
        let id = id_of(after);
        self.rows(sql::JOURNAL, &[Given::Bytes(&id), at_most(limit)], |row| {
            Ok(JournalRow {
                id: row.hex(0)?,
                kind: row.text(1)?,
                at_ms: row.int(2)?,
                from: row.text(3)?,
                to: row.text(4)?,
                unit: unit_from(row.int(5)?),
                amount: row.int(6)?,
            })
        })
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

/// The bytes of an id in hexadecimal; the least id where it is none.
fn id_of(text: Option<&str>) -> [u8; 16] {
    let mut id = [0; 16];
    if text.is_some_and(|text| hex::decode_to_slice(text, &mut id).is_err()) {
        id = [0; 16];
    }
    id
}

fn revenue_row(row: &Record) -> Result<Revenue, ReadError> {
    Ok(Revenue {
        service: row.text(0)?,
        tool: row.text(1)?,
        msat: row.int(2)?,
        work_calls: row.int(3)?,
        captured: row.count(4)?,
        voided: row.count(5)?,
    })
}

fn account_row(row: &Record) -> Result<AccountRow, ReadError> {
    Ok(AccountRow {
        token: row.hex(0)?,
        owner: row.maybe_hex(1)?,
        unit: unit_from(row.int(2)?),
        balance: row.int(3)?,
        held: row.int(4)?,
        created_at: row.count(5)?,
        expires_at: row.count(6)?,
    })
}
