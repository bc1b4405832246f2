//! NIP-47's results, as far as they are read. Amounts are millisatoshis, times are seconds since the Unix epoch.

use octroi_l402::{Msat, PaymentHash};
use serde::Deserialize;
use serde_json::Value;

use crate::node::{msat, unix_now};
use crate::paying::proof;
use crate::queue::Arrival;
use crate::rest::words;
use crate::{NodeError, PayError, Payment};

/// `make_invoice`.
#[derive(Deserialize)]
pub(super) struct Made {
    pub(super) invoice: String,
}

/// `pay_invoice`.
#[derive(Deserialize)]
pub(super) struct Paid {
    pub(super) preimage: String,
    #[serde(default)]
    pub(super) fees_paid: Option<u64>,
}

/// `get_balance`.
#[derive(Deserialize)]
pub(super) struct Balance {
    pub(super) balance: u64,
}

/// `get_info`. Wallets leave out what they do not know.
#[derive(Default, Deserialize)]
pub(super) struct Identity {
    pub(super) alias: Option<String>,
    pub(super) pubkey: Option<String>,
    pub(super) network: Option<String>,
    pub(super) block_height: Option<u32>,
    #[serde(default)]
    pub(super) methods: Vec<String>,
}

/// A notification.
#[derive(Deserialize)]
pub(super) struct Notice {
    notification_type: String,
    notification: Value,
}

impl Notice {
    /// The payment that was received, if that is what it tells of.
    pub(super) fn received(text: &str) -> Option<Transaction> {
        let notice: Self = serde_json::from_str(text).ok()?;
        let told = notice.notification_type == "payment_received";
        told.then(|| serde_json::from_value(notice.notification).ok()).flatten()
    }
}

/// `list_transactions`.
#[derive(Deserialize)]
pub(super) struct Transactions {
    pub(super) transactions: Vec<Value>,
}

/// `lookup_invoice`, and one of [`Transactions`].
#[derive(Deserialize)]
pub(super) struct Transaction {
    #[serde(rename = "type")]
    kind: Option<String>,
    /// Newer wallets: `pending`, `settled`, `expired`, `failed`.
    state: Option<String>,
    payment_hash: String,
    preimage: Option<String>,
    #[serde(default)]
    amount: u64,
    #[serde(default)]
    fees_paid: Option<u64>,
    expires_at: Option<u64>,
    settled_at: Option<u64>,
}

impl Transaction {
    pub(super) fn is_outgoing(&self) -> bool {
        self.kind.as_deref() == Some("outgoing")
    }

    fn is(&self, state: &str) -> bool {
        self.state.as_deref().is_some_and(|said| said.eq_ignore_ascii_case(state))
    }

    pub(super) fn is_settled(&self) -> bool {
        self.is("settled") || (self.state.is_none() && self.settled_at.is_some_and(|at| at > 0))
    }

    pub(super) fn has_failed(&self) -> bool {
        self.is("failed") || self.is("expired")
    }

    pub(super) fn is_expired(&self, now: u64) -> bool {
        self.has_failed() || self.expires_at.is_some_and(|at| at <= now)
    }

    pub(super) fn hash(&self) -> Option<PaymentHash> {
        self.payment_hash.parse().ok()
    }

    /// What arrived; `None` for what was sent, is not paid, or makes no sense. `asked` is what the invoice asked for: an
    /// invoice is never paid with less.
    pub(super) fn arrival(&self, asked: Msat) -> Option<Arrival> {
        if self.is_outgoing() || !self.is_settled() {
            return None;
        }
        let asked = u64::try_from(asked.as_i64()).unwrap_or(0);
        let settled_at = self.settled_at.filter(|at| *at > 0).unwrap_or_else(unix_now);
        Arrival::new(self.hash()?, self.amount.max(asked), settled_at, 0)
    }

    /// What was paid, with its proof.
    pub(super) fn payment(&self, hash: &PaymentHash) -> Option<Payment> {
        let preimage = proof(self.preimage.as_deref()?, hash)?;
        let fee = self.fees_paid.and_then(msat).unwrap_or(Msat::ZERO);
        Some(Payment { preimage, payment_hash: *hash, amount: msat(self.amount)?, fee })
    }
}

/// The wallet's refusal.
#[derive(Debug, Deserialize)]
pub(super) struct Failure {
    #[serde(default)]
    pub(super) code: String,
    #[serde(default)]
    pub(super) message: String,
}

impl Failure {
    /// The wallet is there, and does not do this for this connection.
    pub(super) fn is_want_of_permission(&self) -> bool {
        matches!(self.code.as_str(), "RESTRICTED" | "NOT_IMPLEMENTED")
    }
}

impl From<Failure> for NodeError {
    fn from(failure: Failure) -> Self {
        match failure.code.as_str() {
            "NOT_IMPLEMENTED" => Self::Unsupported("what the wallet does not implement (NWC)"),
            "RESTRICTED" | "UNAUTHORIZED" => {
                Self::Refused("the connection is revoked, or does not allow this".to_owned())
            }
            "RATE_LIMITED" => Self::Unreachable("the wallet is asked too often".to_owned()),
            "INTERNAL" => Self::Unreachable("the wallet failed".to_owned()),
            _ => Self::Refused(words(failure.message.as_bytes())),
        }
    }
}

impl From<Failure> for PayError {
    /// Payments are told apart by their code, and where that says little by the wallet's words.
    fn from(failure: Failure) -> Self {
        let lower = failure.message.to_ascii_lowercase();
        let says = |parts: &[&str]| parts.iter().any(|part| lower.contains(part));
        match failure.code.as_str() {
            "INSUFFICIENT_BALANCE" => Self::NoRoute,
            "QUOTA_EXCEEDED" => Self::Failed("the connection's budget is used up".to_owned()),
            "PAYMENT_FAILED" | "OTHER" | "INTERNAL" | "" => {
                if says(&["already paid", "already been paid"]) {
                    Self::AlreadyPaid
                } else if says(&["expired"]) {
                    Self::Expired
                } else if says(&["route", "insufficient"]) {
                    Self::NoRoute
                } else if failure.code == "PAYMENT_FAILED" {
                    Self::Failed(words(failure.message.as_bytes()))
                } else {
                    // Of its own failure a wallet does not say whether money moved.
                    Self::Pending
                }
            }
            _ => NodeError::from(failure).into(),
        }
    }
}
