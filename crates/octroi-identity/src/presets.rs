//! The presets: what each product's access tokens look like.

use serde_json::Value;

use crate::{Algorithm, KeySource, Provider, ScopeClaim, ScopeForm, SubjectRule, TokenType};

/// Where RFC 8693 §4.2 and RFC 9068 §2.2.3 put scopes.
const SCOPE: ScopeClaim = ScopeClaim { name: "scope", form: ScopeForm::Words };

/// What an ID token carries and an access token does not (OpenID Connect Core §2, §3.3.2.11), and the claim
/// of logout and other event tokens (RFC 8417 §2.2).
const ID_TOKEN_CLAIMS: [&str; 4] = ["nonce", "at_hash", "c_hash", "events"];

impl Provider {
    /// Auth0, by tenant domain (`your-tenant.eu.auth0.com` or a custom domain) or, with a scheme, by the
    /// exact issuer. A domain gives the issuer its trailing slash, as Auth0 writes it. Permissions of
    /// role-based access control count as scopes.
    #[must_use]
    pub fn auth0(tenant: &str) -> Self {
        let issuer = if tenant.contains("://") { tenant.to_owned() } else { format!("https://{tenant}/") };
        let mut provider = Self::oidc(&issuer);
        provider.name = "auth0";
        provider.algorithms = vec![Algorithm::Rs256, Algorithm::Ps256, Algorithm::Es256];
        provider.client_claims = vec!["azp", "client_id"];
        provider.scope_claims = vec![SCOPE, ScopeClaim { name: "permissions", form: ScopeForm::List }];
        provider
    }

    /// Any issuer that publishes OpenID Connect or RFC 8414 metadata and issues JWT access tokens.
    #[must_use]
    pub fn oidc(issuer: &str) -> Self {
        Self {
            name: "oidc",
            issuers: vec![issuer.to_owned()],
            keys: KeySource::Discovery,
            algorithms: Algorithm::ALL.to_vec(),
            types: vec![TokenType::AccessToken, TokenType::Jwt, TokenType::Absent],
            must_equal: Vec::new(),
            must_not_equal: vec![("token_use", Value::from("id"))],
            id_token_claims: ID_TOKEN_CLAIMS.to_vec(),
            client_claims: vec!["client_id", "azp"],
            audience_may_be_absent: false,
            scope_claims: vec![
                ScopeClaim { name: "scope", form: ScopeForm::Either },
                ScopeClaim { name: "scp", form: ScopeForm::Either },
            ],
            subject: SubjectRule::Claim("sub"),
        }
    }

    /// An issuer of RFC 9068 access tokens whose key set is at a known URL; no discovery.
    #[must_use]
    pub fn jwks(issuer: &str, jwks_uri: &str) -> Self {
        Self {
            name: "jwks",
            keys: KeySource::Jwks(jwks_uri.to_owned()),
            types: vec![TokenType::AccessToken],
            client_claims: vec!["client_id"],
            scope_claims: vec![SCOPE],
            ..Self::oidc(issuer)
        }
    }

    /// Amazon Cognito user pool. Its access tokens name no audience unless resource binding is on, so the
    /// clients must be listed.
    #[must_use]
    pub fn cognito(region: &str, user_pool: &str) -> Self {
        Self {
            name: "cognito",
            algorithms: vec![Algorithm::Rs256],
            must_equal: vec![("token_use", Value::from("access"))],
            client_claims: vec!["client_id"],
            audience_may_be_absent: true,
            scope_claims: vec![SCOPE],
            ..Self::oidc(&format!("https://cognito-idp.{region}.amazonaws.com/{user_pool}"))
        }
    }

    /// Clerk session tokens, by the frontend API's URL. They name no audience but, in `azp`, the origin that
    /// asked for them: the origins must be listed as clients. A session still `pending` is no sign-in.
    #[must_use]
    pub fn clerk_session(frontend_api: &str) -> Self {
        let issuer = frontend_api.trim_end_matches('/');
        Self {
            name: "clerk-session",
            keys: KeySource::Jwks(format!("{issuer}/.well-known/jwks.json")),
            algorithms: vec![Algorithm::Rs256],
            must_not_equal: vec![("sts", Value::from("pending"))],
            client_claims: vec!["azp"],
            audience_may_be_absent: true,
            ..Self::oidc(issuer)
        }
    }

    /// Microsoft Entra ID, v2.0 tokens of one tenant (its GUID). `sub` differs per application there, so the
    /// person is `oid` within `tid`. Application permissions (`roles`) count as scopes.
    #[must_use]
    pub fn entra(tenant: &str) -> Self {
        Self {
            name: "entra",
            algorithms: vec![Algorithm::Rs256],
            must_equal: vec![("ver", Value::from("2.0")), ("tid", Value::from(tenant))],
            client_claims: vec!["azp"],
            scope_claims: vec![
                ScopeClaim { name: "scp", form: ScopeForm::Words },
                ScopeClaim { name: "roles", form: ScopeForm::List },
            ],
            subject: SubjectRule::ClaimInTenant { person: "oid", tenant: "tid" },
            ..Self::oidc(&format!("https://login.microsoftonline.com/{tenant}/v2.0"))
        }
    }

    /// Keycloak, by the realm's URL. The realm needs an audience mapper: without one `aud` is `account` or
    /// missing. The body says `typ: Bearer`, which tells access tokens from ID and refresh tokens.
    #[must_use]
    pub fn keycloak(realm_url: &str) -> Self {
        Self {
            name: "keycloak",
            must_equal: vec![("typ", Value::from("Bearer"))],
            client_claims: vec!["azp"],
            scope_claims: vec![SCOPE],
            ..Self::oidc(realm_url.trim_end_matches('/'))
        }
    }

    /// Okta custom authorization server, by its issuer (`https://org.okta.com/oauth2/default`). Tokens of the
    /// org authorization server are opaque and not for this. A person is `uid`, because `sub` is the login
    /// name, which can pass to somebody else; a service has only `sub`, its client id.
    #[must_use]
    pub fn okta(issuer: &str) -> Self {
        Self {
            name: "okta",
            algorithms: vec![Algorithm::Rs256],
            client_claims: vec!["cid"],
            scope_claims: vec![ScopeClaim { name: "scp", form: ScopeForm::List }],
            subject: SubjectRule::ClaimOr { first: "uid", otherwise: "sub" },
            ..Self::oidc(issuer)
        }
    }
}
