//! Why a token was not accepted.

use std::borrow::Cow;
use std::sync::Arc;

use thiserror::Error;

use crate::ProofError;

/// The place of a claim, for messages: from the standards, a preset or the configuration, never from a token.
pub type ClaimName = Cow<'static, str>;

/// A token was not accepted. No text here ever contains a byte of the token.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TokenError {
    /// The caller sent no token.
    #[error("no access token")]
    Missing,
    /// The caller's token is wrong, and will stay wrong: it must get another (RFC 6750 §3.1 `invalid_token`).
    #[error("{0}")]
    Invalid(#[from] InvalidToken),
    /// The proof of possession is wrong or missing (RFC 9449 §7.1 `invalid_dpop_proof`, `use_dpop_nonce`).
    #[error("{0}")]
    Proof(#[from] ProofError),
    /// The token is good but does not permit enough (RFC 6750 §3.1 `insufficient_scope`).
    #[error("the token lacks a scope that every call needs")]
    InsufficientScope {
        /// All the scopes the configuration asks of every caller.
        required: Arc<[String]>,
    },
    /// The token could not be judged. Neither the caller's fault nor proof of anything: the same token may be
    /// tried again.
    #[error("the token could not be verified: {0}")]
    Unverifiable(#[from] Unverifiable),
}

impl TokenError {
    /// The stable reason code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Missing => "MISSING_TOKEN",
            Self::Invalid(_) | Self::Proof(_) => "INVALID_TOKEN",
            Self::InsufficientScope { .. } => "INSUFFICIENT_SCOPE",
            Self::Unverifiable(_) => "VERIFICATION_FAILED",
        }
    }

    /// The HTTP status that says it.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::Missing | Self::Invalid(_) | Self::Proof(_) => 401,
            Self::InsufficientScope { .. } => 403,
            Self::Unverifiable(_) => 503,
        }
    }
}

/// Why a token could not be judged. The text is fit for the caller; details are in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Unverifiable {
    /// The issuer or its key set did not answer, or answered with something that is no key set.
    #[error("the issuer's keys are not available, try again later")]
    IssuerUnavailable,
    /// The issuer, which must be asked about this token, did not answer, or refused to tell this gate.
    #[error("the issuer cannot be asked about the token, try again later")]
    IssuerSilent,
    /// More proofs of possession than can be remembered came within a few minutes: a replay could not be told.
    #[error("too many proofs of possession at once, try again later")]
    TooManyProofs,
}

/// What is wrong with the caller's token. The texts are fit for an `error_description`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidToken {
    /// The signature algorithm is not one the configuration allows.
    #[error("the token is signed with an algorithm this resource does not accept")]
    Algorithm,
    /// `aud` is missing or names somebody else.
    #[error("the token was not issued for this resource; ask for it with this resource's audience")]
    Audience,
    /// A claim has a value the provider's rules refuse.
    #[error("the token's {0} claim has a value this resource refuses")]
    ClaimRefused(ClaimName),
    /// The client it was issued to is not on the list.
    #[error("the token was issued to a client this resource does not accept")]
    Client,
    /// The header demands an extension (`crit`, RFC 7515 §4.1.11); none is known here.
    #[error("the token demands a header extension this resource does not know")]
    CriticalHeader,
    /// More parties act for the subject, one for the other, than the configuration allows (`act`, RFC 8693 §4.1).
    #[error("the token was delegated too often")]
    DelegatedTooOften,
    /// A name occurs twice in the header or the claims.
    #[error("the token repeats a name in its header or claims")]
    DuplicateName,
    /// Five parts: a JWE.
    #[error("the token is encrypted; ask the issuer for a signed token by naming an audience")]
    Encrypted,
    /// `exp` has passed.
    #[error("the token has expired")]
    Expired,
    /// It is an ID token (OpenID Connect Core §2), which tells a client who signed in and permits nothing.
    #[error("this is an ID token; send the access token")]
    IdToken,
    /// The issuer says that the token is not active (RFC 7662 §2.2), or not one it gave to our app.
    #[error("the issuer does not stand by this token: it is expired, revoked or not for this resource")]
    Inactive,
    /// `iss` is missing or is another issuer.
    #[error("the token was issued by an issuer this resource does not trust")]
    Issuer,
    /// `iat` lies in the future.
    #[error("the token claims to be issued in the future")]
    IssuedInFuture,
    /// Without `kid` more than one key could have signed it.
    #[error("the token names no key and the issuer has several")]
    KeyAmbiguous,
    /// Not three parts of base64url holding JSON objects.
    #[error("the token is not a well-formed JWT")]
    Malformed,
    /// A claim of the wrong type.
    #[error("the token's {0} claim is malformed")]
    MalformedClaim(ClaimName),
    /// A claim the check needs is absent.
    #[error("the token has no {0} claim")]
    MissingClaim(ClaimName),
    /// Shown with a proof of possession but not bound to a key: the proof proves nothing.
    #[error("the token is not bound to a key; send it as a bearer token")]
    NotSenderConstrained,
    /// Bound to another key than the one of the proof (`cnf.jkt`, RFC 9449 §6.1).
    #[error("the token is bound to another key than the proof's")]
    OtherKey,
    /// `nbf` lies in the future.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// The operator revoked it here, or everything its subject held until then.
    #[error("the token was revoked")]
    Revoked,
    /// Bound to a sender's key (`cnf`) but shown as a plain bearer token.
    #[error("the token is bound to a key and cannot be used as a bearer token")]
    SenderConstrained,
    /// The signature does not verify.
    #[error("the token's signature is wrong")]
    Signature,
    /// Longer than [`crate::IdentityConfig::MAX_TOKEN_BYTES`].
    #[error("the token is too long")]
    TooLong,
    /// Issued longer ago than the configuration allows.
    #[error("the token was issued too long ago")]
    TooOld,
    /// `typ` is not one the provider's access tokens have.
    #[error("the token's typ is not that of an access token")]
    Type,
    /// The issuer has no key of that `kid`.
    #[error("the token is signed with a key the issuer does not publish")]
    UnknownKey,
}
