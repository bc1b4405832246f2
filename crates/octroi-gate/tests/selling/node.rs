//! A Lightning node that does what a test says.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use octroi_l402::{Msat, PaymentHash, Preimage};
use octroi_lightning::{
    Balances, Capabilities, Channel, Invoice, InvoiceRequest, InvoiceState, LightningNode, NodeError,
    NodeInfo, Past, PayError, Payment, Settled, Settlement, Settlements,
};
use tokio::sync::{Mutex, Notify};

/// Counts what is asked of it.
#[derive(Default)]
pub(crate) struct ScriptedNode {
    pub(crate) made: AtomicU64,
    pub(crate) forgotten: AtomicU64,
    /// What it can receive.
    pub(crate) inbound: std::sync::Mutex<Option<Msat>>,
    /// What it says instead of doing anything.
    pub(crate) broken: std::sync::Mutex<Option<NodeError>>,
    /// It answers when this is free.
    pub(crate) busy: Mutex<()>,
    /// Paid, and not acknowledged.
    pub(crate) arrived: std::sync::Mutex<Vec<Settlement>>,
    pub(crate) money: Notify,
    /// What it remembers having been paid, whoever has acknowledged it.
    pub(crate) past: std::sync::Mutex<Vec<Settled>>,
    /// It lists that.
    pub(crate) lists: AtomicBool,
}

impl ScriptedNode {
    /// The payment hash of its invoice with this number, counted from 0.
    pub(crate) fn hash(number: u64) -> PaymentHash {
        Self::preimage(number).payment_hash()
    }

    /// The preimage of its invoice with this number.
    pub(crate) fn preimage(number: u64) -> Preimage {
        let mut bytes = [7; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        Preimage::from_bytes(bytes)
    }

    pub(crate) fn pay(&self, number: u64, amount: Msat) {
        let cursor = format!("x.{number}.0");
        let settlement = Settlement { payment_hash: Self::hash(number), amount, settled_at: now(), cursor };
        self.arrived.lock().expect("a lock").push(settlement);
        self.money.notify_waiters();
    }

    async fn works(&self) -> Result<(), NodeError> {
        let _turn = self.busy.lock().await;
        match &*self.broken.lock().expect("a lock") {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs()
}

#[async_trait::async_trait]
impl LightningNode for ScriptedNode {
    fn backend(&self) -> &'static str {
        "scripted"
    }

    fn ledger_name(&self) -> String {
        "scripted:one".to_owned()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            msat_invoices: true,
            chosen_preimage: false,
            settlements: Settlements::Stream,
            past: if self.lists.load(SeqCst) { Past::Listed } else { Past::ByHash },
            custodial: false,
            pay: false,
            fee_limit: false,
            balances: true,
            inbound: true,
            channels: false,
            forget: true,
            buys_inbound: false,
        }
    }

    async fn create_invoice(&self, request: InvoiceRequest) -> Result<Invoice, NodeError> {
        self.works().await?;
        let number = self.made.fetch_add(1, SeqCst);
        Ok(Invoice {
            bolt11: format!("lnbcrt{number}"),
            payment_hash: Self::hash(number),
            amount: request.amount,
            expires_at: now() + request.expiry.as_secs(),
        })
    }

    async fn lookup(&self, hash: &PaymentHash) -> Result<InvoiceState, NodeError> {
        self.works().await?;
        let past = self.past.lock().expect("a lock");
        if let Some(Settled { amount, settled_at, .. }) =
            past.iter().find(|one| one.payment_hash == *hash).copied()
        {
            return Ok(InvoiceState::Settled { amount, settled_at });
        }
        let arrived = self.arrived.lock().expect("a lock");
        let found = arrived.iter().find(|settlement| settlement.payment_hash == *hash);
        Ok(found.map_or(InvoiceState::Open, |paid| InvoiceState::Settled {
            amount: paid.amount,
            settled_at: paid.settled_at,
        }))
    }

    async fn next_settlement(&self, _: Option<&str>) -> Result<Settlement, NodeError> {
        loop {
            let money = self.money.notified();
            self.works().await?;
            if let Some(settlement) = self.arrived.lock().expect("a lock").first().cloned() {
                return Ok(settlement);
            }
            money.await;
        }
    }

    /// Two at a time, as a node with a bound on its answers does.
    async fn settled_since(&self, from: u64) -> Result<Vec<Settled>, NodeError> {
        self.works().await?;
        let mut found: Vec<Settled> = self.past.lock().expect("a lock").clone();
        found.retain(|one| one.settled_at >= from);
        found.sort_by_key(|one| one.settled_at);
        found.truncate(2);
        Ok(found)
    }

    async fn acknowledge(&self, settlement: &Settlement) -> Result<(), NodeError> {
        let hash = settlement.payment_hash;
        self.arrived.lock().expect("a lock").retain(|known| known.payment_hash != hash);
        Ok(())
    }

    async fn forget(&self, _: &PaymentHash) -> Result<(), NodeError> {
        self.forgotten.fetch_add(1, SeqCst);
        Ok(())
    }

    async fn pay(&self, _: &str, _: Msat, _: Duration) -> Result<Payment, PayError> {
        Err(NodeError::Unsupported("paying").into())
    }

    async fn balances(&self) -> Result<Balances, NodeError> {
        self.works().await?;
        let inbound = *self.inbound.lock().expect("a lock");
        Ok(Balances { outbound: Msat::ZERO, inbound, onchain_sat: 0 })
    }

    async fn info(&self) -> Result<NodeInfo, NodeError> {
        Err(NodeError::Unsupported("info"))
    }

    async fn channels(&self) -> Result<Vec<Channel>, NodeError> {
        Ok(Vec::new())
    }
}
