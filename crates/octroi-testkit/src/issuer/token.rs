//! What a token says.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::State;
use super::keys::SigningKey;

/// A description of an access token. What is not said is as a good token of this issuer has it.
#[derive(Clone, Debug)]
pub struct TokenSpec {
    /// `sub`.
    pub subject: String,
    /// `aud`.
    pub audience: String,
    /// `scope`.
    pub scopes: Vec<String>,
    /// `client_id`.
    pub client_id: String,
    /// Seconds from `iat` to `exp`.
    pub ttl_seconds: u64,
    /// `iat`, seconds since the Unix epoch; now when `None`.
    pub issued_at: Option<u64>,
    /// Claims to add or replace; `null` removes.
    claims: Map<String, Value>,
    /// Header members to add or replace; `null` removes.
    header: Map<String, Value>,
}

impl TokenSpec {
    /// A token for `subject` to use at `audience`, good for an hour, without scopes.
    #[must_use]
    pub fn new(subject: &str, audience: &str) -> Self {
        Self {
            subject: subject.to_owned(),
            audience: audience.to_owned(),
            scopes: Vec::new(),
            client_id: "test-client".to_owned(),
            ttl_seconds: 3600,
            issued_at: None,
            claims: Map::new(),
            header: Map::new(),
        }
    }

    /// Grants scopes.
    #[must_use]
    pub fn scopes(mut self, scopes: &[&str]) -> Self {
        self.scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        self
    }

    /// Sets how long it is good, in seconds.
    #[must_use]
    pub fn ttl_seconds(mut self, seconds: u64) -> Self {
        self.ttl_seconds = seconds;
        self
    }

    /// Sets when it was issued, in seconds since the Unix epoch.
    #[must_use]
    pub fn issued_at(mut self, seconds: u64) -> Self {
        self.issued_at = Some(seconds);
        self
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

    /// The claims' text (RFC 9068 §2.2).
    pub(super) fn claims_text(self, issuer: &str, id: &str) -> String {
        let issued_at = self.issued_at.unwrap_or_else(now);
        let claims = json!({
            "iss": issuer,
            "sub": self.subject,
            "aud": self.audience,
            "client_id": self.client_id,
            "scope": self.scopes.join(" "),
            "iat": issued_at,
            "exp": issued_at.saturating_add(self.ttl_seconds),
            "jti": id,
        });
        with(claims, self.claims).to_string()
    }

    /// The header's text (RFC 9068 §2.1).
    pub(super) fn header_text(&self, key: &SigningKey) -> String {
        let header = json!({ "typ": "at+jwt", "alg": key.algorithm(), "kid": key.id() });
        with(header, self.header.clone()).to_string()
    }
}

impl State {
    pub(super) fn token(&self, spec: TokenSpec) -> String {
        let key = self.keys.lock().newest().clone();
        let header = spec.header_text(&key);
        sign(&key, &header, &spec.claims_text(&self.url, &token_id()))
    }
}

/// Signs a header and claims, whatever they say.
pub(super) fn sign(key: &SigningKey, header: &str, claims: &str) -> String {
    let signed = unsigned(header, claims);
    let signature = key.sign(signed.as_bytes());
    format!("{signed}.{signature}")
}

/// Header and claims in base64url, without a signature.
pub(super) fn unsigned(header: &str, claims: &str) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims))
}

/// A random `jti`.
pub(super) fn token_id() -> String {
    let mut bytes = [0; 16];
    // Without randomness the id repeats, which a test issuer can afford.
    let _ = getrandom::fill(&mut bytes);
    hex::encode(bytes)
}

fn with(mut object: Value, changes: Map<String, Value>) -> Value {
    if let Value::Object(members) = &mut object {
        members.extend(changes);
        members.retain(|_, value| !value.is_null());
    }
    object
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
