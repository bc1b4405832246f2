//! From a checked configuration to a running gate.

mod alerts;
mod endpoint;
mod identity;
mod invoices;
mod keys;
pub(crate) mod lightning;
#[cfg(feature = "lightning-embedded")]
pub(crate) mod passphrase;
mod policy;
mod reconcile;
mod stripe;

use std::net::SocketAddr;
use std::sync::Arc;

use octroi_gate::invoices::InvoiceDesk;
use octroi_gate::reconcile::Bookkeeper;
use octroi_identity::SigningKeys;
use octroi_ledger::{Ledger, LedgerConfig, OpenError};
use octroi_lightning::NodeError;
use octroi_server::stripe::StripeTeller;
use octroi_server::{Admin, Endpoint, Listener, OperatorKey, Routes, TrustedProxies};
use thiserror::Error;
use tokio::task::JoinHandle;

use crate::clock::unix_seconds;
use crate::config::{Config, LightningConfig};
pub use keys::{KeyError, Keys, create_key};
pub use lightning::Node;
pub(crate) use reconcile::scope;

/// Most connections open at once on one listener.
const CONNECTIONS_MAX: usize = 16_384;
/// How often quotes and spent puzzles that cannot matter any more are forgotten.
const PRUNE_EVERY: std::time::Duration = std::time::Duration::from_secs(60);
/// Where a round of forgetting found so many, there are more: the next one follows at once. Below the ledger's own bound.
const PRUNE_MORE: u64 = 4_000;

/// Why the gate did not start. The operator's to mend.
#[derive(Debug, Error)]
pub enum StartError {
    /// The ledger cannot be opened.
    #[error(transparent)]
    Ledger(#[from] OpenError),
    /// The master key cannot be had.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The Lightning node did not start.
    #[error(transparent)]
    Lightning(#[from] NodeError),
    /// This binary was built without an embedded Lightning node.
    #[cfg(not(feature = "lightning-embedded"))]
    #[error(
        "this octroi was built without an embedded Lightning node: use `backend = \"phoenixd\"`, or build with the feature `lightning-embedded`"
    )]
    NoEmbeddedNode,
    /// Access tokens cannot be checked as configured.
    #[error("[auth.identity] {0}")]
    Identity(#[from] octroi_identity::SetupError),
    /// The keys that statements about callers are signed with cannot be had.
    #[error("[secrets] signing_key: {0}")]
    SigningKey(#[from] octroi_identity::KeyError),
    /// The same, for those in the file beside the ledger.
    #[error("the signing keys: {0}")]
    SigningKeys(#[from] octroi_identity::RotationError),
    /// The upstream cannot be used as configured.
    #[error("upstream: {0}")]
    Upstream(#[from] octroi_server::upstream::SettingsError),
    /// A price or a difficulty is out of range.
    #[error("{0}")]
    Value(String),
    /// The address is taken or not ours.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
}

/// A gate that is ready to serve.
pub struct Gate {
    /// The MCP servers behind it.
    pub endpoints: Vec<Arc<Endpoint>>,
    /// Where money is counted.
    pub ledger: Ledger,
    /// Where money comes in.
    pub node: Option<Node>,
    signing: Option<Arc<SigningKeys>>,
    operator: OperatorKey,
    listener: Option<Listener>,
    admin: Option<Listener>,
    proxies: TrustedProxies,
    bookkeeper: Arc<Bookkeeper>,
    teller: Option<Arc<StripeTeller>>,
    metrics: bool,
    background: Vec<JoinHandle<()>>,
}

impl Gate {
    /// Opens the ledger, starts the node, and binds the listeners. With `listen` off (the stdio front) no address is bound.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running then, except that a ledger or node may have been created.
    pub async fn start(config: Config, listen: bool) -> Result<Self, StartError> {
        let listener = if listen { Some(bind(config.listen).await?) } else { None };
        let bound = listener.as_ref().map(Listener::address);
        // Everything that names the gate's address is built after it is known.
        let config = &match bound {
            Some(address) => config.bound_to(address),
            None => config,
        };
        let keys = Keys::load(&config.secrets)?;
        let ledger = open_ledger(config)?;
        let node = match &config.lightning {
            Some(lightning) => Some(Node::start(lightning).await?),
            None => None,
        };
        let invoices = match (&node, &config.lightning) {
            (Some(node), Some(lightning)) => Some(Arc::new(invoices::desk(node.handle(), lightning)?)),
            _ => None,
        };
        let admin = match config.admin.listen {
            Some(address) if listen => Some(bind(address).await?),
            _ => None,
        };
        let signing = identity::signing_keys(config)?;
        let customers = config.ledger.stripe.as_ref().map(|stripe| Arc::new(stripe.customers.clone()));
        let mut endpoints = Vec::new();
        for server in &config.servers {
            let invoices = invoices.as_ref();
            let parts = endpoint::Parts {
                config,
                server,
                bound,
                keys: &keys,
                ledger: &ledger,
                invoices,
                signing: signing.as_ref(),
                customers: customers.as_ref(),
            };
            endpoints.push(Arc::new(endpoint::build(&parts).await?));
        }
        let bookkeeper = reconcile::bookkeeper(&ledger, node.as_ref(), &config.ledger.reconcile);
        let mut background = background(&ledger, invoices.as_ref(), config.lightning.as_ref())?;
        background.push(tokio::spawn(Arc::clone(&bookkeeper).keep()));
        background
            .extend(endpoints.iter().map(|endpoint| tokio::spawn(share_failures(Arc::clone(endpoint)))));
        let teller = config.ledger.stripe.as_ref().map(stripe::teller).transpose()?;
        if let Some(teller) = &teller {
            background.push(tokio::spawn(Arc::clone(teller).run(ledger.clone())));
        }
        let metrics = config.admin.metrics;
        let operator = keys.operator.clone();
        let proxies = TrustedProxies::new(config.trusted_proxies.clone());
        Ok(Self {
            endpoints,
            ledger,
            node,
            signing,
            operator,
            listener,
            admin,
            proxies,
            bookkeeper,
            teller,
            metrics,
            background,
        })
    }

    /// Where the gate listens.
    pub fn address(&self) -> Option<SocketAddr> {
        self.listener.as_ref().map(Listener::address)
    }

    /// Where the operator's pages are.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().or(self.listener.as_ref()).map(Listener::address)
    }

    /// Serves until `stop` resolves, then ends what is open and closes the ledger.
    pub async fn serve(mut self, stop: impl Future<Output = ()>) {
        let (stopping, stopped) = tokio::sync::watch::channel(false);
        let (ledger, signing) = (Some(self.ledger.clone()), self.signing.clone());
        let admin = Admin::new(self.endpoints.clone(), ledger, signing, self.metrics, false)
            .with_operator(self.operator.clone())
            .with_bookkeeper(Arc::clone(&self.bookkeeper))
            .with_teller(self.teller.clone());
        let serving_admin = self.admin.take().map(|listener| {
            let routes = Arc::new(Routes::new(&[], admin.clone().for_anyone()));
            tokio::spawn(listener.serve(routes, wait_for(stopped.clone())))
        });
        let serving = self.listener.take().map(|listener| {
            let routes = Routes::new(&self.endpoints, admin).behind(self.proxies.clone());
            let routes = Arc::new(routes);
            tokio::spawn(listener.serve(routes, wait_for(stopped.clone())))
        });
        stop.await;
        let _ = stopping.send(true);
        for task in [serving, serving_admin].into_iter().flatten() {
            let _ = task.await;
        }
        self.close().await;
    }

    /// Ends the upstreams, the node and the ledger.
    pub async fn close(self) {
        for endpoint in &self.endpoints {
            endpoint.upstream.shutdown().await;
        }
        for task in &self.background {
            task.abort();
        }
        if let Some(node) = &self.node {
            node.stop().await;
        }
        self.ledger.close().await;
    }
}

async fn wait_for(mut stopped: tokio::sync::watch::Receiver<bool>) {
    // The sender outlives the wait; if it ever went away, stopping is right all the same.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

async fn bind(address: SocketAddr) -> Result<Listener, StartError> {
    Listener::bind(address, CONNECTIONS_MAX).await.map_err(|source| StartError::Listen { address, source })
}

fn open_ledger(config: &Config) -> Result<Ledger, StartError> {
    let mut settings = LedgerConfig::at(config.ledger.store.clone());
    settings.queue = config.ledger.queue;
    let answers = config.ledger.answers;
    (settings.kept_answers, settings.kept_bytes) = (answers.count_max, answers.bytes_max);
    (settings.kept_body, settings.kept_for) = (answers.bytes_each_max, answers.lifetime);
    let ledger = Ledger::open(settings)?;
    let recovered = ledger.recovered();
    if recovered.voided > 0 {
        tracing::warn!(
            holds = recovered.voided,
            msat = recovered.msat,
            calls = recovered.calls,
            "an earlier run ended with calls in flight; their holds were given back"
        );
    }
    Ok(ledger)
}

fn background(
    ledger: &Ledger,
    invoices: Option<&Arc<InvoiceDesk>>,
    lightning: Option<&LightningConfig>,
) -> Result<Vec<JoinHandle<()>>, StartError> {
    let mut tasks = vec![tokio::spawn(prune(ledger.clone()))];
    if let (Some(desk), Some(lightning)) = (invoices, lightning) {
        // Listens before the first look at the node, whose alert would be lost otherwise.
        let alerts = desk.alerts();
        tasks.push(tokio::spawn(alerts::Watch::new(&lightning.alerts)?.carry(alerts)));
        tasks.push(tokio::spawn(Arc::clone(desk).book_settlements(ledger.clone())));
        tasks.push(tokio::spawn(Arc::clone(desk).tend()));
        tasks.push(tokio::spawn(lightning::note_powers(Arc::clone(desk.node()), lightning.backend.clone())));
    }
    Ok(tasks)
}

/// Gates that share a ledger tell each other whose payments fail.
async fn share_failures(endpoint: Arc<Endpoint>) {
    if let Some(till) = endpoint.gate.till() {
        till.share_failures().await;
    }
}

async fn prune(ledger: Ledger) {
    loop {
        ledger.prune_due(PRUNE_EVERY).await;
        let now = unix_seconds();
        if let Some(board) = ledger.board()
            && let Err(error) = board.sweep(now.saturating_mul(1_000)).await
        {
            tracing::warn!(%error, "what gates told each other could not be forgotten");
        }
        loop {
            match ledger.prune(now).await {
                Ok(pruned) if pruned.works.max(pruned.quotes) >= PRUNE_MORE => {}
                Ok(_) => break,
                Err(error) => {
                    tracing::warn!(%error, "the ledger could not be pruned");
                    break;
                }
            }
        }
    }
}
