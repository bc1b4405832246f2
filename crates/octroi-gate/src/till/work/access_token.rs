//! Access tokens for work: what `verify` gives to callers of *other people's* services, who can check them offline.
//!
//! A JWT (RFC 7519) signed with Ed25519 (RFC 8037), in the profile of RFC 9068. The keys are derived from the gate's master
//! keys, so that several gates with the same secret sign and check the same tokens; the public halves are published as a JWK
//! Set (RFC 7517).

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The longest token that is looked at, in characters.
pub(crate) const MAX_ACCESS_TOKEN: usize = 4096;
/// `typ` (RFC 9068 §2.1).
const TYPE: &str = "at+jwt";
/// What the token permits, as a scope (RFC 9068 §2.2.3).
const SCOPE: &str = "octroi:work";

/// The keys that sign and check.
pub struct AccessTokens {
    issuer: String,
    /// The current key first.
    keys: Vec<Key>,
}

struct Key {
    id: String,
    pair: Ed25519KeyPair,
}

/// A key's seed cannot be used. The fault is the machine's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key for access tokens cannot be made")]
pub struct KeyRejected;

/// What a token says.
#[derive(Clone, Debug)]
pub struct WorkClaims<'a> {
    /// Whose service it is for.
    pub audience: &'a str,
    /// Who solved the puzzle, where that is known; otherwise the puzzle stands for its solver.
    pub principal: Option<[u8; 32]>,
    /// The puzzle: the token's own id, to be noted by whoever wants to take it once only.
    pub challenge_id: [u8; 16],
    /// The name of the service.
    pub service: &'a str,
    /// The only tool it is for.
    pub tool: Option<&'a str>,
    /// How many calls it is good for. Whoever takes the token counts them.
    pub calls: u32,
    /// What was computed for it, in bits.
    pub bits: f64,
    /// Unix seconds.
    pub issued_at: u64,
    /// Unix seconds.
    pub expires_at: u64,
}

/// Why a token is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    /// Not a token of this form, or not signed here.
    #[error("this is no access token of this gate")]
    Unknown,
    /// Its time is over.
    #[error("the access token has expired")]
    Expired,
    /// It is for another service.
    #[error("the access token is for another audience")]
    Audience,
}

impl AccessTokens {
    /// Tokens of `issuer` (the gate's public URL), signed with the first of `seeds` and checked with all.
    ///
    /// # Errors
    /// [`KeyRejected`].
    pub fn new<'k>(
        issuer: impl Into<String>,
        seeds: impl IntoIterator<Item = &'k [u8; 32]>,
    ) -> Result<Self, KeyRejected> {
        let keys = seeds.into_iter().map(|seed| {
            let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| KeyRejected)?;
            Ok(Key { id: thumbprint(pair.public_key().as_ref()), pair })
        });
        Ok(Self { issuer: issuer.into(), keys: keys.collect::<Result<_, _>>()? })
    }

    /// Signs a token.
    #[must_use]
    pub fn issue(&self, claims: &WorkClaims<'_>) -> Option<String> {
        let key = self.keys.first()?;
        let id = hex::encode(claims.challenge_id);
        let subject = claims.principal.map_or_else(|| format!("work:{id}"), hex::encode);
        let header = json!({"alg": "EdDSA", "typ": TYPE, "kid": key.id});
        let body = json!({
            "iss": self.issuer,
            "aud": claims.audience,
            "sub": subject,
            "client_id": subject,
            "jti": id,
            "iat": claims.issued_at,
            "exp": claims.expires_at,
            "scope": SCOPE,
            "octroi": {
                "service": claims.service,
                "tool": claims.tool,
                "calls": claims.calls,
                "difficulty": claims.bits,
            },
        });
        let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let signed = format!("{}.{}", part(&header), part(&body));
        let signature = key.pair.try_sign(signed.as_bytes()).ok()?;
        Some(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref())))
    }

    /// The claims of a token that was signed here and is good at `now` (Unix seconds), for `audience` if one is named. Says
    /// nothing about how often it was shown.
    ///
    /// # Errors
    /// [`BadToken`].
    pub fn check(&self, token: &str, audience: Option<&str>, now: u64) -> Result<Value, BadToken> {
        if token.len() > MAX_ACCESS_TOKEN {
            return Err(BadToken::Unknown);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(BadToken::Unknown)?;
        let (header, body) = signed.split_once('.').ok_or(BadToken::Unknown)?;
        let header = read(header)?;
        // The algorithm is the key's, whatever the header says; one that says another was not signed here.
        if header["alg"] != "EdDSA" || header["typ"] != TYPE {
            return Err(BadToken::Unknown);
        }
        let id = header["kid"].as_str().ok_or(BadToken::Unknown)?;
        let key = self.keys.iter().find(|key| key.id == id).ok_or(BadToken::Unknown)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| BadToken::Unknown)?;
        let public = UnparsedPublicKey::new(&ED25519, key.pair.public_key().as_ref());
        public.verify(signed.as_bytes(), &signature).map_err(|_| BadToken::Unknown)?;
        let claims = read(body)?;
        if claims["iss"] != *self.issuer {
            return Err(BadToken::Unknown);
        }
        if claims["exp"].as_u64().is_none_or(|end| now >= end) {
            return Err(BadToken::Expired);
        }
        if audience.is_some_and(|audience| claims["aud"] != audience) {
            return Err(BadToken::Audience);
        }
        Ok(claims)
    }

    /// The public keys as a JWK Set.
    #[must_use]
    pub fn jwks(&self) -> Value {
        let keys = self.keys.iter().map(|key| {
            let x = URL_SAFE_NO_PAD.encode(key.pair.public_key().as_ref());
            json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": key.id, "x": x})
        });
        json!({"keys": keys.collect::<Vec<_>>()})
    }
}

fn read(part: &str) -> Result<Value, BadToken> {
    let json = URL_SAFE_NO_PAD.decode(part).map_err(|_| BadToken::Unknown)?;
    serde_json::from_slice(&json).map_err(|_| BadToken::Unknown)
}

/// RFC 7638 §3, with the members of RFC 8037 §2: required ones only, in lexicographic order.
fn thumbprint(public: &[u8]) -> String {
    let x = URL_SAFE_NO_PAD.encode(public);
    URL_SAFE_NO_PAD.encode(Sha256::digest(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000;

    fn tokens(seeds: &[[u8; 32]]) -> AccessTokens {
        AccessTokens::new("https://gate.example.com", seeds).unwrap()
    }

    fn claims() -> WorkClaims<'static> {
        WorkClaims {
            audience: "https://gate.example.com/mcp",
            principal: None,
            challenge_id: [9; 16],
            service: "mcp",
            tool: Some("data_query"),
            calls: 5,
            bits: 20.5,
            issued_at: NOW,
            expires_at: NOW + 300,
        }
    }

    #[test]
    fn a_token_says_what_was_bought_and_for_how_long() {
        let tokens = tokens(&[[1; 32]]);
        let token = tokens.issue(&claims()).unwrap();
        let read = tokens.check(&token, Some("https://gate.example.com/mcp"), NOW + 299).unwrap();
        assert_eq!(
            read["octroi"],
            json!({"service": "mcp", "tool": "data_query", "calls": 5, "difficulty": 20.5})
        );
        assert_eq!(read["sub"], format!("work:{}", "09".repeat(16)));
        assert_eq!(tokens.check(&token, None, NOW + 300), Err(BadToken::Expired));
        assert_eq!(tokens.check(&token, Some("https://else"), NOW), Err(BadToken::Audience));
    }

    /// RFC 8037 appendix A.1 to A.3: the key, its public half and its thumbprint.
    #[test]
    fn the_published_key_is_that_of_the_rfc() {
        let seed = URL_SAFE_NO_PAD.decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap();
        let seed: [u8; 32] = seed.try_into().unwrap();
        let jwks = tokens(&[seed]).jwks();
        assert_eq!(jwks["keys"][0]["x"], "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        assert_eq!(jwks["keys"][0]["kid"], "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn after_a_rotation_old_tokens_are_good_and_new_ones_are_signed_with_the_new_key() {
        let token = tokens(&[[1; 32]]).issue(&claims()).unwrap();
        let rotated = tokens(&[[2; 32], [1; 32]]);
        assert!(rotated.check(&token, None, NOW).is_ok());
        let new = rotated.issue(&claims()).unwrap();
        assert_eq!(tokens(&[[1; 32]]).check(&new, None, NOW), Err(BadToken::Unknown));
    }

    #[test]
    fn what_was_changed_or_never_signed_is_unknown() {
        let tokens = tokens(&[[1; 32]]);
        let token = tokens.issue(&claims()).unwrap();
        let parts: Vec<&str> = token.split('.').collect();
        let part = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let other = AccessTokens::new("https://else.example.com", &[[1; 32]]).unwrap();
        let forged = [
            String::new(),
            "..".to_owned(),
            "a.b.c".to_owned(),
            format!("{}.{}.", parts[0], parts[1]),
            format!("{}.{}.{}", part(json!({"alg": "none", "typ": TYPE})), parts[1], parts[2]),
            format!("{}.{}.{}", parts[0], part(json!({"exp": u64::MAX})), parts[2]),
            format!("{token}."),
            format!("{token}{}", "A".repeat(MAX_ACCESS_TOKEN)),
            other.issue(&claims()).unwrap(),
        ];
        for token in forged {
            assert_eq!(tokens.check(&token, None, NOW), Err(BadToken::Unknown), "{token}");
        }
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] ^= 1;
            let Ok(changed) = String::from_utf8(changed) else { continue };
            assert!(tokens.check(&changed, None, NOW).is_err(), "{at}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_no_token_and_any_tool_is_kept(text in "\\PC{0,80}") {
            crate::invariants::work_token(&text);
        }
    }
}
