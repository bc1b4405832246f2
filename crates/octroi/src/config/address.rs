//! Fields that hold addresses: URLs and sockets.

use std::net::{IpAddr, SocketAddr};

use url::{Host, Url};

use super::reader::Field;

impl Field<'_> {
    /// An `http` or `https` URL with nothing in it that will not be used.
    pub(super) fn web_url(&self, example: &str) -> Option<Url> {
        let fix = || format!("write it in full, like \"{example}\"");
        let url = match Url::parse(self.text(example)?.trim()) {
            Ok(url) => url,
            Err(error) => {
                self.spot.wrong(format!("not a URL: {error}"), fix());
                return None;
            }
        };
        let problem = if !matches!(url.scheme(), "http" | "https") {
            format!("a URL of scheme \"{}\", not http or https", url.scheme())
        } else if !url.username().is_empty() || url.password().is_some() {
            "a user name in the URL is not sent".to_owned()
        } else if url.fragment().is_some() {
            "a #fragment in the URL is not sent".to_owned()
        } else {
            return Some(url);
        };
        self.spot.wrong(problem, fix());
        None
    }

    /// Like [`web_url`](Self::web_url), but `http` only towards this machine, unless the file allows it: what is
    /// fetched there decides who gets in.
    pub(super) fn trusted_url(&self, example: &str, allow_http: bool) -> Option<Url> {
        let url = self.web_url(example)?;
        if url.scheme() == "http" && !allow_http && !is_loopback(&url) {
            self.spot.wrong("plain http could be read and changed on the way", "write https://");
            return None;
        }
        Some(url)
    }

    /// An address and port to listen on.
    pub(super) fn socket(&self) -> Option<SocketAddr> {
        let written = self.text("127.0.0.1:8402")?.trim();
        let numeric = written.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
        if let Ok(address) = numeric.as_deref().unwrap_or(written).parse() {
            return Some(address);
        }
        if written == "stdio" {
            self.spot.wrong("standard input is no address", "start `octroi serve --stdio` instead");
        } else {
            self.spot.wrong("not an address and port", "write \"127.0.0.1:8402\", or \"[::1]:8402\"");
        }
        None
    }
}

/// Whether a URL leads to this machine for certain.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}
