//! Platforms whose programs may call, beside the people of the provider.

use std::fmt;

use serde::{Deserialize, Deserializer};

use crate::{ClaimPath, InvalidToken, Provider};

/// An issuer whose tokens name workloads (or people) that are accepted beside those of the provider, and which of them
/// (RFC 7523 §3 without the exchange: the platform's own token is the credential).
#[derive(Clone, Debug)]
pub struct TrustedIssuer {
    /// What its tokens look like: [`Provider::kubernetes`], [`Provider::github_actions`], [`Provider::spiffe`],
    /// [`Provider::platform`], or any other.
    pub provider: Provider,
    /// Accepted `aud` values; empty accepts those of the configuration.
    pub audiences: Vec<String>,
    /// Accepted clients, as [`crate::IdentityConfig::allowed_clients`].
    pub allowed_clients: Vec<String>,
    /// Which subjects are accepted; empty accepts every one that the claims below admit.
    pub subjects: Vec<Pattern>,
    /// Claims that must be texts that fit one of the patterns.
    pub claims: Vec<(ClaimPath, Vec<Pattern>)>,
    /// Scopes granted to whoever is accepted, beside those of its token.
    pub scopes: Vec<String>,
    /// Roles granted to whoever is accepted, beside those of its token.
    pub roles: Vec<String>,
    /// Groups granted to whoever is accepted, beside those of its token.
    pub groups: Vec<String>,
}

/// A text in which `*` stands for any run of characters, none included. Everything else stands for itself.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Pattern(String);

impl TrustedIssuer {
    /// Trusts an issuer for nobody yet: subjects or claims must be added, or it is refused.
    #[must_use]
    pub fn new(provider: Provider) -> Self {
        Self {
            provider,
            audiences: Vec::new(),
            allowed_clients: Vec::new(),
            subjects: Vec::new(),
            claims: Vec::new(),
            scopes: Vec::new(),
            roles: Vec::new(),
            groups: Vec::new(),
        }
    }

    /// Whether some subjects are accepted and others are not. A list that any subject fits is no list.
    #[must_use]
    pub fn is_selective(&self) -> bool {
        let selective =
            |patterns: &[Pattern]| !patterns.is_empty() && !patterns.iter().any(Pattern::is_anything);
        selective(&self.subjects) || self.claims.iter().any(|(_, patterns)| selective(patterns))
    }

    /// Whether a caller is one of those accepted.
    pub(crate) fn admits(&self, caller: &crate::Caller) -> Result<(), InvalidToken> {
        let fits = |patterns: &[Pattern], text: &str| patterns.iter().any(|pattern| pattern.fits(text));
        if !self.subjects.is_empty() && !fits(&self.subjects, &caller.subject) {
            return Err(InvalidToken::ClaimRefused("sub".into()));
        }
        for (claim, patterns) in &self.claims {
            let text = claim.one(&caller.claims).ok_or_else(|| InvalidToken::MissingClaim(claim.name()))?;
            if !text.as_str().is_some_and(|text| fits(patterns, text)) {
                return Err(InvalidToken::ClaimRefused(claim.name()));
            }
        }
        Ok(())
    }
}

impl Pattern {
    /// Reads a pattern.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Whether the whole text fits.
    #[must_use]
    pub fn fits(&self, text: &str) -> bool {
        let mut parts = self.0.split('*');
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = text.strip_prefix(first) else { return false };
        let Some(last) = parts.next_back() else { return rest.is_empty() };
        for part in parts {
            let Some(at) = rest.find(part) else { return false };
            rest = &rest[at + part.len()..];
        }
        rest.ends_with(last)
    }

    fn is_anything(&self) -> bool {
        self.0.bytes().all(|byte| byte == b'*')
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_star_stands_for_any_run() {
        for (pattern, fits, fits_not) in [
            (
                "repo:acme/tool:*",
                &["repo:acme/tool:", "repo:acme/tool:ref:x"][..],
                &["repo:acme/tool", "xrepo:acme/tool:"][..],
            ),
            ("a*b*c", &["abc", "a-b-c", "abcbc"], &["ab", "acb", "abcd", "xabc"]),
            ("exact", &["exact"], &["exactly", "exac", "", "Exact"]),
            ("*", &["", "anything"], &[]),
            ("", &[], &["x"]),
            ("a*a", &["aa", "aba"], &["a"]),
            ("*.example", &["x.example", ".example"], &["example", "x.example.evil"]),
        ] {
            let read = Pattern::new(pattern);
            fits.iter().for_each(|text| assert!(read.fits(text), "{pattern} {text}"));
            fits_not.iter().for_each(|text| assert!(!read.fits(text), "{pattern} {text}"));
        }
    }

    #[test]
    fn a_list_of_anything_is_no_list() {
        let mut trusted = TrustedIssuer::new(Provider::github_actions());
        assert!(!trusted.is_selective());
        trusted.subjects = vec![Pattern::new("*")];
        assert!(!trusted.is_selective());
        trusted.subjects.push(Pattern::new("repo:acme/*"));
        assert!(!trusted.is_selective());
        trusted.claims.push(("repository".into(), vec![Pattern::new("acme/tool")]));
        assert!(trusted.is_selective());
    }

    proptest! {
        #[test]
        fn a_text_without_a_star_fits_itself_alone(a in "[a-c:/]{0,6}", b in "[a-c:/]{0,6}") {
            prop_assert_eq!(Pattern::new(a.clone()).fits(&b), a == b);
        }

        #[test]
        fn parts_in_order_fit(parts in prop::collection::vec("[ab]{0,3}", 1..5), fill in "[abx]{0,3}") {
            prop_assert!(Pattern::new(parts.join("*")).fits(&parts.join(&fill)));
        }
    }
}
