//! Who may call one MCP server, and what the server behind the gate is told of it.

use octroi_identity::Preset;

use super::ChallengeStyle;

/// Who may call.
#[derive(Clone, Debug)]
pub struct IdentityConfig {
    /// Which product issues the tokens.
    pub preset: Preset,
    /// What tokens must be, checked.
    pub tokens: octroi_identity::IdentityConfig,
    /// Scopes every caller needs.
    pub required_scopes: Vec<String>,
    /// Which scope contains which others.
    pub scope_hierarchy: Vec<(String, Vec<String>)>,
    /// Whether every request needs a token, and not only calls whose rule says so.
    pub required: bool,
    /// How it is told that a token is missing or not good enough.
    pub challenge: ChallengeStyle,
    /// Tokens that are bound to a key; `None` where none are taken.
    pub dpop: Option<DpopConfig>,
    /// Where callers' tokens are exchanged for the server's behind the gate.
    pub exchange: Option<ExchangeConfig>,
    /// Whether that was asked for with nothing to exchange them with.
    pub obo_without_client: bool,
    /// What the server behind the gate is told of callers.
    pub forward: ForwardConfig,
}

impl IdentityConfig {
    /// The issuer as tokens carry it, for people: the first, where there are several.
    #[must_use]
    pub fn issuer(&self) -> &str {
        self.tokens.provider.issuers.first().map_or("", String::as_str)
    }
}

/// Tokens that are bound to a key (DPoP, RFC 9449).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DpopConfig {
    /// What proofs must be like.
    pub proofs: octroi_identity::DpopConfig,
    /// Whether plain bearer tokens are refused.
    pub required: bool,
}

/// Tokens on behalf of callers.
#[derive(Clone, Debug)]
pub struct ExchangeConfig {
    /// Where and how.
    pub exchange: octroi_identity::ExchangeConfig,
    /// What for.
    pub target: octroi_identity::ExchangeTarget,
}

/// What the server behind the gate is told of callers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForwardConfig {
    /// A signed statement in a header.
    pub jwt: Option<ForwardJwt>,
    /// `_meta["dev.octroi/caller"]`.
    pub meta: bool,
    /// `_meta.authUser`, in LeanMCP's shape.
    pub auth_user: bool,
    /// Headers, in the order written, with what they say.
    pub headers: Vec<(http::HeaderName, octroi_identity::CallerField)>,
}

/// The signed statement of who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardJwt {
    /// The header it is in.
    pub header: http::HeaderName,
    /// Its `aud`.
    pub audience: String,
    /// How long it is good, in seconds.
    pub ttl_seconds: u64,
}
