//! The issuer of tokens: which one, and what it can do.

use serde::Deserialize;
use url::Url;

use crate::http::Http;
use crate::identity::may_fetch;
use crate::{AgentError, IdentityNeeded};

/// Most bytes of a metadata document.
const METADATA_BYTES_MAX: usize = 256 * 1024;

/// Authorization server metadata (RFC 8414 §2), as far as a client needs it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Issuer {
    #[serde(rename = "issuer")]
    pub(super) name: String,
    pub(super) authorization_endpoint: Option<Url>,
    pub(super) token_endpoint: Url,
    pub(super) registration_endpoint: Option<Url>,
    #[serde(default)]
    code_challenge_methods_supported: Vec<String>,
    #[serde(default)]
    pub(super) token_endpoint_auth_methods_supported: Vec<String>,
    #[serde(default)]
    scopes_supported: Vec<String>,
    #[serde(default)]
    pub(super) client_id_metadata_document_supported: bool,
    #[serde(default)]
    pub(super) authorization_response_iss_parameter_supported: bool,
}

impl Issuer {
    /// The first issuer that the server names; where it names none, its own origin (MCP 2025-03-26).
    pub(super) async fn of(http: &Http, endpoint: &Url, needed: &IdentityNeeded) -> Result<Self, AgentError> {
        let named = needed.metadata.as_ref().and_then(|metadata| metadata.authorization_servers.first());
        let name = named.cloned().unwrap_or_else(|| endpoint.origin().ascii_serialization());
        let url =
            Url::parse(&name).map_err(|_| AgentError::SignIn(format!("the issuer {name:?} is no URL")))?;
        if !may_fetch(&url, endpoint) {
            return Err(AgentError::SignIn(format!("the issuer {name} is not reached over TLS")));
        }
        for place in places(&url) {
            let Ok((200, body)) = http.get(&place, METADATA_BYTES_MAX).await else { continue };
            let Ok(issuer) = serde_json::from_slice::<Self>(&body) else { continue };
            // RFC 8414 §3.3: what speaks of somebody else is not used.
            if issuer.name.trim_end_matches('/') != name.trim_end_matches('/') {
                continue;
            }
            issuer.check(endpoint)?;
            return Ok(issuer);
        }
        Err(AgentError::SignIn(format!("the issuer {name} tells nothing of itself")))
    }

    /// Every address that it names.
    pub(super) fn places(&self) -> Vec<Url> {
        let places = [
            Some(&self.token_endpoint),
            self.authorization_endpoint.as_ref(),
            self.registration_endpoint.as_ref(),
        ];
        places.into_iter().flatten().cloned().collect()
    }

    pub(super) fn check(&self, endpoint: &Url) -> Result<(), AgentError> {
        match self.places().into_iter().find(|place| !may_fetch(place, endpoint)) {
            Some(place) => Err(AgentError::SignIn(format!("{place} is not reached over TLS"))),
            None => Ok(()),
        }
    }

    /// MCP 2026-07-28 basic/authorization: an issuer that does not say that it takes S256 is not used with codes.
    pub(super) fn takes_pkce(&self) -> bool {
        self.code_challenge_methods_supported.iter().any(|method| method == "S256")
    }

    pub(super) fn offers_offline_access(&self) -> bool {
        self.scopes_supported.iter().any(|scope| scope == "offline_access")
    }
}

/// Where metadata may stand, in order (MCP 2026-07-28 basic/authorization).
fn places(issuer: &Url) -> Vec<Url> {
    let path = issuer.path().trim_end_matches('/');
    let mut places = vec![
        format!("/.well-known/oauth-authorization-server{path}"),
        format!("/.well-known/openid-configuration{path}"),
        format!("{path}/.well-known/openid-configuration"),
    ];
    places.dedup();
    places.iter().filter_map(|place| issuer.join(place).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_looked_for_in_order() {
        let at = |issuer: &str| -> Vec<String> {
            places(&Url::parse(issuer).unwrap()).iter().map(|place| place.path().to_owned()).collect()
        };
        assert_eq!(
            at("https://a.example/tenant/"),
            [
                "/.well-known/oauth-authorization-server/tenant",
                "/.well-known/openid-configuration/tenant",
                "/tenant/.well-known/openid-configuration"
            ]
        );
        assert_eq!(
            at("https://a.example"),
            ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"]
        );
    }
}
