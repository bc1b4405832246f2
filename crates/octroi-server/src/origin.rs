//! Who may send a browser here: `Host` and `Origin` checks, and the CORS headers that follow from them.
//!
//! MCP 2026-07-28 basic/transports: an `Origin` that is present and not allowed MUST be answered with 403. On a loopback
//! listener `Host` is checked too: a web page whose name was rebound to 127.0.0.1 sends its own name there.

use std::net::{IpAddr, SocketAddr};

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use url::{Host, Url};

/// Methods a browser may use.
const METHODS: HeaderValue = HeaderValue::from_static("POST, GET, DELETE, OPTIONS");
/// How long a browser may remember a preflight, in seconds.
const PREFLIGHT_MAX_AGE: HeaderValue = HeaderValue::from_static("600");
/// Reply headers that a page's script may read.
const EXPOSED: HeaderValue =
    HeaderValue::from_static("Mcp-Session-Id, WWW-Authenticate, Retry-After, Octroi-Price, Octroi-Balance");

/// Which hosts and origins are let in.
#[derive(Clone, Debug)]
pub struct OriginRules {
    allowed: Vec<String>,
    loopback: bool,
    public_host: Option<Host<String>>,
}

impl OriginRules {
    /// Lets in the public URL's own origin, the configured ones and, on a loopback listener, local pages.
    pub fn new(public_url: &Url, configured: &[String], listen: Option<SocketAddr>) -> Self {
        let mut allowed = vec![public_url.origin().ascii_serialization()];
        allowed.extend(configured.iter().map(|origin| origin.to_ascii_lowercase()));
        let loopback = listen.is_some_and(|listen| listen.ip().is_loopback());
        let public_host = public_url.host().map(|host| host.to_owned());
        Self { allowed, loopback, public_host }
    }

    /// Whether a request with these headers may come in.
    pub fn admits(&self, headers: &HeaderMap) -> bool {
        self.admits_host(headers) && self.admits_origin(headers)
    }

    fn admits_host(&self, headers: &HeaderMap) -> bool {
        if !self.loopback {
            return true;
        }
        let Some(value) = headers.get(header::HOST) else { return true };
        let Ok(text) = value.to_str() else { return false };
        // What nearly every local caller sends needs no URL parser.
        if is_plainly_local(text) {
            return true;
        }
        let Some(host) = parse_authority(text) else { return false };
        is_loopback(&host) || self.public_host.as_ref() == Some(&host)
    }

    fn admits_origin(&self, headers: &HeaderMap) -> bool {
        let Some(value) = headers.get(header::ORIGIN) else { return true };
        let Ok(origin) = value.to_str() else { return false };
        let origin = origin.to_ascii_lowercase();
        if self.allowed.contains(&origin) {
            return true;
        }
        let local = Url::parse(&origin).ok().and_then(|url| url.host().map(|host| host.to_owned()));
        self.loopback && local.is_some_and(|host| is_loopback(&host))
    }

    /// Adds what a browser wants to see on a reply to a page of an allowed origin.
    pub fn mark(&self, origin: Option<&HeaderValue>, reply: &mut HeaderMap) {
        let Some(origin) = origin else { return };
        reply.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        reply.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        reply.append(header::VARY, HeaderValue::from_static("Origin"));
    }

    /// The reply headers of a preflight: whatever headers the page asks for may be sent, since the gate forwards only those
    /// on its own list.
    pub fn preflight(&self, asked: &HeaderMap) -> HeaderMap {
        let mut reply = HeaderMap::new();
        self.mark(asked.get(header::ORIGIN), &mut reply);
        reply.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        reply.insert(header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_MAX_AGE);
        let wanted: HeaderName = header::ACCESS_CONTROL_REQUEST_HEADERS;
        if let Some(headers) = asked.get(wanted) {
            reply.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, headers.clone());
        }
        reply
    }
}

/// Whether a `Host` header value is `localhost` or an address of the loopback network, with or without a port.
fn is_plainly_local(value: &str) -> bool {
    if let Ok(address) = value.parse::<SocketAddr>() {
        return address.ip().is_loopback();
    }
    let host = value.rsplit_once(':').map_or(value, |(host, port)| match port.parse::<u16>() {
        Ok(_) => host,
        Err(_) => value,
    });
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The host of a `Host` header value (RFC 9110 §7.2), without its port.
fn parse_authority(value: &str) -> Option<Host<String>> {
    let url = Url::parse(&format!("http://{value}/")).ok()?;
    // `user@host` or a path smuggled into the value is no authority.
    let bare =
        url.username().is_empty() && url.password().is_none() && url.path() == "/" && url.query().is_none();
    if bare { url.host().map(|host| host.to_owned()) } else { None }
}

fn is_loopback(host: &Host<String>) -> bool {
    match host {
        Host::Domain(name) => name == "localhost" || name.ends_with(".localhost"),
        Host::Ipv4(ip) => IpAddr::from(*ip).is_loopback(),
        Host::Ipv6(ip) => IpAddr::from(*ip).is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().expect("header"))).collect()
    }

    fn rules(listen: &str) -> OriginRules {
        let public = Url::parse("https://gate.example.com").expect("url");
        OriginRules::new(&public, &["https://app.example.com".to_owned()], listen.parse().ok())
    }

    #[test]
    fn origins_are_compared_exactly() {
        let rules = rules("0.0.0.0:8402");
        for (origin, admitted) in [
            ("https://gate.example.com", true),
            ("https://app.example.com", true),
            ("https://app.example.com.evil.test", false),
            ("http://app.example.com", false),
            ("http://localhost:3000", false),
            ("null", false),
        ] {
            assert_eq!(rules.admits(&headers(&[(header::ORIGIN, origin)])), admitted, "{origin}");
        }
        assert!(rules.admits(&HeaderMap::new()), "no browser");
    }

    #[test]
    fn a_loopback_listener_refuses_foreign_hosts() {
        let rules = rules("127.0.0.1:8402");
        for (host, admitted) in [
            ("127.0.0.1:8402", true),
            ("localhost:8402", true),
            ("localhost", true),
            ("LOCALHOST:8402", true),
            ("127.0.0.1", true),
            ("localhost:99999", false),
            ("evil.example.com:localhost", false),
            ("localhost.evil.example.com:8402", false),
            ("128.0.0.1:8402", false),
            ("[::1]:8402", true),
            ("gate.example.com", true),
            ("evil.example.com", false),
            ("evil.example.com@127.0.0.1", false),
            ("", false),
        ] {
            assert_eq!(rules.admits(&headers(&[(header::HOST, host)])), admitted, "{host}");
        }
        assert!(rules.admits(&headers(&[(header::ORIGIN, "http://localhost:6274")])));
    }
}
