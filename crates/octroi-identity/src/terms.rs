//! What one issuer's tokens are judged by.

use crate::{IdentityConfig, Provider, TrustedIssuer};

/// The rules for the tokens of one provider: its data, and what the configuration says of it.
#[derive(Debug)]
pub(crate) struct Terms {
    pub(crate) provider: Provider,
    pub(crate) audiences: Vec<String>,
    pub(crate) allowed_clients: Vec<String>,
    pub(crate) leeway_seconds: u64,
    pub(crate) max_age_seconds: Option<u64>,
    pub(crate) max_act_depth: usize,
    /// For an issuer beside the provider: whom it may name, and what they get.
    pub(crate) trusted: Option<TrustedIssuer>,
}

impl Terms {
    /// Those of the provider, from a checked configuration.
    pub(crate) fn of_provider(config: &IdentityConfig) -> Self {
        Self {
            provider: config.provider.clone(),
            audiences: config.audiences.clone(),
            allowed_clients: config.allowed_clients.clone(),
            leeway_seconds: config.leeway_seconds,
            max_age_seconds: config.max_age_seconds,
            max_act_depth: config.max_act_depth,
            trusted: None,
        }
    }

    /// Those of a trusted issuer of a checked configuration.
    pub(crate) fn of_trusted(trusted: &TrustedIssuer, config: &IdentityConfig) -> Self {
        Self {
            provider: trusted.provider.clone(),
            audiences: trusted.audiences.clone(),
            allowed_clients: trusted.allowed_clients.clone(),
            trusted: Some(trusted.clone()),
            ..Self::of_provider(config)
        }
    }
}
