//! Every field of a preset, written by hand.

use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

use super::{
    AudienceRule, ClaimPath, ClaimRule, ClientSign, IssuerRule, KeySource, Method, Provider, ScopeClaim,
    SubjectRule, TokenType,
};
use crate::{Algorithm, CallerKind};

/// What a configuration says of a provider beyond its preset. What is given replaces the preset's value as a whole;
/// what is not given stays.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProviderOverrides {
    /// [`Provider::issuers`].
    pub issuers: Option<Vec<String>>,
    /// [`Provider::issuer_rule`]: `claim` or `trust_domain`.
    pub issuer_rule: Option<IssuerRule>,
    /// The URL of the key set, instead of discovery.
    pub jwks_uri: Option<String>,
    /// The key set itself, as JSON text or as a table.
    pub jwks: Option<Value>,
    /// [`Provider::algorithms`], by their names (RFC 7518 §3.1).
    pub algorithms: Option<Vec<String>>,
    /// [`Provider::types`]: `typ` values; an empty text stands for a token without one.
    pub types: Option<Vec<String>>,
    /// [`Provider::must_equal`].
    pub must_equal: Option<Vec<ClaimRule>>,
    /// [`Provider::must_not_equal`].
    pub must_not_equal: Option<Vec<ClaimRule>>,
    /// [`Provider::id_token_claims`].
    pub id_token_claims: Option<Vec<ClaimPath>>,
    /// [`Provider::client_claims`].
    pub client_claims: Option<Vec<ClaimPath>>,
    /// [`Provider::audience_rule`]: `required`, `or_client` or `client`.
    pub audience_rule: Option<AudienceRule>,
    /// [`Provider::scope_claims`].
    pub scope_claims: Option<Vec<ScopeClaim>>,
    /// [`Provider::subject`].
    pub subject: Option<SubjectRule>,
    /// [`Provider::client_signs`].
    pub client_signs: Option<Vec<ClientSign>>,
    /// [`Provider::kind`].
    pub kind: Option<CallerKind>,
    /// [`super::Profile::roles`].
    pub role_claims: Option<Vec<ClaimPath>>,
    /// [`super::Profile::groups`].
    pub group_claims: Option<Vec<ClaimPath>>,
    /// [`super::Profile::organisation`].
    pub organisation_claims: Option<Vec<ClaimPath>>,
    /// [`super::Profile::organisation_name`].
    pub organisation_name_claims: Option<Vec<ClaimPath>>,
    /// [`super::Profile::email`].
    pub email_claims: Option<Vec<ClaimPath>>,
    /// [`super::Profile::email_verified`].
    pub email_verified_claims: Option<Vec<ClaimPath>>,
    /// [`super::Profile::name`].
    pub name_claims: Option<Vec<ClaimPath>>,
    /// [`super::Profile::given_name`].
    pub given_name_claims: Option<Vec<ClaimPath>>,
    /// [`super::Profile::family_name`].
    pub family_name_claims: Option<Vec<ClaimPath>>,
    /// [`super::Profile::preferred_username`].
    pub username_claims: Option<Vec<ClaimPath>>,
    /// [`super::Profile::picture`].
    pub picture_claims: Option<Vec<ClaimPath>>,
}

/// A value cannot stand for a provider's field. The operator's to mend.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OverrideError {
    /// Not the name of an asymmetric algorithm.
    #[error("\"{0}\" is not an asymmetric signature algorithm")]
    Algorithm(String),
    /// Keys for a provider that is asked about each token.
    #[error("provider {0} verifies no signatures: remove the keys")]
    KeysNotUsed(&'static str),
    /// Two sources of keys.
    #[error("write jwks_uri or jwks, not both")]
    TwoKeySources,
}

impl ProviderOverrides {
    /// The provider with these values instead of its own.
    ///
    /// # Errors
    /// When a value cannot stand there.
    pub fn apply(self, mut provider: Provider) -> Result<Provider, OverrideError> {
        let keys = match (self.jwks_uri, self.jwks) {
            (None, None) => None,
            (Some(uri), None) => Some(KeySource::Jwks(uri)),
            (None, Some(Value::String(text))) => Some(KeySource::Fixed(text)),
            (None, Some(keys)) => Some(KeySource::Fixed(keys.to_string())),
            (Some(_), Some(_)) => return Err(OverrideError::TwoKeySources),
        };
        if let Some(keys) = keys {
            let Method::Jwt(source) = &mut provider.method else {
                return Err(OverrideError::KeysNotUsed(provider.name));
            };
            *source = keys;
        }
        if let Some(names) = self.algorithms {
            let read = |name: String| name.parse::<Algorithm>().map_err(|_| OverrideError::Algorithm(name));
            provider.algorithms = names.into_iter().map(read).collect::<Result<_, _>>()?;
        }
        if let Some(types) = self.types {
            let read = |typ: String| {
                if typ.is_empty() { TokenType::Absent } else { TokenType::from_typ(&typ) }
            };
            provider.types = types.into_iter().map(read).collect();
        }
        replace(&mut provider.issuers, self.issuers);
        replace(&mut provider.issuer_rule, self.issuer_rule);
        replace(&mut provider.must_equal, self.must_equal);
        replace(&mut provider.must_not_equal, self.must_not_equal);
        replace(&mut provider.id_token_claims, self.id_token_claims);
        replace(&mut provider.client_claims, self.client_claims);
        replace(&mut provider.audience_rule, self.audience_rule);
        replace(&mut provider.scope_claims, self.scope_claims);
        replace(&mut provider.subject, self.subject);
        replace(&mut provider.client_signs, self.client_signs);
        replace(&mut provider.kind, self.kind);
        let profile = &mut provider.profile;
        replace(&mut profile.roles, self.role_claims);
        replace(&mut profile.groups, self.group_claims);
        replace(&mut profile.organisation, self.organisation_claims);
        replace(&mut profile.organisation_name, self.organisation_name_claims);
        replace(&mut profile.email, self.email_claims);
        replace(&mut profile.email_verified, self.email_verified_claims);
        replace(&mut profile.name, self.name_claims);
        replace(&mut profile.given_name, self.given_name_claims);
        replace(&mut profile.family_name, self.family_name_claims);
        replace(&mut profile.preferred_username, self.username_claims);
        replace(&mut profile.picture, self.picture_claims);
        Ok(provider)
    }
}

fn replace<T>(value: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *value = given;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn applied(overrides: Value) -> Result<Provider, String> {
        let overrides: ProviderOverrides =
            serde_json::from_value(overrides).map_err(|error| error.to_string())?;
        overrides.apply(Provider::oidc("https://issuer.example")).map_err(|error| error.to_string())
    }

    #[test]
    fn every_field_can_be_written() {
        let provider = applied(json!({
            "issuers": ["https://a.example"], "issuer_rule": "trust_domain", "jwks": {"keys": []},
            "algorithms": ["ES256"], "types": ["", "JWT", "application/at+jwt", "JOSE"],
            "must_equal": [{"claim": "tid", "values": ["a", "b"]}],
            "must_not_equal": [{"claim": "/x/y", "values": [true]}],
            "id_token_claims": ["nonce"], "client_claims": ["azp"], "audience_rule": "or_client",
            "scope_claims": [{"claim": "scp", "form": "list"}, {"claim": "scope"}],
            "subject": {"claim_in_tenant": {"person": "oid", "tenant": "tid"}},
            "client_signs": ["subject_is_client", {"equals": {"claim": "gty", "value": "m2m"}}],
            "kind": "client", "role_claims": ["/realm_access/roles"], "group_claims": ["g"],
            "organisation_claims": ["o"], "organisation_name_claims": ["on"], "email_claims": ["e"],
            "email_verified_claims": ["ev"], "name_claims": ["n"], "given_name_claims": ["gn"],
            "family_name_claims": ["fn"], "username_claims": ["u"], "picture_claims": ["p"],
        }))
        .unwrap();
        assert_eq!(provider.issuers, ["https://a.example"]);
        assert_eq!(provider.algorithms, [Algorithm::Es256]);
        let jose = TokenType::Other("jose".to_owned());
        assert_eq!(provider.types, [TokenType::Absent, TokenType::Jwt, TokenType::AccessToken, jose]);
        assert!(matches!(&provider.method, Method::Jwt(KeySource::Fixed(keys)) if keys == "{\"keys\":[]}"));
        assert_eq!(provider.kind, CallerKind::Client);
        assert_eq!(provider.profile.roles, ["/realm_access/roles".into()]);
        let subject = applied(json!({"subject": {"claim": "uid"}})).unwrap().subject;
        assert_eq!(subject, SubjectRule::Claim("uid".into()));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for wrong in [
            json!({"issuer": "x"}),
            json!({"algorithms": ["HS256"]}),
            json!({"algorithms": ["none"]}),
            json!({"audience_rule": "any"}),
            json!({"jwks_uri": "https://a/", "jwks": "{}"}),
            json!({"client_claims": [""]}),
            json!({"client_signs": ["anything"]}),
            json!({"scope_claims": [{"claim": "s", "form": "csv"}]}),
        ] {
            assert!(applied(wrong.clone()).is_err(), "{wrong}");
        }
        let google = ProviderOverrides { jwks_uri: Some("https://a/".to_owned()), ..Default::default() };
        assert!(google.apply(Provider::google()).is_err());
    }
}
