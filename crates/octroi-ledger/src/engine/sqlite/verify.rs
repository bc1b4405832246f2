//! Checks every promise against what is on disk.

use rusqlite::Connection;

use super::super::checks::CHECKS;
use super::super::codes::time_from;
use crate::MAX_VIOLATIONS;
use crate::report::{Verification, Violation};

/// Checks every promise, as of one moment.
pub(crate) fn verify(connection: &Connection) -> rusqlite::Result<Verification> {
    let moment = connection.unchecked_transaction()?;
    let count = |sql: &str| moment.query_row(sql, [], |row| row.get::<_, i64>(0)).map(time_from);
    let mut found = Verification {
        transactions: count("SELECT count(*) FROM transactions")?,
        calls: count("SELECT (SELECT count(*) FROM calls) + (SELECT count(*) FROM holds)")?,
        accounts: count("SELECT count(*) FROM accounts")?,
        violations: Vec::new(),
    };
    for check in &CHECKS {
        let mut statement = moment.prepare(&format!("{} LIMIT {MAX_VIOLATIONS}", check.breaches))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            found.violations.push(Violation { promise: check.promise, detail: row.get(0)? });
        }
    }
    let mut statement = moment.prepare(&format!("PRAGMA quick_check({MAX_VIOLATIONS})"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let detail: String = row.get(0)?;
        if detail != "ok" {
            found.violations.push(Violation { promise: "the file is whole", detail });
        }
    }
    Ok(found)
}
