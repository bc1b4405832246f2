//! Where an issuer says its keys are (RFC 8414, OpenID Connect Discovery 1.0).

use thiserror::Error;
use url::Url;

use crate::http::{FetchError, Fetcher};
use crate::token::json;

/// The issuer's metadata could not be had.
#[derive(Debug, Error)]
pub(crate) enum DiscoveryError {
    /// The issuer could not be asked.
    #[error("{0}")]
    Fetch(#[from] FetchError),
    /// No location has metadata that names this issuer and the endpoint.
    #[error("the issuer publishes no metadata with its own name and a {name}: {found}")]
    NoMetadata {
        /// The member looked for.
        name: &'static str,
        /// What was found instead.
        found: String,
    },
}

/// A URL of the issuer's, such as its `jwks_uri`: from the first location that has metadata of this very issuer.
pub(crate) async fn endpoint(
    name: &'static str,
    issuer: &str,
    fetcher: &Fetcher,
) -> Result<Url, DiscoveryError> {
    let mut found = String::new();
    for location in locations(issuer) {
        let document = match fetcher.get(&location).await {
            Ok(document) => document,
            // An issuer that cannot be reached at one location is not asked at the others.
            Err(error) if error.is_unreachable() => return Err(error.into()),
            Err(error) => {
                note(&mut found, &location, &error.to_string());
                continue;
            }
        };
        match endpoint_of(name, &document, issuer) {
            Ok(uri) => return Ok(uri),
            Err(why) => note(&mut found, &location, why),
        }
    }
    Err(DiscoveryError::NoMetadata { name, found })
}

/// RFC 8414 §3.3: metadata whose `issuer` is not exactly the one asked for must not be used.
fn endpoint_of(name: &str, document: &[u8], issuer: &str) -> Result<Url, &'static str> {
    let metadata = json::object(document).map_err(|_| "no JSON object")?;
    if metadata.get("issuer").is_none_or(|named| named != issuer) {
        return Err("metadata of another issuer");
    }
    metadata.get(name).and_then(|uri| Url::parse(uri.as_str()?).ok()).ok_or("without it")
}

fn note(found: &mut String, location: &Url, why: &str) {
    if !found.is_empty() {
        found.push_str("; ");
    }
    found.push_str(location.path());
    found.push_str(": ");
    found.push_str(why);
}

/// The locations in the order of MCP 2026-07-28 basic/authorization: RFC 8414 and OpenID Connect with the
/// well-known part before the issuer's path, then OpenID Connect with it after.
fn locations(issuer: &str) -> Vec<Url> {
    let Ok(issuer) = Url::parse(issuer) else { return Vec::new() };
    let path = issuer.path().trim_end_matches('/').to_owned();
    let mut paths = vec![
        format!("/.well-known/oauth-authorization-server{path}"),
        format!("/.well-known/openid-configuration{path}"),
        format!("{path}/.well-known/openid-configuration"),
    ];
    paths.dedup();
    let at = |path: &String| {
        let mut url = issuer.clone();
        url.set_path(path);
        url
    };
    paths.iter().map(at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_in_order() {
        let check = |issuer: &str, expected: &[&str]| {
            assert_eq!(locations(issuer).iter().map(Url::as_str).collect::<Vec<_>>(), expected);
        };
        for root in ["https://issuer.example", "https://issuer.example/"] {
            check(
                root,
                &[
                    "https://issuer.example/.well-known/oauth-authorization-server",
                    "https://issuer.example/.well-known/openid-configuration",
                ],
            );
        }
        check(
            "https://issuer.example:8443/realms/a",
            &[
                "https://issuer.example:8443/.well-known/oauth-authorization-server/realms/a",
                "https://issuer.example:8443/.well-known/openid-configuration/realms/a",
                "https://issuer.example:8443/realms/a/.well-known/openid-configuration",
            ],
        );
    }

    #[test]
    fn metadata_must_name_the_issuer_exactly() {
        let uri =
            |document: &str| endpoint_of("jwks_uri", document.as_bytes(), "https://issuer.example/").is_ok();
        assert!(uri(r#"{"issuer":"https://issuer.example/","jwks_uri":"https://issuer.example/jwks"}"#));
        assert!(!uri(r#"{"issuer":"https://issuer.example","jwks_uri":"https://issuer.example/jwks"}"#));
        assert!(!uri(r#"{"jwks_uri":"https://issuer.example/jwks"}"#));
        assert!(!uri(r#"{"issuer":"https://issuer.example/"}"#));
        assert!(!uri(r#"{"issuer":"https://issuer.example/","jwks_uri":"/jwks"}"#));
        assert!(!uri(
            r#"{"issuer":"https://evil.example/","issuer":"https://issuer.example/","jwks_uri":"https://x/"}"#
        ));
    }
}
