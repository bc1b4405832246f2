//! Who calls: the desk that judges tokens, what the server behind the gate is told, and the keys it is signed with.

use std::sync::Arc;

use octroi_gate::policy::FineRules;
use octroi_gate::{IdentityDesk, Introduction, OnBehalf, Possession};
use octroi_identity::{
    Algorithm, CallerSigner, DpopVerifier, SignerSettings, SigningKey, SigningKeys, TokenExchange, Verifier,
};

use super::StartError;
use crate::clock::unix_seconds;
use crate::config::{self, Config, ServerConfig, SigningKeySource};

/// The desk that judges the tokens of one server's callers.
pub(super) async fn desk(
    settings: &config::IdentityConfig,
    server: &ServerConfig,
) -> Result<IdentityDesk, StartError> {
    let possession = match &settings.dpop {
        Some(dpop) => {
            Some(Possession { verifier: DpopVerifier::new(dpop.proofs.clone())?, required: dpop.required })
        }
        None => None,
    };
    let verifier = Verifier::connect(settings.tokens.clone()).await?;
    let desk = IdentityDesk::new(verifier, &server.resource, settings.required_scopes.clone());
    Ok(desk.with_possession(possession).everywhere(settings.required))
}

/// The gate's own name, as statements about callers carry it: the public URL without a slash at its end.
pub(super) fn gate_name(config: &Config) -> &str {
    config.public_url.as_str().trim_end_matches('/')
}

/// What one server is told of its callers.
pub(super) fn introduction(
    server: &ServerConfig,
    config: &Config,
    keys: Option<&Arc<SigningKeys>>,
) -> Result<Introduction, StartError> {
    let Some(settings) = &server.identity else { return Ok(Introduction::default()) };
    let forward = &settings.forward;
    let statement = match forward.jwt.as_ref().zip(keys) {
        Some((jwt, keys)) => {
            let settings = SignerSettings {
                issuer: gate_name(config).to_owned(),
                audience: jwt.audience.clone(),
                lifetime_seconds: jwt.ttl_seconds,
            };
            Some((jwt.header.clone(), CallerSigner::new(Arc::clone(keys), settings)?))
        }
        None => None,
    };
    Ok(Introduction {
        statement,
        meta: forward.meta,
        auth_user: forward.auth_user,
        headers: forward.headers.clone(),
    })
}

/// Where the tokens of one server's callers are exchanged.
pub(super) fn on_behalf(server: &ServerConfig) -> Result<Option<OnBehalf>, StartError> {
    let exchange = server.identity.as_ref().and_then(|settings| settings.exchange.as_ref());
    let Some(settings) = exchange else { return Ok(None) };
    let exchange = Arc::new(TokenExchange::new(settings.exchange.clone())?);
    Ok(Some(OnBehalf { exchange, target: settings.target.clone() }))
}

/// The policies of one server.
#[cfg(feature = "cedar")]
pub(super) fn fine_rules(server: &ServerConfig) -> Option<Arc<dyn FineRules>> {
    server.cedar.as_ref().map(|cedar| Arc::clone(&cedar.policies) as _)
}

/// The policies of one server: none, without the feature that reads them.
#[cfg(not(feature = "cedar"))]
pub(super) fn fine_rules(_server: &ServerConfig) -> Option<Arc<dyn FineRules>> {
    None
}

/// The keys that statements about callers are signed with; none where no server gets any.
pub(super) fn signing_keys(config: &Config) -> Result<Option<Arc<SigningKeys>>, StartError> {
    let signs = |server: &ServerConfig| {
        server.identity.as_ref().is_some_and(|identity| identity.forward.jwt.is_some())
    };
    if !config.servers.iter().any(signs) {
        return Ok(None);
    }
    let keys = match &config.secrets.signing_key {
        SigningKeySource::Given(pem) => SigningKeys::fixed(SigningKey::from_pem(pem.reveal())?),
        SigningKeySource::File(path) => SigningKeys::load_or_create(path, Algorithm::Es256, unix_seconds())?,
    };
    Ok(Some(Arc::new(keys)))
}
