//! Who compares the books with the node, as configured.

use std::sync::Arc;
use std::time::Duration;

use octroi_gate::reconcile::{Bookkeeper, ReconcileSettings, Scope};
use octroi_ledger::Ledger;

use super::Node;
use crate::config::ReconcileConfig;

/// Before a credit counts as missing, the gate's own booking has so long.
const GRACE: Duration = Duration::from_secs(2);

/// Beside a running gate.
pub(super) fn bookkeeper(ledger: &Ledger, node: Option<&Node>, config: &ReconcileConfig) -> Arc<Bookkeeper> {
    let ReconcileConfig { every, reach, apply, hold_age, lookups_max } = *config;
    let settings =
        ReconcileSettings { every, reach, act: apply, hold_age, asked_max: lookups_max, grace: GRACE };
    Arc::new(Bookkeeper::new(ledger.clone(), node.map(Node::handle), settings))
}

/// One look where no gate runs: nobody books meanwhile.
pub(crate) fn scope(config: &ReconcileConfig, since: u64, now: u64) -> Scope {
    let ReconcileConfig { hold_age, lookups_max, .. } = *config;
    Scope { since, now, hold_age, asked_max: lookups_max, grace: Duration::ZERO, promises: true }
}
