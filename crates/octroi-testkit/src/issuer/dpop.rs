//! The client's side of DPoP (RFC 9449): a key, and proofs made with it, right ones and wrong ones.

use std::collections::BTreeMap;
use std::io;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::keys::{SigningAlgorithm, SigningKey};
use super::token::{sign, token_id};

/// A client's key.
#[derive(Clone, Debug)]
pub struct DpopKey(SigningKey);

/// A description of a proof. What is not said is as a good proof has it.
#[derive(Clone, Debug)]
pub struct ProofSpec {
    claims: Map<String, Value>,
    header: Map<String, Value>,
}

impl DpopKey {
    /// Makes a key.
    ///
    /// # Errors
    /// When the machine gives no randomness.
    pub fn generate(algorithm: SigningAlgorithm) -> io::Result<Self> {
        SigningKey::generate("dpop".to_owned(), algorithm).map(Self)
    }

    /// Its thumbprint, as `cnf.jkt` carries it (RFC 7638).
    #[must_use]
    pub fn thumbprint(&self) -> String {
        // RFC 7638 §3.3: the members in the order of their names.
        let members = self.0.public_members();
        let sorted: BTreeMap<&String, &Value> = members.as_object().into_iter().flatten().collect();
        URL_SAFE_NO_PAD.encode(Sha256::digest(json!(sorted).to_string().as_bytes()))
    }

    /// A proof as described.
    #[must_use]
    pub fn proof(&self, spec: ProofSpec) -> String {
        let mut header =
            json!({ "typ": "dpop+jwt", "alg": self.0.algorithm(), "jwk": self.0.public_members() });
        let mut claims = json!({ "jti": token_id() });
        for (object, changes) in [(&mut header, spec.header), (&mut claims, spec.claims)] {
            if let Value::Object(members) = object {
                members.extend(changes);
                members.retain(|_, value| !value.is_null());
            }
        }
        sign(&self.0, &header.to_string(), &claims.to_string())
    }
}

impl ProofSpec {
    /// A proof for this request with this token, made at this time (seconds since the Unix epoch).
    #[must_use]
    pub fn new(method: &str, url: &str, token: &str, made_at: u64) -> Self {
        let mut claims = Map::new();
        claims.insert("htm".to_owned(), json!(method));
        claims.insert("htu".to_owned(), json!(url));
        claims.insert("iat".to_owned(), json!(made_at));
        claims.insert("ath".to_owned(), json!(URL_SAFE_NO_PAD.encode(Sha256::digest(token.as_bytes()))));
        Self { claims, header: Map::new() }
    }

    /// Sets a claim, or removes it when `value` is `null`.
    #[must_use]
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims.insert(name.to_owned(), value.into());
        self
    }

    /// Sets a header member, or removes it when `value` is `null`.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header.insert(name.to_owned(), value.into());
        self
    }
}
