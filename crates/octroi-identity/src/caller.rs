//! Who calls, as far as a verified access token says.

use std::fmt;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// A verified caller: the facts of an access token whose every check has passed.
#[derive(Clone, PartialEq, Eq)]
pub struct Caller {
    /// `iss`, exactly as the token carries it.
    pub issuer: String,
    /// The subject by the provider's rule, mostly `sub`. Only unique together with [`Self::issuer`].
    pub subject: String,
    /// The OAuth client the token was issued to.
    pub client_id: Option<String>,
    /// What the token permits, merged from the provider's scope claims.
    pub scopes: ScopeSet,
    /// `aud`, as a list; empty when the provider issues none.
    pub audiences: Vec<String>,
    /// `exp`, seconds since the Unix epoch.
    pub expires_at: u64,
    /// `email`, when the token carries one. Never a key: addresses change hands.
    pub email: Option<String>,
    /// The ledger's owner key: see [`Caller::principal_of`].
    pub principal: [u8; 32],
    /// Every claim of the token.
    pub claims: Map<String, Value>,
}

impl Caller {
    /// The key that names a person everywhere in the house: SHA-256 over the byte length of the issuer as
    /// 8 bytes big-endian, the issuer, and likewise the subject. The lengths keep two different pairs from
    /// ever reading as the same bytes.
    #[must_use]
    pub fn principal_of(issuer: &str, subject: &str) -> [u8; 32] {
        let mut hash = Sha256::new();
        for part in [issuer, subject] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        hash.finalize().into()
    }

    /// Whether somebody else acts for the subject (`act`, RFC 8693 §4.1).
    #[must_use]
    pub fn is_delegated(&self) -> bool {
        self.claims.contains_key("act")
    }

    /// Whether the token is bound to a key of the sender (`cnf`, RFC 7800). Such a token is refused when
    /// shown as a plain bearer token, so a caller from [`crate::Verifier::verify`] never is.
    #[must_use]
    pub fn is_sender_constrained(&self) -> bool {
        self.claims.contains_key("cnf")
    }
}

/// Claims may hold what a log must not: only the names a person needs are printed.
impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller")
            .field("issuer", &self.issuer)
            .field("subject", &self.subject)
            .field("client_id", &self.client_id)
            .field("scopes", &self.scopes)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// A set of scopes. Scopes are case-sensitive and compared exactly (RFC 6749 §3.3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScopeSet(Vec<String>);

impl ScopeSet {
    /// Whether `scope` was granted.
    #[must_use]
    pub fn has(&self, scope: &str) -> bool {
        self.0.binary_search_by(|own| own.as_str().cmp(scope)).is_ok()
    }

    /// Whether every one of `scopes` was granted; true for none.
    #[must_use]
    pub fn has_all<S: AsRef<str>>(&self, scopes: &[S]) -> bool {
        scopes.iter().all(|scope| self.has(scope.as_ref()))
    }

    /// The scopes, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl<S: Into<String>> FromIterator<S> for ScopeSet {
    fn from_iter<I: IntoIterator<Item = S>>(scopes: I) -> Self {
        let mut scopes: Vec<String> = scopes.into_iter().map(Into::into).filter(|s| !s.is_empty()).collect();
        scopes.sort_unstable();
        scopes.dedup();
        Self(scopes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn principal_separates_issuer_from_subject() {
        assert_eq!(Caller::principal_of("a", "b"), Caller::principal_of("a", "b"));
        assert_ne!(Caller::principal_of("ab", "c"), Caller::principal_of("a", "bc"));
        assert_ne!(Caller::principal_of("https://a", "b"), Caller::principal_of("https://a/", "b"));
        // Fixed for ever: accounts in the ledger are keyed by it.
        assert_eq!(Caller::principal_of("https://issuer.example/", "auth0|1234"), {
            let mut bytes = vec![0, 0, 0, 0, 0, 0, 0, 23];
            bytes.extend(b"https://issuer.example/");
            bytes.extend([0, 0, 0, 0, 0, 0, 0, 10]);
            bytes.extend(b"auth0|1234");
            <[u8; 32]>::from(Sha256::digest(&bytes))
        });
    }

    #[test]
    fn scopes_are_exact() {
        let scopes: ScopeSet = ["tools:call", "", "read", "read"].into_iter().collect();
        assert!(scopes.has("read") && scopes.has("tools:call"));
        assert!(!scopes.has("rea") && !scopes.has("Read") && !scopes.has(""));
        assert!(scopes.has_all(&["read", "tools:call"]));
        assert!(scopes.has_all::<&str>(&[]));
        assert!(!scopes.has_all(&["read", "write"]));
        assert_eq!(scopes.iter().collect::<Vec<_>>(), ["read", "tools:call"]);
    }
}
