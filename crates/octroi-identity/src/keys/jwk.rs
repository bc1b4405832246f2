//! Key sets (RFC 7517) and the signature check.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde_json::{Map, Value};
use thiserror::Error;

use crate::token::UnverifiedToken;
use crate::token::json;
use crate::{Algorithm, IdentityConfig, InvalidToken};

/// RSA moduli outside these bounds are ignored, in bits: shorter ones are breakable (RFC 7518 §3.3), longer
/// ones only slow the gate down.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// The members that only private and shared keys have (RFC 7518 §6.2.2, §6.3.2, §6.4.1).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// The document is not a key set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a JSON Web Key Set")]
pub(crate) struct NotAKeySet(());

/// The usable keys of an issuer.
#[derive(Debug)]
pub(crate) struct KeySet {
    keys: Vec<Key>,
}

/// One public signature key, parsed once.
#[derive(Debug)]
pub(crate) struct Key {
    id: Option<String>,
    family: Family,
    /// The only algorithm the issuer uses it with, if it says.
    algorithm: Option<Algorithm>,
    /// The public key's numbers, to tell whether a key has left the set.
    material: Vec<u8>,
    decoding: DecodingKey,
}

/// What a key can verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Ed25519,
    P256,
    P384,
    Rsa,
}

/// Whether a key set can answer for a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The signature is right.
    Good,
    /// It is not, or no key can be meant.
    Bad(InvalidToken),
    /// No key of that name: a newer set may have it.
    Unknown,
}

impl KeySet {
    /// Reads a key set. Keys that cannot be used are left out: encryption keys, unknown kinds and algorithms,
    /// weak RSA keys, shared secrets, and keys published with their private half. Keys marked for SPIFFE's JWT-SVIDs
    /// (`use: jwt-svid`) are signature keys. At most [`IdentityConfig::MAX_KEYS`] are kept.
    pub(crate) fn parse(document: &[u8]) -> Result<Self, NotAKeySet> {
        let document = json::object(document).map_err(|_| NotAKeySet(()))?;
        let keys = document.get("keys").and_then(Value::as_array).ok_or(NotAKeySet(()))?;
        let usable = keys.iter().filter_map(Value::as_object).filter_map(Key::parse);
        Ok(Self { keys: usable.take(IdentityConfig::MAX_KEYS).collect() })
    }

    /// How many keys can be used.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether a key of this set is missing from `newer`, or is there under other terms.
    pub(crate) fn lost_a_key(&self, newer: &Self) -> bool {
        !self.keys.iter().all(|key| newer.keys.iter().any(|other| key.is_same(other)))
    }

    /// Checks a token's signature with the key it names or, if it names none, with the only one that fits.
    pub(crate) fn check(&self, token: &UnverifiedToken<'_>) -> Answer {
        let mut fitting = self
            .keys
            .iter()
            .filter(|key| token.key_id.is_none() || key.id == token.key_id)
            .filter(|key| key.fits(token.algorithm))
            .peekable();
        if fitting.peek().is_none() {
            return Answer::Unknown;
        }
        if token.key_id.is_none() && fitting.clone().nth(1).is_some() {
            return Answer::Bad(InvalidToken::KeyAmbiguous);
        }
        // Names should be unique in a set but need not be (RFC 7517 §4.5).
        if fitting.any(|key| key.verifies(token.algorithm, token.signed, token.signature)) {
            Answer::Good
        } else {
            Answer::Bad(InvalidToken::Signature)
        }
    }
}

impl Key {
    /// Reads a public key; `None` for one that cannot or must not be used.
    pub(crate) fn parse(jwk: &Map<String, Value>) -> Option<Self> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let for_signatures = jwk.get("use").is_none_or(|purpose| purpose == "sig" || purpose == "jwt-svid")
            && jwk
                .get("key_ops")
                .is_none_or(|ops| ops.as_array().is_some_and(|ops| ops.iter().any(|op| op == "verify")));
        if !for_signatures || PRIVATE.iter().any(|name| jwk.contains_key(*name)) {
            return None;
        }
        let number = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?).ok();
        let (family, material, decoding) = match (text("kty")?, text("crv")) {
            ("RSA", None) => rsa(&number("n")?, &number("e")?)?,
            ("EC", Some("P-256")) => elliptic(Family::P256, 32, &number("x")?, &number("y")?)?,
            ("EC", Some("P-384")) => elliptic(Family::P384, 48, &number("x")?, &number("y")?)?,
            ("OKP", Some("Ed25519")) => edwards(number("x")?)?,
            _ => return None,
        };
        let algorithm = match jwk.get("alg") {
            None => None,
            Some(name) => Some(name.as_str()?.parse().ok().filter(|algorithm| family.fits(*algorithm))?),
        };
        let id = match jwk.get("kid") {
            None => None,
            Some(id) => Some(id.as_str()?.to_owned()),
        };
        Some(Self { id, family, algorithm, material, decoding })
    }

    fn is_same(&self, other: &Self) -> bool {
        self.id == other.id
            && self.family == other.family
            && self.algorithm == other.algorithm
            && self.material == other.material
    }

    /// Whether the key is one for this algorithm.
    pub(crate) fn fits(&self, algorithm: Algorithm) -> bool {
        self.family.fits(algorithm) && self.algorithm.is_none_or(|only| only == algorithm)
    }

    /// Whether `signature` (base64url) is right for `signed`.
    pub(crate) fn verifies(&self, algorithm: Algorithm, signed: &str, signature: &str) -> bool {
        let algorithm = backend_algorithm(algorithm);
        jsonwebtoken::crypto::verify(signature, signed.as_bytes(), &self.decoding, algorithm).unwrap_or(false)
    }
}

impl Family {
    fn fits(self, algorithm: Algorithm) -> bool {
        use Algorithm::{EdDsa, Es256, Es384, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
        match self {
            Self::Ed25519 => algorithm == EdDsa,
            Self::P256 => algorithm == Es256,
            Self::P384 => algorithm == Es384,
            Self::Rsa => matches!(algorithm, Ps256 | Ps384 | Ps512 | Rs256 | Rs384 | Rs512),
        }
    }
}

fn rsa(n: &[u8], e: &[u8]) -> Option<(Family, Vec<u8>, DecodingKey)> {
    let n = &n[n.iter().position(|byte| *byte != 0)?..];
    let bits = n.len() * 8 - n.first()?.leading_zeros() as usize;
    if !RSA_BITS.contains(&bits) {
        return None;
    }
    let mut material = n.to_vec();
    material.extend_from_slice(e);
    Some((Family::Rsa, material, DecodingKey::from_rsa_raw_components(n, e)))
}

fn elliptic(family: Family, width: usize, x: &[u8], y: &[u8]) -> Option<(Family, Vec<u8>, DecodingKey)> {
    // RFC 7518 §6.2.1.2: coordinates have the full width of the curve.
    if x.len() != width || y.len() != width {
        return None;
    }
    let point = [&[4], x, y].concat();
    let decoding = DecodingKey::from_ec_der(&point);
    Some((family, point, decoding))
}

fn edwards(x: Vec<u8>) -> Option<(Family, Vec<u8>, DecodingKey)> {
    if x.len() != 32 {
        return None;
    }
    let decoding = DecodingKey::from_ed_der(&x);
    Some((Family::Ed25519, x, decoding))
}

fn backend_algorithm(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
    match algorithm {
        Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
        Algorithm::Es384 => jsonwebtoken::Algorithm::ES384,
        Algorithm::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        Algorithm::Ps256 => jsonwebtoken::Algorithm::PS256,
        Algorithm::Ps384 => jsonwebtoken::Algorithm::PS384,
        Algorithm::Ps512 => jsonwebtoken::Algorithm::PS512,
        Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
        Algorithm::Rs384 => jsonwebtoken::Algorithm::RS384,
        Algorithm::Rs512 => jsonwebtoken::Algorithm::RS512,
    }
}
