//! The books against the node: what arrived there beside what was credited here, and what stays open.
//!
//! Looking changes nothing. Acting books what is missing, once per payment hash as ever, and accepts what is odd but
//! credited by the rule (more, less or later than was asked), so that the next look is empty. What only a person can
//! settle stays.

mod bookkeeper;
mod examine;
mod finding;

use octroi_ledger::{Credited, Ledger, LedgerError, ReadError};
use octroi_lightning::NodeError;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use bookkeeper::{Bookkeeper, ReconcileSettings};
pub use examine::{Scope, examine};
pub use finding::{Finding, FindingKind};

/// Most findings of one kind that are listed; more are counted.
pub const FINDINGS_MAX: usize = 1_000;

/// Why nothing can be said.
#[derive(Debug, Error)]
pub enum ReconcileError {
    /// The ledger cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The ledger cannot be written.
    #[error(transparent)]
    Write(#[from] LedgerError),
    /// The node does not say what it has.
    #[error("the Lightning node does not say what it has: {0}")]
    Node(#[from] NodeError),
    /// A task ended without an answer.
    #[error("reconciliation was broken off")]
    BrokenOff,
}

/// One look at the books.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reconciliation {
    /// When, in Unix seconds.
    pub at: u64,
    /// Payments booked, and arrived, since this Unix second were looked at.
    pub since: u64,
    /// The node that was asked, by its name in the ledger; `None`: the ledger was compared with itself only.
    pub node: Option<String>,
    /// Payments of the ledger looked at.
    pub payments: u64,
    /// Invoices the node was asked about, one by one.
    pub asked: u64,
    /// Settlements the node listed.
    pub listed: u64,
    /// Invoices the node was not asked about, because there were too many: ask again, or look at a shorter time.
    pub not_asked: u64,
    /// How long it took to check the ledger's own promises, in milliseconds; `None`: they were not, this time, and what is said of them is
    /// what was found last.
    pub checked_ms: Option<u64>,
    /// Findings that are not listed because there are too many of their kind.
    pub more: u64,
    /// What differs. Empty when all is well.
    pub findings: Vec<Finding>,
}

impl Reconciliation {
    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.findings.is_empty()
    }

    /// Says of the ledger's own promises what an earlier look found.
    fn say_again(&mut self, earlier: &Self) {
        let broken = |one: &&Finding| one.kind == FindingKind::BrokenPromise;
        self.findings.retain(|one| one.kind != FindingKind::BrokenPromise);
        self.findings.extend(earlier.findings.iter().filter(broken).cloned());
    }

    /// How many findings of a kind are listed.
    #[must_use]
    pub fn count(&self, kind: FindingKind) -> usize {
        self.findings.iter().filter(|finding| finding.kind == kind).count()
    }
}

/// What acting did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acted {
    /// Payments that were booked.
    pub credited: u64,
    /// What they are worth, in millisatoshi.
    pub credited_msat: i64,
    /// Payments that are not named again.
    pub accepted: u64,
}

/// Books what is missing, and accepts what is odd but credited by the rule.
///
/// # Errors
/// The ledger cannot be written; what was done before stays done, and doing it again does nothing twice.
pub async fn act(ledger: &Ledger, found: &Reconciliation) -> Result<Acted, ReconcileError> {
    let mut acted = Acted::default();
    for finding in found.findings.iter().filter(|finding| finding.kind.is_settled_by_acting()) {
        let node = found.node.as_deref().unwrap_or_default();
        if let Some(settlement) = finding.settlement(node) {
            let amount = settlement.amount.as_i64();
            if !matches!(ledger.credit_payment(settlement).await?, Credited::Duplicate) {
                tracing::warn!(payment_hash = %finding.subject, msat = amount, "reconciliation booked a payment that was missing");
                acted.credited += 1;
                acted.credited_msat = acted.credited_msat.saturating_add(amount);
            }
        }
        if let Some(hash) = finding.payment_hash() {
            ledger.accept_payment(&hash).await?;
            acted.accepted += 1;
        }
    }
    Ok(acted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_checked_again_is_said_again() {
        let finding = |kind, subject: &str| Finding {
            kind,
            subject: subject.to_owned(),
            msat: None,
            expected_msat: None,
            at: None,
            detail: String::new(),
        };
        let promise = finding(FindingKind::BrokenPromise, "every balance is the sum of its entries");
        let earlier = Reconciliation {
            findings: vec![promise.clone(), finding(FindingKind::OpenHold, "over by now")],
            ..Reconciliation::default()
        };
        let bill = finding(FindingKind::BillRefused, "new");
        let mut found = Reconciliation { findings: vec![bill.clone()], ..Reconciliation::default() };
        for _ in 0..2 {
            found.say_again(&earlier);
            assert_eq!(found.findings, [bill.clone(), promise.clone()]);
        }
        found.say_again(&Reconciliation::default());
        assert_eq!(found.findings, [bill]);
    }
}
