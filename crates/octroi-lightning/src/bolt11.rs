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

/// The network that an invoice names at its head, as [`Decoded::network`] has it; nothing else of it is read.
#[must_use]
pub fn network(text: &str) -> Option<&'static str> {
    // Longer names first: they begin with the shorter ones (BOLT 11, "Human-Readable Part").
    let names = [
        ("lnbcrt", "regtest"),
        ("lnsb", "regtest"),
        ("lntbs", "signet"),
        ("lntb", "testnet"),
        ("lnbc", "bitcoin"),
    ];
    let begins = |head: &str| text.get(..head.len()).is_some_and(|given| given.eq_ignore_ascii_case(head));
    names.into_iter().find(|(head, _)| begins(head)).map(|(_, name)| name)
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

/// The coffee of BOLT 11's examples: 2,500 µBTC for a cup, within a minute of 2017-06-01T10:57:38Z.
#[cfg(test)]
pub(crate) const TEST_INVOICE: &str = "lnbc2500u1pvjluezsp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygspp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdq5xysxxatsyp3k7enxv4jsxqzpu9qrsgquk0rl77nj30yxdy8j9vdx85fkpmdla2087ne0xh8nhedh8w27kyke0lp53ut353s06fv3qfegext0eh0ymjpf39tuven09sam30g4vgpfna3rh";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_example_of_bolt_11() {
        let expected = Decoded {
            payment_hash: "0001020304050607080900010203040506070809000102030405060708090102".parse().unwrap(),
            amount: Some(Msat::new(250_000_000)),
            created_at: 1_496_314_658,
            expires_at: 1_496_314_718,
            network: "bitcoin",
            payee: "03e7156ae33b0a208d0744199163177e909e80176e55d97a2f221ede0f934dd9ad".to_owned(),
            description: Some("1 cup coffee".to_owned()),
        };
        assert_eq!(decode(TEST_INVOICE), Ok(expected.clone()));
        assert_eq!(decode(&format!(" LIGHTNING:{} ", TEST_INVOICE.to_uppercase())), Ok(expected.clone()));
        assert_eq!(
            (network(TEST_INVOICE), network("lnbcrt1"), network("ln")),
            (Some("bitcoin"), Some("regtest"), None)
        );
        assert_eq!(
            (network("LNTBS1"), network("lntb1"), network("é")),
            (Some("signet"), Some("testnet"), None)
        );
        assert!(expected.is_expired(1_496_314_718) && !expected.is_expired(1_496_314_717));
    }

    #[test]
    fn a_changed_invoice_is_refused() {
        for position in 0..TEST_INVOICE.len() {
            let mut changed = TEST_INVOICE.to_owned().into_bytes();
            changed[position] = if changed[position] == b'q' { b'p' } else { b'q' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(decode(&changed).is_err(), "{changed}");
        }
        assert_eq!(decode(&"l".repeat(MAX_INVOICE_LEN + 1)), Err(DecodeError::TooLong));
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in "\\PC{0,200}", tail in "[0-9a-z]{0,300}") {
            let _ = decode(&text);
            let _ = decode(&format!("lnbc{tail}"));
            let _ = decode(&format!("lnbcrt17u1{tail}"));
        }
    }
}
