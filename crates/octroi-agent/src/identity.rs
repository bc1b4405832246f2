//! A 401: where an access token for the server can be had (RFC 9728).

use std::fmt;
use std::net::IpAddr;

use serde::Deserialize;
use url::{Host, Url};

use crate::Exchange;
use crate::http::Http;

/// Most bytes of a metadata document.
const METADATA_BYTES_MAX: usize = 64 * 1024;
/// Where metadata stands when no challenge says so (RFC 9728 §3.1).
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// What a server says about who may call it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityNeeded {
    /// 401, or 403 where the access token lacks a scope.
    pub status: u16,
    /// `error` of the challenge (RFC 6750 §3.1); none where no token was sent.
    pub error: Option<String>,
    /// The scopes to ask for.
    pub scope: Option<String>,
    /// Where the metadata was found, or was said to be.
    pub metadata_url: Option<Url>,
    /// The metadata, where it could be had and speaks of this server.
    pub metadata: Option<ResourceMetadata>,
}

/// Protected resource metadata (RFC 9728 §2), as far as an agent needs it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ResourceMetadata {
    /// What an access token must be for.
    pub resource: String,
    /// The issuers that give them.
    #[serde(default)]
    pub authorization_servers: Vec<String>,
    /// The scopes there are.
    #[serde(default)]
    pub scopes_supported: Vec<String>,
}

impl fmt::Display for IdentityNeeded {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.status, self.error.as_deref()) {
            (403, _) => out.write_str("the access token does not permit this call")?,
            (_, Some(error)) => write!(out, "the access token was refused ({error})")?,
            (_, None) => out.write_str("the server asks for an access token")?,
        }
        if let Some(scope) = &self.scope {
            write!(out, "; scopes: {scope}")?;
        }
        if let Some(metadata) = &self.metadata {
            write!(out, "; resource: {}", metadata.resource)?;
            if !metadata.authorization_servers.is_empty() {
                write!(out, "; issuers: {}", metadata.authorization_servers.join(", "))?;
            }
        }
        match &self.metadata_url {
            Some(url) => write!(out, "; metadata: {url}"),
            None => Ok(()),
        }
    }
}

impl IdentityNeeded {
    /// Reads the refusal, if it is one about identity, and looks the metadata up.
    pub(crate) async fn read(http: &Http, endpoint: &Url, exchange: &Exchange) -> Option<Self> {
        Self::read_parts(http, endpoint, exchange.status, &exchange.challenges()).await
    }

    /// As [`IdentityNeeded::read`], from the status and the `WWW-Authenticate` lines.
    pub(crate) async fn read_parts(
        http: &Http,
        endpoint: &Url,
        status: u16,
        challenges: &str,
    ) -> Option<Self> {
        if !is_about_identity(status, challenges) {
            return None;
        }
        let error = parameter(challenges, "error");
        let scope = parameter(challenges, "scope");
        let said = parameter(challenges, "resource_metadata").and_then(|text| Url::parse(&text).ok());
        let places = match &said {
            Some(url) => vec![url.clone()],
            None => well_known(endpoint),
        };
        let mut needed = Self { status, error, scope, metadata_url: said, metadata: None };
        for place in places.into_iter().filter(|place| may_fetch(place, endpoint)) {
            if let Some(metadata) = fetch(http, &place, endpoint).await {
                needed.metadata_url = Some(place);
                needed.metadata = Some(metadata);
                break;
            }
        }
        Some(needed)
    }
}

/// Whether another access token would lift the refusal (RFC 6750 §3.1).
pub(crate) fn is_about_identity(status: u16, challenges: &str) -> bool {
    status == 401
        || (status == 403 && parameter(challenges, "error").as_deref() == Some("insufficient_scope"))
}

/// The path-derived place, then the root (RFC 9728 §3.1, MCP 2026-07-28 basic/authorization).
fn well_known(endpoint: &Url) -> Vec<Url> {
    let path = endpoint.path().trim_end_matches('/');
    let mut places: Vec<Url> = [format!("{WELL_KNOWN}{path}"), WELL_KNOWN.to_owned()]
        .iter()
        .filter_map(|path| endpoint.join(path).ok())
        .collect();
    places.dedup();
    places
}

/// A challenge must not send the agent around its owner's own network: elsewhere only over TLS, and from a server outside to no
/// address inside. A server on this machine may have its issuer on this machine.
pub(crate) fn may_fetch(place: &Url, endpoint: &Url) -> bool {
    let outside = !is_inside(place) || is_inside(endpoint);
    place.origin() == endpoint.origin()
        || (place.scheme() == "https" && outside)
        || (place.scheme() == "http" && is_here(place) && is_here(endpoint))
}

/// On this machine.
fn is_here(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.to_canonical().is_loopback(),
        None => false,
    }
}

/// On this machine or in a network that the internet does not reach, as far as the address says so.
fn is_inside(url: &Url) -> bool {
    let address = match url.host() {
        Some(Host::Ipv4(address)) => IpAddr::V4(address),
        Some(Host::Ipv6(address)) => address.to_canonical(),
        Some(Host::Domain(_)) | None => return is_here(url),
    };
    match address {
        IpAddr::V4(v4) => {
            let [first, second, ..] = v4.octets();
            // RFC 6598: shared by whoever is behind one provider.
            let shared = first == 100 && (64..128).contains(&second);
            v4.is_loopback() || v4.is_private() || v4.is_link_local() || shared || first == 0
        }
        IpAddr::V6(v6) => {
            v6.is_loopback() || v6.is_unspecified() || v6.is_unique_local() || v6.is_unicast_link_local()
        }
    }
}

/// The metadata at `place`; `None` where there is none, or it speaks of another resource (RFC 9728 §3.3).
async fn fetch(http: &Http, place: &Url, endpoint: &Url) -> Option<ResourceMetadata> {
    let (status, body) = http.get(place, METADATA_BYTES_MAX).await.ok()?;
    let metadata: ResourceMetadata = (status == 200).then(|| serde_json::from_slice(&body).ok()).flatten()?;
    let resource = Url::parse(&metadata.resource).ok()?;
    let (of, at) = (resource.path().trim_end_matches('/'), endpoint.path().trim_end_matches('/'));
    (resource.origin() == endpoint.origin() && (of.is_empty() || of == at)).then_some(metadata)
}

/// The value of the first parameter called `name` in `WWW-Authenticate` text (RFC 9110 §11.2): quoted or bare.
fn parameter(text: &str, name: &str) -> Option<String> {
    let mut rest = text;
    while let Some(equals) = rest.find('=') {
        let found = rest[..equals].trim_end().rsplit([' ', '\t', ',', '\n']).next().unwrap_or_default();
        let (value, after) = value(rest[equals + 1..].trim_start());
        if found.eq_ignore_ascii_case(name) {
            return Some(value);
        }
        rest = after;
    }
    None
}

/// A token or a quoted string at the start of `text`, and what follows it.
fn value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t', '\n']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let (mut out, mut escaped) = (String::new(), false);
    for (at, character) in quoted.char_indices() {
        match character {
            _ if escaped => {
                out.push(character);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return (out, &quoted[at + 1..]),
            other => out.push(other),
        }
    }
    (out, "")
}

impl crate::Agent {
    /// What a 401 or 403 asks for, with the metadata it leads to fetched; `None` for any other answer.
    pub async fn identity_needed(&self, exchange: &Exchange) -> Option<IdentityNeeded> {
        IdentityNeeded::read(&self.http, &self.endpoint, exchange).await
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parameters_are_found_by_name_and_not_inside_values() {
        let text = "Bearer error=\"invalid_token\", error_description=\"say resource_metadata=x, or \\\"scope\\\"\",\
                    resource_metadata = \"https://gate.example/.well-known/x\", Scope=read";
        assert_eq!(
            parameter(text, "resource_metadata").as_deref(),
            Some("https://gate.example/.well-known/x")
        );
        assert_eq!(parameter(text, "scope").as_deref(), Some("read"));
        assert_eq!(parameter(text, "error").as_deref(), Some("invalid_token"));
        assert_eq!(parameter(text, "realm"), None);
    }

    #[test]
    fn metadata_is_looked_for_at_the_path_and_at_the_root() {
        let at = |url: &str| -> Vec<String> {
            well_known(&Url::parse(url).unwrap()).iter().map(Url::to_string).collect()
        };
        assert_eq!(
            at("https://a.example/x/mcp?y"),
            [
                "https://a.example/.well-known/oauth-protected-resource/x/mcp",
                "https://a.example/.well-known/oauth-protected-resource"
            ]
        );
        assert_eq!(at("https://a.example/"), ["https://a.example/.well-known/oauth-protected-resource"]);
    }

    #[test]
    fn no_challenge_leads_into_the_owners_network() {
        let endpoint = Url::parse("https://a.example/mcp").unwrap();
        let may = |place: &str| may_fetch(&Url::parse(place).unwrap(), &endpoint);
        assert!(may("https://a.example/x") && may("https://issuer.example/x"));
        assert!(
            !may("http://127.0.0.1:1/x")
                && !may("http://169.254.169.254/latest")
                && !may("http://a.example/x")
                && !may("file:///etc/passwd")
        );
        for inside in [
            "127.0.0.1",
            "2130706433",
            "0x7f.1",
            "localhost",
            "x.localhost",
            "169.254.169.254",
            "10.0.0.1",
            "192.168.1.1",
            "172.16.0.1",
            "100.64.0.1",
            "0.0.0.0",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[fd00::1]",
            "[fe80::1]",
        ] {
            assert!(!may(&format!("https://{inside}/x")), "{inside}");
        }
        let inner = Url::parse("http://10.0.0.7/mcp").unwrap();
        let may = |place: &str| may_fetch(&Url::parse(place).unwrap(), &inner);
        assert!(may("https://10.0.0.8/x") && !may("http://10.0.0.8/x") && may("http://10.0.0.7/x"));
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "\\PC{0,80}", more in "[a-z=\", \\\\]{0,80}") {
            let _ = parameter(&text, "scope");
            let _ = parameter(&more, "a");
        }
    }
}
