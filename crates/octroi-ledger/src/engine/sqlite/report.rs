//! What the operator reads, asked of the file.

use octroi_l402::TokenId;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::super::codes::{end_from, time_from, unit_from};
use super::super::sql;
use crate::MAX_ROWS;
use crate::report::{AccountRow, CallRow, JournalRow, Report, Revenue};
use crate::revocation::{Revocation, RevocationRow};

/// The ledger at a glance, as of one moment.
pub(crate) fn report(connection: &Connection) -> rusqlite::Result<Report> {
    let moment = connection.unchecked_transaction()?;
    let revenue = revenue(&moment)?;
    moment.query_row(sql::TOTALS, [], |row| {
        let number = |column: usize| row.get::<_, i64>(column);
        let count = |column: usize| number(column).map(time_from);
        Ok(Report {
            accounts: count(0)?,
            credit_msat: number(1)?,
            credit_calls: number(2)?,
            received_msat: -number(3)?,
            vouchers_msat: -number(4)?,
            suspense_msat: number(5)?,
            revenue,
            captured: count(6)?,
            voided: count(7)?,
            open_holds: count(8)?,
            unpaid_quotes: count(9)?,
            outbox_waiting: count(10)?,
            outbox_refused: count(11)?,
        })
    })
}

fn revenue(connection: &Connection) -> rusqlite::Result<Vec<Revenue>> {
    let mut statement = connection.prepare(sql::REVENUE)?;
    let rows = statement.query_map([], |row| {
        Ok(Revenue {
            service: row.get(0)?,
            tool: row.get(1)?,
            msat: row.get(2)?,
            work_calls: row.get(3)?,
            captured: time_from(row.get(4)?),
            voided: time_from(row.get(5)?),
        })
    })?;
    rows.collect()
}

/// The last calls that have ended, newest first.
pub(crate) fn calls(connection: &Connection, limit: u32) -> rusqlite::Result<Vec<CallRow>> {
    let mut statement = connection.prepare(sql::CALLS)?;
    let rows = statement.query_map([limit.min(MAX_ROWS)], |row| {
        Ok(CallRow {
            id: hex::encode(row.get::<_, [u8; 16]>(0)?),
            token: row.get::<_, Option<[u8; 32]>>(1)?.map(hex::encode),
            service: row.get(2)?,
            tool: row.get(3)?,
            unit: unit_from(row.get(4)?),
            held: row.get(5)?,
            captured: row.get(6)?,
            end: end_from(row.get(7)?),
            ended_ms: row.get(8)?,
        })
    })?;
    rows.collect()
}

fn account_row(row: &Row<'_>) -> rusqlite::Result<AccountRow> {
    Ok(AccountRow {
        token: hex::encode(row.get::<_, [u8; 32]>(0)?),
        owner: row.get::<_, Option<[u8; 32]>>(1)?.map(hex::encode),
        unit: unit_from(row.get(2)?),
        balance: row.get(3)?,
        held: row.get(4)?,
        created_at: time_from(row.get(5)?),
        expires_at: time_from(row.get(6)?),
    })
}

/// The last accounts that were opened, newest first.
pub(crate) fn accounts(connection: &Connection, limit: u32) -> rusqlite::Result<Vec<AccountRow>> {
    connection.prepare(sql::ACCOUNTS)?.query_map([limit.min(MAX_ROWS)], account_row)?.collect()
}

/// The account of one credential.
pub(crate) fn account(connection: &Connection, token: &TokenId) -> rusqlite::Result<Option<AccountRow>> {
    connection.prepare(sql::ACCOUNT)?.query_row([token.as_bytes()], account_row).optional()
}

/// What is revoked, newest first.
pub(crate) fn revocations(connection: &Connection) -> rusqlite::Result<Vec<RevocationRow>> {
    let mut statement = connection.prepare(sql::REVOCATIONS)?;
    let rows = statement.query_map([MAX_ROWS], |row| {
        let subject: Vec<u8> = row.get(1)?;
        let (at, reason) = (time_from(row.get(2)?), row.get(3)?);
        Ok(Revocation::from_code(row.get(0)?, &subject).map(|what| what.row(at, reason)))
    })?;
    rows.filter_map(Result::transpose).collect()
}

/// What moved, oldest first, after an id.
pub(crate) fn journal(
    connection: &Connection,
    after: &[u8; 16],
    limit: u32,
) -> rusqlite::Result<Vec<JournalRow>> {
    let mut statement = connection.prepare(sql::JOURNAL)?;
    let rows = statement.query_map(params![after, limit.min(MAX_ROWS)], |row| {
        Ok(JournalRow {
            id: hex::encode(row.get::<_, [u8; 16]>(0)?),
            kind: row.get(1)?,
            at_ms: row.get(2)?,
            from: row.get(3)?,
            to: row.get(4)?,
            unit: unit_from(row.get(5)?),
            amount: row.get(6)?,
        })
    })?;
    rows.collect()
}
