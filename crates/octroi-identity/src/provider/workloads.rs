//! The presets of platforms that vouch for the programs they run.

use super::presets::paths;
use crate::{Algorithm, CallerKind, IssuerRule, KeySource, Method, Provider, SubjectRule, TokenType};

impl Provider {
    /// Kubernetes service account tokens (projected, bound tokens), by the cluster's issuer. The organisation is the
    /// namespace, the display name the service account's. Clusters whose keys the gate cannot fetch give them as text
    /// ([`KeySource::Fixed`], from `kubectl get --raw /openid/v1/jwks`).
    #[must_use]
    pub fn kubernetes(issuer: &str) -> Self {
        let mut provider = Self {
            name: "kubernetes",
            algorithms: vec![Algorithm::Rs256, Algorithm::Es256, Algorithm::Es384],
            ..Self::platform(issuer)
        };
        provider.profile.organisation = paths(["/kubernetes.io/namespace"]);
        provider.profile.name = paths(["/kubernetes.io/serviceaccount/name"]);
        provider
    }

    /// OpenID Connect tokens of GitHub Actions. The organisation is the repository's owner; which repositories count
    /// must be said by [`crate::TrustedIssuer`], because everybody's workflows have tokens of this issuer.
    #[must_use]
    pub fn github_actions() -> Self {
        let mut provider = Self {
            name: "github-actions",
            algorithms: vec![Algorithm::Rs256],
            ..Self::platform("https://token.actions.githubusercontent.com")
        };
        provider.profile.organisation = paths(["repository_owner_id"]);
        provider.profile.organisation_name = paths(["repository_owner"]);
        provider.profile.name = paths(["workflow_ref"]);
        provider.profile.preferred_username = paths(["actor"]);
        provider
    }

    /// SPIFFE JWT-SVIDs of one trust domain (`example.org`), with the keys of its bundle: at a URL (a bundle endpoint or
    /// SPIRE's discovery provider), or as text.
    #[must_use]
    pub fn spiffe(trust_domain: &str, bundle: KeySource) -> Self {
        Self {
            name: "spiffe",
            issuer_rule: IssuerRule::TrustDomain,
            method: Method::Jwt(bundle),
            // JWT-SVID §2: RS, PS and ES families; `typ` is JWT or JOSE when it is there.
            algorithms: Algorithm::ALL.into_iter().filter(|one| *one != Algorithm::EdDsa).collect(),
            types: vec![TokenType::Absent, TokenType::Jwt, TokenType::Other("jose".to_owned())],
            ..Self::platform(&format!("spiffe://{trust_domain}"))
        }
    }

    /// Any other platform whose JWTs say what runs (RFC 7523 §3), by its issuer.
    #[must_use]
    pub fn platform(issuer: &str) -> Self {
        let mut provider = Self {
            name: "platform",
            types: vec![TokenType::Absent, TokenType::Jwt],
            id_token_claims: paths(["nonce", "at_hash", "c_hash", "events"]),
            client_claims: Vec::new(),
            // What a workload may do is what the configuration grants it, not what a claim of its own says.
            scope_claims: Vec::new(),
            subject: SubjectRule::Claim("sub".into()),
            client_signs: Vec::new(),
            kind: CallerKind::Workload,
            ..Self::oidc(issuer)
        };
        provider.profile.roles = Vec::new();
        provider.profile.groups = Vec::new();
        provider
    }
}
