//! On-behalf-of: the caller's token for one that the upstream accepts (RFC 8693, RFC 7523).

mod answer;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio::sync::OnceCell;
use url::Url;
use zeroize::Zeroizing;

use crate::cache::{self, TokenCache};
use crate::client_auth::ClientAuth;
use crate::flights::{Flights, TooManyFlights};
use crate::http::{Fetcher, HttpSettings};
use crate::keys::discovery;
use crate::{Caller, IdentityConfig, Secret, SetupError};

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
pub struct TokenExchange {
    config: ExchangeConfig,
    fetcher: Fetcher,
    /// From the configuration, or from the issuer's metadata once that was read.
    endpoint: OnceCell<Url>,
    cache: TokenCache<UpstreamToken>,
    /// Moves when everything is forgotten.
    epoch: AtomicU64,
    flights: Flights<Result<Arc<UpstreamToken>, ExchangeError>>,
}

impl TokenExchange {
    /// Checks the configuration. No connection is made.
    ///
    /// # Errors
    /// When it cannot work.
    pub fn new(config: ExchangeConfig) -> Result<Self, SetupError> {
        config.check()?;
        let endpoint = config.token_endpoint.as_deref();
        let parsed = |text: &str| Url::parse(text).map_err(|_| SetupError::NotAUrl { url: text.to_owned() });
        let settings = HttpSettings {
            timeout: config.http_timeout,
            allow_insecure_http: config.allow_insecure_http,
            allow_private_addresses: config.allow_private_addresses,
            ca_certificates: config.ca_certificates.as_deref(),
        };
        Ok(Self {
            fetcher: Fetcher::new(Some(endpoint.unwrap_or(&config.issuer)), settings)?,
            endpoint: OnceCell::new_with(endpoint.map(parsed).transpose()?),
            cache: TokenCache::new(config.cache_entries),
            epoch: AtomicU64::new(0),
            flights: Flights::default(),
            config,
        })
    }

    /// Refuses a target that this form of exchange cannot name.
    ///
    /// # Errors
    /// When something is missing.
    pub fn check_target(&self, target: &ExchangeTarget) -> Result<(), SetupError> {
        let (audience, resource) = (target.audience.is_some(), target.resource.is_some());
        let (complete, needs) = match self.config.form {
            ExchangeForm::TokenExchange => (audience || resource, "an audience or a resource"),
            ExchangeForm::Auth0 | ExchangeForm::Keycloak => (audience, "an audience"),
            ExchangeForm::Entra => (!target.scopes.is_empty(), "a scope such as api://…/.default"),
        };
        if complete { Ok(()) } else { Err(SetupError::NoTarget { needs }) }
    }

    /// A token for the target, on behalf of the subject. `now` is in seconds since the Unix epoch.
    ///
    /// # Errors
    /// [`ExchangeError`] says whose fault it is.
    pub async fn exchange(
        &self,
        subject: Subject<'_>,
        target: &ExchangeTarget,
        now: u64,
    ) -> Result<Arc<UpstreamToken>, ExchangeError> {
        if subject.caller.is_sender_constrained() && !subject.proven {
            return Err(ExchangeError::NotProven);
        }
        if subject.caller.act.len() > self.config.max_act_depth {
            return Err(ExchangeError::DelegatedTooOften);
        }
        let epoch = self.epoch.load(Ordering::Acquire);
        let about = about(subject.token, target);
        if let Some(token) = self.cache.get(&about, now, epoch) {
            return Ok(token);
        }
        let shared = self.flights.share(about, || self.exchanged(subject.token, target, now)).await;
        let token = shared.unwrap_or_else(|TooManyFlights| Err(ExchangeError::Unavailable))?;
        if now < token.until {
            self.cache.insert(about, Arc::clone(&token), token.until, epoch);
        }
        Ok(token)
    }

    /// Forgets every token.
    pub fn forget_all(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
        self.cache.clear();
    }

    async fn exchanged(
        &self,
        token: &str,
        target: &ExchangeTarget,
        now: u64,
    ) -> Result<Arc<UpstreamToken>, ExchangeError> {
        let unavailable = |reason: String| {
            tracing::warn!(issuer = %self.config.issuer, %reason, "no token could be had for the server behind");
            ExchangeError::Unavailable
        };
        let found = || discovery::endpoint("token_endpoint", &self.config.issuer, &self.fetcher);
        let endpoint =
            self.endpoint.get_or_try_init(found).await.map_err(|error| unavailable(error.to_string()))?;
        let request = self.fetcher.request(reqwest::Method::POST, endpoint);
        let request = request.map_err(|error| unavailable(error.to_string()))?;
        let form = self.config.form.fields(token, target);
        let request = self.config.client.complete(request, form, now);
        let request = request.map_err(|error| unavailable(error.to_string()))?;
        let answer = self.fetcher.answer(request).await.map_err(|error| unavailable(error.to_string()))?;
        let read = answer::read(&answer, token, now, self.config.early_seconds);
        if let Err(refused) = &read {
            // The issuer's own words are for the operator: they may name clients and policies.
            let said = answer::words(&answer);
            tracing::info!(issuer = %self.config.issuer, status = %answer.status, %said, "an exchange was refused: {refused}");
        }
        read.map(Arc::new)
    }
}

impl ExchangeConfig {
    fn check(&self) -> Result<(), SetupError> {
        self.client.check()?;
        if self.client.client_id().is_none() {
            return Err(SetupError::NoGateCredential);
        }
        for url in self.token_endpoint.iter().chain([&self.issuer]) {
            crate::config::checked_url(url, self.allow_insecure_http)?;
        }
        let within = |field, value: u64, min: u64, max: u64| {
            let fits = (min..=max).contains(&value);
            if fits { Ok(()) } else { Err(SetupError::OutOfBounds { field, min, max }) }
        };
        within("max_act_depth", self.max_act_depth as u64, 0, IdentityConfig::MAX_ACT_DEPTH as u64)?;
        within("cache_entries", self.cache_entries as u64, 1, Self::MAX_CACHE_ENTRIES as u64)?;
        within("early_seconds", self.early_seconds, 0, Self::MAX_EARLY_SECONDS)?;
        let timeout = u64::try_from(self.http_timeout.as_millis()).unwrap_or(u64::MAX);
        let longest = u64::try_from(IdentityConfig::MAX_HTTP_TIMEOUT.as_millis()).unwrap_or(u64::MAX);
        within("http_timeout (ms)", timeout, 1, longest)
    }
}

impl ExchangeForm {
    /// The request, without the gate's own proof of who it is.
    fn fields<'n>(self, token: &str, target: &ExchangeTarget) -> Vec<(&'n str, Zeroizing<String>)> {
        const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
        let text = |text: &str| Zeroizing::new(text.to_owned());
        let mut fields = match self {
            Self::TokenExchange | Self::Auth0 | Self::Keycloak => vec![
                ("grant_type", text("urn:ietf:params:oauth:grant-type:token-exchange")),
                ("subject_token", text(token)),
                ("subject_token_type", text(ACCESS_TOKEN)),
                ("requested_token_type", text(ACCESS_TOKEN)),
            ],
            Self::Entra => vec![
                ("grant_type", text("urn:ietf:params:oauth:grant-type:jwt-bearer")),
                ("assertion", text(token)),
                ("requested_token_use", text("on_behalf_of")),
            ],
        };
        if let Some(audience) = target.audience.as_deref().filter(|_| self != Self::Entra) {
            fields.push(("audience", text(audience)));
        }
        if let Some(resource) = target.resource.as_deref().filter(|_| self == Self::TokenExchange) {
            fields.push(("resource", text(resource)));
        }
        if !target.scopes.is_empty() {
            fields.push(("scope", text(&target.scopes.join(" "))));
        }
        fields
    }
}

/// What tells one exchange from another: the token and everything that is asked for. Each part has its length before
/// it, so that no two lists of parts read as the same bytes.
fn about(token: &str, target: &ExchangeTarget) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(cache::hash(token));
    for part in [&target.audience, &target.resource] {
        hash.update([u8::from(part.is_some())]);
        let part = part.as_deref().unwrap_or_default();
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    for scope in &target.scopes {
        hash.update((scope.len() as u64).to_be_bytes());
        hash.update(scope.as_bytes());
    }
    hash.finalize().into()
}

impl fmt::Debug for TokenExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenExchange").field("config", &self.config).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_exchanges_are_told_apart() {
        let target = |audience: Option<&str>, resource: Option<&str>, scopes: &[&str]| ExchangeTarget {
            audience: audience.map(str::to_owned),
            resource: resource.map(str::to_owned),
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        };
        let all = [
            about("t", &target(None, None, &[])),
            about("u", &target(None, None, &[])),
            about("t", &target(Some(""), None, &[])),
            about("t", &target(Some("a"), None, &[])),
            about("t", &target(None, Some("a"), &[])),
            about("t", &target(None, None, &["a"])),
            about("t", &target(None, None, &["a", "b"])),
            about("t", &target(None, None, &["ab"])),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(all[at + 1..].iter().all(|other| other != one), "{at}");
        }
    }
}
