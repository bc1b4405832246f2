//! The provider presets: one issuer on this machine, tokens dressed as each product's.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod golden;
mod hostile;
mod overrides;

use octroi_identity::{IdentityConfig, KeySource, Method, Provider, Verifier};
use octroi_testkit::issuer::{Issuer, SigningAlgorithm, TokenSpec};
use serde_json::Value;

const AUDIENCE: &str = "https://gate.example/mcp";
/// The time of every check, seconds since the Unix epoch.
const NOW: u64 = 1_900_000_000;

/// One product's token, and the caller it names.
struct Golden {
    provider: Provider,
    audiences: Vec<String>,
    clients: Vec<String>,
    token: TokenSpec,
    /// [`octroi_identity::Caller::to_json`] without `iss` and `exp`.
    caller: Value,
}

/// An issuer that signs as most products do.
async fn issuer() -> Issuer {
    let issuer = Issuer::start().await.unwrap();
    issuer.add_key(SigningAlgorithm::Rs256).unwrap();
    issuer
}

/// The provider with this issuer's name and keys instead of the product's, and nothing else changed.
async fn verifier(issuer: &Issuer, golden: &Golden) -> Verifier {
    let mut provider = golden.provider.clone();
    provider.issuers = vec![issuer.url().to_owned()];
    provider.method = Method::Jwt(KeySource::Jwks(issuer.jwks_uri()));
    let mut config = IdentityConfig::new(provider, golden.audiences.clone());
    config.allowed_clients.clone_from(&golden.clients);
    Verifier::connect(config).await.unwrap()
}
