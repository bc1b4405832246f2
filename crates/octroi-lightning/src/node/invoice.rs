//! Invoices: asked for, made, and what became of them.

use std::time::Duration;

use octroi_l402::{Msat, PaymentHash, Preimage};

use super::unix_now;
use crate::{NodeError, bolt11};

/// An invoice to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvoiceRequest {
    /// How much to ask for; above zero.
    pub amount: Msat,
    /// What the payer's wallet shows. At most 128 bytes are kept (phoenixd's bound); the rest is cut at a character.
    pub description: String,
    /// How long it can be paid; between one second and 30 days, else it is brought into that range.
    pub expiry: Duration,
    /// The preimage to use; only where [`crate::Capabilities::chosen_preimage`] is set, otherwise
    /// [`NodeError::Unsupported`]. `None`: the node chooses.
    pub preimage: Option<Preimage>,
}

/// An invoice as made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invoice {
    /// The invoice's text (BOLT 11).
    pub bolt11: String,
    /// The hash that the payer learns the preimage of.
    pub payment_hash: PaymentHash,
    /// What the invoice asks for: at least what was requested.
    pub amount: Msat,
    /// When it stops being payable, seconds since the Unix epoch.
    pub expires_at: u64,
}

/// What became of an invoice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvoiceState {
    /// Not paid yet, and still payable.
    Open,
    /// Paid.
    Settled {
        /// What the payer paid: never less than the invoice asked.
        amount: Msat,
        /// Seconds since the Unix epoch.
        settled_at: u64,
    },
    /// Its time passed without a payment.
    Expired,
    /// Never made here, or forgotten.
    Unknown,
}

/// Shortest and longest time an invoice made here can be paid.
const EXPIRY: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(30 * 24 * 3600);

/// Most bytes of a description (phoenixd's bound, so that every backend shows the same text).
const MAX_DESCRIPTION: usize = 128;

impl InvoiceRequest {
    /// The expiry in whole seconds, inside its bounds.
    pub(crate) fn expiry_secs(&self) -> u32 {
        let seconds = self.expiry.clamp(*EXPIRY.start(), *EXPIRY.end()).as_secs();
        u32::try_from(seconds).unwrap_or(u32::MAX)
    }

    /// The amount in millisatoshi.
    ///
    /// # Errors
    /// [`NodeError::Refused`] when it is not above zero.
    pub(crate) fn above_zero(&self) -> Result<i64, NodeError> {
        match self.amount.as_i64() {
            msat if msat > 0 => Ok(msat),
            _ => Err(NodeError::Refused("an invoice must ask for more than nothing".to_owned())),
        }
    }

    /// The amount in whole satoshis, rounded up.
    ///
    /// # Errors
    /// As [`above_zero`](Self::above_zero).
    pub(crate) fn sats_above_zero(&self) -> Result<i64, NodeError> {
        self.above_zero().map(|_| self.amount.ceil_to_sat())
    }

    /// For backends that choose preimages themselves.
    pub(crate) fn only_chosen_by_the_node(&self) -> Result<(), NodeError> {
        match self.preimage {
            Some(_) => Err(NodeError::Unsupported("an invoice for a chosen preimage")),
            None => Ok(()),
        }
    }

    /// The description, cut at a character boundary.
    pub(crate) fn bounded_description(&self) -> &str {
        &self.description[..self.description.floor_char_boundary(MAX_DESCRIPTION)]
    }
}

/// An invoice as a backend made it. Its text is what the payer sees, so it is what counts.
///
/// # Errors
/// [`NodeError::BadReply`] when it is no invoice, asks for something else than `amount`, or cannot be paid any more.
pub(crate) fn checked_invoice(text: String, amount: Msat) -> Result<Invoice, NodeError> {
    let decoded = bolt11::decode(&text).map_err(|error| NodeError::BadReply(error.to_string()))?;
    if decoded.amount != Some(amount) {
        return Err(NodeError::BadReply("the invoice asks for another amount".to_owned()));
    }
    if decoded.is_expired(unix_now()) {
        return Err(NodeError::BadReply(
            "the invoice has expired already; one of the clocks is wrong".to_owned(),
        ));
    }
    let (payment_hash, expires_at) = (decoded.payment_hash, decoded.expires_at);
    Ok(Invoice { bolt11: text, payment_hash, amount, expires_at })
}
