//! What every API here remembers beside its node: the invoices it made, and what settled, numbered from 1.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use octroi_l402::{Msat, PaymentHash};
use octroi_lightning::{Invoice, InvoiceRequest, InvoiceState, LightningNode, NodeError, Outgoing};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// How long to wait when the node could not say what settled.
const RETRY: Duration = Duration::from_millis(200);

pub(super) struct Stand {
    pub(super) node: Arc<dyn LightningNode>,
    made: Mutex<HashMap<PaymentHash, Made>>,
    settled: Mutex<Vec<Settled>>,
    /// Payments of before the node was set up anew.
    forgotten: Mutex<HashSet<PaymentHash>>,
    /// How many have settled.
    pub(super) count: watch::Sender<usize>,
}

/// An invoice made over the API.
#[derive(Clone)]
pub(super) struct Made {
    pub(super) invoice: Invoice,
    pub(super) description: String,
    pub(super) label: String,
    pub(super) created_at: u64,
}

/// Money that came.
#[derive(Clone, Copy)]
pub(super) struct Settled {
    pub(super) payment_hash: PaymentHash,
    pub(super) amount: Msat,
    pub(super) at: u64,
    /// From 1.
    pub(super) number: usize,
}

impl Stand {
    pub(super) fn of(node: Arc<dyn LightningNode>) -> (Arc<Self>, AbortHandle) {
        let stand = Arc::new(Self {
            node,
            made: Mutex::default(),
            settled: Mutex::default(),
            forgotten: Mutex::default(),
            count: watch::Sender::new(0),
        });
        let task = tokio::spawn(Arc::clone(&stand).note_settlements()).abort_handle();
        (stand, task)
    }

    async fn note_settlements(self: Arc<Self>) {
        loop {
            match self.node.next_settlement(None).await {
                Ok(settlement) => {
                    self.arrived(settlement.payment_hash, settlement.amount, settlement.settled_at);
                    while self.node.acknowledge(&settlement).await.is_err() {
                        tokio::time::sleep(RETRY).await;
                    }
                }
                Err(NodeError::Stopped) => return,
                Err(_) => tokio::time::sleep(RETRY).await,
            }
        }
    }

    pub(super) fn forget_everything(&self) {
        self.made.lock().clear();
        let settled = std::mem::take(&mut *self.settled.lock());
        self.forgotten.lock().extend(settled.iter().map(|settled| settled.payment_hash));
        self.count.send_replace(0);
    }

    /// Numbers what came.
    pub(super) fn arrived(&self, payment_hash: PaymentHash, amount: Msat, at: u64) {
        let number = {
            let mut settled = self.settled.lock();
            let number = settled.len() + 1;
            settled.push(Settled { payment_hash, amount, at, number });
            number
        };
        self.count.send_replace(number);
    }

    pub(super) async fn make(
        &self,
        amount: Msat,
        description: &str,
        expiry_secs: u64,
        label: &str,
    ) -> Result<Made, NodeError> {
        let (description, label) = (description.to_owned(), label.to_owned());
        let expiry = Duration::from_secs(expiry_secs);
        let request = InvoiceRequest { amount, description: description.clone(), expiry, preimage: None };
        let invoice = self.node.create_invoice(request).await?;
        let made = Made { invoice, description, label, created_at: now() };
        self.made.lock().insert(made.invoice.payment_hash, made.clone());
        Ok(made)
    }

    /// How many are on record.
    pub(super) fn invoices(&self) -> usize {
        self.made.lock().len()
    }

    pub(super) fn made(&self, hash: &PaymentHash) -> Option<Made> {
        self.made.lock().get(hash).cloned()
    }

    pub(super) fn drop_label(&self, label: &str) -> bool {
        let mut made = self.made.lock();
        let before = made.len();
        made.retain(|_, made| made.label != label);
        made.len() < before
    }

    /// What settled for an invoice. One that the node knows as paid is waited for, so that it has its number.
    pub(super) async fn settled(&self, hash: &PaymentHash) -> Option<Settled> {
        let find = || self.settled.lock().iter().find(|settled| settled.payment_hash == *hash).copied();
        if self.forgotten.lock().contains(hash) {
            return None;
        }
        let mut count = self.count.subscribe();
        while matches!(self.node.lookup(hash).await, Ok(InvoiceState::Settled { .. })) && find().is_none() {
            count.changed().await.ok()?;
        }
        find()
    }

    /// The first after a number.
    pub(super) fn after(&self, number: usize) -> Option<Settled> {
        self.settled.lock().get(number).copied()
    }

    pub(super) fn all_settled(&self) -> Vec<Settled> {
        self.settled.lock().clone()
    }

    /// Waits for the first after a number.
    pub(super) async fn wait_after(&self, number: usize) -> Settled {
        let mut count = self.count.subscribe();
        loop {
            if let Some(settled) = self.after(number) {
                return settled;
            }
            if count.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    pub(super) async fn outgoing(&self, hash: &PaymentHash) -> Outgoing {
        self.node.outgoing(hash).await.unwrap_or(Outgoing::Unknown)
    }
}

/// Unix seconds.
pub(super) fn now() -> u64 {
    UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs())
}
