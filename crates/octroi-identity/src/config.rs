//! What a verifier is told, and the check that it can keep its promise.

use std::time::Duration;

use url::Url;

use crate::address::is_loopback_host;
use crate::{AudienceRule, IssuerRule, Method, Provider, SetupError, TrustedIssuer};

/// The configuration of one protected resource's identity.
#[derive(Clone, Debug)]
pub struct IdentityConfig {
    /// What the tokens look like.
    pub provider: Provider,
    /// Other issuers, of workloads mostly, whose tokens are accepted too. A token is judged by the rules of the issuer
    /// it names, and with that issuer's keys only.
    pub trusted_issuers: Vec<TrustedIssuer>,
    /// Accepted `aud` values, compared exactly; empty accepts the provider's own default ones, if it has any. Must not
    /// be empty otherwise unless the provider's tokens carry none.
    pub audiences: Vec<String>,
    /// Accepted clients (or, for providers that name one, origins). Empty accepts every client, which is
    /// allowed only where tokens name their audience.
    pub allowed_clients: Vec<String>,
    /// Scopes every token must have.
    pub required_scopes: Vec<String>,
    /// Clock difference tolerated in `exp`, `nbf` and `iat`; at most [`Self::MAX_LEEWAY_SECONDS`].
    pub leeway_seconds: u64,
    /// How long ago `iat` may lie; `None` leaves it to `exp`.
    pub max_age_seconds: Option<u64>,
    /// How many parties may act for the subject, one for the other (`act`, RFC 8693 §4.1); 0 accepts no delegated
    /// token. At most [`Self::MAX_ACT_DEPTH`].
    pub max_act_depth: usize,
    /// How many verified tokens are remembered, 1 to [`Self::MAX_TOKEN_CACHE_ENTRIES`].
    pub token_cache_entries: usize,
    /// How long a verified token is trusted without another check, at most
    /// [`Self::MAX_TOKEN_CACHE_SECONDS`]: the longest a revoked key or token is still honoured.
    pub token_cache_seconds: u64,
    /// How long fetched keys are used before they are fetched again; at least 1.
    pub keys_fresh_seconds: u64,
    /// How long keys are used when they cannot be fetched again, counted from their last fetch; at least
    /// `keys_fresh_seconds`, at most [`Self::MAX_KEYS_STALE_SECONDS`].
    pub keys_stale_seconds: u64,
    /// The shortest time between two fetches caused by callers: unknown `kid`s, or an issuer that is down.
    pub keys_min_refresh_seconds: u64,
    /// How long one request to the issuer may take, from name lookup to last byte.
    pub http_timeout: Duration,
    /// Whether the issuer may be reached over plain HTTP. An issuer on a loopback address always may.
    pub allow_insecure_http: bool,
    /// Certificates in PEM that are trusted as authorities for the issuers' hosts, beside the system's: for issuers inside
    /// a private network.
    pub ca_certificates: Option<String>,
    /// Whether the issuer may live at an address that is not public. An issuer configured by a loopback
    /// address always may live at one.
    pub allow_private_addresses: bool,
}

impl IdentityConfig {
    /// The longest token that is read, in bytes.
    pub const MAX_TOKEN_BYTES: usize = 16 * 1024;
    /// The largest document read from an issuer, in bytes.
    pub const MAX_DOCUMENT_BYTES: usize = 256 * 1024;
    /// The most keys kept of one key set.
    pub const MAX_KEYS: usize = 64;
    /// The largest accepted `max_act_depth`.
    pub const MAX_ACT_DEPTH: usize = 8;
    /// The most `trusted_issuers`.
    pub const MAX_TRUSTED_ISSUERS: usize = 64;
    /// The largest accepted `leeway_seconds`.
    pub const MAX_LEEWAY_SECONDS: u64 = 300;
    /// The largest accepted `token_cache_seconds`.
    pub const MAX_TOKEN_CACHE_SECONDS: u64 = 300;
    /// The largest accepted `token_cache_entries`.
    pub const MAX_TOKEN_CACHE_ENTRIES: usize = 1 << 20;
    /// The largest accepted `keys_stale_seconds`: one day.
    pub const MAX_KEYS_STALE_SECONDS: u64 = 24 * 60 * 60;
    /// The longest accepted `http_timeout`.
    pub const MAX_HTTP_TIMEOUT: Duration = Duration::from_secs(30);

    /// A configuration with the usual limits.
    #[must_use]
    pub fn new(provider: Provider, audiences: Vec<String>) -> Self {
        Self {
            provider,
            trusted_issuers: Vec::new(),
            audiences,
            allowed_clients: Vec::new(),
            required_scopes: Vec::new(),
            leeway_seconds: 30,
            max_age_seconds: None,
            max_act_depth: 5,
            token_cache_entries: 16 * 1024,
            token_cache_seconds: 60,
            keys_fresh_seconds: 600,
            keys_stale_seconds: 3600,
            keys_min_refresh_seconds: 10,
            http_timeout: Duration::from_secs(5),
            ca_certificates: None,
            allow_insecure_http: false,
            allow_private_addresses: false,
        }
    }

    /// Whether a verifier can be built from this, without building it.
    ///
    /// # Errors
    /// As [`crate::Verifier::connect`], except for what only the machine can tell.
    pub fn check(&self) -> Result<(), SetupError> {
        self.clone().checked().map(|_| ())
    }

    /// The same configuration, or what is wrong with it.
    pub(crate) fn checked(mut self) -> Result<Self, SetupError> {
        settle(&self.provider, &mut self.audiences, &mut self.allowed_clients);
        check_meaning(&self.provider, &self.audiences, &self.allowed_clients)?;
        self.check_urls(&self.provider)?;
        self.check_trusted()?;
        let blank = |texts: &[String]| texts.iter().any(|text| text.is_empty());
        if blank(&self.audiences) || blank(&self.allowed_clients) || blank(&self.required_scopes) {
            return Err(SetupError::Blank);
        }
        self.check_bounds()?;
        Ok(self)
    }

    fn check_trusted(&mut self) -> Result<(), SetupError> {
        let mut trusted_issuers = std::mem::take(&mut self.trusted_issuers);
        let mut names: Vec<String> = self.provider.issuers.clone();
        for trusted in &mut trusted_issuers {
            let provider = &trusted.provider;
            if trusted.audiences.is_empty() && provider.default_audiences.is_empty() {
                trusted.audiences.clone_from(&self.audiences);
            }
            settle(provider, &mut trusted.audiences, &mut trusted.allowed_clients);
            check_meaning(provider, &trusted.audiences, &trusted.allowed_clients)?;
            self.check_urls(provider)?;
            if !trusted.is_selective() {
                return Err(SetupError::AnyWorkload { provider: provider.name });
            }
            for issuer in &provider.issuers {
                if names.contains(issuer) {
                    return Err(SetupError::IssuerTwice { issuer: issuer.clone() });
                }
                names.push(issuer.clone());
            }
        }
        self.trusted_issuers = trusted_issuers;
        Ok(())
    }

    fn check_urls(&self, provider: &Provider) -> Result<(), SetupError> {
        for issuer in &provider.issuers {
            let not_a_url = || SetupError::NotAUrl { url: issuer.clone() };
            let url = Url::parse(issuer).map_err(|_| not_a_url())?;
            // RFC 8414 §2: an issuer has neither query nor fragment.
            if url.query().is_some() || url.fragment().is_some() {
                return Err(not_a_url());
            }
            if provider.issuer_rule == IssuerRule::TrustDomain {
                if url.scheme() != "spiffe" || !matches!(url.path(), "" | "/") || issuer.ends_with('/') {
                    return Err(not_a_url());
                }
            } else {
                checked_url(issuer, self.allow_insecure_http)?;
            }
        }
        for url in provider.endpoints() {
            checked_url(url, self.allow_insecure_http)?;
        }
        Ok(())
    }

    fn check_bounds(&self) -> Result<(), SetupError> {
        let within = |field, value: u64, min: u64, max: u64| {
            if (min..=max).contains(&value) {
                Ok(())
            } else {
                Err(SetupError::OutOfBounds { field, min, max })
            }
        };
        within("max_act_depth", self.max_act_depth as u64, 0, Self::MAX_ACT_DEPTH as u64)?;
        let trusted = self.trusted_issuers.len() as u64;
        within("trusted_issuers", trusted, 0, Self::MAX_TRUSTED_ISSUERS as u64)?;
        let providers = self.trusted_issuers.iter().map(|trusted| &trusted.provider).chain([&self.provider]);
        for seconds in providers.filter_map(Provider::answer_seconds) {
            within("cache_seconds", seconds, 0, Self::MAX_TOKEN_CACHE_SECONDS)?;
        }
        within("leeway_seconds", self.leeway_seconds, 0, Self::MAX_LEEWAY_SECONDS)?;
        within("token_cache_seconds", self.token_cache_seconds, 0, Self::MAX_TOKEN_CACHE_SECONDS)?;
        let entries = u64::try_from(self.token_cache_entries).unwrap_or(u64::MAX);
        within("token_cache_entries", entries, 1, Self::MAX_TOKEN_CACHE_ENTRIES as u64)?;
        within("keys_stale_seconds", self.keys_stale_seconds, 1, Self::MAX_KEYS_STALE_SECONDS)?;
        within("keys_fresh_seconds", self.keys_fresh_seconds, 1, self.keys_stale_seconds)?;
        within("keys_min_refresh_seconds", self.keys_min_refresh_seconds, 1, self.keys_stale_seconds)?;
        let timeout = u64::try_from(self.http_timeout.as_millis()).unwrap_or(u64::MAX);
        within("http_timeout (ms)", timeout, 1, Self::MAX_HTTP_TIMEOUT.as_secs() * 1000)
    }
}

/// A URL that may be asked: https, or http on this machine or by decision; without a user name.
pub(crate) fn checked_url(text: &str, allow_insecure_http: bool) -> Result<Url, SetupError> {
    let not_a_url = || SetupError::NotAUrl { url: text.to_owned() };
    let url = Url::parse(text).map_err(|_| not_a_url())?;
    if !url.has_host() || !url.username().is_empty() || url.password().is_some() {
        return Err(not_a_url());
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if allow_insecure_http || is_loopback_host(&url) => Ok(url),
        "http" => Err(SetupError::InsecureUrl { url: text.to_owned() }),
        _ => Err(not_a_url()),
    }
}

/// Fills in what the provider alone knows.
fn settle(provider: &Provider, audiences: &mut Vec<String>, clients: &mut Vec<String>) {
    if audiences.is_empty() {
        audiences.clone_from(&provider.default_audiences);
    }
    if let (Method::GitHub(app), true) = (&provider.method, clients.is_empty()) {
        clients.push(app.client_id.clone());
    }
}

/// Refuses whatever would accept a token that is not meant for this resource.
fn check_meaning(provider: &Provider, audiences: &[String], clients: &[String]) -> Result<(), SetupError> {
    if provider.issuers.is_empty() {
        return Err(SetupError::NoIssuer);
    }
    if matches!(provider.method, Method::Jwt(_)) {
        if provider.algorithms.is_empty() {
            return Err(SetupError::NoAlgorithm);
        }
        if provider.types.is_empty() {
            return Err(SetupError::NoTokenType);
        }
    }
    if provider.audience_rule != AudienceRule::Required && clients.is_empty() {
        return Err(SetupError::NoClients { provider: provider.name });
    }
    if provider.audience_rule == AudienceRule::Required && audiences.is_empty() {
        return Err(SetupError::NoAudience);
    }
    if !clients.is_empty() && provider.client_claims.is_empty() {
        return Err(SetupError::ClientsNotNamed { provider: provider.name });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KeySource;

    fn good() -> IdentityConfig {
        IdentityConfig::new(
            Provider::oidc("https://issuer.example"),
            vec!["https://gate.example/mcp".to_owned()],
        )
    }

    fn refused(change: impl FnOnce(&mut IdentityConfig)) -> SetupError {
        let mut config = good();
        change(&mut config);
        config.checked().unwrap_err()
    }

    #[test]
    fn nothing_that_accepts_strangers_starts() {
        assert!(good().checked().is_ok());
        assert_eq!(refused(|c| c.audiences.clear()), SetupError::NoAudience);
        assert_eq!(refused(|c| c.audiences.push(String::new())), SetupError::Blank);
        assert_eq!(refused(|c| c.provider.issuers.clear()), SetupError::NoIssuer);
        assert_eq!(refused(|c| c.provider.algorithms.clear()), SetupError::NoAlgorithm);
        assert_eq!(refused(|c| c.provider.types.clear()), SetupError::NoTokenType);
        for provider in [
            Provider::cognito("eu-west-1", "eu-west-1_abc"),
            Provider::clerk_session("https://clerk.example"),
        ] {
            let name = provider.name;
            assert_eq!(refused(|c| c.provider = provider.clone()), SetupError::NoClients { provider: name });
            let mut config = IdentityConfig::new(provider, Vec::new());
            config.allowed_clients.push("client".to_owned());
            assert!(config.checked().is_ok());
        }
    }

    #[test]
    fn plain_http_only_where_nobody_listens_or_by_decision() {
        let at = |issuer: &str| {
            let issuer = issuer.to_owned();
            move |c: &mut IdentityConfig| c.provider.issuers = vec![issuer]
        };
        assert!(matches!(refused(at("http://issuer.example")), SetupError::InsecureUrl { .. }));
        assert!(matches!(refused(at("http://127.0.0.1.example")), SetupError::InsecureUrl { .. }));
        assert!(matches!(refused(at("ftp://issuer.example")), SetupError::NotAUrl { .. }));
        assert!(matches!(refused(at("https://user@issuer.example")), SetupError::NotAUrl { .. }));
        assert!(matches!(refused(at("https://issuer.example?x")), SetupError::NotAUrl { .. }));
        assert!(matches!(refused(at("issuer.example")), SetupError::NotAUrl { .. }));
        let insecure_keys = KeySource::Jwks("http://keys.example/jwks".to_owned());
        assert!(matches!(
            refused(|c| c.provider.method = Method::Jwt(insecure_keys)),
            SetupError::InsecureUrl { .. }
        ));
        for loopback in ["http://127.0.0.1:8080", "http://[::1]:1", "http://localhost:9/realms/x"] {
            let mut config = good();
            at(loopback)(&mut config);
            assert!(config.checked().is_ok(), "{loopback}");
        }
        let mut config = good();
        at("http://keycloak:8080/realms/x")(&mut config);
        config.allow_insecure_http = true;
        assert!(config.checked().is_ok());
    }

    #[test]
    fn every_number_is_bounded() {
        type Change = fn(&mut IdentityConfig);
        let changes: [(&str, Change); 7] = [
            ("leeway_seconds", |c| c.leeway_seconds = 301),
            ("token_cache_seconds", |c| c.token_cache_seconds = 301),
            ("token_cache_entries", |c| c.token_cache_entries = 0),
            ("keys_stale_seconds", |c| c.keys_stale_seconds = 86_401),
            ("keys_fresh_seconds", |c| c.keys_fresh_seconds = c.keys_stale_seconds + 1),
            ("keys_min_refresh_seconds", |c| c.keys_min_refresh_seconds = 0),
            ("http_timeout (ms)", |c| c.http_timeout = Duration::from_secs(31)),
        ];
        for (name, change) in changes {
            assert!(
                matches!(refused(change), SetupError::OutOfBounds { field, .. } if field == name),
                "{name}"
            );
        }
    }
}
