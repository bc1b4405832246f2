//! Rows as the operator's questions give them, whichever engine answered.

use super::codes::time_from;
use crate::error::ReadError;

/// A question in words both engines understand, and what it is about.
#[derive(Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub(crate) sql: &'a str,
    pub(crate) given: &'a [Given<'a>],
}

impl<'a> Ask<'a> {
    /// A question about nothing in particular.
    pub(crate) const fn plain(sql: &'a str) -> Self {
        Self { sql, given: &[] }
    }
}

/// A parameter.
#[derive(Clone, Copy)]
pub(crate) enum Given<'a> {
    Int(i64),
    Bytes(&'a [u8]),
}

/// One column of one row.
#[derive(Debug)]
pub(crate) enum Cell {
    Null,
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
}

/// One row.
#[derive(Debug)]
pub(crate) struct Record(pub(crate) Vec<Cell>);

impl Record {
    fn cell(&self, column: usize) -> Result<&Cell, ReadError> {
        self.0.get(column).ok_or(ReadError::Misfit)
    }

    pub(crate) fn int(&self, column: usize) -> Result<i64, ReadError> {
        match self.cell(column)? {
            Cell::Int(value) => Ok(*value),
            _ => Err(ReadError::Misfit),
        }
    }

    /// A number, or none.
    pub(crate) fn maybe_int(&self, column: usize) -> Result<Option<i64>, ReadError> {
        match self.cell(column)? {
            Cell::Null => Ok(None),
            _ => self.int(column).map(Some),
        }
    }

    /// A count, or a time, which are never below zero.
    pub(crate) fn count(&self, column: usize) -> Result<u64, ReadError> {
        self.int(column).map(time_from)
    }

    pub(crate) fn text(&self, column: usize) -> Result<String, ReadError> {
        match self.cell(column)? {
            Cell::Text(text) => Ok(text.clone()),
            _ => Err(ReadError::Misfit),
        }
    }

    pub(crate) fn bytes(&self, column: usize) -> Result<&[u8], ReadError> {
        match self.cell(column)? {
            Cell::Bytes(bytes) => Ok(bytes),
            _ => Err(ReadError::Misfit),
        }
    }

    /// So many bytes.
    pub(crate) fn exactly<const N: usize>(&self, column: usize) -> Result<[u8; N], ReadError> {
        self.bytes(column)?.try_into().map_err(|_| ReadError::Misfit)
    }

    /// Bytes in hexadecimal.
    pub(crate) fn hex(&self, column: usize) -> Result<String, ReadError> {
        self.bytes(column).map(hex::encode)
    }

    /// Bytes in hexadecimal, or none.
    pub(crate) fn maybe_hex(&self, column: usize) -> Result<Option<String>, ReadError> {
        match self.cell(column)? {
            Cell::Null => Ok(None),
            _ => self.hex(column).map(Some),
        }
    }
}
