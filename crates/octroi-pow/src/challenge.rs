//! The challenge as clients see it: JSON, and a token of the same JSON that fits in a header.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize, Serializer};

use crate::sealed::Sealed;
use crate::{Algorithm, Difficulty};

/// The most characters of a challenge token.
pub const MAX_TOKEN: usize = 2048;

/// What a solution may be used for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Binding {
    /// The only tool; `None`: any tool that proof of work is taken for.
    pub tool: Option<String>,
    /// The only principal; `None`: whoever brings it.
    pub principal: Option<[u8; 32]>,
    /// SHA-256 of the only arguments; `None`: any.
    pub arguments_digest: Option<[u8; 32]>,
    /// How many calls it buys.
    pub calls: u32,
    /// The service that issued it.
    pub service: String,
}

/// A puzzle. In JSON: `id`, `salt`, `difficulty`, `target`, `signature`, `expires_at`, which a client must send back, and
/// for its information `algorithm`, `service`, `calls`, `tool`, `principal`, `arguments_sha256`, which it may.
///
/// The six are enough because the signature text holds the binding too; where the others come back they must say the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ChallengeJson", into = "ChallengeJson")]
pub struct Challenge {
    /// Names the challenge; spent once by whoever redeems it. Hex in JSON.
    pub id: [u8; 16],
    /// What is hashed before the nonce: unguessable, and of this challenge alone.
    pub salt: String,
    /// How hard it is. In JSON `difficulty` (bits, a number) and `target` (64 hex digits), which what is hashed for the
    /// [`algorithm`](Self::algorithm) must be below.
    pub difficulty: Difficulty,
    /// No longer good from this second on (unix seconds).
    pub expires_at: u64,
    /// The function to compute.
    pub algorithm: Algorithm,
    /// What a solution buys.
    pub binding: Binding,
    /// The number of the key it is signed with.
    pub(crate) key: u32,
    /// HMAC over everything above.
    pub(crate) mac: [u8; 32],
}

/// Why a challenge cannot be read. The caller's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChallengeError {
    /// The token is longer than [`MAX_TOKEN`] characters.
    #[error("the challenge token is longer than {MAX_TOKEN} characters")]
    TooLong,
    /// The token is not base64url of a challenge's JSON.
    #[error("the challenge token is not base64url of a challenge")]
    Token,
    /// A field is not of the form it was given out in.
    #[error("the challenge's {0} is malformed")]
    Field(&'static str),
    /// A field says something else than the signature does.
    #[error("the challenge's {0} was changed")]
    Changed(&'static str),
}

impl Challenge {
    /// The bits that solving it really costs: those that are stated, or those that the target asks for where they are
    /// more. A server that understates the one cannot understate the other.
    #[must_use]
    pub fn bits(&self) -> f64 {
        let target =
            self.difficulty.target().iter().fold(0.0, |value, byte| value * 256.0 + f64::from(*byte));
        let asked = 256.0 - (target + 1.0_f64).log2() + f64::from(self.algorithm.worth_millibits()) / 1000.0;
        // The largest target that can be said asks for a hair more than nothing.
        if asked > self.difficulty.bits() + 0.001 { asked } else { self.difficulty.bits() }
    }

    /// The six fields that must come back, as base64url (no padding) of compact JSON: for the `X-PoW-Solution` header.
    #[must_use]
    pub fn to_token(&self) -> String {
        let json = ChallengeJson::from(self.clone()).six_fields();
        // Strings and numbers only: writing them to memory cannot fail.
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&json).unwrap_or_default())
    }

    /// Reads a token: base64url with or without its padding.
    ///
    /// # Errors
    /// [`ChallengeError`]. Nothing is verified where there is none.
    pub fn from_token(token: &str) -> Result<Self, ChallengeError> {
        if token.len() > MAX_TOKEN {
            return Err(ChallengeError::TooLong);
        }
        let json = URL_SAFE_NO_PAD.decode(token.trim_end_matches('=')).map_err(|_| ChallengeError::Token)?;
        let json: ChallengeJson = serde_json::from_slice(&json).map_err(|_| ChallengeError::Token)?;
        json.try_into()
    }
}

/// The JSON form. One flat list of fields: `flatten` would buffer them, and lose numbers where some other crate turns on
/// serde_json's `arbitrary_precision`.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct ChallengeJson {
    id: String,
    salt: String,
    #[serde(serialize_with = "write_bits")]
    difficulty: f64,
    target: String,
    signature: String,
    expires_at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    algorithm: Option<Algorithm>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    service: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    calls: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tool: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    principal: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    arguments_sha256: Option<String>,
    /// Only in a submission.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) nonce: Option<String>,
}

impl ChallengeJson {
    /// Without what is told to clients beside the six fields.
    fn six_fields(self) -> Self {
        Self {
            algorithm: None,
            service: None,
            calls: None,
            tool: None,
            principal: None,
            arguments_sha256: None,
            ..self
        }
    }

    /// Whether what was told, where it came back, is what was signed.
    fn agrees_with(&self, signed: Algorithm, binding: &Binding) -> Result<(), ChallengeError> {
        let digest = |text: Option<&String>, name| text.map(|text| read_hex::<32>(text, name)).transpose();
        let principal = digest(self.principal.as_ref(), "principal")?;
        let arguments = digest(self.arguments_sha256.as_ref(), "arguments_sha256")?;
        let checks = [
            ("algorithm", self.algorithm.is_none_or(|told| told == signed)),
            ("service", self.service.as_ref().is_none_or(|told| *told == binding.service)),
            ("calls", self.calls.is_none_or(|told| told == binding.calls)),
            ("tool", self.tool.is_none() || self.tool == binding.tool),
            ("principal", principal.is_none() || principal == binding.principal),
            ("arguments_sha256", arguments.is_none() || arguments == binding.arguments_digest),
        ];
        match checks.iter().find(|(_, agrees)| !agrees) {
            Some((name, _)) => Err(ChallengeError::Changed(name)),
            None => Ok(()),
        }
    }
}

/// Whole bits as a whole number, `20` and not `20.0`.
fn write_bits<S: Serializer>(bits: &f64, out: S) -> Result<S::Ok, S::Error> {
    // Between 0 and 64, so nothing is cut off.
    if bits.fract() == 0.0 { out.serialize_u32(*bits as u32) } else { out.serialize_f64(*bits) }
}

fn read_bits(bits: f64) -> Result<u32, ChallengeError> {
    // What rounding to a thousandth would hide was not written here.
    let difficulty = Difficulty::from_bits(bits).ok().filter(|difficulty| difficulty.bits() == bits);
    difficulty.map(|difficulty| difficulty.millibits()).ok_or(ChallengeError::Field("difficulty"))
}

impl From<Challenge> for ChallengeJson {
    fn from(challenge: Challenge) -> Self {
        let signature = Sealed::of(&challenge).to_text();
        let Binding { tool, principal, arguments_digest, calls, service } = challenge.binding;
        Self {
            id: hex::encode(challenge.id),
            salt: challenge.salt,
            difficulty: challenge.difficulty.bits(),
            target: hex::encode(challenge.difficulty.target()),
            signature,
            expires_at: challenge.expires_at,
            algorithm: Some(challenge.algorithm),
            service: Some(service),
            calls: Some(calls),
            tool,
            principal: principal.map(hex::encode),
            arguments_sha256: arguments_digest.map(hex::encode),
            nonce: None,
        }
    }
}

impl TryFrom<ChallengeJson> for Challenge {
    type Error = ChallengeError;

    fn try_from(json: ChallengeJson) -> Result<Self, Self::Error> {
        let id = read_hex(&json.id, "id")?;
        let target = read_hex(&json.target, "target")?;
        let difficulty = Difficulty::from_parts(read_bits(json.difficulty)?, target);
        let sealed = Sealed::from_text(&json.signature).ok_or(ChallengeError::Field("signature"))?;
        json.agrees_with(sealed.algorithm, &sealed.binding)?;
        let Sealed { key, algorithm, binding, mac } = sealed;
        Ok(Self {
            id,
            salt: json.salt,
            difficulty,
            expires_at: json.expires_at,
            algorithm,
            binding,
            key,
            mac,
        })
    }
}

fn read_hex<const N: usize>(text: &str, name: &'static str) -> Result<[u8; N], ChallengeError> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| ChallengeError::Field(name))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
