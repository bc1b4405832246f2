//! The presets by name, for configurations.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::client_auth::ClientAuth;
use crate::{Method, Provider, Secret};

/// A product whose tokens are known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Preset {
    /// `auth0`
    Auth0,
    /// `clerk`: session tokens.
    Clerk,
    /// `clerk-oauth`: tokens of Clerk's OAuth applications.
    ClerkOauth,
    /// `cognito`
    Cognito,
    /// `descope`
    Descope,
    /// `entra`: version 2.0 tokens.
    Entra,
    /// `entra-v1`: version 1.0 tokens.
    EntraV1,
    /// `firebase`
    Firebase,
    /// `github`
    GitHub,
    /// `google`
    Google,
    /// `introspection`: any issuer, by RFC 7662.
    Introspection,
    /// `jwks`: any issuer of RFC 9068 tokens with keys at a known URL.
    Jwks,
    /// `keycloak`
    Keycloak,
    /// `oidc`: any issuer with discovery and JWT access tokens.
    Oidc,
    /// `okta`
    Okta,
    /// `scalekit`
    Scalekit,
    /// `stytch`
    Stytch,
    /// `supabase`
    Supabase,
    /// `workos`
    Workos,
}

/// The few values a preset is made from. Which it needs is [`Preset::needs`].
#[derive(Clone, Debug, Default)]
pub struct PresetInput {
    /// The issuer, exactly as tokens carry it; for Clerk, Scalekit and Supabase the URL of the frontend API,
    /// environment or project.
    pub issuer: Option<String>,
    /// Auth0's domain, or Entra's tenant id (a GUID).
    pub tenant: Option<String>,
    /// Cognito's region.
    pub region: Option<String>,
    /// Cognito's user pool id.
    pub user_pool: Option<String>,
    /// The project id of Descope, Firebase or Stytch.
    pub project: Option<String>,
    /// The URL of the key set.
    pub jwks_uri: Option<String>,
    /// Auth0's namespace of custom claims.
    pub namespace: Option<String>,
    /// The introspection endpoint, where the issuer's metadata names none.
    pub introspection_endpoint: Option<String>,
    /// The address of GitHub's API, without a slash at its end, or of Google's `tokeninfo`; the public ones when `None`.
    pub api_url: Option<String>,
    /// How the gate says who it is: for introspection, and (id and secret) for GitHub.
    pub client: Option<ClientAuth>,
}

/// The name of no preset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("no provider of that name is known: use oidc for any issuer with discovery and JWT access tokens")]
pub struct UnknownPreset(());

/// A preset cannot be made from what was given. The operator's to mend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("provider {preset} needs {needs}")]
pub struct PresetError {
    /// The preset.
    pub preset: Preset,
    /// What it needs.
    pub needs: &'static str,
}

impl Preset {
    /// Every preset, in the order of their names.
    pub const ALL: [Self; 19] = [
        Self::Auth0,
        Self::Clerk,
        Self::ClerkOauth,
        Self::Cognito,
        Self::Descope,
        Self::Entra,
        Self::EntraV1,
        Self::Firebase,
        Self::GitHub,
        Self::Google,
        Self::Introspection,
        Self::Jwks,
        Self::Keycloak,
        Self::Oidc,
        Self::Okta,
        Self::Scalekit,
        Self::Stytch,
        Self::Supabase,
        Self::Workos,
    ];

    /// The name in configurations.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auth0 => "auth0",
            Self::Clerk => "clerk",
            Self::ClerkOauth => "clerk-oauth",
            Self::Cognito => "cognito",
            Self::Descope => "descope",
            Self::Entra => "entra",
            Self::EntraV1 => "entra-v1",
            Self::Firebase => "firebase",
            Self::GitHub => "github",
            Self::Google => "google",
            Self::Introspection => "introspection",
            Self::Jwks => "jwks",
            Self::Keycloak => "keycloak",
            Self::Oidc => "oidc",
            Self::Okta => "okta",
            Self::Scalekit => "scalekit",
            Self::Stytch => "stytch",
            Self::Supabase => "supabase",
            Self::Workos => "workos",
        }
    }

    /// What must be given, in words for the operator. Fields are named as in [`PresetInput`].
    #[must_use]
    pub const fn needs(self) -> &'static str {
        match self {
            Self::Auth0 => "`tenant`, the domain, such as \"your-tenant.eu.auth0.com\"",
            Self::Clerk | Self::ClerkOauth => {
                "`issuer`, the frontend API's URL, such as \"https://clerk.example.com\""
            }
            Self::Cognito => "`region` and `user_pool`, such as \"eu-west-1\" and \"eu-west-1_AbCdEf123\"",
            Self::Descope => "`project`, the project id, or `issuer`",
            Self::Entra | Self::EntraV1 => "`tenant`, the directory's id, a GUID",
            Self::Firebase => "`project`, the project id",
            Self::GitHub => "the app's `client_id` and `client_secret`",
            Self::Google => "nothing",
            Self::Introspection => "`issuer`, and `client_id` and `client_secret` of the gate's own",
            Self::Jwks => "`issuer` and `jwks_uri`",
            Self::Keycloak => "`issuer`, the realm's URL, such as \"https://sso.example.com/realms/main\"",
            Self::Oidc => "`issuer`, exactly as tokens carry it",
            Self::Okta => "`issuer`, such as \"https://org.okta.com/oauth2/default\"",
            Self::Scalekit => "`issuer`, the environment's URL",
            Self::Stytch => "`issuer`, as tokens carry it, and `project`, the project id",
            Self::Supabase => "`issuer`, the project's URL, such as \"https://ref.supabase.co\"",
            Self::Workos => "`issuer`, such as \"https://name.authkit.app\"",
        }
    }

    /// Makes the provider.
    ///
    /// # Errors
    /// When something it needs was not given.
    pub fn provider(self, input: &PresetInput) -> Result<Provider, PresetError> {
        self.made(input).ok_or_else(|| PresetError { preset: self, needs: self.needs() })
    }

    fn made(self, input: &PresetInput) -> Option<Provider> {
        let issuer = given(input.issuer.as_deref());
        let tenant = given(input.tenant.as_deref());
        let project = given(input.project.as_deref());
        let jwks_uri = given(input.jwks_uri.as_deref());
        let mut provider = match self {
            Self::Auth0 => {
                let provider = Provider::auth0(issuer.or(tenant)?);
                match given(input.namespace.as_deref()) {
                    Some(namespace) => provider.with_namespace(namespace),
                    None => provider,
                }
            }
            Self::Clerk => Provider::clerk_session(issuer?),
            Self::ClerkOauth => Provider::clerk_oauth(issuer?),
            Self::Cognito => match issuer {
                Some(issuer) => Provider::cognito_at(issuer),
                None => {
                    Provider::cognito(given(input.region.as_deref())?, given(input.user_pool.as_deref())?)
                }
            },
            Self::Descope => match issuer {
                Some(issuer) => Provider::descope_at(issuer),
                None => Provider::descope(project?),
            },
            Self::Entra => Provider::entra(tenant?),
            Self::EntraV1 => Provider::entra_v1(tenant?),
            Self::Firebase => Provider::firebase(project?),
            Self::GitHub => self.github(input)?,
            Self::Google => google(given(input.api_url.as_deref())),
            Self::Introspection => {
                let endpoint = given(input.introspection_endpoint.as_deref());
                Provider::introspection(issuer?, endpoint, input.client.clone()?)
            }
            Self::Jwks => Provider::jwks(issuer?, jwks_uri?),
            Self::Keycloak => Provider::keycloak(issuer?),
            Self::Oidc => Provider::oidc(issuer?),
            Self::Okta => Provider::okta(issuer?),
            Self::Scalekit => Provider::scalekit(issuer?),
            Self::Stytch => Provider::stytch(issuer?, project?),
            Self::Supabase => Provider::supabase(issuer?),
            Self::Workos => Provider::workos(issuer?),
        };
        if let (Method::Jwt(source), Some(jwks_uri)) = (&mut provider.method, jwks_uri) {
            *source = crate::KeySource::Jwks(jwks_uri.to_owned());
        }
        Some(provider)
    }

    fn github(self, input: &PresetInput) -> Option<Provider> {
        let (id, secret) = match input.client.as_ref()? {
            ClientAuth::Basic { client_id, client_secret }
            | ClientAuth::Post { client_id, client_secret } => (client_id, client_secret),
            ClientAuth::PrivateKeyJwt { .. } | ClientAuth::Bearer(_) => return None,
        };
        let mut provider = Provider::github(given(Some(id))?, Secret::clone(secret));
        if let (Method::GitHub(app), Some(api)) = (&mut provider.method, given(input.api_url.as_deref())) {
            api.trim_end_matches('/').clone_into(&mut app.api);
        }
        Some(provider)
    }
}

fn google(tokeninfo: Option<&str>) -> Provider {
    let mut provider = Provider::google();
    if let (Method::Google(endpoints), Some(tokeninfo)) = (&mut provider.method, tokeninfo) {
        tokeninfo.clone_into(&mut endpoints.tokeninfo);
        // Google's own address of the other one would be asked with tokens that are not Google's.
        endpoints.userinfo = None;
    }
    provider
}

fn given(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

impl FromStr for Preset {
    type Err = UnknownPreset;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|preset| preset.name() == name).ok_or(UnknownPreset(()))
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> PresetInput {
        let text = |text: &str| Some(text.to_owned());
        PresetInput {
            issuer: text("https://issuer.example"),
            tenant: text("tenant.example"),
            region: text("eu-west-1"),
            user_pool: text("pool"),
            project: text("project"),
            jwks_uri: text("https://issuer.example/jwks"),
            namespace: text("https://example.com/"),
            introspection_endpoint: None,
            api_url: None,
            client: Some(ClientAuth::Basic {
                client_id: "id".to_owned(),
                client_secret: Secret::new("secret"),
            }),
        }
    }

    #[test]
    fn every_name_makes_the_preset_of_that_name() {
        for preset in Preset::ALL {
            assert_eq!(preset.name().parse(), Ok(preset));
            let provider = preset.provider(&full()).unwrap();
            assert_eq!(provider.name, preset.name());
            let bare = preset.provider(&PresetInput::default());
            assert_eq!(bare.is_ok(), preset == Preset::Google, "{preset}");
        }
        assert!("Auth0".parse::<Preset>().is_err() && "".parse::<Preset>().is_err());
    }

    #[test]
    fn a_namespace_adds_auth0_s_custom_claims() {
        let provider = Preset::Auth0.provider(&full()).unwrap();
        let roles: Vec<_> = provider.profile.roles.iter().map(|path| path.as_str()).collect();
        assert_eq!(roles, ["roles", "https://example.com/roles"]);
    }
}
