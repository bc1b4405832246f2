//! The numbers the schemas use for kinds, units and ends.

use crate::account::Unit;
use crate::limit::CounterKey;
use crate::report::CallEnd;

/// `accounts.kind` of the ledger's own accounts; 0 is a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum AccountKind {
    Lightning = 1,
    Work = 2,
    Vouchers = 3,
    Revenue = 4,
    WorkUsed = 5,
    Suspense = 6,
}

/// `transactions.kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TransactionKind {
    Payment = 0,
    Work = 1,
    Voucher = 2,
}

pub(crate) const fn unit_code(unit: Unit) -> i64 {
    match unit {
        Unit::Msat => 0,
        Unit::Call => 1,
    }
}

/// The schema allows 0 and 1 only.
pub(crate) const fn unit_from(code: i64) -> Unit {
    if code == 0 { Unit::Msat } else { Unit::Call }
}

pub(crate) const fn end_code(end: CallEnd) -> i64 {
    match end {
        CallEnd::Captured => 0,
        CallEnd::Voided => 1,
        CallEnd::Recovered => 2,
    }
}

/// The schema allows 0, 1 and 2 only.
pub(crate) const fn end_from(code: i64) -> CallEnd {
    match code {
        0 => CallEnd::Captured,
        1 => CallEnd::Voided,
        _ => CallEnd::Recovered,
    }
}

/// The databases' integers are signed; no clock reaches the difference.
pub(crate) fn time(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(crate) fn time_from(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

impl AccountKind {
    /// What accounts of this kind count.
    pub(crate) const fn unit(self) -> Unit {
        match self {
            Self::Work | Self::WorkUsed => Unit::Call,
            _ => Unit::Msat,
        }
    }

    /// The account that earns what a call in `unit` is charged.
    pub(crate) const fn earning(unit: Unit) -> Self {
        match unit {
            Unit::Msat => Self::Revenue,
            Unit::Call => Self::WorkUsed,
        }
    }
}

/// Longest remark of the operator, or reason of another ledger, that is kept, in bytes.
const MAX_WORDS: usize = 512;

/// As much of a remark as is kept.
pub(crate) fn words(text: &str) -> &str {
    let mut end = text.len().min(MAX_WORDS);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// A window's length; the longest is a day.
pub(crate) fn seconds(key: &CounterKey) -> i32 {
    i32::try_from(key.seconds).unwrap_or(i32::MAX)
}
