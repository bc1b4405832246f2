//! Rows, read.

use octroi_l402::TokenId;
use rusqlite::Row;

use super::super::codes::{time_from, unit_from};
use super::super::{AccountId, AccountState};

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
