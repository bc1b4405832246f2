//! Where invoices come from: one desk for one Lightning node, shared by every service that sells through it.
//!
//! The desk stands between callers, who may ask as often as they like, and the node, which may not be asked so. It
//! refuses at once what the node could not receive or will not answer, keeps each class of callers inside its allowance
//! ([`guard`]), may ask strangers for a puzzle first ([`entry`]), and keeps invoices ready where the node is slow
//! ([`ready`]).

mod alert;
mod entry;
mod guard;
mod health;
mod ready;
mod settle;
mod tend;

use crate::clock::{unix_millis, unix_seconds};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use octroi_l402::{Msat, PaymentHash};
use octroi_lightning::{Balances, Invoice, InvoiceRequest, InvoiceState, LightningNode, NodeError, bolt11};
use octroi_pow::{Challenge, Submission};
use tokio::sync::{Notify, mpsc};

pub use alert::{Alert, AlertNews};
pub use entry::{ENTRY, EntryRule, EntrySettings};
pub(crate) use entry::{EntryDesk, EntryError};
pub(crate) use guard::{Asker, wide_network};
pub use guard::{Class, MintLimits};
pub use health::{LATENCY_BUCKETS_MS, Latencies};
pub use ready::Order;

use alert::Alerts;
use guard::Guard;
use health::Health;
use ready::Ready;

/// How long the node may take to make an invoice, waiting for a turn included.
const INVOICE_WAIT: Duration = Duration::from_secs(5);

/// At least so long between two looks at a node that can receive too little.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// How long a node may take to say what became of one invoice.
const LOOKUP_WAIT: Duration = Duration::from_secs(5);

/// What an invoice desk is set to.
pub struct InvoiceSettings {
    /// How long an invoice may be paid, in seconds.
    pub ttl_seconds: u64,
    /// How many may be made.
    pub limits: MintLimits,
    /// The puzzle before an invoice; `None`: strangers over their allowance can only wait.
    pub entry: Option<EntrySettings>,
    /// How many invoices are kept ready for each price; 0: each is made when it is asked for.
    pub ready: usize,
    /// An alert is raised when making an invoice, or booking a settlement, takes longer.
    pub slow: Duration,
    /// An alert is raised when the node can receive less than this; `None`: never.
    pub low_inbound: Option<Msat>,
    /// How often the node is asked what it can receive.
    pub look_every: Duration,
    /// The chain whose money is taken: an invoice of another is not handed out, since what is paid for it is worth something else, or
    /// nothing. `bitcoin`, `testnet`, `signet` or `regtest`; `None`: any.
    pub network: Option<&'static str>,
}

/// Makes invoices of one node.
pub struct InvoiceDesk {
    node: Arc<dyn LightningNode>,
    settings: InvoiceSettings,
    guard: Guard,
    entry: Option<EntryDesk>,
    ready: Ready,
    health: Health,
    alerts: Alerts,
    /// Held by the one caller who looks at the node.
    looking: tokio::sync::Mutex<()>,
    /// Something was slow since the last look at the node.
    slow: AtomicBool,
    /// Something is missing from the stock.
    wanted: Notify,
    made: [AtomicU64; Class::ALL.len()],
    refused: [AtomicU64; Class::ALL.len()],
}

/// Why there is no invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoInvoice {
    /// The allowance is used up: for so many seconds, or, for strangers, until a puzzle is solved.
    TooMany(u64),
    /// Strangers have to solve a puzzle first.
    WorkFirst,
    /// The node cannot receive so much, or will not make such an invoice.
    NoLiquidity,
    /// The node does not answer; worth another try after so many seconds.
    Down(u64),
}

impl InvoiceDesk {
    /// A desk for this node. Let [`InvoiceDesk::tend`] and [`InvoiceDesk::book_settlements`] run beside it.
    ///
    /// # Errors
    /// The operating system gives no randomness.
    pub fn new(
        node: Arc<dyn LightningNode>,
        mut settings: InvoiceSettings,
    ) -> Result<Self, getrandom::Error> {
        Ok(Self {
            entry: settings.entry.take().map(EntryDesk::new).transpose()?,
            guard: Guard::new(settings.limits),
            ready: Ready::new(settings.ready, settings.ttl_seconds),
            health: Health::new(),
            alerts: Alerts::default(),
            looking: tokio::sync::Mutex::default(),
            slow: AtomicBool::new(false),
            wanted: Notify::new(),
            made: Default::default(),
            refused: Default::default(),
            node,
            settings,
        })
    }

    /// The node.
    pub fn node(&self) -> &Arc<dyn LightningNode> {
        &self.node
    }

    /// An invoice for this caller.
    pub(crate) async fn invoice(&self, asker: Asker, order: Order) -> Result<Invoice, NoInvoice> {
        self.health.answers(Instant::now()).map_err(NoInvoice::Down)?;
        if !self.node.capabilities().buys_inbound && !self.can_receive(order.amount).await {
            return Err(NoInvoice::NoLiquidity);
        }
        let asks_work = self.entry.as_ref().is_some_and(|entry| entry.settings.rule == EntryRule::Always);
        if asks_work && matches!(asker, Asker::Stranger(_)) {
            return Err(NoInvoice::WorkFirst);
        }
        let class = self.guard.admit(asker, unix_millis()).map_err(|seconds| {
            self.refused[asker.class() as usize].fetch_add(1, Relaxed);
            NoInvoice::TooMany(seconds)
        })?;
        let invoice = match self.take_ready(&order) {
            Some(invoice) => invoice,
            None => {
                let place = self.guard.place(class, INVOICE_WAIT).await;
                let _place = place.ok_or(NoInvoice::TooMany(1))?;
                self.make(order).await?
            }
        };
        self.guard.made(class, &invoice);
        self.made[class as usize].fetch_add(1, Relaxed);
        Ok(invoice)
    }

    fn take_ready(&self, order: &Order) -> Option<Invoice> {
        let found = self.ready.take(order, Instant::now(), unix_seconds());
        if self.ready.is_on() {
            self.wanted.notify_one();
        }
        found
    }

    /// Asks the node for an invoice.
    async fn make(&self, order: Order) -> Result<Invoice, NoInvoice> {
        let request = InvoiceRequest {
            amount: order.amount,
            description: order.description,
            expiry: Duration::from_secs(self.settings.ttl_seconds),
            preimage: None,
        };
        let started = Instant::now();
        let made = tokio::time::timeout(INVOICE_WAIT, self.node.create_invoice(request)).await;
        let took = started.elapsed();
        self.health.making.note(took);
        let made = made.unwrap_or(Err(NodeError::Timeout)).and_then(|invoice| self.of_our_network(invoice));
        match made {
            Ok(invoice) => {
                self.health.up(&self.alerts);
                self.note_speed("making an invoice", took);
                Ok(invoice)
            }
            Err(error) => {
                tracing::warn!(backend = self.node.backend(), %error, "the node made no invoice");
                let now = Instant::now();
                self.health.failed(&error, now, &self.alerts);
                Err(self.health.answers(now).map_or_else(NoInvoice::Down, |()| NoInvoice::NoLiquidity))
            }
        }
    }

    fn of_our_network(&self, invoice: Invoice) -> Result<Invoice, NodeError> {
        match self.settings.network {
            Some(ours) if bolt11::network(&invoice.bolt11) != Some(ours) => {
                Err(NodeError::BadReply(format!("an invoice that is not for {ours}")))
            }
            _ => Ok(invoice),
        }
    }

    /// Whether such an invoice could be paid. Nobody is turned away for what was seen before he asked: a channel may have
    /// been opened since. One look serves all who wait for it.
    async fn can_receive(&self, amount: Msat) -> bool {
        if self.health.can_receive(amount) {
            return true;
        }
        let asked = Instant::now();
        let looking = self.looking.lock().await;
        if self.health.balances_seen().is_some_and(|seen| seen < asked) {
            let pause = self
                .health
                .balances_seen()
                .map_or(Duration::ZERO, |seen| LOOK_PAUSE.saturating_sub(seen.elapsed()));
            tokio::time::sleep(pause).await;
            self.look().await;
        }
        drop(looking);
        self.health.can_receive(amount)
    }

    /// The alert ends when nothing was slow between two looks at the node: see [`tend`].
    fn note_speed(&self, what: &str, took: Duration) {
        if took > self.settings.slow {
            self.slow.store(true, Relaxed);
            self.alerts.raise(Alert::Slow, &format!("{what} took {} ms", took.as_millis()));
        }
    }

    /// What became of an invoice, if the node says so in time.
    pub(crate) async fn lookup(&self, payment_hash: &PaymentHash) -> Option<InvoiceState> {
        self.health.answers(Instant::now()).ok()?;
        tokio::time::timeout(LOOKUP_WAIT, self.node.lookup(payment_hash)).await.ok()?.ok()
    }

    /// A puzzle for a stranger who wants an invoice of `service`; `None` where none is asked.
    pub(crate) fn entry_challenge(&self, service: &str, now: u64) -> Option<Challenge> {
        self.entry.as_ref()?.challenge(service, now).ok()
    }

    /// Spends the solution of such a puzzle.
    pub(crate) fn redeem_entry(
        &self,
        service: &str,
        solution: &Submission,
        now: u64,
    ) -> Result<(), EntryError> {
        let entry = self.entry.as_ref().ok_or(EntryError::NotAsked)?;
        entry.redeem(service, solution, now)
    }

    /// Keeps invoices ready for this order from the start.
    pub fn keep_ready(&self, order: Order) {
        self.ready.always(order, Instant::now());
    }

    /// Alerts, from now on. There is one listener.
    pub fn alerts(&self) -> mpsc::Receiver<AlertNews> {
        self.alerts.listen()
    }

    /// Whether an alert is on, and how often it was raised.
    pub fn alert(&self, alert: Alert) -> (bool, u64) {
        (self.alerts.is_raised(alert), self.alerts.count(alert))
    }

    /// What the node could carry when it was last asked.
    pub fn balances(&self) -> Option<Balances> {
        self.health.balances()
    }

    /// Whether the node answered when it was last asked.
    pub fn is_up(&self) -> bool {
        self.health.is_up()
    }

    /// How long invoices took to be made.
    pub fn making(&self) -> &Latencies {
        &self.health.making
    }

    /// How long settlements took from the node to the ledger.
    pub fn settling(&self) -> &Latencies {
        &self.health.settling
    }

    /// Invoices handed out, refused for the allowance's sake, and open now, for a class of callers.
    pub fn counts(&self, class: Class) -> (u64, u64, usize) {
        let (made, refused) = (&self.made[class as usize], &self.refused[class as usize]);
        (made.load(Relaxed), refused.load(Relaxed), self.guard.open(class, unix_seconds()))
    }

    /// Invoices made ahead and not handed out.
    pub fn in_stock(&self) -> usize {
        self.ready.len()
    }
}
