//! The issuer's signing keys and the set it publishes.

use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512,
    RsaEncoding, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// How tokens are signed. An RSA key of 2048 bits takes long to find, so one process finds one only, and shares it; every
/// other key is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigningAlgorithm {
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
}

impl SigningAlgorithm {
    /// Every algorithm.
    pub const ALL: [Self; 9] = [
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
    ];

    /// The name in a token's header (RFC 7518 §3.1, RFC 8037 §3.1).
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
        }
    }

    fn rsa_encoding(self) -> &'static dyn RsaEncoding {
        match self {
            Self::Rs384 => &RSA_PKCS1_SHA384,
            Self::Rs512 => &RSA_PKCS1_SHA512,
            Self::Ps256 => &RSA_PSS_SHA256,
            Self::Ps384 => &RSA_PSS_SHA384,
            Self::Ps512 => &RSA_PSS_SHA512,
            _ => &RSA_PKCS1_SHA256,
        }
    }
}

/// A private key and its name.
#[derive(Clone)]
pub(super) struct SigningKey {
    id: String,
    algorithm: SigningAlgorithm,
    pair: Pair,
}

#[derive(Clone)]
enum Pair {
    Ecdsa(Arc<EcdsaKeyPair>),
    Ed25519(Arc<Ed25519KeyPair>),
    Rsa(Arc<RsaKeyPair>),
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
        let ecdsa = |curve| EcdsaKeyPair::generate(curve).map(|pair| Pair::Ecdsa(Arc::new(pair)));
        let pair = match algorithm {
            SigningAlgorithm::Es256 => ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(no_key)?,
            SigningAlgorithm::Es384 => ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING).map_err(no_key)?,
            SigningAlgorithm::EdDsa => Pair::Ed25519(Arc::new(Ed25519KeyPair::generate().map_err(no_key)?)),
            _ => Pair::Rsa(shared_rsa_key()?),
        };
        Ok(Self { id, algorithm, pair })
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// The name of its algorithm in a token's header.
    pub(super) fn algorithm(&self) -> &'static str {
        self.algorithm.name()
    }

    /// The signature of `message`, base64url. Signing with a sound key does not fail; were it to, the
    /// signature is empty and every verifier refuses it.
    pub(super) fn sign(&self, message: &[u8]) -> String {
        let random = SystemRandom::new();
        let signature = match &self.pair {
            Pair::Ecdsa(pair) => pair.sign(&random, message).map(|s| s.as_ref().to_vec()),
            Pair::Ed25519(pair) => pair.try_sign(message).map(|s| s.as_ref().to_vec()),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(self.algorithm.rsa_encoding(), &random, message, &mut signature).map(|()| signature)
            }
        };
        URL_SAFE_NO_PAD.encode(signature.unwrap_or_default())
    }

    /// The public key's bytes, as its library writes them.
    pub(super) fn public_key(&self) -> &[u8] {
        match &self.pair {
            Pair::Ecdsa(pair) => pair.public_key().as_ref(),
            Pair::Ed25519(pair) => pair.public_key().as_ref(),
            Pair::Rsa(pair) => pair.public_key().as_ref(),
        }
    }

    /// The public key's members that make its thumbprint (RFC 7638 §3.2).
    pub(super) fn public_members(&self) -> Value {
        let base64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match &self.pair {
            Pair::Ecdsa(pair) => {
                // An uncompressed point: 4, x, y.
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                let curve = if x.len() == 32 { "P-256" } else { "P-384" };
                json!({ "kty": "EC", "crv": curve, "x": base64(x), "y": base64(y) })
            }
            Pair::Ed25519(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": base64(pair.public_key().as_ref()) })
            }
            Pair::Rsa(pair) => {
                let key = pair.public_key();
                json!({
                    "kty": "RSA",
                    "n": base64(key.modulus().big_endian_without_leading_zero()),
                    "e": base64(key.exponent().big_endian_without_leading_zero()),
                })
            }
        }
    }

    /// The public key (RFC 7517).
    pub(super) fn jwk(&self) -> Value {
        let mut jwk = self.public_members();
        for (name, value) in [("use", "sig"), ("alg", self.algorithm()), ("kid", self.id())] {
            jwk[name] = json!(value);
        }
        jwk
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
