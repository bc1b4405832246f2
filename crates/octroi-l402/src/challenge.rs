//! The challenge of a 402: written for every client in use, read from every server in use.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::macaroon::{MacaroonError, decode_base64};
use crate::{Credential, Preimage};

mod read;

/// The most bytes of `WWW-Authenticate` that [`parse`] looks at.
pub const MAX_HEADER: usize = 16 * 1024;

/// What a gate asks for: pay `invoice`, then come back with `macaroon` and the preimage.
#[derive(Clone, Copy)]
pub struct Challenge<'a> {
    /// The binary macaroon (V2).
    pub macaroon: &'a [u8],
    /// The BOLT 11 invoice: ASCII letters and digits.
    pub invoice: &'a str,
}

impl Challenge<'_> {
    /// The value of the `WWW-Authenticate` line, which must be the first such line of the answer.
    ///
    /// The L402 text at its head puts `version` and `token` first, but most clients match
    /// `L402 macaroon="…", invoice="…"` literally, with one comma and one space; so that comes first, and what the text
    /// asks for follows, where those who read by name find it. An invoice is bech32 (BOLT 11): any other character in
    /// it is left out, so that a node that lies cannot write into the header.
    #[must_use]
    pub fn header_value(&self) -> String {
        let token = STANDARD.encode(self.macaroon);
        let invoice: String = self.invoice.chars().filter(char::is_ascii_alphanumeric).collect();
        format!(r#"L402 macaroon="{token}", invoice="{invoice}", version="0", token="{token}""#)
    }
}

/// The name under which a server asks and wants to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `L402`.
    L402,
    /// `LSAT`, the older name.
    Lsat,
}

impl Scheme {
    /// The name as it is written in a header.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::L402 => "L402",
            Self::Lsat => "LSAT",
        }
    }
}

/// Why a `WWW-Authenticate` value holds no challenge this client can answer. The server's fault, or another scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChallengeError {
    /// No challenge of scheme L402 or LSAT.
    #[error("no L402 challenge in the header")]
    None,
    /// The challenge lacks its token or its invoice.
    #[error("the L402 challenge lacks its {0}")]
    Lacks(&'static str),
    /// More than [`MAX_HEADER`] bytes.
    #[error("the header is larger than {MAX_HEADER} bytes")]
    TooLong,
}

/// A challenge as a client reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The name it was asked under; the answer uses the same.
    pub scheme: Scheme,
    /// The token as it was written. L402 lets it be anything that commits to the payment hash.
    pub token: String,
    /// The BOLT 11 invoice, unread.
    pub invoice: String,
}

impl Offer {
    /// The token's bytes, where it is base64.
    ///
    /// # Errors
    /// [`MacaroonError::Text`] or [`MacaroonError::TooLong`].
    pub fn macaroon(&self) -> Result<Vec<u8>, MacaroonError> {
        decode_base64(&self.token)
    }

    /// The credential this offer becomes once paid.
    ///
    /// # Errors
    /// As [`Offer::macaroon`].
    pub fn credential(&self, preimage: Preimage) -> Result<Credential, MacaroonError> {
        Ok(Credential::new(self.macaroon()?, preimage))
    }

    /// The `Authorization` value that answers it: the token as it was written, so that no dialect is lost. Secret.
    #[must_use]
    pub fn authorization(&self, preimage: &Preimage) -> String {
        format!("{} {}:{}", self.scheme.name(), self.token, preimage.to_hex())
    }
}

/// Reads the first complete L402 challenge out of one or several `WWW-Authenticate` values.
///
/// Tolerant of everything servers send: `L402` or `LSAT` in any case, `token=` or `macaroon=`, parameters in any order,
/// quoted with `"` or `'` or bare, unknown parameters, white space anywhere, other schemes before and behind, in lines
/// of their own (hand in each, or all joined by commas or line feeds).
///
/// # Errors
/// [`ChallengeError`].
pub fn parse(header: &str) -> Result<Offer, ChallengeError> {
    read::first_offer(header)
}

#[cfg(test)]
mod tests;
