//! What reconciliation found.

use std::fmt;

use octroi_l402::{Msat, PaymentHash};
use octroi_ledger::Settlement;
use serde::{Deserialize, Serialize};

/// In which way something differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// The node has the money, the ledger has no credit. Acting books it.
    NotCredited,
    /// The ledger has a credit, and the node says that the invoice was not paid.
    NotSettled,
    /// The ledger has credited another amount than the node says arrived.
    AmountDiffers,
    /// More arrived than was asked; what arrived is credited. Acting accepts it.
    Overpaid,
    /// Less arrived than was asked; what arrived is credited. Acting accepts it.
    Underpaid,
    /// It arrived after its quote had ended; it is credited all the same. Acting accepts it.
    Late,
    /// It arrived and no quote explains it: it is in the suspense account. Acting accepts it.
    Unasked,
    /// A hold has been open for longer than any call should take.
    OpenHold,
    /// The ledger breaks one of its own promises: credits, calls, balances and holds do not agree.
    BrokenPromise,
    /// Another ledger has refused a charge for good.
    BillRefused,
}

impl FindingKind {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::NotCredited,
        Self::NotSettled,
        Self::AmountDiffers,
        Self::Overpaid,
        Self::Underpaid,
        Self::Late,
        Self::Unasked,
        Self::OpenHold,
        Self::BrokenPromise,
        Self::BillRefused,
    ];

    /// Its name in reports, metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotCredited => "not_credited",
            Self::NotSettled => "not_settled",
            Self::AmountDiffers => "amount_differs",
            Self::Overpaid => "overpaid",
            Self::Underpaid => "underpaid",
            Self::Late => "late",
            Self::Unasked => "unasked",
            Self::OpenHold => "open_hold",
            Self::BrokenPromise => "broken_promise",
            Self::BillRefused => "bill_refused",
        }
    }

    /// Whether acting settles it; otherwise only a person can.
    #[must_use]
    pub const fn is_settled_by_acting(self) -> bool {
        matches!(self, Self::NotCredited | Self::Overpaid | Self::Underpaid | Self::Late | Self::Unasked)
    }

    /// Whether it comes from the payments of a stretch of time, so that the next look must reach as far back.
    pub(super) const fn is_about_a_payment(self) -> bool {
        self.is_settled_by_acting() || matches!(self, Self::NotSettled | Self::AmountDiffers)
    }
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Something that differs. No secret is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// In which way.
    pub kind: FindingKind,
    /// The payment hash, hold or call it is about, in hexadecimal; a promise in words.
    pub subject: String,
    /// What the node says arrived, or what the hold or charge is worth, in millisatoshi (holds bought with work: in calls).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub msat: Option<i64>,
    /// What the ledger says of it, in millisatoshi: what was credited, or asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_msat: Option<i64>,
    /// When, in Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<u64>,
    /// In words.
    pub detail: String,
}

impl Finding {
    pub(super) fn about(kind: FindingKind, hash: &PaymentHash, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { kind, subject: hash.to_string(), msat: None, expected_msat: None, at: None, detail }
    }

    pub(super) fn money(self, msat: i64, expected_msat: Option<i64>, at: u64) -> Self {
        Self { msat: Some(msat), expected_msat, at: Some(at), ..self }
    }

    /// The payment it is about, where it is about one.
    pub(super) fn payment_hash(&self) -> Option<PaymentHash> {
        self.kind.is_about_a_payment().then(|| self.subject.parse().ok()).flatten()
    }

    /// What is to be booked.
    pub(super) fn settlement(&self, node: &str) -> Option<Settlement> {
        if self.kind != FindingKind::NotCredited {
            return None;
        }
        Some(Settlement {
            payment_hash: self.payment_hash()?,
            amount: Msat::new(self.msat?),
            settled_at: self.at?,
            cursor: None,
            node: node.to_owned(),
        })
    }
}
