//! Proofs of possession (DPoP, RFC 9449).

mod nonce;
mod proof;
mod replay;

use std::fmt;

use thiserror::Error;
use url::Url;

use crate::{Algorithm, SetupError};
use nonce::Nonces;
use replay::Replays;

pub use proof::CheckedProof;

/// What proofs must be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DpopConfig {
    /// Accepted signature algorithms; also what challenges advertise.
    pub algorithms: Vec<Algorithm>,
    /// How old a proof may be, seconds, 1 to [`Self::MAX_PROOF_SECONDS`]; also how long proofs are remembered.
    pub proof_seconds: u64,
    /// How far ahead of the gate's clock a proof may be, seconds, at most [`Self::MAX_AHEAD_SECONDS`].
    pub ahead_seconds: u64,
    /// How many proofs are remembered at most, to tell a replay; 16 to [`Self::MAX_REPLAY_ENTRIES`]. They are those of
    /// two periods of `proof_seconds` and `ahead_seconds`, and one key may fill a quarter of a period.
    pub replay_entries: usize,
    /// Whether a proof must carry a nonce of the gate's (RFC 9449 §9).
    pub nonce: bool,
}

impl DpopConfig {
    /// The largest accepted `proof_seconds`.
    pub const MAX_PROOF_SECONDS: u64 = 300;
    /// The largest accepted `ahead_seconds`.
    pub const MAX_AHEAD_SECONDS: u64 = 60;
    /// The largest accepted `replay_entries`.
    pub const MAX_REPLAY_ENTRIES: usize = 1 << 22;
}

impl Default for DpopConfig {
    fn default() -> Self {
        Self {
            algorithms: vec![
                Algorithm::Es256,
                Algorithm::EdDsa,
                Algorithm::Es384,
                Algorithm::Ps256,
                Algorithm::Rs256,
            ],
            proof_seconds: 300,
            ahead_seconds: 5,
            replay_entries: 1 << 20,
            nonce: false,
        }
    }
}

/// A proof as it was shown, and what it must be about.
#[derive(Clone, Copy, Debug)]
pub struct ShownProof<'a> {
    /// Every value of the `DPoP` header: exactly one must be there (RFC 9449 §4.3).
    pub proofs: &'a [&'a str],
    /// The request's method.
    pub method: &'a str,
    /// The URL the client dialled: built from the configured public URL and never from the request's `Host`.
    pub url: &'a Url,
}

/// Checks proofs and remembers those that were spent, in this process alone.
pub struct DpopVerifier {
    config: DpopConfig,
    nonces: Nonces,
    replays: Replays,
}

/// What is wrong with a proof. The texts are fit for an `error_description`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProofError {
    /// No `DPoP` header.
    #[error("the DPoP header with the proof is missing")]
    Missing,
    /// More than one `DPoP` header.
    #[error("more than one proof was sent")]
    Several,
    /// Not a JWT of the form of RFC 9449 §4.2.
    #[error("the proof is not a well-formed DPoP proof")]
    Malformed,
    /// `typ` is not `dpop+jwt`.
    #[error("the proof's typ is not dpop+jwt")]
    Type,
    /// The algorithm is not accepted.
    #[error("the proof is signed with an algorithm that is not accepted")]
    Algorithm,
    /// The key is missing, private, weak, or not for the algorithm.
    #[error("the proof's public key cannot be used")]
    Key,
    /// The signature is wrong.
    #[error("the proof's signature is wrong")]
    Signature,
    /// `htm` is another method.
    #[error("the proof is for another method")]
    Method,
    /// `htu` is another URL.
    #[error("the proof is for another URL")]
    Url,
    /// `ath` is missing or of another token.
    #[error("the proof is for another access token")]
    AccessToken,
    /// `iat` is too old or too far in the future.
    #[error("the proof is too old, or from the future: check the clock")]
    Time,
    /// The same proof was shown before.
    #[error("the proof was used before")]
    Replayed,
    /// `nonce` is missing or not one the gate gave out lately.
    #[error("the proof needs the nonce that the DPoP-Nonce header gives")]
    Nonce,
    /// More proofs than can be remembered came at once.
    #[error("too many proofs at once")]
    TooMany,
}

impl ProofError {
    /// The error code of RFC 9449 §7.1 and §9.
    #[must_use]
    pub const fn oauth_code(&self) -> &'static str {
        match self {
            Self::Nonce => "use_dpop_nonce",
            _ => "invalid_dpop_proof",
        }
    }
}

impl DpopVerifier {
    /// Checks the configuration.
    ///
    /// # Errors
    /// When a number is out of its bounds, no algorithm is accepted, or the machine gives no randomness.
    pub fn new(config: DpopConfig) -> Result<Self, SetupError> {
        let within = |field, value: u64, min: u64, max: u64| {
            let fits = (min..=max).contains(&value);
            if fits { Ok(()) } else { Err(SetupError::OutOfBounds { field, min, max }) }
        };
        within("proof_seconds", config.proof_seconds, 1, DpopConfig::MAX_PROOF_SECONDS)?;
        within("ahead_seconds", config.ahead_seconds, 0, DpopConfig::MAX_AHEAD_SECONDS)?;
        let entries = config.replay_entries as u64;
        within("replay_entries", entries, 16, DpopConfig::MAX_REPLAY_ENTRIES as u64)?;
        if config.algorithms.is_empty() {
            return Err(SetupError::NoAlgorithm);
        }
        let replays = Replays::new(config.replay_entries, config.proof_seconds + config.ahead_seconds);
        Ok(Self { nonces: Nonces::new().ok_or(SetupError::NoRandomness)?, replays, config })
    }

    /// What challenges advertise as `algs` (RFC 9449 §7.1).
    #[must_use]
    pub fn algorithms(&self) -> &[Algorithm] {
        &self.config.algorithms
    }

    /// The nonce clients are to use now, for the `DPoP-Nonce` header of refusals and answers (RFC 9449 §9); `None` when
    /// none is asked for. `now` is in seconds since the Unix epoch.
    #[must_use]
    pub fn nonce(&self, now: u64) -> Option<String> {
        self.config.nonce.then(|| self.nonces.at(now))
    }

    /// Checks a proof by itself and against the token it comes with: everything of RFC 9449 §4.3 but the token's own
    /// binding and the replay, which are for the token's verifier ([`crate::Verifier::verify_dpop`]) and [`Self::spend`].
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, shown: &ShownProof<'_>, token: &str, now: u64) -> Result<CheckedProof, ProofError> {
        let text = match shown.proofs {
            [] => return Err(ProofError::Missing),
            [one] => one,
            _ => return Err(ProofError::Several),
        };
        let proof = proof::read(text, &self.config.algorithms)?;
        proof.is_about(shown.method, shown.url, token)?;
        proof.is_of_now(now, &self.config)?;
        if self.config.nonce && !proof.nonce().is_some_and(|nonce| self.nonces.accept(nonce, now)) {
            return Err(ProofError::Nonce);
        }
        Ok(proof.checked())
    }

    /// Remembers the proof, so that it is good only once. `now` is in seconds since the Unix epoch.
    ///
    /// # Errors
    /// [`ProofError::Replayed`], or [`ProofError::TooMany`] when it cannot be remembered.
    pub fn spend(&self, proof: CheckedProof, now: u64) -> Result<(), ProofError> {
        self.replays.spend(&proof, now)
    }
}

impl fmt::Debug for DpopVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DpopVerifier").field("config", &self.config).finish_non_exhaustive()
    }
}
