//! Money that arrived, and money that was paid.

use octroi_l402::{Msat, PaymentHash, Preimage};

use super::unix_now;
use crate::{PayError, bolt11};

/// Money that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// Whose invoice was paid. A settlement is counted once per payment hash.
    pub payment_hash: PaymentHash,
    /// What the payer paid. A backend that bought room to receive for it may have kept a part (phoenixd's `fees`).
    pub amount: Msat,
    /// Seconds since the Unix epoch.
    pub settled_at: u64,
    /// Where this settlement stands in the node's stream: opaque, at most 128 bytes of ASCII.
    pub cursor: String,
}

/// Money that arrived, as a list of the past says it: it may have been acknowledged long ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// Whose invoice was paid.
    pub payment_hash: PaymentHash,
    /// What the payer paid; as in [`crate::Settlement::amount`].
    pub amount: Msat,
    /// Seconds since the Unix epoch.
    pub settled_at: u64,
}

/// A payment that was made.
#[derive(Clone, PartialEq, Eq)]
pub struct Payment {
    /// The proof of payment. A secret until it is shown to the gate that asked for the money.
    pub preimage: Preimage,
    /// The hash that was paid.
    pub payment_hash: PaymentHash,
    /// What the payee got.
    pub amount: Msat,
    /// What the route took on top.
    pub fee: Msat,
}

/// The preimage is worth what was paid for it, so it is left out.
impl std::fmt::Debug for Payment {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Payment")
            .field("payment_hash", &self.payment_hash)
            .field("amount", &self.amount)
            .field("fee", &self.fee)
            .finish_non_exhaustive()
    }
}

/// What became of a payment of this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outgoing {
    /// Never tried here.
    Unknown,
    /// Under way: the money may still go.
    Pending,
    /// Paid.
    Paid(Payment),
    /// Given up; nothing was spent.
    Failed,
}

/// What an invoice asks for, when it may be paid.
///
/// # Errors
/// What is wrong with it; nothing was sent.
pub(crate) fn payable(text: &str) -> Result<(PaymentHash, Msat), PayError> {
    let invoice = bolt11::decode(text).map_err(|error| PayError::InvalidInvoice(error.to_string()))?;
    if invoice.is_expired(unix_now()) {
        return Err(PayError::Expired);
    }
    let amount = invoice.amount.filter(|asked| *asked > Msat::ZERO).ok_or(PayError::NoAmount)?;
    Ok((invoice.payment_hash, amount))
}
