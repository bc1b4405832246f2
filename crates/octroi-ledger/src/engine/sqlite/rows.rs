//! Rows, read.

use octroi_l402::TokenId;
use rusqlite::Row;

use super::super::codes::{time_from, unit_from};
use super::super::{AccountId, AccountState};

/// Accounts, as [`account_state`] reads them: with their balances on disk, and without what open holds keep.
pub(super) const ACCOUNTS: &str = "SELECT p.id, p.token, p.owner, p.unit, b.balance, 0, p.expires_at
    FROM holders p JOIN balances b ON b.id = p.id";

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
