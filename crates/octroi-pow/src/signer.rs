//! Issuing challenges and judging solutions, with nothing kept in between.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroize;

use crate::sealed::signed_bytes;
use crate::submission::is_nonce;
use crate::{Algorithm, Binding, Challenge, Difficulty, Unavailable};

/// The most keys that can be held at once: the current one and those it replaced.
pub const MAX_KEYS: usize = 8;

const SALT_LABEL: &[u8] = b"octroi pow salt v1";
/// Bytes of a salt; twice as many characters, which with a short nonce still is one SHA-256 block.
const SALT_LEN: usize = 16;

/// Why a set of keys cannot stand. The fault is in the configuration, or with the operating system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignerError {
    /// Two keys carry the same number.
    #[error("two proof-of-work keys have the number {0}")]
    SameNumber(u32),
    /// More than [`MAX_KEYS`].
    #[error("more than {MAX_KEYS} proof-of-work keys")]
    TooMany,
}

/// Why a solution is refused. The caller's fault in every case; a fresh challenge is the way on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PowError {
    /// The nonce is not 1 to [`MAX_NONCE`](crate::MAX_NONCE) printable ASCII characters.
    #[error("the nonce is not 1 to {max} printable ASCII characters", max = crate::MAX_NONCE)]
    Malformed,
    /// The challenge was not issued here, or was changed since, or its key is no longer held.
    #[error("the challenge was not issued here")]
    Forged,
    /// The challenge's time is over.
    #[error("the challenge has expired")]
    Expired,
    /// The challenge is of a kind that this build cannot judge, so it was issued by another build under the same key.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The hash is not below the target.
    #[error("the nonce does not solve the challenge")]
    NotSolved,
    /// The challenge is for another tool.
    #[error("the challenge is for another tool")]
    WrongTool,
    /// The challenge is for another principal.
    #[error("the challenge is for another principal")]
    WrongPrincipal,
    /// The challenge is for other arguments.
    #[error("the challenge is for other arguments")]
    WrongArguments,
    /// The challenge is for another service behind the same keys.
    #[error("the challenge is for another service")]
    ForeignService,
}

/// What a solution is to be used for. A challenge bound to a tool, a principal or arguments is good only where the
/// request has the very same; one that is not bound is good for any.
///
/// To exchange a solution for a credential that carries the binding on, hand in the challenge's own `tool` and
/// `arguments_digest`; the principal must be the caller's in any case.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The service that is called.
    pub service: &'a str,
    /// The tool that is called.
    pub tool: Option<&'a str>,
    /// Who calls, if that is known.
    pub principal: Option<&'a [u8; 32]>,
    /// SHA-256 of the arguments. Needed only where the challenge is bound to some.
    pub arguments_digest: Option<&'a [u8; 32]>,
}

/// A solved challenge. **Not yet spent**: note `id` until `expires_at` and refuse it the second time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Solution {
    /// Names the challenge that was solved.
    pub id: [u8; 16],
    /// How many calls it buys.
    pub calls: u32,
    /// What it cost, as signed.
    pub difficulty: Difficulty,
    /// From this second on (unix seconds) the challenge is refused as expired, so `id` may be forgotten.
    pub expires_at: u64,
}

/// Issues challenges and judges solutions, under a current key and older ones still honoured.
#[derive(Clone)]
pub struct Signer {
    // The current key is first. Kept as keyed HMAC state, wiped when dropped.
    keys: Vec<(u32, Hmac<Sha256>)>,
}

impl Signer {
    /// The `current` key and its number.
    #[must_use]
    pub fn new(current: (u32, [u8; 32])) -> Self {
        Self { keys: vec![keyed(current)] }
    }

    /// A signer with a random key, for a gate whose challenges need not outlive it.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    #[cfg(feature = "random")]
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)?;
        let signer = Self::new((0, key));
        key.zeroize();
        Ok(signer)
    }

    /// Adds a key that no longer signs but whose challenges are still good.
    ///
    /// # Errors
    /// [`SignerError`] when the number is taken or there are too many.
    pub fn with_previous(mut self, previous: (u32, [u8; 32])) -> Result<Self, SignerError> {
        if self.keys.iter().any(|(number, _)| *number == previous.0) {
            return Err(SignerError::SameNumber(previous.0));
        }
        if self.keys.len() == MAX_KEYS {
            return Err(SignerError::TooMany);
        }
        self.keys.push(keyed(previous));
        Ok(self)
    }

    /// A plain challenge: [`Signer::issue_kind`] of [`Algorithm::Sha256`].
    #[must_use]
    pub fn issue(
        &self,
        difficulty: Difficulty,
        binding: Binding,
        now: u64,
        ttl: u64,
        random: [u8; 16],
    ) -> Challenge {
        self.issue_kind((Algorithm::Sha256, difficulty), binding, now, ttl, random)
    }

    /// A challenge that is good from `now` for `ttl` seconds, named by 16 random bytes.
    ///
    /// Names in the binding should be short (256 bytes together): a challenge whose token is longer than
    /// [`crate::MAX_TOKEN`] can only come back as JSON.
    #[must_use]
    pub fn issue_kind(
        &self,
        (algorithm, difficulty): (Algorithm, Difficulty),
        binding: Binding,
        now: u64,
        ttl: u64,
        random: [u8; 16],
    ) -> Challenge {
        let mut challenge = Challenge {
            id: random,
            salt: String::new(),
            difficulty: difficulty.of_kind(algorithm),
            expires_at: now.saturating_add(ttl),
            algorithm,
            binding,
            key: 0,
            mac: [0; 32],
        };
        // There always is a first key.
        if let Some((number, key)) = self.keys.first() {
            let salt = mac(key, &[SALT_LABEL, &random]);
            challenge.salt = hex::encode(&salt[..SALT_LEN]);
            challenge.key = *number;
            challenge.mac = mac(key, &[&signed_bytes(&challenge)]);
        }
        challenge
    }

    /// Judges at `now` (unix seconds) whether `nonce` solves `challenge` and the solution is good for `request`.
    ///
    /// In this order: the nonce's form, expiry, signature, the hash, the binding.
    ///
    /// # Errors
    /// [`PowError`].
    pub fn verify(
        &self,
        challenge: &Challenge,
        nonce: &str,
        now: u64,
        request: &Request<'_>,
    ) -> Result<Solution, PowError> {
        if !is_nonce(nonce) {
            return Err(PowError::Malformed);
        }
        if now >= challenge.expires_at {
            return Err(PowError::Expired);
        }
        if !self.issued(challenge) {
            return Err(PowError::Forged);
        }
        let Challenge { algorithm, salt, difficulty, .. } = challenge;
        if !algorithm.is_solved(salt, difficulty.target(), nonce)? {
            return Err(PowError::NotSolved);
        }
        challenge.binding.allows(request)?;
        Ok(Solution {
            id: challenge.id,
            calls: challenge.binding.calls,
            difficulty: challenge.difficulty,
            expires_at: challenge.expires_at,
        })
    }

    fn issued(&self, challenge: &Challenge) -> bool {
        let Some((_, key)) = self.keys.iter().find(|(number, _)| *number == challenge.key) else {
            return false;
        };
        let mut mac = key.clone();
        mac.update(&signed_bytes(challenge));
        // Constant time.
        mac.verify((&challenge.mac).into()).is_ok()
    }
}

impl Binding {
    fn allows(&self, request: &Request<'_>) -> Result<(), PowError> {
        if self.service != request.service {
            return Err(PowError::ForeignService);
        }
        if self.tool.is_some() && self.tool.as_deref() != request.tool {
            return Err(PowError::WrongTool);
        }
        if self.principal.is_some() && self.principal.as_ref() != request.principal {
            return Err(PowError::WrongPrincipal);
        }
        if self.arguments_digest.is_some() && self.arguments_digest.as_ref() != request.arguments_digest {
            return Err(PowError::WrongArguments);
        }
        Ok(())
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<u32> = self.keys.iter().map(|(number, _)| *number).collect();
        f.debug_struct("Signer").field("keys", &numbers).finish_non_exhaustive()
    }
}

fn keyed((number, mut key): (u32, [u8; 32])) -> (u32, Hmac<Sha256>) {
    // RFC 2104 §2: a key shorter than a block is padded with zeros.
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(&key);
    let state = Hmac::new(&block.into());
    block.zeroize();
    key.zeroize();
    (number, state)
}

fn mac(key: &Hmac<Sha256>, parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = key.clone();
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests;
