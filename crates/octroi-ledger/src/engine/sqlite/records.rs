//! The operator's questions, asked of the file.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql, params_from_iter};

use super::super::records::{Ask, Cell, Given, Record};

impl ToSql for Given<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Int(value) => ValueRef::Integer(*value),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

/// Asks several questions as of one moment.
pub(crate) fn answers(connection: &Connection, asks: &[Ask<'_>]) -> rusqlite::Result<Vec<Vec<Record>>> {
    let moment = connection.unchecked_transaction()?;
    asks.iter().map(|ask| one(&moment, ask)).collect()
}

fn one(connection: &Connection, ask: &Ask<'_>) -> rusqlite::Result<Vec<Record>> {
    let mut statement = connection.prepare(ask.sql)?;
    let columns = statement.column_count();
    let mut rows = statement.query(params_from_iter(ask.given))?;
    let mut records = Vec::new();
    while let Some(row) = rows.next()? {
        let cells = (0..columns).map(|column| {
            Ok(match row.get_ref(column)? {
                ValueRef::Integer(value) => Cell::Int(value),
                ValueRef::Text(text) => Cell::Text(String::from_utf8_lossy(text).into_owned()),
                ValueRef::Blob(bytes) => Cell::Bytes(bytes.to_vec()),
                // No column of the ledger holds fractions.
                ValueRef::Null | ValueRef::Real(_) => Cell::Null,
            })
        });
        records.push(Record(cells.collect::<rusqlite::Result<_>>()?));
    }
    Ok(records)
}
