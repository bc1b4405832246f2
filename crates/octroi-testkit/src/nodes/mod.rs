//! Real Lightning nodes on a regtest chain, with a channel between them.
//!
//! [`Pair`] is both ends in one process. Where the gate is a process of its own with its own node, [`Payer`] is the
//! other end alone: start it, give the gate's config its [`id`](Payer::id) as a trusted peer and the chain's URL, and
//! [`open a channel`](Payer::open_channel) once the gate is up.

mod provider;
mod store;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use octroi_l402::Msat;
use octroi_lightning::NodeError;
use octroi_lightning::embedded::{EmbeddedConfig, EmbeddedNode, Network};

pub use self::provider::{Provider, TICKET};
pub use self::store::StoreDir;
use crate::chain::Regtest;

/// Size of the channel that tests and the demo pay over, in satoshis.
pub const CHANNEL_SAT: u64 = 1_000_000;

/// What the payee owns of it from the start, so that it can pay too.
pub const PUSHED: Msat = Msat::new(100_000_000);

/// How long a channel may take to become usable; it takes milliseconds.
const OPENING: Duration = Duration::from_secs(60);

/// How often another port is tried when the one that was free is taken in the same moment.
const PORT_TRIES: usize = 5;

/// A chain, a node that is paid, a node that pays, and a channel that is usable without a confirmation.
pub struct Pair {
    /// Who is paid: the gate's node.
    pub payee: Arc<EmbeddedNode>,
    /// Who pays: the agent's node, which opened the channel.
    pub payer: Payer,
}

impl Pair {
    /// Starts everything and opens the channel. The first payment is taken two seconds later (an LDK rule).
    ///
    /// # Errors
    /// Whatever the nodes say; [`NodeError::Timeout`] when the channel does not become usable.
    pub async fn start(store: StoreDir) -> Result<Self, NodeError> {
        let payer = Payer::start(store).await?;
        let payee = Arc::new(payer.start_payee("payee").await?);
        let Some(address) = payee.listening().first().copied() else {
            return Err(NodeError::Config("the payee listens nowhere".to_owned()));
        };
        payer.open_channel(&payee.id(), address).await?;
        payee.channel_usable(&payer.id(), OPENING).await?;
        Ok(Self { payee, payer })
    }
}

/// A chain and a node with coins on it.
pub struct Payer {
    /// The node.
    pub node: Arc<EmbeddedNode>,
    /// The chain.
    pub chain: Regtest,
    /// Where the nodes of this chain keep their stores.
    pub store: StoreDir,
}

impl Payer {
    /// Starts the chain and the node, and gives the node the reward of a block.
    ///
    /// # Errors
    /// Whatever the node says.
    pub async fn start(store: StoreDir) -> Result<Self, NodeError> {
        let failed = |error: std::io::Error| NodeError::Config(format!("the regtest chain: {error}"));
        let chain = Regtest::start().map_err(failed)?;
        let node = start_node(&chain, store.path().join("payer"), "payer", &[]).await?;
        chain.fund(&node.new_address().await?).map_err(failed)?;
        node.sync().await?;
        Ok(Self { node: Arc::new(node), chain, store })
    }

    /// The node's public key, for the trusted peers of whoever is paid.
    #[must_use]
    pub fn id(&self) -> String {
        self.node.id()
    }

    /// Starts (or starts again) a node in folder `name` of the store that takes channels of this payer at once.
    ///
    /// # Errors
    /// Whatever the node says.
    pub async fn start_payee(&self, name: &str) -> Result<EmbeddedNode, NodeError> {
        start_node(&self.chain, self.store.path().join(name), name, &[self.id()]).await
    }

    /// Opens a channel of [`CHANNEL_SAT`] to a node, which must trust this one, and waits until it is usable here.
    ///
    /// # Errors
    /// Whatever the node says; [`NodeError::Timeout`] when the other side does not agree.
    pub async fn open_channel(&self, peer: &str, address: SocketAddr) -> Result<(), NodeError> {
        self.node.open_channel(peer, address, CHANNEL_SAT, PUSHED).await?;
        self.node.channel_usable(peer, OPENING).await
    }

    /// Connects to a payee that was started again, and waits until the channel to it carries payments.
    ///
    /// # Errors
    /// Whatever the node says; [`NodeError::Timeout`] when the channel does not come back.
    pub async fn reconnect(&self, payee: &EmbeddedNode) -> Result<(), NodeError> {
        let Some(address) = payee.listening().first().copied() else {
            return Err(NodeError::Config("the payee listens nowhere".to_owned()));
        };
        self.node.connect(&payee.id(), address).await?;
        self.node.channel_usable(&payee.id(), OPENING).await?;
        payee.channel_usable(&self.id(), OPENING).await
    }
}

/// Starts a regtest node in `dir`, listening on a free loopback port, and sees the chain's tip.
///
/// # Errors
/// Whatever the node says.
pub async fn start_node(
    chain: &Regtest,
    dir: PathBuf,
    alias: &str,
    trusted: &[String],
) -> Result<EmbeddedNode, NodeError> {
    let mut tries = 0;
    loop {
        let mut config = EmbeddedConfig::new(Network::Regtest, dir.clone(), chain.source());
        config.alias = Some(alias.to_owned());
        config.listen = vec![free_address()?];
        config.trusted_0conf = trusted.to_vec();
        config.trusted_no_reserve = trusted.to_vec();
        tries += 1;
        match EmbeddedNode::start(config).await {
            Ok(node) => {
                node.sync().await?;
                return Ok(node);
            }
            Err(NodeError::CannotListen) if tries < PORT_TRIES => {}
            Err(error) => return Err(error),
        }
    }
}

/// An address that nobody listened on a moment ago.
fn free_address() -> Result<SocketAddr, NodeError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let address = listener.and_then(|listener| listener.local_addr());
    address.map_err(|error| NodeError::Config(format!("no free loopback port: {error}")))
}
