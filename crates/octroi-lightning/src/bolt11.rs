//! Reading BOLT 11 invoices, for whoever checks what they are about to pay.

use std::str::FromStr;

use lightning_invoice::{Bolt11Invoice, Bolt11InvoiceDescriptionRef, Currency, ParseOrSemanticError};
use octroi_l402::{Msat, PaymentHash};
use thiserror::Error;

/// Longest invoice read, in bytes. A usual one has some 300; the bound keeps a hostile one cheap.
pub const MAX_INVOICE_LEN: usize = 4096;

/// What an invoice says, after its signature was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// The hash that paying reveals the preimage of.
    pub payment_hash: PaymentHash,
    /// What it asks; `None` leaves it to the payer.
    pub amount: Option<Msat>,
    /// When it was made, seconds since the Unix epoch.
    pub created_at: u64,
    /// When it stops being payable, seconds since the Unix epoch; `u64::MAX` when it names a time beyond counting.
    pub expires_at: u64,
    /// `bitcoin`, `testnet`, `signet` or `regtest`.
    pub network: &'static str,
    /// The payee's public key, 66 hex digits.
    pub payee: String,
    /// What it is for: whatever the payee wrote, control characters replaced. `None` when only its hash is given.
    pub description: Option<String>,
}

impl Decoded {
    /// Whether it can no longer be paid at `now` (seconds since the Unix epoch).
    #[must_use]
    pub const fn is_expired(&self, now: u64) -> bool {
        self.expires_at <= now
    }
}

/// A text that is no invoice: the fault of whoever gave it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Longer than [`MAX_INVOICE_LEN`].
    #[error("longer than {MAX_INVOICE_LEN} bytes")]
    TooLong,
    /// Not BOLT 11.
    #[error("not BOLT 11: {0}")]
    Syntax(String),
    /// BOLT 11, but without a needed field, or with a wrong signature.
    #[error("not a valid invoice: {0}")]
    Semantics(String),
    /// An amount beyond what can be counted.
    #[error("the amount is out of range")]
    OutOfRange,
}

/// Reads an invoice; a `lightning:` prefix (BIP 21 style) is accepted, in any case.
///
/// # Errors
/// See [`DecodeError`]. An expired invoice decodes well: ask [`Decoded::is_expired`].
pub fn decode(text: &str) -> Result<Decoded, DecodeError> {
    let invoice = parse(text)?;
    let amount = match invoice.amount_milli_satoshis() {
        None => None,
        Some(msat) => Some(crate::node::msat(msat).ok_or(DecodeError::OutOfRange)?),
    };
    Ok(Decoded {
        payment_hash: hash_of(&invoice),
        amount,
        created_at: invoice.duration_since_epoch().as_secs(),
        expires_at: invoice.expires_at().map_or(u64::MAX, |at| at.as_secs()),
        network: network_name(&invoice),
        payee: invoice.get_payee_pub_key().to_string(),
        description: match invoice.description() {
            Bolt11InvoiceDescriptionRef::Direct(text) => Some(text.to_string()),
            Bolt11InvoiceDescriptionRef::Hash(_) => None,
        },
    })
}

/// The invoice itself, for the adapters of this crate.
pub(crate) fn parse(text: &str) -> Result<Bolt11Invoice, DecodeError> {
    const SCHEME: &str = "lightning:";
    if text.len() > MAX_INVOICE_LEN {
        return Err(DecodeError::TooLong);
    }
    let text = text.trim();
    let bare = match text.get(..SCHEME.len()) {
        Some(head) if head.eq_ignore_ascii_case(SCHEME) => &text[SCHEME.len()..],
        _ => text,
    };
    Bolt11Invoice::from_str(bare).map_err(|error| match error {
        ParseOrSemanticError::ParseError(error) => DecodeError::Syntax(error.to_string()),
        ParseOrSemanticError::SemanticError(error) => DecodeError::Semantics(error.to_string()),
    })
}

/// The invoice's payment hash in the gate's type.
pub(crate) fn hash_of(invoice: &Bolt11Invoice) -> PaymentHash {
    PaymentHash::from_bytes(*AsRef::<[u8; 32]>::as_ref(invoice.payment_hash()))
}

/// Simnet is a private chain like regtest, and rare enough to share its name.
fn network_name(invoice: &Bolt11Invoice) -> &'static str {
    match invoice.currency() {
        Currency::Bitcoin => "bitcoin",
        Currency::BitcoinTestnet => "testnet",
        Currency::Signet => "signet",
        Currency::Regtest | Currency::Simnet => "regtest",
    }
}
