//! The presets of issuers whose tokens say nothing themselves.

use super::presets::{either, paths, words};
use super::{GitHubApp, GoogleEndpoints, Introspection};
use crate::client_auth::ClientAuth;
use crate::{AudienceRule, ClaimRule, Method, Provider, Secret, SubjectRule};

/// How long an issuer's word on a token counts, seconds: the longest a revoked one is still honoured.
const CACHE_SECONDS: u64 = 30;

impl Provider {
    /// Any issuer that answers RFC 7662 introspection, for opaque tokens and for JWTs whose revocation must count at
    /// once. `endpoint` is found in the issuer's metadata when `None`. A token must name one of our audiences; for an
    /// issuer that names none, set [`Provider::audience_rule`] and list the clients.
    #[must_use]
    pub fn introspection(issuer: &str, endpoint: Option<&str>, auth: ClientAuth) -> Self {
        let mut provider = Self {
            name: "introspection",
            method: Method::Introspection(Introspection {
                endpoint: endpoint.map(str::to_owned),
                auth,
                cache_seconds: CACHE_SECONDS,
            }),
            client_claims: paths(["client_id"]),
            scope_claims: vec![words("scope")],
            // Of a client on its own account many say no `sub`; where they do it is the client's id (RFC 9068 §2.2).
            subject: SubjectRule::ClaimOr { first: "sub".into(), otherwise: "client_id".into() },
            must_not_equal: vec![
                // ID and refresh tokens are active, too; so products say it.
                ClaimRule {
                    claim: "token_use".into(),
                    values: vec!["id".into(), "id_token".into(), "refresh_token".into()],
                },
                ClaimRule {
                    claim: "typ".into(),
                    values: vec!["ID".into(), "Refresh".into(), "Offline".into()],
                },
            ],
            ..Self::oidc(issuer)
        };
        provider.profile.preferred_username = paths(["preferred_username", "username"]);
        provider
    }

    /// Google's opaque access tokens (`ya29.…`). They name no resource, only the client they were issued to, so the
    /// clients must be listed: everybody's app gets tokens for everybody's people. The organisation is the Workspace
    /// domain (`hd`).
    #[must_use]
    pub fn google() -> Self {
        let mut provider = Self {
            name: "google",
            method: Method::Google(GoogleEndpoints {
                tokeninfo: "https://oauth2.googleapis.com/tokeninfo".to_owned(),
                userinfo: Some("https://openidconnect.googleapis.com/v1/userinfo".to_owned()),
                cache_seconds: CACHE_SECONDS,
            }),
            client_claims: paths(["aud", "azp"]),
            audience_rule: AudienceRule::Client,
            scope_claims: vec![words("scope")],
            client_signs: Vec::new(),
            ..Self::oidc("https://accounts.google.com")
        };
        provider.profile.organisation = paths(["hd"]);
        provider.profile.organisation_name = Vec::new();
        provider
    }

    /// GitHub's opaque access tokens (`gho_…`, `ghu_…`) of one app. GitHub is asked whether it gave the token to this
    /// very app; a personal access token or another app's token is nobody's here.
    #[must_use]
    pub fn github(client_id: &str, client_secret: Secret) -> Self {
        let mut provider = Self {
            name: "github",
            method: Method::GitHub(GitHubApp {
                api: "https://api.github.com".to_owned(),
                client_id: client_id.to_owned(),
                client_secret,
                cache_seconds: CACHE_SECONDS,
            }),
            client_claims: paths(["client_id"]),
            audience_rule: AudienceRule::Client,
            scope_claims: vec![either("scopes")],
            client_signs: Vec::new(),
            ..Self::oidc("https://github.com")
        };
        provider.profile.preferred_username = paths(["login"]);
        provider.profile.picture = paths(["avatar_url"]);
        // The public address of a profile: GitHub does not say whether it is verified.
        provider.profile.email_verified = Vec::new();
        provider
    }
}
