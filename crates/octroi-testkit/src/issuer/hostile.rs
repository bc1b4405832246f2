//! Tokens that must never be accepted.

use std::io;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Issuer;
use super::keys::{SigningAlgorithm, SigningKey};
use super::token::{TokenSpec, sign, token_id, unsigned};

impl Issuer {
    /// `alg: none` and an empty signature (RFC 8725 §2.1).
    #[must_use]
    pub fn unsigned_token(&self, spec: TokenSpec) -> String {
        let (header, claims) = self.texts(spec.header("alg", "none"));
        format!("{}.", unsigned(&header, &claims))
    }

    /// HMAC keyed with the issuer's public key, which anybody has (RFC 8725 §2.1).
    #[must_use]
    pub fn token_keyed_with_public_key(&self, spec: TokenSpec) -> String {
        let (header, claims) = self.texts(spec.header("alg", "HS256"));
        let signed = unsigned(&header, &claims);
        let key = self.state.keys.lock().newest().clone();
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.public_key()), signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
    }

    /// Signed by somebody else's key, under the name of the issuer's.
    ///
    /// # Errors
    /// When the machine gives no randomness.
    pub fn token_of_a_stranger(&self, spec: TokenSpec) -> io::Result<String> {
        let stranger = SigningKey::generate(self.signing_key_id(), SigningAlgorithm::Es256)?;
        let (header, claims) = self.texts(spec);
        Ok(sign(&stranger, &header, &claims))
    }

    /// A good token whose subject was changed after signing.
    #[must_use]
    pub fn altered_token(&self, spec: TokenSpec) -> String {
        let token = self.token(spec.clone());
        let signature = token.rsplit('.').next().unwrap_or_default();
        let somebody_else = format!("{}!", spec.subject);
        let (header, claims) = self.texts(spec.claim("sub", somebody_else));
        format!("{}.{signature}", unsigned(&header, &claims))
    }

    /// Correctly signed, with a header and claims of any text: repeated names, no JSON at all.
    #[must_use]
    pub fn token_of_texts(&self, header: &str, claims: &str) -> String {
        let key = self.state.keys.lock().newest().clone();
        sign(&key, header, claims)
    }

    /// What [`Self::token_of_texts`] would be given for this token: its header and its claims.
    #[must_use]
    pub fn texts(&self, spec: TokenSpec) -> (String, String) {
        let header = spec.header_text(self.state.keys.lock().newest());
        (header, spec.claims_text(&self.state.url, &token_id()))
    }

    /// An ID token (OpenID Connect Core §2) for the same person and audience.
    #[must_use]
    pub fn id_token(&self, spec: TokenSpec) -> String {
        let spec =
            spec.header("typ", "JWT").claim("nonce", "n-0S6_WzA2Mj").claim("scope", serde_json::Value::Null);
        self.token(spec)
    }
}
