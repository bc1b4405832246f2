//! One proof: its form, its signature, and what it is about (RFC 9449 §4.2, §4.3).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use url::Url;

use super::{DpopConfig, ProofError};
use crate::Algorithm;
use crate::keys::Key;
use crate::signing::thumbprint;
use crate::token::{decode_object, split};

/// The longest proof that is read, in bytes.
const MAX_BYTES: usize = 8 * 1024;
/// The longest `jti` that is read, in bytes.
const MAX_ID_BYTES: usize = 512;

/// A proof whose signature is right.
pub(super) struct Proof {
    claims: Map<String, Value>,
    id: String,
    thumbprint: String,
}

/// A proof that is right by itself. It counts only for a token that is bound to its key.
#[derive(Debug)]
#[must_use]
pub struct CheckedProof {
    id: String,
    thumbprint: String,
}

/// Reads a proof and checks its signature with the key it carries.
pub(super) fn read(text: &str, algorithms: &[Algorithm]) -> Result<Proof, ProofError> {
    if text.len() > MAX_BYTES {
        return Err(ProofError::Malformed);
    }
    let (header, claims, signature) = split(text).map_err(|_| ProofError::Malformed)?;
    let signed = &text[..header.len() + 1 + claims.len()];
    let header = decode_object(header).map_err(|_| ProofError::Malformed)?;
    if !header.get("typ").and_then(Value::as_str).is_some_and(|typ| typ.eq_ignore_ascii_case("dpop+jwt")) {
        return Err(ProofError::Type);
    }
    if header.contains_key("crit") {
        return Err(ProofError::Malformed);
    }
    let algorithm = header.get("alg").and_then(Value::as_str).ok_or(ProofError::Algorithm)?;
    let algorithm =
        algorithms.iter().find(|allowed| allowed.name() == algorithm).ok_or(ProofError::Algorithm)?;
    let jwk = header.get("jwk").and_then(Value::as_object).ok_or(ProofError::Key)?;
    let key = Key::parse(jwk).filter(|key| key.fits(*algorithm)).ok_or(ProofError::Key)?;
    if !key.verifies(*algorithm, signed, signature) {
        return Err(ProofError::Signature);
    }
    let claims = decode_object(claims).map_err(|_| ProofError::Malformed)?;
    let id = claims.get("jti").and_then(Value::as_str).filter(|id| (1..=MAX_ID_BYTES).contains(&id.len()));
    let id = id.ok_or(ProofError::Malformed)?.to_owned();
    Ok(Proof { id, thumbprint: thumbprint_of(jwk).ok_or(ProofError::Key)?, claims })
}

/// RFC 7638 §3.2: only the members that make the key count.
fn thumbprint_of(jwk: &Map<String, Value>) -> Option<String> {
    let names: &[&str] = match jwk.get("kty")?.as_str()? {
        "EC" => &["crv", "kty", "x", "y"],
        "OKP" => &["crv", "kty", "x"],
        "RSA" => &["e", "kty", "n"],
        _ => return None,
    };
    let members: Option<Map<String, Value>> =
        names.iter().map(|name| Some(((*name).to_owned(), jwk.get(*name)?.clone()))).collect();
    members.map(|members| thumbprint(&members))
}

impl Proof {
    /// Whether it is for this request with this token.
    pub(super) fn is_about(&self, method: &str, url: &Url, token: &str) -> Result<(), ProofError> {
        let text = |name: &str| self.claims.get(name).and_then(Value::as_str);
        if text("htm") != Some(method) {
            return Err(ProofError::Method);
        }
        let named = text("htu").and_then(|url| Url::parse(url).ok()).ok_or(ProofError::Url)?;
        if !is_same_place(&named, url) {
            return Err(ProofError::Url);
        }
        let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(token.as_bytes()));
        if text("ath") != Some(hash.as_str()) {
            return Err(ProofError::AccessToken);
        }
        Ok(())
    }

    /// Whether it was made a short time ago.
    pub(super) fn is_of_now(&self, now: u64, config: &DpopConfig) -> Result<(), ProofError> {
        let made = self.claims.get("iat").and_then(Value::as_f64).ok_or(ProofError::Malformed)?;
        let earliest = now.saturating_sub(config.proof_seconds);
        let latest = now.saturating_add(config.ahead_seconds);
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are far below 2^53")]
        let in_time = (earliest as f64..=latest as f64).contains(&made);
        if in_time { Ok(()) } else { Err(ProofError::Time) }
    }

    pub(super) fn nonce(&self) -> Option<&str> {
        self.claims.get("nonce").and_then(Value::as_str)
    }

    pub(super) fn checked(self) -> CheckedProof {
        CheckedProof { id: self.id, thumbprint: self.thumbprint }
    }
}

/// Whether two URLs are the same but for query and fragment (RFC 9449 §4.3), in the form both have after parsing.
fn is_same_place(named: &Url, url: &Url) -> bool {
    named.scheme() == url.scheme()
        && named.username().is_empty()
        && named.password().is_none()
        && named.host_str() == url.host_str()
        && named.port_or_known_default() == url.port_or_known_default()
        && named.path() == url.path()
}

impl CheckedProof {
    /// The key's SHA-256 thumbprint, base64url (RFC 7638).
    #[must_use]
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// What tells this proof from every other: key and `jti`.
    pub(super) fn id(&self) -> [u8; 16] {
        shortened(Sha256::new().chain_update(&self.thumbprint).chain_update([0]).chain_update(&self.id))
    }

    /// What tells its key from every other.
    pub(super) fn key(&self) -> [u8; 16] {
        shortened(Sha256::new().chain_update(&self.thumbprint))
    }

    #[cfg(test)]
    pub(super) fn for_tests(thumbprint: &str, id: &str) -> Self {
        Self { id: id.to_owned(), thumbprint: thumbprint.to_owned() }
    }
}

/// Half of the hash: nobody gains from two proofs that collide but the one who made both.
fn shortened(hash: Sha256) -> [u8; 16] {
    let whole: [u8; 32] = hash.finalize().into();
    let mut half = [0; 16];
    half.copy_from_slice(&whole[..16]);
    half
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thumbprints_are_those_of_the_rfc() {
        // RFC 7638 §3.1, and RFC 8037 A.3.
        let rsa = serde_json::json!({
            "kty": "RSA", "e": "AQAB", "alg": "RS256", "kid": "2011-04-29",
            "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
        });
        let okp = serde_json::json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
        let of = |jwk: &Value| thumbprint_of(jwk.as_object().unwrap()).unwrap();
        assert_eq!(of(&rsa), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
        assert_eq!(of(&okp), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn the_proof_of_the_rfc_is_read() {
        // RFC 9449 §4.1; the thumbprint is that of its §6.1.
        let text = include_str!("../../../../fuzz/seeds/token/proof");
        let proof = read(text, &[Algorithm::Es256]).unwrap();
        assert_eq!(proof.thumbprint, "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
        let url = Url::parse("https://server.example.com/token").unwrap();
        // It is one for a token endpoint, which asks for no token's hash.
        assert!(matches!(proof.is_about("POST", &url, ""), Err(ProofError::AccessToken)));
    }

    #[test]
    fn query_and_fragment_do_not_make_another_place() {
        let url = Url::parse("https://gate.example/mcp").unwrap();
        let same = |text: &str| is_same_place(&Url::parse(text).unwrap(), &url);
        for text in [
            "https://gate.example/mcp",
            "HTTPS://GATE.example:443/mcp?a=b#c",
            "https://gate.example/./x/../mcp",
        ] {
            assert!(same(text), "{text}");
        }
        for text in [
            "http://gate.example/mcp",
            "https://gate.example:444/mcp",
            "https://gate.example/mcp/",
            "https://gate.example/",
            "https://evil.example/mcp",
            "https://gate.example@evil.example/mcp",
            "https://u@gate.example/mcp",
        ] {
            assert!(!same(text), "{text}");
        }
    }
}
