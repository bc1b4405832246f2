//! The numbers the schema uses for kinds, units and ends.

use octroi_l402::TokenId;
use rusqlite::Row;

use super::super::{AccountId, AccountState};
use crate::account::Unit;
use crate::report::CallEnd;

/// `accounts.kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum AccountKind {
    Credential = 0,
    Lightning = 1,
    Work = 2,
    Vouchers = 3,
    Revenue = 4,
    WorkUsed = 5,
    Suspense = 6,
}

/// `transactions.kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TransactionKind {
    Payment = 0,
    Work = 1,
    Voucher = 2,
}

pub(super) const fn unit_code(unit: Unit) -> i64 {
    match unit {
        Unit::Msat => 0,
        Unit::Call => 1,
    }
}

/// The schema allows 0 and 1 only.
pub(super) const fn unit_from(code: i64) -> Unit {
    if code == 0 { Unit::Msat } else { Unit::Call }
}

pub(super) const fn end_code(end: CallEnd) -> i64 {
    match end {
        CallEnd::Captured => 0,
        CallEnd::Voided => 1,
        CallEnd::Recovered => 2,
    }
}

/// The schema allows 0, 1 and 2 only.
pub(super) const fn end_from(code: i64) -> CallEnd {
    match code {
        0 => CallEnd::Captured,
        1 => CallEnd::Voided,
        _ => CallEnd::Recovered,
    }
}

/// SQLite's integers are signed; no clock reaches the difference.
pub(super) fn time(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn time_from(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// The columns [`account_state`] reads.
pub(super) const ACCOUNT_COLUMNS: &str = "id, token, owner, unit, balance, held, expires_at";

pub(super) fn account_state(row: &Row<'_>) -> rusqlite::Result<AccountState> {
    Ok(AccountState {
        id: AccountId(row.get(0)?),
        token: TokenId::from_bytes(row.get(1)?),
        owner: row.get(2)?,
        unit: unit_from(row.get(3)?),
        balance: row.get(4)?,
        held: row.get(5)?,
        expires_at: time_from(row.get(6)?),
    })
}
