//! Who calls, as far as a verified access token says.

mod act;
mod field;
mod name_set;
mod views;

use std::fmt;

use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::provider::PlaceNames;

pub use act::Actor;
pub(crate) use act::chain as act_chain;
pub use field::{CallerField, UnknownField};
pub use name_set::NameSet;

/// A verified caller: the facts of an access token whose every check has passed, under the same names whatever the
/// provider calls them. Which claims they come from is the preset's data ([`crate::Provider`]).
#[derive(Clone, PartialEq, Eq)]
pub struct Caller {
    /// `iss`, exactly as the token carries it.
    pub issuer: String,
    /// The subject by the provider's rule, mostly `sub`. Only unique together with [`Self::issuer`].
    pub subject: String,
    /// What kind of party the subject is.
    pub kind: CallerKind,
    /// The OAuth client the token was issued to.
    pub client_id: Option<String>,
    /// What the token permits, merged from the provider's scope claims.
    pub scopes: NameSet,
    /// The subject's roles.
    pub roles: NameSet,
    /// The subject's groups.
    pub groups: NameSet,
    /// The organisation (tenant, workspace) the subject acts in.
    pub organisation: Option<Organisation>,
    /// `aud`, as a list; empty when the provider issues none.
    pub audiences: Vec<String>,
    /// `exp`, seconds since the Unix epoch. For an opaque token without one: until when the issuer's word is trusted.
    pub expires_at: u64,
    /// `iat`, seconds since the Unix epoch.
    pub issued_at: Option<u64>,
    /// `email`, when the token carries one. Never a key: addresses change hands.
    pub email: Option<String>,
    /// What the issuer says of the address; `None` when it says nothing, which is no confirmation.
    pub email_verified: Option<bool>,
    /// What people call the subject. For display only.
    pub names: Names,
    /// Who acts for the subject (`act`, RFC 8693 §4.1), the present actor first, those before it after it; empty when
    /// the subject acts itself.
    pub act: Vec<Actor>,
    /// The sender's key the token is bound to (`cnf`, RFC 7800); `None` for a plain bearer token.
    pub binding: Option<Binding>,
    /// The ledger's owner key: see [`Caller::principal_of`].
    pub principal: [u8; 32],
    /// Every claim of the token.
    pub claims: Map<String, Value>,
}

/// What kind of party a caller is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallerKind {
    /// A person, or somebody acting for one.
    #[default]
    User,
    /// An OAuth client on its own account (client credentials, RFC 6749 §4.4).
    Client,
    /// A program known by the platform that runs it ([`crate::TrustedIssuer`]).
    Workload,
}

/// An organisation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Organisation {
    /// The issuer's identifier of it.
    pub id: String,
    /// What people call it. For display only.
    pub name: Option<String>,
}

/// What people call a subject. For display only: anybody may call himself anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// The whole name.
    pub name: Option<String>,
    /// The first name or names.
    pub given_name: Option<String>,
    /// The family name.
    pub family_name: Option<String>,
    /// The name the subject signs in with, or wishes to be shown as.
    pub preferred_username: Option<String>,
    /// The URL of a picture.
    pub picture: Option<String>,
}

/// The key a sender must prove to hold (RFC 7800 §3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Binding {
    /// SHA-256 thumbprint of the `DPoP` key, base64url (`jkt`, RFC 9449 §6.1).
    Jkt(String),
    /// Something else, such as a client certificate (RFC 8705): nobody can prove it here.
    Unknown,
}

impl CallerKind {
    /// The name used in views, policies and configuration: `user`, `client` or `workload`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Client => "client",
            Self::Workload => "workload",
        }
    }
}

impl Caller {
    /// A caller of whom nothing is known but the name: for embedders that identify callers otherwise, and for tests.
    #[must_use]
    pub fn new(issuer: &str, subject: &str, expires_at: u64) -> Self {
        Self {
            issuer: issuer.to_owned(),
            subject: subject.to_owned(),
            kind: CallerKind::User,
            client_id: None,
            scopes: NameSet::default(),
            roles: NameSet::default(),
            groups: NameSet::default(),
            organisation: None,
            audiences: Vec::new(),
            expires_at,
            issued_at: None,
            email: None,
            email_verified: None,
            names: Names::default(),
            act: Vec::new(),
            binding: None,
            principal: Self::principal_of(issuer, subject),
            claims: Map::new(),
        }
    }

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

    /// What the segments in braces of a [`crate::ClaimPath`] stand for; `{audience}` stands for nothing here, because
    /// which of the audiences are ours only the verifier knows.
    pub(crate) fn place_names(&self) -> PlaceNames<'_> {
        PlaceNames {
            client: self.client_id.as_deref(),
            organisation: self.organisation.as_ref().map(|organisation| organisation.id.as_str()),
            audiences: &[],
        }
    }

    /// Whether somebody else acts for the subject (`act`, RFC 8693 §4.1).
    #[must_use]
    pub fn is_delegated(&self) -> bool {
        !self.act.is_empty()
    }

    /// Whether the token is bound to a key of the sender (`cnf`, RFC 7800). A caller from
    /// [`crate::Verifier::verify`] never is; one from [`crate::Verifier::verify_dpop`] always is, and the sender has
    /// proved to hold the key.
    #[must_use]
    pub fn is_sender_constrained(&self) -> bool {
        self.binding.is_some()
    }
}

/// Claims may hold what a log must not: only the names a person needs are printed.
impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller")
            .field("issuer", &self.issuer)
            .field("subject", &self.subject)
            .field("kind", &self.kind)
            .field("client_id", &self.client_id)
            .field("scopes", &self.scopes)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
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
}
