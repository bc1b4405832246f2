//! What the access tokens of one product look like, as data.

use std::fmt;

use serde_json::Value;

use crate::Algorithm;

/// A provider preset. Every quirk of a product is a value here; the checks themselves know no product.
///
/// The constructors (`Provider::auth0`, `Provider::oidc`, `Provider::jwks`, …) give the presets; fields may
/// be changed afterwards and are validated by [`crate::Verifier::connect`].
#[derive(Clone, Debug, PartialEq)]
pub struct Provider {
    /// The preset's name, for messages.
    pub name: &'static str,
    /// Accepted `iss`, compared exactly, trailing slash included. The first one is where discovery looks.
    pub issuers: Vec<String>,
    /// Where the keys come from.
    pub keys: KeySource,
    /// Accepted signature algorithms. The token's own `alg` only chooses among these.
    pub algorithms: Vec<Algorithm>,
    /// Accepted `typ` headers.
    pub types: Vec<TokenType>,
    /// Claims that must be present and equal.
    pub must_equal: Vec<(&'static str, Value)>,
    /// Claims that must not have this value.
    pub must_not_equal: Vec<(&'static str, Value)>,
    /// Claims that only ID tokens and the like carry; their presence refuses the token.
    pub id_token_claims: Vec<&'static str>,
    /// Where the OAuth client is named; the first claim present counts.
    pub client_claims: Vec<&'static str>,
    /// Whether a token without `aud` can be accepted for the client it names. Then a list of clients must be
    /// configured: a token that names no audience is only ours if it was issued to one of our clients.
    pub audience_may_be_absent: bool,
    /// Where scopes are found; all claims present are merged.
    pub scope_claims: Vec<ScopeClaim>,
    /// What names the person.
    pub subject: SubjectRule,
}

/// Where an issuer's keys come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// The `jwks_uri` of the issuer's metadata (RFC 8414, OpenID Connect Discovery), in the order of
    /// MCP 2026-07-28 basic/authorization.
    Discovery,
    /// A key set at this URL.
    Jwks(String),
}

/// A `typ` header an access token may carry. Compared without regard to case (RFC 7515 §4.1.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenType {
    /// No `typ`.
    Absent,
    /// `at+jwt` or `application/at+jwt` (RFC 9068 §4).
    AccessToken,
    /// `JWT`.
    Jwt,
}

/// A claim that carries scopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScopeClaim {
    /// The claim's name.
    pub name: &'static str,
    /// How it lists them.
    pub form: ScopeForm,
}

/// How a claim lists scopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScopeForm {
    /// One string, separated by spaces (RFC 8693 §4.2).
    Words,
    /// An array of strings.
    List,
    /// Either form.
    Either,
}

/// What names the person behind a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubjectRule {
    /// One claim.
    Claim(&'static str),
    /// One claim, or another when the first is absent. Only for claims whose values cannot collide.
    ClaimOr {
        /// The claim that counts when present.
        first: &'static str,
        /// The claim that counts otherwise.
        otherwise: &'static str,
    },
    /// Two claims, joined by `/`: the second is a tenant inside which the first is unique.
    ClaimInTenant {
        /// The person's claim.
        person: &'static str,
        /// The tenant's claim.
        tenant: &'static str,
    },
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
