//! On-behalf-of: the caller's token for one that the upstream accepts (RFC 8693, RFC 7523).

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::client_auth::ClientAuth;
use crate::{Caller, Secret, SetupError};

/// How the issuer wants to be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExchangeForm {
    /// RFC 8693 token exchange; `audience` and `resource` as configured.
    #[default]
    TokenExchange,
    /// Auth0's on-behalf-of token exchange: RFC 8693 with `audience` only.
    Auth0,
    /// Keycloak's standard token exchange: RFC 8693 with the client id of the target as `audience`.
    Keycloak,
    /// Microsoft Entra's on-behalf-of: the JWT bearer grant (RFC 7523 §2.1) with `requested_token_use=on_behalf_of`; the
    /// target stands in the scopes (`api://…/.default`).
    Entra,
}

/// Where and how to exchange tokens.
#[derive(Clone, Debug)]
pub struct ExchangeConfig {
    /// The issuer whose `token_endpoint` is found in its metadata (RFC 8414 §2) when [`Self::token_endpoint`] is `None`.
    pub issuer: String,
    /// The token endpoint.
    pub token_endpoint: Option<String>,
    /// How the issuer wants to be asked.
    pub form: ExchangeForm,
    /// How the gate says who it is. A public client cannot act for others.
    pub client: ClientAuth,
    /// How many parties may act for the subject before the gate does; at most
    /// [`crate::IdentityConfig::MAX_ACT_DEPTH`].
    pub max_act_depth: usize,
    /// How many tokens are remembered, 1 to [`Self::MAX_CACHE_ENTRIES`].
    pub cache_entries: usize,
    /// How long before its expiry a token is no longer used, seconds.
    pub early_seconds: u64,
    /// How long one request may take.
    pub http_timeout: Duration,
    /// As [`crate::IdentityConfig::allow_insecure_http`].
    pub allow_insecure_http: bool,
    /// As [`crate::IdentityConfig::allow_private_addresses`].
    pub allow_private_addresses: bool,
    /// As [`crate::IdentityConfig::ca_certificates`].
    pub ca_certificates: Option<String>,
}

impl ExchangeConfig {
    /// The largest accepted `cache_entries`.
    pub const MAX_CACHE_ENTRIES: usize = 1 << 18;
    /// The largest accepted `early_seconds`.
    pub const MAX_EARLY_SECONDS: u64 = 300;

    /// The usual limits.
    #[must_use]
    pub fn new(issuer: &str, form: ExchangeForm, client: ClientAuth) -> Self {
        Self {
            issuer: issuer.to_owned(),
            token_endpoint: None,
            form,
            client,
            max_act_depth: 4,
            cache_entries: 16 * 1024,
            early_seconds: 30,
            http_timeout: Duration::from_secs(5),
            allow_insecure_http: false,
            allow_private_addresses: false,
            ca_certificates: None,
        }
    }
}

/// What the new token is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ExchangeTarget {
    /// `audience`: the upstream's name at the issuer.
    pub audience: Option<String>,
    /// `resource`: the upstream's URL (RFC 8707).
    pub resource: Option<String>,
    /// The scopes asked for; empty leaves them to the issuer.
    pub scopes: Vec<String>,
}

/// Whose token is exchanged.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The token as the caller showed it.
    pub token: &'a str,
    /// What the verifier said of it.
    pub caller: &'a Caller,
    /// Whether the caller proved to hold the token's key ([`crate::Verifier::verify_dpop`]). Issuers do not check it
    /// again, so a bound token without it is refused here.
    pub proven: bool,
}

/// A token for the upstream.
#[derive(Clone, Debug)]
pub struct UpstreamToken {
    /// The token, to be sent as `Authorization: Bearer` to the upstream and nowhere else.
    pub token: Secret,
    /// Until when it is used, seconds since the Unix epoch.
    pub until: u64,
}

/// Why there is no token for the upstream. No text contains a byte of a token or secret.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ExchangeError {
    /// The caller's token is bound to a key and nobody checked the proof.
    #[error("the token is bound to a key whose proof was not checked")]
    NotProven,
    /// Too many parties act for the subject already.
    #[error("the token was delegated too often to be delegated again")]
    DelegatedTooOften,
    /// The issuer does not accept the caller's token any more (`invalid_grant`, `invalid_request` about it).
    #[error("the issuer does not accept the token for an exchange; sign in again")]
    SubjectRefused,
    /// The person must do something at the issuer first (`interaction_required`, `consent_required`, `login_required`).
    #[error("the issuer wants the person to sign in or to consent again")]
    InteractionRequired,
    /// The issuer does not let this caller, or nobody, have such a token (`invalid_scope`, `invalid_target`,
    /// `access_denied`).
    #[error("the issuer gives no token for the server behind the gate to this caller")]
    Denied,
    /// The issuer does not accept the gate (`invalid_client`, `unauthorized_client`): the operator's to mend.
    #[error("the issuer does not accept the gate as a client")]
    GateRefused,
    /// The issuer did not answer, or not with a token.
    #[error("the issuer gave no answer that can be used")]
    Unavailable,
}

impl ExchangeError {
    /// The HTTP status that says it: 401 where another token of the caller's would help, 403 where none would, 502 where
    /// it is not the caller's fault.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::NotProven | Self::SubjectRefused | Self::InteractionRequired => 401,
            Self::DelegatedTooOften | Self::Denied => 403,
            Self::GateRefused | Self::Unavailable => 502,
        }
    }
}

/// Exchanges callers' tokens for upstreams'. Results are remembered until shortly before they expire, and one exchange
/// runs at a time for the same token, audience and scopes.
#[derive(Debug)]
pub struct TokenExchange {}

impl TokenExchange {
    /// Checks the configuration. No connection is made.
    ///
    /// # Errors
    /// When it cannot work.
    pub fn new(_config: ExchangeConfig) -> Result<Self, SetupError> {
        Ok(Self {})
    }

    /// A token for the target, on behalf of the subject. `now` is in seconds since the Unix epoch.
    ///
    /// # Errors
    /// [`ExchangeError`] says whose fault it is.
    pub async fn exchange(
        self: &Arc<Self>,
        _subject: Subject<'_>,
        _target: &ExchangeTarget,
        _now: u64,
    ) -> Result<UpstreamToken, ExchangeError> {
        Err(ExchangeError::Unavailable)
    }

    /// Forgets every token.
    pub fn forget_all(&self) {}
}
