//! An issuer of access tokens: one ES256 key, a discovery document and a key set over loopback HTTP.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderValue, Response, header};
use http_body_util::Full;
use serde_json::json;

use crate::failure::{Failure, Measured};
use crate::serve;

/// `aud` of every token.
pub(crate) const AUDIENCE: &str = "https://gate.example.com/mcp";
const KEY_ID: &str = "bench-1";
/// How long a token is good, in seconds: longer than any run.
const TTL: u64 = 24 * 3600;

/// A running issuer.
pub(crate) struct Issuer {
    /// `iss`.
    pub(crate) url: String,
    key: Arc<EcdsaKeyPair>,
    random: SystemRandom,
}

impl Issuer {
    pub(crate) fn start() -> Measured<Self> {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .map_err(|_| Failure::new("no ES256 key could be made"))?;
        // An uncompressed point: 4, x, y.
        let (x, y) = key.public_key().as_ref()[1..].split_at(32);
        let base64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let keys = json!({"keys": [{
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": KEY_ID, "x": base64(x), "y": base64(y),
        }]});
        let keys = Bytes::from(keys.to_string());
        let address = serve::start(move |address| {
            let url = format!("http://{address}");
            let metadata = json!({
                "issuer": url,
                "jwks_uri": format!("{url}/jwks"),
                "authorization_endpoint": format!("{url}/authorize"),
                "token_endpoint": format!("{url}/token"),
                "response_types_supported": ["code"],
                "code_challenge_methods_supported": ["S256"],
            });
            let metadata = Bytes::from(metadata.to_string());
            move |request: http::Request<hyper::body::Incoming>| {
                let body = if request.uri().path() == "/jwks" { keys.clone() } else { metadata.clone() };
                let mut reply = Response::new(Full::new(body));
                reply
                    .headers_mut()
                    .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
                async move { reply }
            }
        })?;
        Ok(Self { url: format!("http://{address}"), key: Arc::new(key), random: SystemRandom::new() })
    }

    /// An access token (RFC 9068); `id` is its `jti`.
    pub(crate) fn token(&self, id: usize) -> Measured<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        let header = json!({"typ": "at+jwt", "alg": "ES256", "kid": KEY_ID});
        let claims = json!({
            "iss": self.url, "aud": AUDIENCE, "sub": "user-4711", "client_id": "octroi-bench",
            "iat": now, "exp": now + TTL, "jti": format!("{id:016x}"), "scope": "tools:read tools:call",
        });
        let base64 = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", base64(header), base64(claims));
        let signature = self
            .key
            .sign(&self.random, signed.as_bytes())
            .map_err(|_| Failure::new("a token could not be signed"))?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}
