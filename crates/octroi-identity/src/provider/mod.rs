//! What the access tokens of one product look like, as data.

mod opaque;
mod overrides;
mod path;
mod preset;
mod presets;
mod workloads;

use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use crate::client_auth::ClientAuth;
use crate::{Algorithm, CallerKind, Secret};

pub use overrides::{OverrideError, ProviderOverrides};
pub use path::ClaimPath;
pub(crate) use path::Names as PlaceNames;
pub use preset::{Preset, PresetError, PresetInput, UnknownPreset};

/// A provider preset. Every quirk of a product is a value here; the checks themselves know no product.
///
/// The constructors (`Provider::auth0`, `Provider::oidc`, `Provider::jwks`, …) give the presets, [`Preset`] the same by
/// name; fields may be changed afterwards, by hand or by [`ProviderOverrides`], and are validated by
/// [`crate::Verifier::connect`].
#[derive(Clone, Debug)]
pub struct Provider {
    /// The preset's name, for messages.
    pub name: &'static str,
    /// Accepted `iss`, compared exactly, trailing slash included. The first one is where discovery looks.
    pub issuers: Vec<String>,
    /// Where a token names its issuer.
    pub issuer_rule: IssuerRule,
    /// How a token is judged.
    pub method: Method,
    /// Accepted signature algorithms. The token's own `alg` only chooses among these.
    pub algorithms: Vec<Algorithm>,
    /// Accepted `typ` headers.
    pub types: Vec<TokenType>,
    /// Claims that must be present and have one of these values.
    pub must_equal: Vec<ClaimRule>,
    /// Claims that must not have any of these values.
    pub must_not_equal: Vec<ClaimRule>,
    /// Claims that only ID tokens and the like carry; their presence refuses the token.
    pub id_token_claims: Vec<ClaimPath>,
    /// Where the OAuth client is named; the first claim present counts.
    pub client_claims: Vec<ClaimPath>,
    /// What `aud` must say.
    pub audience_rule: AudienceRule,
    /// The audience of a product whose tokens name neither resource nor client but, say, the project: what to accept
    /// when the configuration names none.
    pub default_audiences: Vec<String>,
    /// Where scopes are found; all claims present are merged.
    pub scope_claims: Vec<ScopeClaim>,
    /// What names the person.
    pub subject: SubjectRule,
    /// What tells a client on its own account from a person; one sign is enough.
    pub client_signs: Vec<ClientSign>,
    /// The kind of caller its tokens name when no sign of a client is seen.
    pub kind: CallerKind,
    /// Where everything else about the caller is found.
    pub profile: Profile,
}

/// How a token is judged.
#[derive(Clone, Debug)]
pub enum Method {
    /// By its signature, with the issuer's keys (RFC 7515).
    Jwt(KeySource),
    /// By asking the issuer (RFC 7662).
    Introspection(Introspection),
    /// By asking Google whose token it is (`tokeninfo`).
    Google(GoogleEndpoints),
    /// By asking GitHub whether our app was given it (`POST /applications/{client_id}/token`).
    GitHub(GitHubApp),
}

/// Where an issuer's keys come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// The `jwks_uri` of the issuer's metadata (RFC 8414, OpenID Connect Discovery), in the order of
    /// MCP 2026-07-28 basic/authorization.
    Discovery,
    /// A key set at this URL.
    Jwks(String),
    /// This very key set (RFC 7517), as JSON text: for issuers that publish none the gate can reach. It never changes.
    Fixed(String),
}

/// Where and how to introspect (RFC 7662).
#[derive(Clone, Debug)]
pub struct Introspection {
    /// The endpoint; found in the issuer's metadata (`introspection_endpoint`, RFC 8414 §2) when `None`.
    pub endpoint: Option<String>,
    /// How the gate says who it is. RFC 7662 §2.1 demands that it does.
    pub auth: ClientAuth,
    /// How long an answer counts, seconds, and never beyond the token's `exp`; at most
    /// [`crate::IdentityConfig::MAX_TOKEN_CACHE_SECONDS`].
    pub cache_seconds: u64,
}

/// Google's endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoogleEndpoints {
    /// Tells what an access token is.
    pub tokeninfo: String,
    /// Tells who its person is; `None` leaves the name and picture out.
    pub userinfo: Option<String>,
    /// How long an answer counts, seconds; bounds as [`Introspection::cache_seconds`].
    pub cache_seconds: u64,
}

/// An OAuth app or GitHub App of GitHub's.
#[derive(Clone, Debug)]
pub struct GitHubApp {
    /// The API's address, without a slash at its end: `https://api.github.com`, or that of an Enterprise Server.
    pub api: String,
    /// The app's client id.
    pub client_id: String,
    /// The app's client secret.
    pub client_secret: Secret,
    /// How long an answer counts, seconds; bounds as [`Introspection::cache_seconds`].
    pub cache_seconds: u64,
}

/// Where a token names its issuer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IssuerRule {
    /// In `iss`.
    #[default]
    Claim,
    /// In `sub`, a SPIFFE ID: the issuer is its trust domain, `spiffe://example.org` (JWT-SVID §3, where `iss` is
    /// optional and means nothing).
    TrustDomain,
}

/// What `aud` must say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AudienceRule {
    /// One of the configured audiences.
    #[default]
    Required,
    /// One of the configured audiences or nothing at all; then the client must be on the list, which therefore must not
    /// be empty: a token that names no audience is only ours if it was issued to one of our clients.
    OrClient,
    /// It is not looked at, because the product writes its client there: the client must be on the list.
    Client,
}

/// A `typ` header an access token may carry. Compared without regard to case (RFC 7515 §4.1.9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenType {
    /// No `typ`.
    Absent,
    /// `at+jwt` or `application/at+jwt` (RFC 9068 §4).
    AccessToken,
    /// `JWT`.
    Jwt,
    /// Another one, in lower case and without `application/`.
    Other(String),
}

/// Values a claim must have, or must not have.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimRule {
    /// The claim.
    pub claim: ClaimPath,
    /// The values.
    pub values: Vec<Value>,
}

/// A claim that carries scopes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScopeClaim {
    /// The claim.
    pub claim: ClaimPath,
    /// How it lists them.
    #[serde(default)]
    pub form: ScopeForm,
}

/// How a claim lists scopes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScopeForm {
    /// One string, separated by spaces (RFC 8693 §4.2).
    Words,
    /// An array of strings.
    List,
    /// Either form.
    #[default]
    Either,
}

/// What names the person behind a token.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubjectRule {
    /// One claim.
    Claim(ClaimPath),
    /// One claim, or another when the first is absent. Only for claims whose values cannot collide.
    ClaimOr {
        /// The claim that counts when present.
        first: ClaimPath,
        /// The claim that counts otherwise.
        otherwise: ClaimPath,
    },
    /// Two claims, joined by `/`: the second is a tenant inside which the first is unique.
    ClaimInTenant {
        /// The person's claim.
        person: ClaimPath,
        /// The tenant's claim.
        tenant: ClaimPath,
    },
}

/// A sign that a token was issued to a client on its own account.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ClientSign {
    /// The subject is the client (RFC 9068 §2.2: "sub" is then an identifier of the client).
    SubjectIsClient,
    /// A claim has this value.
    Equals {
        /// The claim.
        claim: ClaimPath,
        /// The value.
        value: Value,
    },
    /// A claim is a text that starts so.
    StartsWith {
        /// The claim.
        claim: ClaimPath,
        /// The text.
        text: String,
    },
    /// A claim is a text that ends so.
    EndsWith {
        /// The claim.
        claim: ClaimPath,
        /// The text.
        text: String,
    },
    /// A claim is there.
    Present {
        /// The claim.
        claim: ClaimPath,
    },
    /// A claim is not there.
    Absent {
        /// The claim.
        claim: ClaimPath,
    },
}

/// Where a caller's roles, groups, organisation and names are found. For each, the claims are looked at in order: sets
/// are merged from all of them, single values taken from the first that is there. A claim of a type that cannot be read
/// is passed over for display names and refuses the token for everything a rule may stand on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Roles: arrays of strings, single strings, or objects whose names count.
    pub roles: Vec<ClaimPath>,
    /// Groups, in the same forms.
    pub groups: Vec<ClaimPath>,
    /// The organisation's identifier.
    pub organisation: Vec<ClaimPath>,
    /// The organisation's name.
    pub organisation_name: Vec<ClaimPath>,
    /// The e-mail address.
    pub email: Vec<ClaimPath>,
    /// Whether the address is verified: a boolean, or the text `true` or `false`.
    pub email_verified: Vec<ClaimPath>,
    /// The whole name.
    pub name: Vec<ClaimPath>,
    /// The first name or names.
    pub given_name: Vec<ClaimPath>,
    /// The family name.
    pub family_name: Vec<ClaimPath>,
    /// The name the subject signs in with.
    pub preferred_username: Vec<ClaimPath>,
    /// The URL of a picture.
    pub picture: Vec<ClaimPath>,
}

/// The claims of OpenID Connect Core §5.1, and RFC 9068 §2.2.3.1's `roles` and `groups`.
impl Default for Profile {
    fn default() -> Self {
        Self {
            roles: vec!["roles".into()],
            groups: vec!["groups".into()],
            organisation: vec!["org_id".into()],
            organisation_name: vec!["org_name".into()],
            email: vec!["email".into()],
            email_verified: vec!["email_verified".into()],
            name: vec!["name".into()],
            given_name: vec!["given_name".into()],
            family_name: vec!["family_name".into()],
            preferred_username: vec!["preferred_username".into()],
            picture: vec!["picture".into()],
        }
    }
}

impl Provider {
    /// Every URL that is configured, beside the issuers.
    pub(crate) fn endpoints(&self) -> Vec<&str> {
        match &self.method {
            Method::Jwt(KeySource::Jwks(url)) => vec![url],
            Method::Jwt(KeySource::Discovery | KeySource::Fixed(_)) => Vec::new(),
            Method::Introspection(introspection) => introspection.endpoint.as_deref().into_iter().collect(),
            Method::Google(google) => {
                std::iter::once(google.tokeninfo.as_str()).chain(google.userinfo.as_deref()).collect()
            }
            Method::GitHub(app) => vec![&app.api],
        }
    }

    /// The URL whose host tells where the issuer lives: its first endpoint, or itself where that is discovered.
    pub(crate) fn home(&self) -> Option<&str> {
        self.endpoints().first().copied().or_else(|| self.issuers.first().map(String::as_str))
    }

    /// How long an answer about a token counts, where the issuer is asked about each.
    pub(crate) fn answer_seconds(&self) -> Option<u64> {
        match &self.method {
            Method::Jwt(_) => None,
            Method::Introspection(introspection) => Some(introspection.cache_seconds),
            Method::Google(google) => Some(google.cache_seconds),
            Method::GitHub(app) => Some(app.cache_seconds),
        }
    }
}

impl TokenType {
    /// Reads a `typ` (RFC 7515 §4.1.9: one without a slash stands for `application/…`).
    #[must_use]
    pub fn from_typ(typ: &str) -> Self {
        let lower = typ.to_ascii_lowercase();
        match lower.strip_prefix("application/").unwrap_or(&lower) {
            "at+jwt" => Self::AccessToken,
            "jwt" => Self::Jwt,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl ClaimRule {
    /// A rule with one value.
    #[must_use]
    pub fn one(claim: impl Into<ClaimPath>, value: impl Into<Value>) -> Self {
        Self { claim: claim.into(), values: vec![value.into()] }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
