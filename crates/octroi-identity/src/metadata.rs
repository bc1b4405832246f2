//! OAuth 2.0 Protected Resource Metadata (RFC 9728).

use serde::Serialize;
use url::{Position, Url};

use crate::Algorithm;

/// Where the metadata of every resource of a host is found (RFC 9728 §3).
pub const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// What a resource says of itself (RFC 9728 §2). Built from the configured public URL, never from what a
/// request claims its host to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProtectedResource {
    /// The resource's identifier, exactly the URL clients use (RFC 9728 §3.3).
    pub resource: String,
    /// The issuers whose tokens are accepted; at least one for MCP.
    pub authorization_servers: Vec<String>,
    /// The scopes a client may need. `offline_access` is never among them: it is a matter between the client
    /// and its issuer (MCP 2026-07-28 basic/authorization).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes_supported: Vec<String>,
    /// How a token may be sent: in the header only, never in a query (RFC 6750 §2.3).
    pub bearer_methods_supported: [&'static str; 1],
    /// The resource's name, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_name: Option<String>,
    /// Where the keys are that the resource signs with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<String>,
    /// The algorithms proofs of possession may be signed with; empty where none are taken.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dpop_signing_alg_values_supported: Vec<&'static str>,
    /// Whether every token must be bound to a key (RFC 9449).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dpop_bound_access_tokens_required: Option<bool>,
}

impl ProtectedResource {
    /// The metadata of `resource`.
    #[must_use]
    pub fn new(resource: &Url, authorization_servers: Vec<String>) -> Self {
        Self {
            resource: identifier(resource),
            authorization_servers,
            scopes_supported: Vec::new(),
            bearer_methods_supported: ["header"],
            resource_name: None,
            jwks_uri: None,
            dpop_signing_alg_values_supported: Vec::new(),
            dpop_bound_access_tokens_required: None,
        }
    }

    /// Names the scopes, sorted, once each, and without `offline_access`.
    #[must_use]
    pub fn with_scopes<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.scopes_supported =
            scopes.into_iter().map(Into::into).filter(|s| s != "offline_access").collect();
        self.scopes_supported.sort_unstable();
        self.scopes_supported.dedup();
        self
    }

    /// Names the resource for people.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.resource_name = Some(name.into());
        self
    }

    /// Names the keys the resource signs with.
    #[must_use]
    pub fn with_keys(mut self, jwks_uri: impl Into<String>) -> Self {
        self.jwks_uri = Some(jwks_uri.into());
        self
    }

    /// Says that proofs of possession are taken (RFC 9449), with which algorithms, and whether nothing else is.
    #[must_use]
    pub fn with_possession(mut self, algorithms: &[Algorithm], required: bool) -> Self {
        self.dpop_signing_alg_values_supported =
            algorithms.iter().map(|algorithm| algorithm.name()).collect();
        self.dpop_bound_access_tokens_required = Some(required);
        self
    }

    /// The JSON document.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::json!(self).to_string()
    }
}

/// The resource identifier of a URL: no fragment, and no slash for an empty path, as MCP's canonical form
/// asks (RFC 8707 §2, MCP 2026-07-28 basic/authorization).
#[must_use]
pub fn identifier(resource: &Url) -> String {
    if resource.path() == "/" && resource.query().is_none() {
        return resource[..Position::BeforePath].to_owned();
    }
    resource[..Position::AfterQuery].to_owned()
}

/// The paths at which the metadata is served: the one derived from the resource's path (RFC 9728 §3.1), then
/// the root. One path only when the resource is at the root.
#[must_use]
pub fn well_known_paths(resource: &Url) -> Vec<String> {
    let mut paths = vec![derived_path(resource), WELL_KNOWN.to_owned()];
    paths.dedup();
    paths
}

/// The URL a challenge points to: the path-derived location on the resource's host (RFC 9728 §3.1, §5.1).
#[must_use]
pub fn metadata_url(resource: &Url) -> Url {
    let mut url = resource.clone();
    url.set_path(&derived_path(resource));
    url.set_fragment(None);
    url
}

fn derived_path(resource: &Url) -> String {
    format!("{WELL_KNOWN}{}", resource.path().trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn locations_follow_the_path() {
        let root = "/.well-known/oauth-protected-resource";
        for (resource, metadata, paths) in [
            ("https://gate.example", format!("https://gate.example{root}"), vec![root.to_owned()]),
            (
                "https://gate.example/mcp",
                format!("https://gate.example{root}/mcp"),
                vec![format!("{root}/mcp"), root.to_owned()],
            ),
            (
                "https://gate.example:8443/a/mcp/#x",
                format!("https://gate.example:8443{root}/a/mcp"),
                vec![format!("{root}/a/mcp"), root.to_owned()],
            ),
        ] {
            assert_eq!(metadata_url(&url(resource)).as_str(), metadata);
            assert_eq!(well_known_paths(&url(resource)), paths);
        }
    }

    #[test]
    fn document_names_the_resource_as_clients_dial_it() {
        let document =
            ProtectedResource::new(&url("https://gate.example/mcp"), vec!["https://issuer/".into()])
                .with_scopes(["write", "read", "offline_access", "read"])
                .with_name("A gate");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&document.to_json()).unwrap(),
            serde_json::json!({
                "resource": "https://gate.example/mcp",
                "authorization_servers": ["https://issuer/"],
                "scopes_supported": ["read", "write"],
                "bearer_methods_supported": ["header"],
                "resource_name": "A gate",
            })
        );
        assert_eq!(identifier(&url("HTTPS://Gate.Example/")), "https://gate.example");
        assert_eq!(identifier(&url("https://gate.example/mcp?a=1#f")), "https://gate.example/mcp?a=1");
    }
}
