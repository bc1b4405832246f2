//! Asking an issuer, over a client that cannot be led elsewhere.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Method, RequestBuilder, StatusCode};
use thiserror::Error;
use url::{Host, Url};

use crate::address::{is_loopback_host, is_public};
use crate::{IdentityConfig, SetupError};

/// How issuers may be asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HttpSettings<'a> {
    /// How long one request may take, from name lookup to last byte.
    pub(crate) timeout: Duration,
    /// Whether plain HTTP will do for hosts other than this machine.
    pub(crate) allow_insecure_http: bool,
    /// Whether addresses that are not public will do.
    pub(crate) allow_private_addresses: bool,
    /// Certificates in PEM, trusted beside the system's.
    pub(crate) ca_certificates: Option<&'a str>,
}

impl<'a> HttpSettings<'a> {
    pub(crate) fn of(config: &'a IdentityConfig) -> Self {
        Self {
            timeout: config.http_timeout,
            allow_insecure_http: config.allow_insecure_http,
            allow_private_addresses: config.allow_private_addresses,
            ca_certificates: config.ca_certificates.as_deref(),
        }
    }
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// At most [`IdentityConfig::MAX_DOCUMENT_BYTES`].
    pub(crate) body: Vec<u8>,
}

/// Asks for small documents: https only (or what the configuration allows), no redirects, no proxy, bounded in
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
    /// A client for an issuer that lives at `home`.
    pub(crate) fn new(home: Option<&str>, settings: HttpSettings<'_>) -> Result<Self, SetupError> {
        let reach = reach(home, settings.allow_private_addresses);
        let mut client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(settings.timeout)
            .dns_resolver(GuardedResolver(reach))
            .user_agent(concat!("octroi/", env!("CARGO_PKG_VERSION")));
        if let Some(pem) = settings.ca_certificates {
            let unreadable = |error: reqwest::Error| SetupError::Certificates { reason: with_causes(&error) };
            let certificates = reqwest::Certificate::from_pem_bundle(pem.as_bytes()).map_err(unreadable)?;
            if certificates.is_empty() {
                return Err(SetupError::Certificates { reason: "no certificate in the text".to_owned() });
            }
            for certificate in certificates {
                client = client.add_root_certificate(certificate);
            }
        }
        let client =
            client.build().map_err(|error| SetupError::HttpClient { reason: with_causes(&error) })?;
        Ok(Self { client, reach, insecure_http: settings.allow_insecure_http })
    }

    /// The body of a 200 answer.
    pub(crate) async fn get(&self, url: &Url) -> Result<Vec<u8>, FetchError> {
        let answer = self.answer(self.request(Method::GET, url)?).await?;
        if answer.status != StatusCode::OK {
            return Err(FetchError::Status(answer.status));
        }
        Ok(answer.body)
    }

    /// A request to be completed and given to [`Self::answer`].
    pub(crate) fn request(&self, method: Method, url: &Url) -> Result<RequestBuilder, FetchError> {
        if !self.may_ask(url) {
            return Err(FetchError::Forbidden(url.origin().ascii_serialization()));
        }
        Ok(self.client.request(method, url.clone()).header("accept", "application/json"))
    }

    /// Sends a request and reads the answer, whatever its status.
    pub(crate) async fn answer(&self, request: RequestBuilder) -> Result<Answer, FetchError> {
        let mut response = request.send().await.map_err(unreachable)?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if body.len() + chunk.len() > IdentityConfig::MAX_DOCUMENT_BYTES {
                return Err(FetchError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status: response.status(), body })
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

fn reach(home: Option<&str>, allow_private_addresses: bool) -> Reach {
    let on_this_machine = home.and_then(|url| Url::parse(url).ok()).is_some_and(|url| is_loopback_host(&url));
    match (allow_private_addresses, on_this_machine) {
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

    fn fetcher(issuer: &str, change: impl FnOnce(&mut HttpSettings<'_>)) -> Fetcher {
        let mut settings = HttpSettings {
            timeout: Duration::from_secs(5),
            allow_insecure_http: false,
            allow_private_addresses: false,
            ca_certificates: None,
        };
        change(&mut settings);
        Fetcher::new(Some(issuer), settings).unwrap()
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

    #[test]
    fn authorities_must_be_certificates() {
        for pem in ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            let settings = HttpSettings {
                timeout: Duration::from_secs(5),
                allow_insecure_http: false,
                allow_private_addresses: false,
                ca_certificates: Some(pem),
            };
            let refused = Fetcher::new(None, settings).err();
            assert!(
                matches!(refused, Some(SetupError::Certificates { .. } | SetupError::HttpClient { .. })),
                "{pem}"
            );
        }
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
