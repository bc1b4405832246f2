//! The ledger's own accounts, and the numbers of tools.

use std::collections::HashMap;
use std::sync::Arc;

use super::NotWritten;
use super::connect::Session;
use crate::engine::codes::{AccountKind, unit_code};
use crate::tools::ToolName;

/// This gate's rows of the ledger's own accounts and the numbers of tools, as far as they are known.
#[derive(Default)]
pub(super) struct House {
    accounts: HashMap<(AccountKind, i64), i64>,
    tools: HashMap<Arc<ToolName>, i64>,
}

impl House {
    /// The database may be another after a connection was lost, restored from a copy.
    pub(super) fn forget(&mut self) {
        self.accounts.clear();
        self.tools.clear();
    }

    /// The row of the gate in `slot`.
    pub(super) async fn account(
        &mut self,
        session: &mut Session,
        slot: i32,
        kind: AccountKind,
        tool: i64,
    ) -> Result<i64, NotWritten> {
        if let Some(known) = self.accounts.get(&(kind, tool)) {
            return Ok(*known);
        }
        let (code, unit) = (kind as i16, unit_code(kind.unit()) as i16);
        let sql = "WITH new AS (INSERT INTO accounts (kind, unit, tool, slot, created_at)
                       VALUES ($1, $2, $3, $4, extract(epoch FROM now())::bigint) ON CONFLICT DO NOTHING RETURNING id)
                   SELECT id FROM new UNION ALL
                   SELECT id FROM accounts WHERE kind = $1 AND unit = $2 AND tool = $3 AND slot = $4 AND kind <> 0";
        let rows = session.query(sql, &[&code, &unit, &tool, &slot]).await?;
        let id = rows.first().ok_or(NotWritten::Met)?.try_get(0)?;
        self.accounts.insert((kind, tool), id);
        Ok(id)
    }

    /// The number of a tool.
    pub(super) async fn tool(
        &mut self,
        session: &mut Session,
        name: &Arc<ToolName>,
    ) -> Result<i64, NotWritten> {
        if let Some(known) = self.known_tool(name) {
            return Ok(known);
        }
        let sql = "WITH new AS (INSERT INTO tools (service, tool) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING id)
                   SELECT id FROM new UNION ALL SELECT id FROM tools WHERE service = $1 AND tool = $2";
        let key: (&str, &str) = (&name.service, &name.tool);
        let rows = session.query(sql, &[&key.0, &key.1]).await?;
        // Another gate has just written the same name, and this statement began before.
        let id = rows.first().ok_or(NotWritten::Met)?.try_get(0)?;
        self.tools.insert(Arc::clone(name), id);
        Ok(id)
    }

    pub(super) fn known_tool(&self, name: &Arc<ToolName>) -> Option<i64> {
        self.tools.get(name).copied()
    }

    pub(super) fn known_account(&self, kind: AccountKind, tool: i64) -> Option<i64> {
        self.accounts.get(&(kind, tool)).copied()
    }
}
