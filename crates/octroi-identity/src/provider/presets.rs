//! The presets of issuers of JWTs: what each product's access tokens look like.

use crate::{
    Algorithm, AudienceRule, CallerKind, ClaimPath, ClaimRule, ClientSign, IssuerRule, KeySource, Method,
    Profile, Provider, ScopeClaim, ScopeForm, SubjectRule, TokenType,
};

/// What an ID token carries and an access token does not (OpenID Connect Core §2, §3.3.2.11), and the claim
/// of logout and other event tokens (RFC 8417 §2.2).
const ID_TOKEN_CLAIMS: [&str; 4] = ["nonce", "at_hash", "c_hash", "events"];

/// Where Descope's hosted projects live.
const DESCOPE: &str = "https://api.descope.com";
/// The keys of Firebase's ID tokens, which are the same for every project.
const FIREBASE_KEYS: &str =
    "https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com";

impl Provider {
    /// Any issuer that publishes OpenID Connect or RFC 8414 metadata and issues JWT access tokens.
    #[must_use]
    pub fn oidc(issuer: &str) -> Self {
        Self {
            name: "oidc",
            issuers: vec![issuer.to_owned()],
            issuer_rule: IssuerRule::Claim,
            method: Method::Jwt(KeySource::Discovery),
            algorithms: Algorithm::ALL.to_vec(),
            types: vec![TokenType::AccessToken, TokenType::Jwt, TokenType::Absent],
            must_equal: Vec::new(),
            must_not_equal: vec![ClaimRule::one("token_use", "id")],
            id_token_claims: paths(ID_TOKEN_CLAIMS),
            client_claims: paths(["client_id", "azp"]),
            audience_rule: AudienceRule::Required,
            default_audiences: Vec::new(),
            scope_claims: vec![either("scope"), either("scp")],
            subject: SubjectRule::Claim("sub".into()),
            client_signs: vec![ClientSign::SubjectIsClient],
            kind: CallerKind::User,
            profile: Profile::default(),
        }
    }

    /// An issuer of RFC 9068 access tokens whose key set is at a known URL; no discovery.
    #[must_use]
    pub fn jwks(issuer: &str, jwks_uri: &str) -> Self {
        Self {
            name: "jwks",
            method: jwks_at(jwks_uri.to_owned()),
            types: vec![TokenType::AccessToken],
            client_claims: paths(["client_id"]),
            scope_claims: vec![words("scope")],
            ..Self::oidc(issuer)
        }
    }

    /// Auth0, by tenant domain (`your-tenant.eu.auth0.com` or a custom domain) or, with a scheme, by the
    /// exact issuer. A domain gives the issuer its trailing slash, as Auth0 writes it. Permissions of
    /// role-based access control count as scopes. Roles and groups are custom claims under a namespace of the
    /// operator's: see [`Self::with_namespace`].
    #[must_use]
    pub fn auth0(tenant: &str) -> Self {
        let issuer = if tenant.contains("://") { tenant.to_owned() } else { format!("https://{tenant}/") };
        Self {
            name: "auth0",
            algorithms: vec![Algorithm::Rs256, Algorithm::Ps256, Algorithm::Es256],
            client_claims: paths(["azp", "client_id"]),
            scope_claims: vec![words("scope"), list("permissions")],
            client_signs: vec![
                ClientSign::Equals { claim: "gty".into(), value: "client-credentials".into() },
                ClientSign::EndsWith { claim: "sub".into(), text: "@clients".to_owned() },
            ],
            ..Self::oidc(&issuer)
        }
    }

    /// Looks for roles, groups and the e-mail address also under a namespace, as Auth0 demands of custom claims:
    /// `https://example.com/` for `https://example.com/roles`.
    #[must_use]
    pub fn with_namespace(mut self, namespace: &str) -> Self {
        let under = |name: &str| ClaimPath::from(format!("{namespace}{name}"));
        self.profile.roles.push(under("roles"));
        self.profile.groups.push(under("groups"));
        self.profile.email.push(under("email"));
        self.profile.email_verified.push(under("email_verified"));
        self
    }

    /// Amazon Cognito user pool, by its issuer or by [`Self::cognito`]. Its access tokens name no audience unless
    /// resource binding is on, so the clients must be listed.
    #[must_use]
    pub fn cognito_at(issuer: &str) -> Self {
        let mut provider = Self {
            name: "cognito",
            algorithms: vec![Algorithm::Rs256],
            must_equal: vec![ClaimRule::one("token_use", "access")],
            client_claims: paths(["client_id"]),
            audience_rule: AudienceRule::OrClient,
            scope_claims: vec![words("scope")],
            client_signs: vec![ClientSign::SubjectIsClient, ClientSign::Absent { claim: "username".into() }],
            ..Self::oidc(issuer)
        };
        provider.profile.groups = paths(["cognito:groups"]);
        provider.profile.preferred_username = paths(["username"]);
        provider
    }

    /// Amazon Cognito, by region and user pool id.
    #[must_use]
    pub fn cognito(region: &str, user_pool: &str) -> Self {
        Self::cognito_at(&format!("https://cognito-idp.{region}.amazonaws.com/{user_pool}"))
    }

    /// Clerk session tokens, by the frontend API's URL. They name no audience but, in `azp`, the origin that
    /// asked for them: the origins must be listed as clients. A session still `pending` is no sign-in.
    #[must_use]
    pub fn clerk_session(frontend_api: &str) -> Self {
        let mut provider = Self {
            name: "clerk",
            must_not_equal: vec![ClaimRule::one("sts", "pending")],
            client_claims: paths(["azp"]),
            audience_rule: AudienceRule::OrClient,
            client_signs: Vec::new(),
            ..Self::clerk_oauth(frontend_api)
        };
        // Version 2 of Clerk's claims, then version 1.
        provider.profile.roles = paths(["/o/rol", "org_role"]);
        provider.profile.organisation = paths(["/o/id", "org_id"]);
        provider.profile.organisation_name = paths(["/o/slg", "org_slug"]);
        provider
    }

    /// Access tokens of Clerk's OAuth applications, where they are JWTs, by the frontend API's URL. Whether they name
    /// an audience is a setting of the application, so the clients must be listed.
    #[must_use]
    pub fn clerk_oauth(frontend_api: &str) -> Self {
        let issuer = frontend_api.trim_end_matches('/');
        Self {
            name: "clerk-oauth",
            method: jwks_at(format!("{issuer}/.well-known/jwks.json")),
            algorithms: vec![Algorithm::Rs256],
            client_claims: paths(["client_id"]),
            audience_rule: AudienceRule::OrClient,
            ..Self::oidc(issuer)
        }
    }

    /// Microsoft Entra ID, v2.0 tokens of one tenant (its GUID). `sub` differs per application there, so the
    /// person is `oid` within `tid`. Application permissions (`roles`) count as scopes, too.
    #[must_use]
    pub fn entra(tenant: &str) -> Self {
        let mut provider = Self {
            name: "entra",
            algorithms: vec![Algorithm::Rs256],
            must_equal: vec![ClaimRule::one("ver", "2.0"), ClaimRule::one("tid", tenant)],
            client_claims: paths(["azp"]),
            scope_claims: vec![words("scp"), list("roles")],
            subject: SubjectRule::ClaimInTenant { person: "oid".into(), tenant: "tid".into() },
            client_signs: vec![
                ClientSign::Equals { claim: "idtyp".into(), value: "app".into() },
                ClientSign::Absent { claim: "scp".into() },
            ],
            ..Self::oidc(&format!("https://login.microsoftonline.com/{tenant}/v2.0"))
        };
        provider.profile.roles = paths(["roles", "wids"]);
        provider.profile.organisation = paths(["tid"]);
        provider.profile.organisation_name = Vec::new();
        provider.profile.preferred_username = paths(["preferred_username", "upn"]);
        provider
    }

    /// Microsoft Entra ID, v1.0 tokens of one tenant (its GUID): those of APIs that do not ask for version 2. The issuer
    /// ends in a slash, and the client is `appid`.
    #[must_use]
    pub fn entra_v1(tenant: &str) -> Self {
        let mut provider = Self {
            name: "entra-v1",
            issuers: vec![format!("https://sts.windows.net/{tenant}/")],
            // The issuer's own host publishes nothing.
            method: jwks_at(format!("https://login.microsoftonline.com/{tenant}/discovery/v2.0/keys")),
            must_equal: vec![ClaimRule::one("ver", "1.0"), ClaimRule::one("tid", tenant)],
            client_claims: paths(["appid"]),
            ..Self::entra(tenant)
        };
        provider.profile.preferred_username = paths(["upn", "unique_name"]);
        provider
    }

    /// Keycloak, by the realm's URL. The realm needs an audience mapper: without one `aud` is `account` or
    /// missing. The body says `typ: Bearer`, which tells access tokens from ID and refresh tokens. Roles are those of
    /// the realm and those of our own client in Keycloak (`resource_access`, under an audience of the token); another
    /// client's roles mean what that client means by them and do not count.
    #[must_use]
    pub fn keycloak(realm_url: &str) -> Self {
        let mut provider = Self {
            name: "keycloak",
            must_equal: vec![ClaimRule { claim: "typ".into(), values: vec!["Bearer".into(), "DPoP".into()] }],
            client_claims: paths(["azp", "client_id"]),
            scope_claims: vec![words("scope")],
            // Of the session of a service account only; a user name that looks like one proves nothing.
            client_signs: vec![ClientSign::Present { claim: "clientAddress".into() }],
            ..Self::oidc(realm_url.trim_end_matches('/'))
        };
        provider.profile.roles = paths(["/realm_access/roles", "/resource_access/{audience}/roles"]);
        provider.profile.organisation = paths(["/organization/*/id", "organization"]);
        provider
    }

    /// Okta custom authorization server, by its issuer (`https://org.okta.com/oauth2/default`). Tokens of the
    /// org authorization server are opaque: see [`Self::introspection`]. A person is `uid`, because `sub` is the login
    /// name, which can pass to somebody else; a service has only `sub`, its client id.
    #[must_use]
    pub fn okta(issuer: &str) -> Self {
        let mut provider = Self {
            name: "okta",
            algorithms: vec![Algorithm::Rs256],
            client_claims: paths(["cid"]),
            scope_claims: vec![list("scp")],
            subject: SubjectRule::ClaimOr { first: "uid".into(), otherwise: "sub".into() },
            ..Self::oidc(issuer)
        };
        provider.profile.preferred_username = paths(["preferred_username", "sub"]);
        provider
    }

    /// WorkOS AuthKit, by its domain's URL (`https://name.authkit.app`). Configure a resource indicator there:
    /// without one `aud` is the environment's client id. Permissions count as scopes.
    #[must_use]
    pub fn workos(issuer: &str) -> Self {
        let issuer = issuer.trim_end_matches('/');
        let mut provider = Self {
            name: "workos",
            method: jwks_at(format!("{issuer}/oauth2/jwks")),
            algorithms: vec![Algorithm::Rs256],
            scope_claims: vec![words("scope"), list("permissions")],
            ..Self::oidc(issuer)
        };
        provider.profile.roles = paths(["role", "roles"]);
        provider
    }

    /// Stytch Connected Apps, by the tokens' issuer and the project id. `aud` is the project and not the resource, so
    /// any app of the project passes unless clients are listed.
    #[must_use]
    pub fn stytch(issuer: &str, project: &str) -> Self {
        let mut provider = Self {
            name: "stytch",
            algorithms: vec![Algorithm::Rs256],
            client_claims: paths(["client_id"]),
            default_audiences: vec![project.to_owned()],
            scope_claims: vec![words("scope")],
            client_signs: vec![
                ClientSign::SubjectIsClient,
                ClientSign::StartsWith { claim: "sub".into(), text: "m2m-client-".to_owned() },
            ],
            ..Self::oidc(issuer)
        };
        provider.profile.roles = paths(["roles", "/https:~1~1stytch.com~1session/roles"]);
        provider.profile.organisation = paths(["/https:~1~1stytch.com~1organization/organization_id"]);
        provider.profile.organisation_name = paths(["/https:~1~1stytch.com~1organization/slug"]);
        provider
    }

    /// Descope, by project id: tokens of its applications and sessions, whose audience may be the project itself.
    /// Permissions count as scopes. The organisation is the tenant the session is for (`dct`), and only that tenant's
    /// roles and permissions count beside those of the project.
    #[must_use]
    pub fn descope(project: &str) -> Self {
        Self {
            issuers: vec![format!("{DESCOPE}/v1/apps/{project}"), format!("{DESCOPE}/{project}")],
            method: jwks_at(format!("{DESCOPE}/{project}/.well-known/jwks.json")),
            default_audiences: vec![project.to_owned()],
            ..Self::descope_at(&format!("{DESCOPE}/v1/apps/{project}"))
        }
    }

    /// Descope, by issuer: an MCP server of its Agentic Identity Hub (`…/v1/apps/agentic/PROJECT/SERVER`), or a custom
    /// domain. Otherwise as [`Self::descope`].
    #[must_use]
    pub fn descope_at(issuer: &str) -> Self {
        let mut provider = Self {
            name: "descope",
            algorithms: vec![Algorithm::Rs256],
            client_claims: paths(["azp", "client_id"]),
            scope_claims: vec![
                words("scope"),
                list("permissions"),
                list("/tenants/{organisation}/permissions"),
            ],
            ..Self::oidc(issuer)
        };
        provider.profile.roles = paths(["roles", "/tenants/{organisation}/roles"]);
        provider.profile.organisation = paths(["dct"]);
        provider
    }

    /// Scalekit, by the environment's URL. `aud` is the registered resource (`res_…`) or the server's URL.
    #[must_use]
    pub fn scalekit(environment: &str) -> Self {
        let issuer = environment.trim_end_matches('/');
        let mut provider = Self {
            name: "scalekit",
            method: jwks_at(format!("{issuer}/keys")),
            algorithms: vec![Algorithm::Rs256],
            client_claims: paths(["client_id"]),
            scope_claims: vec![either("scope"), either("scopes")],
            ..Self::oidc(issuer)
        };
        provider.profile.organisation = paths(["oid", "org_id"]);
        provider
    }

    /// Supabase Auth, by the project's URL. `aud` is `authenticated` for every signed-in user of the project. What the
    /// user can write himself (`user_metadata`) is shown but never trusted; visitors without a sign-in are refused.
    #[must_use]
    pub fn supabase(project_url: &str) -> Self {
        let issuer = format!("{}/auth/v1", project_url.trim_end_matches('/'));
        let mut provider = Self {
            name: "supabase",
            method: jwks_at(format!("{issuer}/.well-known/jwks.json")),
            algorithms: vec![Algorithm::Es256, Algorithm::Rs256, Algorithm::EdDsa],
            must_equal: vec![ClaimRule::one("role", "authenticated")],
            must_not_equal: vec![ClaimRule::one("is_anonymous", true)],
            client_claims: paths(["client_id"]),
            default_audiences: vec!["authenticated".to_owned()],
            scope_claims: vec![words("scope")],
            client_signs: Vec::new(),
            ..Self::oidc(&issuer)
        };
        let profile = &mut provider.profile;
        profile.roles = paths(["role", "/app_metadata/role", "/app_metadata/roles"]);
        profile.groups = paths(["/app_metadata/groups"]);
        profile.organisation = paths(["/app_metadata/org_id"]);
        profile.organisation_name = Vec::new();
        // The top-level `email` is Supabase's own; it does not say there whether it is verified.
        profile.email_verified = Vec::new();
        profile.name = paths(["/user_metadata/full_name", "/user_metadata/name"]);
        profile.preferred_username = paths(["/user_metadata/user_name"]);
        profile.picture = paths(["/user_metadata/avatar_url"]);
        provider
    }

    /// Firebase Authentication, by project id. Firebase has no access tokens of its own: these are its ID tokens, made
    /// to be sent to the project's own servers. Roles and groups are custom claims. Visitors without a sign-in are
    /// refused.
    #[must_use]
    pub fn firebase(project: &str) -> Self {
        let mut provider = Self {
            name: "firebase",
            method: jwks_at(FIREBASE_KEYS.to_owned()),
            algorithms: vec![Algorithm::Rs256],
            must_not_equal: vec![ClaimRule::one("/firebase/sign_in_provider", "anonymous")],
            id_token_claims: paths(["at_hash", "c_hash", "events"]),
            client_claims: Vec::new(),
            default_audiences: vec![project.to_owned()],
            scope_claims: vec![either("scope"), either("scopes")],
            client_signs: Vec::new(),
            ..Self::oidc(&format!("https://securetoken.google.com/{project}"))
        };
        provider.profile.roles = paths(["roles", "role"]);
        provider.profile.organisation = paths(["/firebase/tenant"]);
        provider
    }
}

pub(super) fn paths<const N: usize>(names: [&'static str; N]) -> Vec<ClaimPath> {
    names.into_iter().map(ClaimPath::from).collect()
}

pub(super) fn words(name: &'static str) -> ScopeClaim {
    ScopeClaim { claim: name.into(), form: ScopeForm::Words }
}

pub(super) fn list(name: &'static str) -> ScopeClaim {
    ScopeClaim { claim: name.into(), form: ScopeForm::List }
}

pub(super) fn either(name: &'static str) -> ScopeClaim {
    ScopeClaim { claim: name.into(), form: ScopeForm::Either }
}

pub(super) fn jwks_at(url: String) -> Method {
    Method::Jwt(KeySource::Jwks(url))
}
