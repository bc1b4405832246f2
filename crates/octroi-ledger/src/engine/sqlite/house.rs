//! The ledger's own accounts, and the numbers of tools.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::sync::Arc;

use rusqlite::{Connection, params};

use super::super::codes::{AccountKind, unit_code};
use crate::tools::ToolName;

/// The ledger's own accounts and the numbers of tools, as far as they are known.
#[derive(Default)]
pub(super) struct House {
    accounts: HashMap<(AccountKind, i64), i64>,
    tools: HashMap<Arc<ToolName>, i64>,
    /// Up to which account counters that never start over were looked at.
    pub(super) swept: i64,
}

impl House {
    /// What was learned may have been rolled back.
    pub(super) fn forget(&mut self) {
        self.accounts.clear();
        self.tools.clear();
    }

    pub(super) fn account(
        &mut self,
        connection: &Connection,
        kind: AccountKind,
        tool: i64,
    ) -> rusqlite::Result<i64> {
        let vacant = match self.accounts.entry((kind, tool)) {
            Slot::Occupied(known) => return Ok(*known.get()),
            Slot::Vacant(vacant) => vacant,
        };
        let unit = unit_code(kind.unit());
        let key = params![kind as i64, unit, tool];
        connection
            .prepare_cached(
                "INSERT INTO holders (kind, unit, tool, created_at) VALUES (?1, ?2, ?3, unixepoch())
                 ON CONFLICT DO NOTHING",
            )?
            .execute(key)?;
        let id: i64 = connection
            .prepare_cached(
                "SELECT id FROM holders WHERE kind = ?1 AND unit = ?2 AND tool = ?3 AND kind <> 0",
            )?
            .query_row(key, |row| row.get(0))?;
        connection
            .prepare_cached(
                "INSERT INTO balances (id, house, balance) VALUES (?1, 1, 0) ON CONFLICT DO NOTHING",
            )?
            .execute([id])?;
        Ok(*vacant.insert(id))
    }

    pub(super) fn tool(&mut self, connection: &Connection, name: &Arc<ToolName>) -> rusqlite::Result<i64> {
        if let Some(known) = self.tools.get(name) {
            return Ok(*known);
        }
        let key = params![name.service, name.tool];
        connection
            .prepare_cached("INSERT INTO tools (service, tool) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
            .execute(key)?;
        let id = connection
            .prepare_cached("SELECT id FROM tools WHERE service = ?1 AND tool = ?2")?
            .query_row(key, |row| row.get(0))?;
        self.tools.insert(Arc::clone(name), id);
        Ok(id)
    }
}
