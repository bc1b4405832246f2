//! The issuer's signing keys and the set it publishes.

use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// How tokens are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigningAlgorithm {
    /// ECDSA on P-256: a new key each time.
    Es256,
    /// RSA of 2048 bits. Such a key takes long to find, so one process finds one only, and shares it.
    Rs256,
}

/// A private key and its name.
#[derive(Clone)]
pub(super) struct SigningKey {
    id: String,
    pair: Pair,
}

#[derive(Clone)]
enum Pair {
    Es256(Arc<EcdsaKeyPair>),
    Rs256(Arc<RsaKeyPair>),
}

/// The keys, newest last, and which of them are published.
#[derive(Debug)]
pub(super) struct KeyRing {
    algorithm: SigningAlgorithm,
    /// Never empty.
    keys: Vec<SigningKey>,
    newest: SigningKey,
    made: u32,
    instead: Option<Value>,
}

impl SigningKey {
    pub(super) fn generate(id: String, algorithm: SigningAlgorithm) -> io::Result<Self> {
        let pair = match algorithm {
            SigningAlgorithm::Es256 => {
                let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING);
                Pair::Es256(Arc::new(pair.map_err(no_key)?))
            }
            SigningAlgorithm::Rs256 => Pair::Rs256(shared_rsa_key()?),
        };
        Ok(Self { id, pair })
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// The name of its algorithm in a token's header.
    pub(super) fn algorithm(&self) -> &'static str {
        match self.pair {
            Pair::Es256(_) => "ES256",
            Pair::Rs256(_) => "RS256",
        }
    }

    /// The signature of `message`, base64url. Signing with a sound key does not fail; were it to, the
    /// signature is empty and every verifier refuses it.
    pub(super) fn sign(&self, message: &[u8]) -> String {
        let random = SystemRandom::new();
        let signature = match &self.pair {
            Pair::Es256(pair) => pair.sign(&random, message).map(|s| s.as_ref().to_vec()),
            Pair::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).map(|()| signature)
            }
        };
        URL_SAFE_NO_PAD.encode(signature.unwrap_or_default())
    }

    /// The public key's bytes, as its library writes them.
    pub(super) fn public_key(&self) -> &[u8] {
        match &self.pair {
            Pair::Es256(pair) => pair.public_key().as_ref(),
            Pair::Rs256(pair) => pair.public_key().as_ref(),
        }
    }

    /// The public key (RFC 7517).
    pub(super) fn jwk(&self) -> Value {
        let base64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match &self.pair {
            Pair::Es256(pair) => {
                // An uncompressed point: 4, x, y.
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                json!({
                    "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.id,
                    "x": base64(x), "y": base64(y),
                })
            }
            Pair::Rs256(pair) => {
                let key = pair.public_key();
                json!({
                    "kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.id,
                    "n": base64(key.modulus().big_endian_without_leading_zero()),
                    "e": base64(key.exponent().big_endian_without_leading_zero()),
                })
            }
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl KeyRing {
    pub(super) fn new(algorithm: SigningAlgorithm) -> io::Result<Self> {
        let key = SigningKey::generate("key-1".to_owned(), algorithm)?;
        Ok(Self { algorithm, keys: vec![key.clone()], newest: key, made: 1, instead: None })
    }

    pub(super) fn newest(&self) -> &SigningKey {
        &self.newest
    }

    pub(super) fn add(&mut self, algorithm: SigningAlgorithm) -> io::Result<String> {
        let id = format!("key-{}", self.made + 1);
        let key = SigningKey::generate(id.clone(), algorithm)?;
        self.made += 1;
        self.algorithm = algorithm;
        self.newest = key.clone();
        self.keys.push(key);
        Ok(id)
    }

    pub(super) fn withdraw(&mut self, key_id: &str) {
        self.keys.retain(|key| key.id != key_id);
    }

    pub(super) fn rotate(&mut self) -> io::Result<String> {
        let id = self.add(self.algorithm)?;
        self.keys.retain(|key| key.id == id);
        self.instead = None;
        Ok(id)
    }

    pub(super) fn publish_instead(&mut self, key_set: Value) {
        self.instead = Some(key_set);
    }

    pub(super) fn published(&self) -> Value {
        let own = || json!({ "keys": self.keys.iter().map(SigningKey::jwk).collect::<Vec<_>>() });
        self.instead.clone().unwrap_or_else(own)
    }
}

fn shared_rsa_key() -> io::Result<Arc<RsaKeyPair>> {
    static KEY: OnceLock<Option<Arc<RsaKeyPair>>> = OnceLock::new();
    let key = KEY.get_or_init(|| RsaKeyPair::generate(KeySize::Rsa2048).ok().map(Arc::new));
    key.clone().ok_or_else(|| io::Error::other("no RSA key could be made"))
}

fn no_key(_: aws_lc_rs::error::Unspecified) -> io::Error {
    io::Error::other("no signing key could be made")
}
