//! The credential a caller sends, and the judgement on it.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::caveat::{self, TermsError};
use crate::macaroon::{MacaroonError, decode_base64, decode_hex};
use crate::{Identifier, IdentifierError, MacaroonView, MasterKeys, PaymentHash, Preimage, Terms, TokenId};

pub use crate::caveat::NotPermitted;

/// Why text is not a credential. The caller's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// Not of the form `<macaroon>:<preimage>`.
    #[error("expected <base64 macaroon>:<hex preimage>")]
    Form,
    /// Several macaroons, comma-separated. L402 leaves open what one preimage for several hashes would mean.
    #[error("several macaroons in one credential")]
    Several,
    /// The macaroon cannot be read.
    #[error(transparent)]
    Macaroon(#[from] MacaroonError),
    /// The preimage is not exactly 64 hexadecimal digits.
    #[error("the preimage is not 64 hexadecimal digits")]
    Preimage,
    /// A macaroon sent alone has no `preimage=` caveat.
    #[error("the macaroon carries no preimage")]
    NoPreimage,
}

/// A macaroon and the proof that its invoice was paid. Secret as a whole; nothing in it is verified yet.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    macaroon: Vec<u8>,
    preimage: Preimage,
}

impl Credential {
    /// Puts a binary macaroon and a preimage together.
    #[must_use]
    pub const fn new(macaroon: Vec<u8>, preimage: Preimage) -> Self {
        Self { macaroon, preimage }
    }

    /// Reads `<base64 macaroon>:<hex preimage>`, the text behind the scheme name in `Authorization: L402 …`
    /// (L402 `protocol-specification.md`): any base64 dialect, hexadecimal in any case, white space around it.
    ///
    /// # Errors
    /// [`CredentialError`]; the macaroon's inner form is judged only by [`verify`].
    pub fn parse(text: &str) -> Result<Self, CredentialError> {
        let (macaroon, preimage) = text.trim_ascii().split_once(':').ok_or(CredentialError::Form)?;
        if macaroon.contains(',') {
            return Err(CredentialError::Several);
        }
        if macaroon.is_empty() {
            return Err(CredentialError::Form);
        }
        let preimage = preimage.parse().map_err(|_| CredentialError::Preimage)?;
        Ok(Self { macaroon: decode_base64(macaroon)?, preimage })
    }

    /// Reads the value of a `Macaroon` or `Grpc-Metadata-Macaroon` header: a macaroon in hexadecimal that carries its
    /// `preimage=` caveat. These headers leave `Authorization` free for an access token.
    ///
    /// # Errors
    /// [`CredentialError`].
    pub fn from_macaroon_hex(text: &str) -> Result<Self, CredentialError> {
        let macaroon = decode_hex(text.trim_ascii())?;
        let preimage = {
            let view = MacaroonView::decode(&macaroon)?;
            let text = caveat::preimages(view.caveats()).next().ok_or(CredentialError::NoPreimage)?;
            crate::hex32::read_32(text).map(Preimage::from_bytes).ok_or(CredentialError::Preimage)?
        };
        Ok(Self { macaroon, preimage })
    }

    /// The binary macaroon.
    #[must_use]
    pub fn macaroon(&self) -> &[u8] {
        &self.macaroon
    }

    /// The preimage.
    #[must_use]
    pub const fn preimage(&self) -> &Preimage {
        &self.preimage
    }

    /// The identifier the macaroon claims, unverified. Two credentials with one identifier are the same token, however
    /// they are spelt.
    ///
    /// # Errors
    /// [`Malformed`] where it cannot be read.
    pub fn claimed_identifier(&self) -> Result<Identifier, Malformed> {
        Ok(MacaroonView::decode(&self.macaroon)?.l402_identifier()?)
    }

    /// `<base64 macaroon>:<hex preimage>` in the one spelling every server reads. Secret.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("{}:{}", STANDARD.encode(&self.macaroon), self.preimage.to_hex())
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(secret)")
    }
}

/// What in a credential cannot be read. The caller's fault, or its library's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The macaroon's bytes.
    #[error(transparent)]
    Macaroon(#[from] MacaroonError),
    /// The identifier in it.
    #[error(transparent)]
    Identifier(#[from] IdentifierError),
    /// A caveat with a known meaning.
    #[error("a caveat's value cannot be read")]
    Caveat,
}

/// Why a credential is refused. The caller's fault in every case; a fresh challenge is the way on.
///
/// Nothing behind `BadSignature` in this list is ever said of a token that was not made here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// It cannot be read.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// It was made under a master key that is not (or no longer) held.
    #[error("the token was made under a key that is not held")]
    UnknownKey,
    /// It was not made here, or was changed since.
    #[error("the token's signature is wrong")]
    BadSignature,
    /// The preimage does not open the token's payment hash, or differs from the one in a caveat.
    #[error("the preimage does not belong to the token")]
    WrongPreimage,
    /// It is for another service.
    #[error("the token is for another service")]
    WrongService,
    /// It was good until `at` (unix seconds).
    #[error("the token expired at {at}")]
    Expired {
        /// The first second at which it was no longer good.
        at: u64,
    },
}

/// A credential that was made here and whose preimage opens it. Whether money is left on it only the ledger knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Both of the next two.
    pub identifier: Identifier,
    /// The ledger account it names.
    pub token_id: TokenId,
    /// The invoice it was bought with.
    pub payment_hash: PaymentHash,
    /// What it may be used for.
    pub terms: Terms,
}

impl Verified {
    /// Whether a call is within the terms: see [`Terms::permit`].
    ///
    /// # Errors
    /// [`NotPermitted`] names the first limit the call is outside of.
    pub fn permits(
        &self,
        tool: &str,
        arguments_digest: impl FnOnce() -> [u8; 32],
        principal: Option<&[u8; 32]>,
    ) -> Result<(), NotPermitted> {
        self.terms.permit(tool, arguments_digest, principal)
    }
}

/// Judges a credential at `now` (unix seconds) for use at `service`.
///
/// In this order, so that nothing is told about a token that was not made here: form, key, signature, preimage,
/// caveats, expiry.
///
/// # Errors
/// [`VerifyError`].
pub fn verify(
    credential: &Credential,
    keys: &MasterKeys,
    service: &str,
    now: u64,
) -> Result<Verified, VerifyError> {
    let verified = authenticate(credential, keys, service)?;
    match verified.terms.ended_at(now) {
        Some(at) => Err(VerifyError::Expired { at }),
        None => Ok(verified),
    }
}

/// [`verify`] without the clock: for renewing an expired credential that still has money on its account.
///
/// # Errors
/// [`VerifyError`], but never [`VerifyError::Expired`].
pub fn authenticate(
    credential: &Credential,
    keys: &MasterKeys,
    service: &str,
) -> Result<Verified, VerifyError> {
    let view = MacaroonView::decode(&credential.macaroon).map_err(Malformed::from)?;
    let identifier = view.l402_identifier().map_err(Malformed::from)?;
    let Identifier { payment_hash, token_id } = identifier;
    let root = keys.root_key(&token_id).ok_or(VerifyError::UnknownKey)?;
    if !view.is_signed_by(&root) {
        return Err(VerifyError::BadSignature);
    }
    // The hash is public, so comparing it in plain time tells nothing.
    if credential.preimage.payment_hash() != payment_hash {
        return Err(VerifyError::WrongPreimage);
    }
    for text in caveat::preimages(view.caveats()) {
        let written = crate::hex32::read_32(text).ok_or(Malformed::Caveat)?;
        if Preimage::from_bytes(written) != credential.preimage {
            return Err(VerifyError::WrongPreimage);
        }
    }
    let terms = Terms::read(service, view.caveats()).map_err(|error| match error {
        TermsError::WrongService => VerifyError::WrongService,
        _ => Malformed::Caveat.into(),
    })?;
    Ok(Verified { identifier, token_id, payment_hash, terms })
}

#[cfg(test)]
mod tests;
