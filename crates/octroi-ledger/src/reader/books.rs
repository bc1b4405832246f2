//! What reconciliation asks: payments beside what was asked for them, quotes nobody paid, holds that stay open.

use octroi_l402::PaymentHash;
use serde::Serialize;

use super::{Reader, at_most, id_of};
use crate::account::Unit;
use crate::engine::codes::unit_from;
use crate::engine::records::{Ask, Given};
use crate::engine::sql;
use crate::error::ReadError;
use crate::id::EntryId;

/// A payment as it was booked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentRow {
    /// The transaction's id, in hexadecimal.
    pub id: String,
    /// What was paid.
    pub payment_hash: PaymentHash,
    /// The node that said so, by its name in the ledger.
    pub node: String,
    /// What arrived, in millisatoshi.
    pub msat: i64,
    /// When the node had it, in Unix seconds.
    pub settled_at: u64,
    /// What the invoice asked, in millisatoshi; `None` where no quote is on record.
    pub asked_msat: Option<i64>,
    /// When the invoice ended, in Unix seconds.
    pub quoted_until: Option<u64>,
    /// Whether it went to nobody.
    pub suspense: bool,
    /// Whether the operator has looked at it and lets it be.
    pub accepted: bool,
}

/// A quote nobody has paid, as far as the ledger knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnpaidRow {
    /// The invoice's payment hash.
    pub payment_hash: PaymentHash,
    /// What it asks, in millisatoshi.
    pub asked_msat: i64,
    /// When it ends, in Unix seconds.
    pub quoted_until: u64,
}

/// A hold that has not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OpenHoldRow {
    /// The hold's id, in hexadecimal.
    pub id: String,
    /// The credential that is to pay, in hexadecimal; none where the call costs nothing.
    pub token: Option<String>,
    /// The service.
    pub service: String,
    /// The tool.
    pub tool: String,
    /// What it is counted in.
    pub unit: Unit,
    /// How much is held.
    pub amount: i64,
    /// Since when, in Unix milliseconds.
    pub since_ms: u64,
}

/// A charge that another ledger has refused for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BillRow {
    /// The call's id, in hexadecimal.
    pub id: String,
    /// The customer it is for.
    pub customer: String,
    /// The service.
    pub service: String,
    /// The tool.
    pub tool: String,
    /// What was charged, in millisatoshi.
    pub msat: i64,
    /// When, in Unix milliseconds.
    pub at_ms: u64,
    /// What the other ledger said.
    pub why: String,
    /// Whether an earlier try may have been taken all the same.
    pub doubtful: bool,
}

impl Reader {
    /// Payments booked at `since` (Unix seconds) or later, oldest first: the next `limit` after `after` (an id in
    /// hexadecimal). At most [`MAX_ROWS`](crate::MAX_ROWS).
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn payments(
        &self,
        since: u64,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<PaymentRow>, ReadError> {
        let first = EntryId::first_of(since.saturating_mul(1_000)).to_bytes();
        let after = id_of(after).max(first);
        self.rows(sql::PAYMENTS, &[Given::Bytes(&after), at_most(limit)], |row| {
            Ok(PaymentRow {
                id: row.hex(0)?,
                payment_hash: PaymentHash::from_bytes(row.exactly(1)?),
                node: row.text(2)?,
                msat: row.int(3)?,
                settled_at: row.count(4)?,
                asked_msat: row.maybe_int(5)?,
                quoted_until: row.maybe_int(6)?.map(|at| u64::try_from(at).unwrap_or(0)),
                suspense: row.int(7)? != 0,
                accepted: row.int(8)? != 0,
            })
        })
    }

    /// The nodes whose settlements were booked, by their names in the ledger. At most [`MAX_ROWS`](crate::MAX_ROWS).
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn nodes(&self) -> Result<Vec<String>, ReadError> {
        self.rows(sql::NODES, &[at_most(crate::MAX_ROWS)], |row| row.text(0))
    }

    /// Quotes nobody has paid, by payment hash: the next `limit` after `after`. At most [`MAX_ROWS`](crate::MAX_ROWS).
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn unpaid(&self, after: Option<&PaymentHash>, limit: u32) -> Result<Vec<UnpaidRow>, ReadError> {
        let after = after.map_or(&[][..], |hash| hash.as_bytes());
        self.rows(sql::UNPAID, &[Given::Bytes(after), at_most(limit)], |row| {
            Ok(UnpaidRow {
                payment_hash: PaymentHash::from_bytes(row.exactly(0)?),
                asked_msat: row.int(1)?,
                quoted_until: row.count(2)?,
            })
        })
    }

    /// Which of `hashes` have no credit, in their order.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn not_credited(&self, hashes: &[PaymentHash]) -> Result<Vec<PaymentHash>, ReadError> {
        let given: Vec<[Given<'_>; 1]> = hashes.iter().map(|hash| [Given::Bytes(hash.as_bytes())]).collect();
        let asks: Vec<Ask<'_>> = given.iter().map(|given| Ask { sql: sql::CREDITED, given }).collect();
        let found = self.ask(&asks)?;
        Ok(hashes.iter().zip(found).filter(|(_, rows)| rows.is_empty()).map(|(hash, _)| *hash).collect())
    }

    /// Holds that were open before `before_ms` (Unix milliseconds) and still are, oldest first. At most
    /// [`MAX_ROWS`](crate::MAX_ROWS).
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn open_holds(&self, before_ms: u64, limit: u32) -> Result<Vec<OpenHoldRow>, ReadError> {
        let before = EntryId::first_of(before_ms).to_bytes();
        self.rows(sql::OPEN_HOLDS, &[Given::Bytes(&before), at_most(limit)], |row| {
            let id: [u8; 16] = row.exactly(0)?;
            Ok(OpenHoldRow {
                id: hex::encode(id),
                token: row.maybe_hex(1)?,
                service: row.text(2)?,
                tool: row.text(3)?,
                unit: unit_from(row.int(4)?),
                amount: row.int(5)?,
                since_ms: EntryId::from_bytes(id).unix_ms(),
            })
        })
    }

    /// Charges another ledger has refused for good, oldest first. At most [`MAX_ROWS`](crate::MAX_ROWS).
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn refused_bills(&self, limit: u32) -> Result<Vec<BillRow>, ReadError> {
        self.rows(sql::REFUSED_BILLS, &[at_most(limit)], |row| {
            Ok(BillRow {
                id: row.hex(0)?,
                customer: row.text(1)?,
                service: row.text(2)?,
                tool: row.text(3)?,
                msat: row.int(4)?,
                at_ms: row.count(5)?,
                why: row.text(6)?,
                doubtful: row.int(7)? != 0,
            })
        })
    }
}
