//! Documents from an issuer, over a client that cannot be led elsewhere.

use std::net::{IpAddr, SocketAddr};

use reqwest::StatusCode;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use thiserror::Error;
use url::{Host, Url};

use crate::address::{is_loopback_host, is_public};
use crate::{IdentityConfig, KeySource, SetupError};

/// Fetches small documents: https only (or what the configuration allows), no redirects, no proxy, bounded in
/// time and size, and only from addresses an issuer may live at. The address that was judged is the one that
/// is connected to, so a name cannot change its mind in between.
pub(crate) struct Fetcher {
    client: reqwest::Client,
    reach: Reach,
    insecure_http: bool,
}

/// Which addresses may be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// Public ones.
    Public,
    /// Public ones and this machine: the operator configured an issuer on it.
    PublicAndLoopback,
    /// All: the operator said so.
    Any,
}

/// A document could not be had.
#[derive(Debug, Error)]
pub(crate) enum FetchError {
    /// The URL's scheme or address is not one that may be asked.
    #[error("{0} is not an address an issuer may use")]
    Forbidden(String),
    /// More than [`IdentityConfig::MAX_DOCUMENT_BYTES`].
    #[error("the document is larger than {} bytes", IdentityConfig::MAX_DOCUMENT_BYTES)]
    TooLarge,
    /// Any status but 200; redirects among them.
    #[error("status {0}")]
    Status(StatusCode),
    /// No connection, no answer in time, or a broken one.
    #[error("{0}")]
    Unreachable(String),
}

impl FetchError {
    /// Whether the server could not be reached at all.
    pub(crate) fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Forbidden(_))
    }
}

impl Fetcher {
    pub(crate) fn new(config: &IdentityConfig) -> Result<Self, SetupError> {
        let reach = reach(config);
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(config.http_timeout)
            .dns_resolver(GuardedResolver(reach))
            .user_agent(concat!("octroi/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| SetupError::HttpClient { reason: with_causes(&error) })?;
        Ok(Self { client, reach, insecure_http: config.allow_insecure_http })
    }

    /// The body of a 200 answer.
    pub(crate) async fn get(&self, url: &Url) -> Result<Vec<u8>, FetchError> {
        if !self.may_ask(url) {
            return Err(FetchError::Forbidden(url.origin().ascii_serialization()));
        }
        let request = self.client.get(url.clone()).header("accept", "application/json");
        let mut response = request.send().await.map_err(unreachable)?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if body.len() + chunk.len() > IdentityConfig::MAX_DOCUMENT_BYTES {
                return Err(FetchError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// Judges what the resolver does not see: the scheme, and hosts written as addresses.
    fn may_ask(&self, url: &Url) -> bool {
        let scheme = match url.scheme() {
            "https" => true,
            "http" => self.insecure_http || (is_loopback_host(url) && self.reach != Reach::Public),
            _ => false,
        };
        let host = match url.host() {
            Some(Host::Domain(_)) => true,
            Some(Host::Ipv4(ip)) => self.reach.covers(IpAddr::V4(ip)),
            Some(Host::Ipv6(ip)) => self.reach.covers(IpAddr::V6(ip)),
            None => false,
        };
        scheme && host
    }
}

impl Reach {
    fn covers(self, ip: IpAddr) -> bool {
        match self {
            Self::Public => is_public(ip),
            Self::PublicAndLoopback => is_public(ip) || ip.is_loopback(),
            Self::Any => true,
        }
    }
}

fn reach(config: &IdentityConfig) -> Reach {
    let configured = match &config.provider.keys {
        KeySource::Discovery => config.provider.issuers.first(),
        KeySource::Jwks(uri) => Some(uri),
    };
    let on_this_machine =
        configured.and_then(|url| Url::parse(url).ok()).is_some_and(|url| is_loopback_host(&url));
    match (config.allow_private_addresses, on_this_machine) {
        (true, _) => Reach::Any,
        (false, true) => Reach::PublicAndLoopback,
        (false, false) => Reach::Public,
    }
}

/// Resolves names to permitted addresses only.
struct GuardedResolver(Reach);

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let permitted: Vec<SocketAddr> = found.filter(|address| reach.covers(address.ip())).collect();
            if permitted.is_empty() {
                return Err(FetchError::Forbidden(name.as_str().to_owned()).into());
            }
            Ok(Box::new(permitted.into_iter()) as Addrs)
        })
    }
}

fn unreachable(error: reqwest::Error) -> FetchError {
    FetchError::Unreachable(with_causes(&error.without_url()))
}

/// The error and what caused it, in one line for the log.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Provider;

    fn fetcher(issuer: &str, change: impl FnOnce(&mut IdentityConfig)) -> Fetcher {
        let mut config = IdentityConfig::new(Provider::oidc(issuer), vec!["audience".to_owned()]);
        change(&mut config);
        Fetcher::new(&config).unwrap()
    }

    fn may_ask(fetcher: &Fetcher, url: &str) -> bool {
        fetcher.may_ask(&Url::parse(url).unwrap())
    }

    #[test]
    fn a_public_issuer_leads_nowhere_private() {
        let public = fetcher("https://issuer.example", |_| ());
        for allowed in ["https://issuer.example/", "https://cdn.example:8443/jwks", "https://8.8.8.8/"] {
            assert!(may_ask(&public, allowed), "{allowed}");
        }
        for refused in [
            "http://issuer.example/",
            "http://127.0.0.1/",
            "http://localhost/",
            "https://127.0.0.1/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://169.254.169.254/",
            "ftp://issuer.example/",
        ] {
            assert!(!may_ask(&public, refused), "{refused}");
        }
    }

    #[test]
    fn more_is_allowed_only_by_the_configuration() {
        let local = fetcher("http://127.0.0.1:8080", |_| ());
        assert!(may_ask(&local, "http://127.0.0.1:9/") && may_ask(&local, "http://localhost/"));
        assert!(!may_ask(&local, "http://10.0.0.1/") && !may_ask(&local, "https://10.0.0.1/"));
        assert!(!may_ask(&local, "http://issuer.example/"));
        let private = fetcher("https://10.0.0.1", |config| config.allow_private_addresses = true);
        assert!(may_ask(&private, "https://10.0.0.1/") && !may_ask(&private, "http://10.0.0.1/"));
        let clear = fetcher("http://issuer.example", |config| config.allow_insecure_http = true);
        assert!(may_ask(&clear, "http://issuer.example/") && !may_ask(&clear, "http://10.0.0.1/"));
    }

    #[tokio::test]
    async fn names_are_judged_by_what_they_resolve_to() {
        let resolve = async |reach| {
            let name: Name = "localhost".parse().unwrap();
            GuardedResolver(reach).resolve(name).await.map(Iterator::count).is_ok()
        };
        assert!(!resolve(Reach::Public).await);
        assert!(resolve(Reach::PublicAndLoopback).await);
        assert!(resolve(Reach::Any).await);
    }
}
