//! Private keys.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::Algorithm;

/// A private signing key of the gate's: ES256, EdDSA, or RS256 where an issuer insists. Never printed.
#[derive(Clone)]
pub struct SigningKey {
    id: String,
    algorithm: Algorithm,
    pair: Arc<Pair>,
}

enum Pair {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
    Rs256(RsaKeyPair),
}

/// A key cannot be made or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Not a private key in PKCS #8, PEM or DER.
    #[error("not a private key in PKCS #8 (BEGIN PRIVATE KEY)")]
    NotAKey,
    /// A key for something else than ES256, EdDSA (Ed25519) or RS256 (2048 to 8192 bits).
    #[error("the private key is for no accepted algorithm: use P-256, Ed25519 or RSA")]
    Kind,
    /// Keys are made for ES256 and EdDSA only.
    #[error("keys are made for ES256 and EdDSA only")]
    NotMade,
    /// The machine gives no randomness, or the key cannot sign.
    #[error("the key cannot sign, or could not be made")]
    Unusable,
}

impl SigningKey {
    /// Makes a new key for ES256 or EdDSA.
    ///
    /// # Errors
    /// For any other algorithm, or without randomness.
    pub fn generate(algorithm: Algorithm) -> Result<Self, KeyError> {
        let unusable = |_| KeyError::Unusable;
        match algorithm {
            Algorithm::Es256 => {
                let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(unusable)?;
                Self::of(Pair::Es256(pair))
            }
            Algorithm::EdDsa => Self::of(Pair::EdDsa(Ed25519KeyPair::generate().map_err(unusable)?)),
            _ => Err(KeyError::NotMade),
        }
    }

    /// Reads a key in PEM: one `BEGIN PRIVATE KEY` block (PKCS #8, RFC 5958).
    ///
    /// # Errors
    /// When it is no such block, or the key is of another kind.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
        let (_, rest) = pem.split_once(BEGIN).ok_or(KeyError::NotAKey)?;
        let (text, rest) = rest.split_once("-----END PRIVATE KEY-----").ok_or(KeyError::NotAKey)?;
        if rest.contains(BEGIN) {
            return Err(KeyError::NotAKey);
        }
        let text: Zeroizing<String> = Zeroizing::new(text.split_ascii_whitespace().collect());
        let der = Zeroizing::new(STANDARD.decode(text.as_bytes()).map_err(|_| KeyError::NotAKey)?);
        Self::from_der(&der)
    }

    /// Reads a key in DER (PKCS #8, RFC 5958).
    ///
    /// # Errors
    /// When it cannot be read or is of another kind.
    pub fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        if let Ok(pair) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der) {
            return Self::of(Pair::Es256(pair));
        }
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8(der) {
            return Self::of(Pair::EdDsa(pair));
        }
        let pair = RsaKeyPair::from_pkcs8(der).map_err(|_| KeyError::Kind)?;
        if (256..=1024).contains(&pair.public_modulus_len()) {
            Self::of(Pair::Rs256(pair))
        } else {
            Err(KeyError::Kind)
        }
    }

    /// The same key under a name an issuer gave it, instead of its thumbprint.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = id.into();
        self
    }

    /// The key's name (`kid`): its thumbprint (RFC 7638), unless it was given another.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What it signs with.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The public half (RFC 7517).
    #[must_use]
    pub fn public_jwk(&self) -> Map<String, Value> {
        let mut jwk = self.pair.public_members();
        jwk.insert("kid".to_owned(), json!(self.id));
        jwk.insert("alg".to_owned(), json!(self.algorithm.name()));
        jwk.insert("use".to_owned(), json!("sig"));
        jwk
    }

    /// The private half in DER (PKCS #8), to be kept in a safe place.
    ///
    /// # Errors
    /// When the library cannot write it.
    pub(crate) fn to_der(&self) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let unusable = |_| KeyError::Unusable;
        Ok(Zeroizing::new(match &*self.pair {
            Pair::Es256(pair) => pair.to_pkcs8v1().map_err(unusable)?.as_ref().to_vec(),
            Pair::EdDsa(pair) => pair.to_pkcs8v1().map_err(unusable)?.as_ref().to_vec(),
            Pair::Rs256(pair) => {
                let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().map_err(unusable)?;
                der.as_ref().to_vec()
            }
        }))
    }

    /// A compact JWS (RFC 7515 §7.1) of these claims.
    ///
    /// # Errors
    /// When the machine gives no randomness.
    pub(crate) fn sign(&self, typ: &str, claims: &Map<String, Value>) -> Result<String, KeyError> {
        let header = json!({ "typ": typ, "alg": self.algorithm.name(), "kid": self.id });
        let mut text = URL_SAFE_NO_PAD.encode(header.to_string());
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(json!(claims).to_string(), &mut text);
        let random = SystemRandom::new();
        let unusable = |_| KeyError::Unusable;
        let signature = match &*self.pair {
            Pair::Es256(pair) => pair.sign(&random, text.as_bytes()).map_err(unusable)?.as_ref().to_vec(),
            Pair::EdDsa(pair) => pair.try_sign(text.as_bytes()).map_err(unusable)?.as_ref().to_vec(),
            Pair::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature).map_err(unusable)?;
                signature
            }
        };
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut text);
        Ok(text)
    }

    fn of(pair: Pair) -> Result<Self, KeyError> {
        let algorithm = match &pair {
            Pair::Es256(_) => Algorithm::Es256,
            Pair::EdDsa(_) => Algorithm::EdDsa,
            Pair::Rs256(_) => Algorithm::Rs256,
        };
        let id = thumbprint(&pair.public_members());
        Ok(Self { id, algorithm, pair: Arc::new(pair) })
    }
}

impl Pair {
    /// The members that RFC 7638 §3.2 hashes.
    fn public_members(&self) -> Map<String, Value> {
        let base64 = |bytes: &[u8]| Value::String(URL_SAFE_NO_PAD.encode(bytes));
        let members: Vec<(&str, Value)> = match self {
            Self::Es256(pair) => {
                // An uncompressed point: 4, x, y (SEC 1 §2.3.3).
                let point = pair.public_key().as_ref();
                let (x, y) = (point.get(1..33).unwrap_or_default(), point.get(33..65).unwrap_or_default());
                vec![("crv", json!("P-256")), ("kty", json!("EC")), ("x", base64(x)), ("y", base64(y))]
            }
            Self::EdDsa(pair) => {
                let x = base64(pair.public_key().as_ref());
                vec![("crv", json!("Ed25519")), ("kty", json!("OKP")), ("x", x)]
            }
            Self::Rs256(pair) => {
                let key = pair.public_key();
                let e = base64(key.exponent().big_endian_without_leading_zero());
                let n = base64(key.modulus().big_endian_without_leading_zero());
                vec![("e", e), ("kty", json!("RSA")), ("n", n)]
            }
        };
        members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// The SHA-256 thumbprint of a public key's required members, base64url (RFC 7638 §3): they stand in the order of their
/// names, as `serde_json` writes them.
pub(crate) fn thumbprint(members: &Map<String, Value>) -> String {
    let sorted: std::collections::BTreeMap<_, _> = members.iter().collect();
    URL_SAFE_NO_PAD.encode(Sha256::digest(json!(sorted).to_string().as_bytes()))
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_written() {
        for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
            let key = SigningKey::generate(algorithm).unwrap();
            let der = key.to_der().unwrap();
            let pem = format!(
                "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
                STANDARD.encode(&*der)
            );
            for read in [SigningKey::from_der(&der).unwrap(), SigningKey::from_pem(&pem).unwrap()] {
                assert_eq!((read.id(), read.algorithm()), (key.id(), algorithm));
                assert_eq!(read.public_jwk(), key.public_jwk());
            }
            assert!(!key.public_jwk().contains_key("d"));
            assert!(SigningKey::from_pem(&format!("{pem}{pem}")).is_err());
        }
        assert_eq!(SigningKey::generate(Algorithm::Rs256).unwrap_err(), KeyError::NotMade);
        for text in [
            "",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
            "-----BEGIN PRIVATE KEY-----",
        ] {
            assert!(SigningKey::from_pem(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_rsa_key_signs_too() {
        let pair = RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
        let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let key = SigningKey::from_der(der.as_ref()).unwrap().with_id("mine");
        assert_eq!((key.id(), key.algorithm()), ("mine", Algorithm::Rs256));
        let set = json!({ "keys": [key.public_jwk()] }).to_string();
        let text = key.sign("JWT", &Map::new()).unwrap();
        let provider = crate::Provider::oidc("https://issuer.example");
        let token = crate::token::UnverifiedToken::parse(&text, &provider).unwrap();
        let set = crate::keys::KeySet::parse(set.as_bytes()).unwrap();
        assert_eq!(set.check(&token), crate::keys::Answer::Good);
    }
}
