//! What the operator reads.

use serde::Serialize;

use crate::account::Unit;

/// The ledger at a glance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Credentials that were ever credited.
    pub accounts: u64,
    /// What all credentials together have, holds counted in, in millisatoshi: what is owed to the payers.
    pub credit_msat: i64,
    /// What all credentials together have, in calls bought with work.
    pub credit_calls: i64,
    /// What arrived over Lightning, in millisatoshi.
    pub received_msat: i64,
    /// What the operator gave away as vouchers, in millisatoshi.
    pub vouchers_msat: i64,
    /// What arrived and belongs to nobody known, in millisatoshi.
    pub suspense_msat: i64,
    /// What was earned, by service and tool.
    pub revenue: Vec<Revenue>,
    /// Calls that were charged.
    pub captured: u64,
    /// Calls whose hold was given back.
    pub voided: u64,
    /// Calls under way.
    pub open_holds: u64,
    /// Quotes nobody has paid.
    pub unpaid_quotes: u64,
    /// Charges another ledger has yet to be told of.
    pub outbox_waiting: u64,
    /// Charges another ledger has refused for good.
    pub outbox_refused: u64,
}

/// What one tool earned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Revenue {
    /// The service.
    pub service: String,
    /// The tool.
    pub tool: String,
    /// Money earned, in millisatoshi.
    pub msat: i64,
    /// Calls paid with work.
    pub work_calls: i64,
    /// Calls that were charged, either way.
    pub captured: u64,
    /// Calls whose hold was given back.
    pub voided: u64,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CallEnd {
    /// Charged.
    Captured,
    /// Given back.
    Voided,
    /// Given back when the ledger was opened after a crash.
    Recovered,
}

/// One call that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CallRow {
    /// The hold's id, in hexadecimal; ids grow with time.
    pub id: String,
    /// The credential that paid, in hexadecimal; none where the call cost nothing.
    pub token: Option<String>,
    /// The service.
    pub service: String,
    /// The tool.
    pub tool: String,
    /// What the call was counted in.
    pub unit: Unit,
    /// What was held.
    pub held: i64,
    /// What was charged of it.
    pub captured: i64,
    /// How it ended.
    pub end: CallEnd,
    /// When it ended, in Unix milliseconds.
    pub ended_ms: i64,
}

/// The account of one credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AccountRow {
    /// The credential, in hexadecimal.
    pub token: String,
    /// The principal it belongs to, in hexadecimal.
    pub owner: Option<String>,
    /// What it counts.
    pub unit: Unit,
    /// What it has, open holds counted in.
    pub balance: i64,
    /// What open holds keep.
    pub held: i64,
    /// When it was first credited, in Unix seconds.
    pub created_at: u64,
    /// When its credential ends, in Unix seconds.
    pub expires_at: u64,
}

/// Something that moved from one account to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JournalRow {
    /// The transaction's id, in hexadecimal; a call's is its hold's.
    pub id: String,
    /// `payment`, `work`, `voucher` or `call`.
    pub kind: String,
    /// When, in Unix milliseconds.
    pub at_ms: i64,
    /// The account that gave: `lightning`, `work`, `vouchers`, or `credential` and its id.
    pub from: String,
    /// The account that got: `suspense`, `credential` and its id, or `revenue`, a service and a tool.
    pub to: String,
    /// What moved.
    pub unit: Unit,
    /// How much.
    pub amount: i64,
}

/// Whether the ledger keeps its promises.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// Transactions looked at.
    pub transactions: u64,
    /// Calls looked at, open ones counted in.
    pub calls: u64,
    /// Accounts looked at.
    pub accounts: u64,
    /// What is wrong; empty when every promise holds. At most [`MAX_VIOLATIONS`](crate::MAX_VIOLATIONS) of each kind.
    pub violations: Vec<Violation>,
}

impl Verification {
    /// Whether every promise holds.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.violations.is_empty()
    }
}

/// One broken promise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// The promise.
    pub promise: &'static str,
    /// What breaks it: ids and amounts, never a secret.
    pub detail: String,
}
