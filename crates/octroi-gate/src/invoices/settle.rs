//! Money that arrives: from the node's stream into the ledger, once per payment.

use std::sync::Arc;
use std::time::{Duration, Instant};

use octroi_ledger::{Credited, Ledger, Settlement};
use octroi_lightning::{NodeError, latest_cursor};

use super::InvoiceDesk;
use crate::clock::unix_seconds;

/// How long to wait before asking again after the first failure; doubles up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(200);
/// The longest wait between two attempts.
const RETRY_MAX: Duration = Duration::from_secs(30);

enum Trouble {
    Stopped,
    Node(NodeError),
    Ledger(String),
}

impl InvoiceDesk {
    /// Books every settlement of the node until it stops. Run it once per node and ledger.
    ///
    /// A settlement is acknowledged to the node only after the ledger has it on disk, so a crash in between brings it again,
    /// and the ledger knows it by its payment hash.
    pub async fn book_settlements(self: Arc<Self>, ledger: Ledger) {
        let mut retry = RETRY_MIN;
        loop {
            let error = match self.book_next(&ledger).await {
                Ok(()) => {
                    retry = RETRY_MIN;
                    continue;
                }
                Err(Trouble::Stopped) => return,
                Err(Trouble::Node(error)) => {
                    self.health.failed(&error, Instant::now(), &self.alerts);
                    error.to_string()
                }
                Err(Trouble::Ledger(error)) => error,
            };
            tracing::warn!(backend = self.node.backend(), %error, wait = ?retry, "settlements are not being booked");
            tokio::time::sleep(retry).await;
            retry = (retry * 2).min(RETRY_MAX);
        }
    }

    async fn book_next(&self, ledger: &Ledger) -> Result<(), Trouble> {
        let name = self.node.ledger_name();
        let unread = |error: octroi_ledger::LedgerError| Trouble::Ledger(error.to_string());
        let mut cursor = ledger.settlement_cursor(&name).await.map_err(unread)?;
        if cursor.is_none() {
            // The node may have been known by another name: it moved, or the ledger is of before nodes had names. It may as well be
            // another node; the adapter tells the two apart.
            let others = ledger.settlement_cursors(self.node.backend()).await.map_err(unread)?;
            cursor = latest_cursor(others.iter().map(String::as_str)).map(str::to_owned);
        }
        let settled = self.node.next_settlement(cursor.as_deref()).await.map_err(|error| match error {
            NodeError::Stopped => Trouble::Stopped,
            other => Trouble::Node(other),
        })?;
        let booking = ledger.credit_payment(Settlement {
            payment_hash: settled.payment_hash,
            amount: settled.amount,
            settled_at: settled.settled_at,
            node: name,
            cursor: Some(settled.cursor.clone()),
        });
        let credited = match booking.await {
            // Nothing can be booked for it, now or later, and what comes after it must not wait for it.
            Err(octroi_ledger::LedgerError::Amount) => {
                tracing::error!(payment_hash = %settled.payment_hash, "a payment over an impossible amount is not booked");
                return self.node.acknowledge(&settled).await.map_err(Trouble::Node);
            }
            other => other.map_err(|error| Trouble::Ledger(error.to_string()))?,
        };
        match credited {
            Credited::Unknown => tracing::warn!(
                payment_hash = %settled.payment_hash,
                msat = settled.amount.as_i64(),
                "a payment arrived that no quote explains; it is kept in suspense"
            ),
            Credited::New { .. } => {
                // The node's clock counts seconds, and so does this.
                let late = Duration::from_secs(unix_seconds().saturating_sub(settled.settled_at));
                self.health.settling.note(late);
                self.note_speed("booking a settlement", late);
            }
            _ => {}
        }
        self.node.acknowledge(&settled).await.map_err(Trouble::Node)
    }
}
