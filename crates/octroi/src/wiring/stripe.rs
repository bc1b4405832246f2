//! Who tells Stripe of charges, as configured.

use std::sync::Arc;

use octroi_server::stripe::{LEASE, StripeSettings, StripeTeller};
use zeroize::Zeroizing;

use super::StartError;
use crate::config::StripeConfig;

/// A teller with this key.
pub(super) fn teller(config: &StripeConfig) -> Result<Arc<StripeTeller>, StartError> {
    let settings = StripeSettings {
        endpoint: config.endpoint.clone(),
        key: Zeroizing::new(config.key.reveal().to_owned()),
        event: config.event.clone(),
        every: config.every,
        lease: LEASE,
    };
    StripeTeller::new(settings).map(Arc::new).map_err(|error| StartError::Value(error.to_string()))
}
