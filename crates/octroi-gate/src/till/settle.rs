//! Money that arrives: from the node's stream into the ledger, once per payment.

use std::sync::Arc;
use std::time::Duration;

use octroi_ledger::{Credited, Ledger, Settlement};
use octroi_lightning::{LightningNode, NodeError};

/// How long to wait before asking again after the first failure; doubles up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(200);
/// The longest wait between two attempts.
const RETRY_MAX: Duration = Duration::from_secs(30);

/// Books every settlement of `node` until the node stops. Run it once per node and ledger.
///
/// A settlement is acknowledged to the node only after the ledger has it on disk, so a crash in between brings it again, and
/// the ledger knows it by its payment hash.
pub async fn run_settlements(node: Arc<dyn LightningNode>, ledger: Ledger) {
    let mut retry = RETRY_MIN;
    loop {
        match book_next(node.as_ref(), &ledger).await {
            Ok(()) => retry = RETRY_MIN,
            Err(Trouble::Stopped) => return,
            Err(Trouble::Again(error)) => {
                tracing::warn!(backend = node.backend(), %error, wait = ?retry, "settlements are not being booked");
                tokio::time::sleep(retry).await;
                retry = (retry * 2).min(RETRY_MAX);
            }
        }
    }
}

enum Trouble {
    Stopped,
    Again(String),
}

async fn book_next(node: &dyn LightningNode, ledger: &Ledger) -> Result<(), Trouble> {
    let again = |error: &dyn std::fmt::Display| Trouble::Again(error.to_string());
    let cursor = ledger.settlement_cursor(node.backend()).await.map_err(|error| again(&error))?;
    let settled = node.next_settlement(cursor.as_deref()).await.map_err(|error| match error {
        NodeError::Stopped => Trouble::Stopped,
        other => again(&other),
    })?;
    let credited = ledger
        .credit_payment(Settlement {
            payment_hash: settled.payment_hash,
            amount: settled.amount,
            settled_at: settled.settled_at,
            node: node.backend().to_owned(),
            cursor: Some(settled.cursor.clone()),
        })
        .await
        .map_err(|error| again(&error))?;
    if matches!(credited, Credited::Unknown) {
        tracing::warn!(
            payment_hash = %settled.payment_hash,
            msat = settled.amount.as_i64(),
            "a payment arrived that no quote explains; it is kept in suspense"
        );
    }
    node.acknowledge(&settled).await.map_err(|error| again(&error))
}
