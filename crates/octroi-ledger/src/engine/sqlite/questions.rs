//! Short questions: one account, one quote, one cursor.

use std::path::Path;

use octroi_l402::{Msat, PaymentHash, TokenId};
use rusqlite::{Connection, OptionalExtension, params};

use super::super::codes::{time, time_from};
use super::super::sql;
use super::super::{AccountId, AccountState, LoadRequest, Loaded, NOBODY, OWNER_ACCOUNTS, OWNER_BEARERS};
use super::rows::{ACCOUNTS, account_state};
use super::settle::Unsettled;
use crate::account::{AccountRef, Unit};
use crate::entry::{Quote, QuoteState};
use crate::limit::CounterKey;

/// What is stored of accounts and counters.
pub(super) fn load(
    connection: &Connection,
    unsettled: &Unsettled,
    request: &LoadRequest,
) -> rusqlite::Result<Loaded> {
    Ok(Loaded {
        accounts: accounts(connection, unsettled, request)?,
        counters: counters(connection, &request.counters)?,
    })
}

fn counters(connection: &Connection, keys: &[CounterKey]) -> rusqlite::Result<Vec<(CounterKey, i64)>> {
    let mut statement = connection.prepare_cached(
        "SELECT used FROM counters WHERE key = ?1 AND counts = ?2 AND seconds = ?3 AND start = ?4",
    )?;
    keys.iter()
        .map(|key| {
            let row = params![key.key, key.counts.code(), key.seconds, time(key.start)];
            let used: Option<i64> = statement.query_row(row, |row| row.get(0)).optional()?;
            Ok((*key, used.unwrap_or(0)))
        })
        .collect()
}

fn accounts(
    connection: &Connection,
    unsettled: &Unsettled,
    request: &LoadRequest,
) -> rusqlite::Result<Vec<AccountState>> {
    let owner = match request.account {
        AccountRef::Token(token) => {
            let sql = format!("{ACCOUNTS} WHERE p.token = ?1");
            let mut statement = connection.prepare_cached(&sql)?;
            let found = statement.query_row([token.as_bytes()], account_state).optional()?;
            return Ok(found.into_iter().map(|account| unsettled.correct(account)).collect());
        }
        AccountRef::Owner(owner) => owner,
        AccountRef::Nobody => return Ok(Vec::new()),
    };
    // What is on disk is never less than what is left, so these are all that can have something, and some more.
    let sql = format!("{ACCOUNTS} WHERE p.owner = ?1 AND p.id > ?2 AND b.balance > 0 ORDER BY p.id");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut left = |after: AccountId, most: usize, unit: Option<Unit>, least: i64| {
        let rows = statement.query_map(params![owner, after.0], account_state)?;
        rows.map(|row| row.map(|account| unsettled.correct(account)))
            .filter(|row| {
                row.as_ref().map_or(true, |account| {
                    account.balance - account.held >= least && unit.is_none_or(|unit| unit == account.unit)
                })
            })
            .take(most)
            .collect::<rusqlite::Result<Vec<AccountState>>>()
    };
    let mut found = left(NOBODY, OWNER_ACCOUNTS, None, 1)?;
    if let (OWNER_ACCOUNTS, Some(last)) = (found.len(), found.last()) {
        // So many small rests that not all are kept: those after them that can bear this hold must not be missed.
        let bearers = left(last.id, OWNER_BEARERS, Some(request.unit), request.amount.max(1))?;
        found.extend(bearers);
    }
    Ok(found)
}

/// Where the stream of settlements of `node` is to be resumed.
pub(super) fn cursor(connection: &Connection, node: &str) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached("SELECT cursor FROM cursors WHERE node = ?1")?
        .query_row([node], |row| row.get(0))
        .optional()
}

/// The same for all nodes of a kind.
pub(super) fn cursors(connection: &Connection, kind: &str) -> rusqlite::Result<Vec<String>> {
    let mut found = connection.prepare_cached(sql::CURSORS_OF_A_KIND)?;
    found.query_map([kind], |row| row.get(0))?.collect()
}

/// What is known of a payment hash.
pub(super) fn quote_state(connection: &Connection, hash: &PaymentHash) -> rusqlite::Result<QuoteState> {
    let credited: Option<Option<[u8; 32]>> = connection
        .prepare_cached(
            "SELECT a.token FROM credits c JOIN holders a ON a.id = c.account WHERE c.payment_hash = ?1",
        )?
        .query_row([hash.as_bytes()], |row| row.get(0))
        .optional()?;
    if let Some(token) = credited {
        return Ok(QuoteState::Paid(token.map(TokenId::from_bytes)));
    }
    let quote = connection
        .prepare_cached(
            "SELECT token, owner, service, tool, calls, price, call_price, created_at, expires_at, token_expires_at
             FROM quotes WHERE payment_hash = ?1",
        )?
        .query_row([hash.as_bytes()], |row| {
            Ok(Quote {
                payment_hash: *hash,
                token_id: TokenId::from_bytes(row.get(0)?),
                owner: row.get(1)?,
                service: row.get(2)?,
                tool: row.get(3)?,
                calls: row.get(4)?,
                price: Msat::new(row.get(5)?),
                call_price: Msat::new(row.get(6)?),
                created_at: time_from(row.get(7)?),
                expires_at: time_from(row.get(8)?),
                macaroon_expires_at: time_from(row.get(9)?),
            })
        })
        .optional()?;
    Ok(quote.map_or(QuoteState::Unknown, QuoteState::Unpaid))
}

/// Copies the file as of now.
pub(crate) fn backup(connection: &Connection, path: &Path) -> rusqlite::Result<()> {
    connection.execute("VACUUM INTO ?1", [path.to_string_lossy()])?;
    Ok(())
}
