//! Short statements about callers, signed for one upstream.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use super::key::KeyError;
use super::ring::SigningKeys;
use crate::{Caller, SetupError};

/// Who speaks to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignerSettings {
    /// `iss`: the gate's public URL.
    pub issuer: String,
    /// `aud`: the upstream.
    pub audience: String,
    /// How long a statement is good, seconds, 2 to [`Self::MAX_LIFETIME_SECONDS`].
    pub lifetime_seconds: u64,
}

impl SignerSettings {
    /// The largest accepted `lifetime_seconds`.
    pub const MAX_LIFETIME_SECONDS: u64 = 60;
}

/// Signs statements about callers (`typ: octroi-caller+jwt`): [`Caller::to_json`] with `iss` and `exp` of the statement,
/// and `aud`, `iat` and `jti`. The caller's own issuer is `caller_iss` there.
pub struct CallerSigner {
    keys: Arc<SigningKeys>,
    settings: SignerSettings,
    /// By the callers' addresses, which are theirs alone as long as they are held here.
    made: Mutex<HashMap<usize, Made>>,
}

struct Made {
    /// Held so that nobody else gets the address.
    _caller: Arc<Caller>,
    text: Arc<str>,
    at: u64,
}

impl CallerSigner {
    /// The `typ` of its statements (RFC 8725 §3.11): none passes for an access token.
    pub const TYPE: &str = "octroi-caller+jwt";
    /// How many statements are remembered.
    const MAX_REMEMBERED: usize = 4096;

    /// A signer for one upstream.
    ///
    /// # Errors
    /// When a name is empty or the lifetime is out of its bounds.
    pub fn new(keys: Arc<SigningKeys>, settings: SignerSettings) -> Result<Self, SetupError> {
        let (min, max) = (2, SignerSettings::MAX_LIFETIME_SECONDS);
        if !(min..=max).contains(&settings.lifetime_seconds) {
            return Err(SetupError::OutOfBounds { field: "lifetime_seconds", min, max });
        }
        if settings.issuer.is_empty() || settings.audience.is_empty() {
            return Err(SetupError::Blank);
        }
        Ok(Self { keys, settings, made: Mutex::new(HashMap::new()) })
    }

    /// A statement about the caller that is good for half of its lifetime or longer. The same text is given for calls of
    /// the same caller shortly after each other: `jti` names the statement, not the call. `now` is in seconds since the
    /// Unix epoch.
    ///
    /// # Errors
    /// When the key cannot sign.
    pub fn statement(&self, caller: &Arc<Caller>, now: u64) -> Result<Arc<str>, KeyError> {
        let address = Arc::as_ptr(caller) as usize;
        if let Some(made) = self.made.lock().get(&address).filter(|made| self.is_fresh(made, now)) {
            return Ok(Arc::clone(&made.text));
        }
        let text: Arc<str> = self.signed(caller, now)?.into();
        let mut made = self.made.lock();
        if made.len() >= Self::MAX_REMEMBERED {
            made.retain(|_, made| self.is_fresh(made, now));
        }
        if made.len() < Self::MAX_REMEMBERED {
            made.insert(address, Made { _caller: Arc::clone(caller), text: Arc::clone(&text), at: now });
        }
        Ok(text)
    }

    fn is_fresh(&self, made: &Made, now: u64) -> bool {
        // The key of then may have been replaced, but it stays published for much longer.
        made.at <= now && now - made.at < self.settings.lifetime_seconds / 2
    }

    fn signed(&self, caller: &Caller, now: u64) -> Result<String, KeyError> {
        let key = self.keys.signing(now).ok_or(KeyError::Unusable)?;
        key.sign(Self::TYPE, &self.claims(caller, now)?)
    }

    fn claims(&self, caller: &Caller, now: u64) -> Result<Map<String, Value>, KeyError> {
        let mut id = [0; 16];
        aws_lc_rs::rand::fill(&mut id).map_err(|_| KeyError::Unusable)?;
        let mut claims = caller.to_json();
        for (name, value) in [
            ("caller_iss", json!(caller.issuer)),
            ("iss", json!(self.settings.issuer)),
            ("aud", json!(self.settings.audience)),
            ("iat", json!(now)),
            ("exp", json!(now.saturating_add(self.settings.lifetime_seconds))),
            ("jti", json!(URL_SAFE_NO_PAD.encode(id))),
        ] {
            claims.insert(name.to_owned(), value);
        }
        Ok(claims)
    }
}

impl fmt::Debug for CallerSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallerSigner").field("settings", &self.settings).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{Answer, KeySet};
    use crate::token::UnverifiedToken;
    use crate::{Algorithm, Provider, TokenType};

    fn signer(keys: &Arc<SigningKeys>) -> CallerSigner {
        let settings = SignerSettings {
            issuer: "https://gate.example/".to_owned(),
            audience: "https://upstream.example/mcp".to_owned(),
            lifetime_seconds: 60,
        };
        CallerSigner::new(Arc::clone(keys), settings).unwrap()
    }

    #[test]
    fn a_statement_can_be_checked_with_the_published_keys() {
        for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
            let keys = Arc::new(SigningKeys::generate(algorithm).unwrap());
            let caller = Arc::new(Caller::new("https://issuer.example/", "alice", 5000));
            let text = signer(&keys).statement(&caller, 1000).unwrap();
            let mut provider = Provider::oidc("https://gate.example/");
            provider.types = vec![TokenType::Other(CallerSigner::TYPE.to_owned())];
            let token = UnverifiedToken::parse(&text, &provider).unwrap();
            let published = KeySet::parse(keys.key_set(1000).to_string().as_bytes()).unwrap();
            assert_eq!(published.check(&token), Answer::Good);
            let claims = token.claims().unwrap();
            assert_eq!(claims["iss"], "https://gate.example/");
            assert_eq!(claims["caller_iss"], "https://issuer.example/");
            assert_eq!(
                (&claims["sub"], &claims["aud"]),
                (&json!("alice"), &json!("https://upstream.example/mcp"))
            );
            assert_eq!((&claims["iat"], &claims["exp"]), (&json!(1000), &json!(1060)));
            // It is no access token for anybody who looks at `typ`.
            assert!(UnverifiedToken::parse(&text, &Provider::oidc("https://gate.example/")).is_err());
        }
    }

    #[test]
    fn one_statement_serves_for_half_of_its_life() {
        let keys = Arc::new(SigningKeys::generate(Algorithm::EdDsa).unwrap());
        let signer = signer(&keys);
        let caller = Arc::new(Caller::new("i", "alice", 5000));
        let first = signer.statement(&caller, 1000).unwrap();
        assert_eq!(signer.statement(&caller, 1029).unwrap(), first);
        assert_ne!(signer.statement(&caller, 1030).unwrap(), first);
        assert_ne!(signer.statement(&caller, 900).unwrap(), first);
        assert_ne!(signer.statement(&Arc::new(Caller::new("i", "alice", 5000)), 1030).unwrap(), first);
    }

    #[test]
    fn no_more_are_remembered_than_fit() {
        let keys = Arc::new(SigningKeys::generate(Algorithm::EdDsa).unwrap());
        let signer = signer(&keys);
        let callers: Vec<_> = (0..CallerSigner::MAX_REMEMBERED + 8)
            .map(|n| Arc::new(Caller::new("i", &n.to_string(), 1)))
            .collect();
        for caller in &callers {
            signer.statement(caller, 1000).unwrap();
        }
        assert_eq!(signer.made.lock().len(), CallerSigner::MAX_REMEMBERED);
        signer.statement(&Arc::new(Caller::new("i", "late", 1)), 1030).unwrap();
        assert_eq!(signer.made.lock().len(), 1);
    }

    #[test]
    fn bounds_are_kept() {
        let keys = Arc::new(SigningKeys::generate(Algorithm::EdDsa).unwrap());
        for (lifetime_seconds, audience) in [(61, "a"), (1, "a"), (60, "")] {
            let settings =
                SignerSettings { issuer: "i".to_owned(), audience: audience.to_owned(), lifetime_seconds };
            assert!(CallerSigner::new(Arc::clone(&keys), settings).is_err());
        }
    }
}
