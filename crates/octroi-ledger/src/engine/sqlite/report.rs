//! What the operator reads, asked of the database.

use octroi_l402::TokenId;
use rusqlite::{Connection, OptionalExtension, Row};

use super::codes::{AccountKind, end_from, time_from, unit_code, unit_from};
use crate::MAX_ROWS;
use crate::account::Unit;
use crate::report::{AccountRow, CallRow, Report, Revenue};
use crate::revocation::{Revocation, RevocationRow};

/// The ledger at a glance, as of one moment.
pub(crate) fn report(connection: &Connection) -> rusqlite::Result<Report> {
    let moment = connection.unchecked_transaction()?;
    let count = |sql: &str| moment.query_row(sql, [], |row| row.get::<_, i64>(0)).map(time_from);
    let balance = |kind: AccountKind, unit: Unit| {
        moment.query_row(
            "SELECT coalesce(sum(balance), 0) FROM accounts WHERE kind = ?1 AND unit = ?2",
            [kind as i64, unit_code(unit)],
            |row| row.get::<_, i64>(0),
        )
    };
    let ended = "SELECT count(*) FROM calls WHERE ended_as";
    Ok(Report {
        accounts: count("SELECT count(*) FROM accounts WHERE kind = 0")?,
        credit_msat: balance(AccountKind::Credential, Unit::Msat)?,
        credit_calls: balance(AccountKind::Credential, Unit::Call)?,
        received_msat: -balance(AccountKind::Lightning, Unit::Msat)?,
        vouchers_msat: -balance(AccountKind::Vouchers, Unit::Msat)?,
        suspense_msat: balance(AccountKind::Suspense, Unit::Msat)?,
        revenue: revenue(&moment)?,
        captured: count(&format!("{ended} = 0"))?,
        voided: count(&format!("{ended} <> 0"))?,
        open_holds: count("SELECT count(*) FROM holds")?,
        unpaid_quotes: count("SELECT count(*) FROM quotes WHERE paid = 0")?,
        outbox_waiting: count("SELECT count(*) FROM outbox WHERE state = 0")?,
        outbox_refused: count("SELECT count(*) FROM outbox WHERE state = 2")?,
    })
}

fn revenue(connection: &Connection) -> rusqlite::Result<Vec<Revenue>> {
    let mut statement = connection.prepare(
        "WITH ended (tool, captured, voided) AS
             (SELECT tool, sum(ended_as = 0), sum(ended_as <> 0) FROM calls GROUP BY tool)
         SELECT t.service, t.tool,
                coalesce((SELECT balance FROM accounts WHERE kind = 4 AND unit = 0 AND tool = t.id), 0),
                coalesce((SELECT balance FROM accounts WHERE kind = 5 AND unit = 1 AND tool = t.id), 0),
                coalesce(e.captured, 0), coalesce(e.voided, 0)
         FROM tools t LEFT JOIN ended e ON e.tool = t.id ORDER BY t.service, t.tool",
    )?;
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
    let mut statement = connection.prepare(
        "SELECT c.id, a.token, t.service, t.tool, coalesce(a.unit, 0), c.held, c.captured, c.ended_as, c.ended_ms
         FROM (SELECT * FROM calls ORDER BY id DESC LIMIT ?1) c
         LEFT JOIN accounts a ON a.id = c.account JOIN tools t ON t.id = c.tool ORDER BY c.id DESC",
    )?;
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

const ACCOUNT_ROW: &str = "SELECT token, owner, unit, balance, held, created_at, expires_at FROM accounts";

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
    connection
        .prepare(&format!("{ACCOUNT_ROW} WHERE kind = 0 ORDER BY id DESC LIMIT ?1"))?
        .query_map([limit.min(MAX_ROWS)], account_row)?
        .collect()
}

/// The account of one credential.
pub(crate) fn account(connection: &Connection, token: &TokenId) -> rusqlite::Result<Option<AccountRow>> {
    connection
        .prepare(&format!("{ACCOUNT_ROW} WHERE token = ?1"))?
        .query_row([token.as_bytes()], account_row)
        .optional()
}

/// What is revoked, newest first.
pub(crate) fn revocations(connection: &Connection) -> rusqlite::Result<Vec<RevocationRow>> {
    let mut statement = connection.prepare(
        "SELECT kind, subject, at, reason FROM revocations ORDER BY at DESC, kind, subject LIMIT ?1",
    )?;
    let rows = statement.query_map([MAX_ROWS], |row| {
        let subject: Vec<u8> = row.get(1)?;
        let (at, reason) = (time_from(row.get(2)?), row.get(3)?);
        Ok(Revocation::from_code(row.get(0)?, &subject).map(|what| what.row(at, reason)))
    })?;
    rows.filter_map(Result::transpose).collect()
}
