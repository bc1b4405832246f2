//! The invoice desk as configured.

use std::sync::Arc;

use octroi_gate::Rate;
use octroi_gate::invoices::{EntryRule, EntrySettings, InvoiceDesk, InvoiceSettings, MintLimits};
use octroi_l402::Msat;
use octroi_lightning::LightningNode;
use octroi_pow::Difficulty;

use super::StartError;
use crate::config::{InvoiceWork, LightningConfig, RateLimit};

/// The desk for this node.
pub(super) fn desk(
    node: Arc<dyn LightningNode>,
    config: &LightningConfig,
) -> Result<InvoiceDesk, StartError> {
    let invoices = &config.invoices;
    let rule = match invoices.work {
        InvoiceWork::Never => None,
        InvoiceWork::OverLimit => Some(EntryRule::OverLimit),
        InvoiceWork::Always => Some(EntryRule::Always),
    };
    let difficulty = Difficulty::from_bits(f64::from(invoices.work_bits))
        .map_err(|error| StartError::Value(error.to_string()))?;
    let settings = InvoiceSettings {
        ttl_seconds: config.invoice_expiry.as_secs(),
        limits: MintLimits {
            per_network: rate(invoices.per_network),
            per_caller: rate(invoices.per_caller),
            per_class: rate(invoices.per_class),
            open_per_class: invoices.open_max,
        },
        entry: rule.map(|rule| EntrySettings { rule, difficulty }),
        ready: invoices.ready,
        slow: config.alerts.slow,
        low_inbound: config.alerts.low_inbound_sat.and_then(|sat| Msat::from_sat(i64::try_from(sat).ok()?)),
        look_every: config.alerts.look_every,
        network: Some(config.network.name()),
    };
    InvoiceDesk::new(node, settings).map_err(|error| StartError::Value(error.to_string()))
}

fn rate(limit: RateLimit) -> Rate {
    // At most a day.
    Rate { count: limit.calls.get(), period_seconds: u32::try_from(limit.per.as_secs()).unwrap_or(u32::MAX) }
}
