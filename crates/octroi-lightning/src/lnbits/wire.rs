//! LNbits' replies, as far as they are read. Amounts are millisatoshis, negative for what was sent.

use octroi_l402::{Msat, PaymentHash};
use serde::Deserialize;

use crate::paying::{proof, without_proof};
use crate::queue::Arrival;
use crate::time::parse_rfc3339_ms;
use crate::{NodeError, Outgoing, Payment};

/// Its status for whatever its own node could not do.
pub(super) const FAILED: u16 = 520;

/// `POST /api/v1/payments`; the text's name depends on the release.
#[derive(Deserialize)]
pub(super) struct Created {
    bolt11: Option<String>,
    payment_request: Option<String>,
}

impl Created {
    pub(super) fn text(self) -> Result<String, NodeError> {
        let text = self.bolt11.or(self.payment_request);
        text.ok_or_else(|| NodeError::BadReply("no invoice in the answer".to_owned()))
    }
}

/// `GET /api/v1/wallet`.
#[derive(Deserialize)]
pub(super) struct WalletRecord {
    pub(super) id: Option<String>,
    pub(super) name: String,
    pub(super) balance: i64,
}

/// `GET /api/v1/payments/{hash}`.
#[derive(Deserialize)]
pub(super) struct Found {
    #[serde(default)]
    pub(super) paid: bool,
    /// Only for the wallet's own.
    pub(super) details: Option<Record>,
}

/// A payment, in a list and in [`Found`].
#[derive(Deserialize)]
pub(super) struct Record {
    payment_hash: String,
    amount: i64,
    #[serde(default)]
    fee: i64,
    pub(super) status: Option<String>,
    preimage: Option<String>,
    expiry: Option<Time>,
    updated_at: Option<Time>,
    time: Option<Time>,
}

/// A time: RFC 3339, or in older releases Unix seconds.
#[derive(Deserialize)]
#[serde(untagged)]
enum Time {
    Seconds(f64),
    Text(String),
}

impl Time {
    fn unix_ms(&self) -> Option<u64> {
        match self {
            // Beyond the range the cast stops at the ends.
            Self::Seconds(seconds) => Some((seconds * 1000.0) as u64),
            Self::Text(text) => parse_rfc3339_ms(text),
        }
    }
}

impl Record {
    pub(super) const fn is_outgoing(&self) -> bool {
        self.amount < 0
    }

    /// When it last changed, in milliseconds: for one that is paid, when it was.
    pub(super) fn updated_ms(&self) -> u64 {
        self.updated_at.as_ref().or(self.time.as_ref()).and_then(Time::unix_ms).unwrap_or(0)
    }

    /// In Unix seconds; never where it is not said.
    pub(super) fn expires_at(&self) -> u64 {
        self.expiry.as_ref().and_then(Time::unix_ms).map_or(u64::MAX, |ms| ms / 1000)
    }

    /// What arrived, and when (milliseconds); `None` for what was sent, and for what is not paid.
    pub(super) fn arrival(&self) -> Option<(Arrival, u64)> {
        let paid = self.status.as_deref().is_none_or(|status| status == "success");
        let amount = u64::try_from(self.amount).ok().filter(|_| paid)?;
        let arrived_ms = self.updated_ms();
        Some((Arrival::new(self.payment_hash.parse().ok()?, amount, arrived_ms / 1000, 0)?, arrived_ms))
    }

    /// What became of what was sent.
    pub(super) fn outgoing(&self, hash: &PaymentHash, paid: bool) -> Result<Outgoing, NodeError> {
        if !paid {
            let failed = self.status.as_deref() == Some("failed");
            return Ok(if failed { Outgoing::Failed } else { Outgoing::Pending });
        }
        let preimage = self.preimage.as_deref().and_then(|hex| proof(hex, hash)).ok_or_else(without_proof)?;
        let (amount, fee) = (Msat::new(self.amount.saturating_abs()), Msat::new(self.fee.saturating_abs()));
        Ok(Outgoing::Paid(Payment { preimage, payment_hash: *hash, amount, fee }))
    }
}

/// The words of a refusal.
pub(super) fn detail(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Refusal {
        detail: String,
    }
    serde_json::from_slice::<Refusal>(body).ok().map(|refusal| refusal.detail)
}

/// A key of nobody: under 404, as what is not there.
pub(super) fn is_stranger(body: &[u8]) -> bool {
    detail(body).is_some_and(|detail| detail.starts_with("Wallet not found"))
}
