//! What an embedded node is started with.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::disk::Disk;
use crate::Password;

/// How an embedded node is run.
#[derive(Debug, Clone)]
pub struct EmbeddedConfig {
    /// The chain its money lives on.
    pub network: Network,
    /// Where keys, channels and payments are kept, one folder per node. Created with mode 0700: **who reads it can
    /// spend the money, who loses it loses the money**.
    pub storage_dir: PathBuf,
    /// What seals keys and channels on disk. Without it they lie open; a folder that lies open is sealed when it is first
    /// started with one.
    pub passphrase: Option<Password>,
    /// Where blocks come from. There is no default: a public server would learn every channel of the node.
    pub chain: ChainSource,
    /// Where peers connect; empty for a node that only dials out. Ports must be given (not 0): peers remember them.
    pub listen: Vec<SocketAddr>,
    /// The name announced to the network, at most 32 bytes.
    pub alias: Option<String>,
    /// Node ids (66 hex digits) whose new channels are used before they confirm. Such a peer can take back what it
    /// paid over one until it confirms: only for one's own nodes and a trusted liquidity provider.
    pub trusted_0conf: Vec<String>,
    /// Node ids (66 hex digits) trusted to get a closing transaction confirmed. For any other peer the node keeps
    /// 25,000 sat per channel on chain, and *refuses the channel* when it has less.
    pub trusted_no_reserve: Vec<String>,
    /// Who opens channels to this node when a payment needs one (LSPS2). It is trusted as those above are.
    pub liquidity: Option<LiquidityProvider>,
    /// Which of the node's log records are passed on to `tracing`. The node's `INFO` and below name invoices.
    pub log_level: tracing::Level,
    /// For tests: a disk that fails when it is told to.
    pub disk: Option<Disk>,
}

impl EmbeddedConfig {
    /// A node that dials out only, trusts nobody, and logs warnings.
    #[must_use]
    pub fn new(network: Network, storage_dir: impl Into<PathBuf>, chain: ChainSource) -> Self {
        Self {
            network,
            storage_dir: storage_dir.into(),
            passphrase: None,
            chain,
            listen: Vec::new(),
            alias: None,
            trusted_0conf: Vec::new(),
            trusted_no_reserve: Vec::new(),
            liquidity: None,
            log_level: tracing::Level::WARN,
            disk: None,
        }
    }
}

/// Who sells room to receive: a Lightning service provider that speaks LSPS2 (bLIP-52).
#[derive(Debug, Clone)]
pub struct LiquidityProvider {
    /// Its node id, 66 hex digits.
    pub id: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// What it wants to be shown, if anything.
    pub token: Option<Password>,
    /// The most it may keep of a payment that opens a channel, in percent of the payment, 1 to 100.
    pub fee_percent_max: u8,
}

/// A Bitcoin chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// Real money.
    Bitcoin,
    /// The public test chain (testnet3).
    Testnet,
    /// The signed public test chain.
    Signet,
    /// A private test chain.
    Regtest,
}

impl Network {
    /// The name as config spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bitcoin => "bitcoin",
            Self::Testnet => "testnet",
            Self::Signet => "signet",
            Self::Regtest => "regtest",
        }
    }
}

impl From<Network> for ldk_node::bitcoin::Network {
    fn from(network: Network) -> Self {
        match network {
            Network::Bitcoin => Self::Bitcoin,
            Network::Testnet => Self::Testnet,
            Network::Signet => Self::Signet,
            Network::Regtest => Self::Regtest,
        }
    }
}

/// Where an embedded node's blocks come from.
#[derive(Debug, Clone)]
pub enum ChainSource {
    /// A full node's JSON-RPC (plain HTTP: same machine, or a tunnel).
    Bitcoind {
        /// Host name or address.
        host: String,
        /// RPC port.
        port: u16,
        /// RPC user.
        user: String,
        /// RPC password.
        password: Password,
    },
    /// An Esplora server's base URL.
    Esplora {
        /// For example `https://blockstream.info/api`.
        url: String,
    },
    /// An Electrum server.
    Electrum {
        /// `ssl://host:port` or `tcp://host:port`.
        url: String,
    },
}
