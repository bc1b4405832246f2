//! The Lightning node the gate is paid through.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::{RateLimit, Secret};

/// The Lightning node the gate is paid through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LightningConfig {
    /// The chain whose invoices are issued.
    pub network: Network,
    /// How long an invoice can be paid, 60 s to 7 days.
    pub invoice_expiry: Duration,
    /// Whose node it is.
    pub backend: LightningBackend,
    /// Who is given how many invoices.
    pub invoices: InvoicesConfig,
    /// What the operator is told at once.
    pub alerts: AlertsConfig,
}

/// Who is given how many invoices, and how fast.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvoicesConfig {
    /// For all strangers of one IPv4 /24 or IPv6 /48.
    pub per_network: RateLimit,
    /// For one known caller.
    pub per_caller: RateLimit,
    /// For all strangers, all who solved a puzzle, all who paid before, all with an access token: each.
    pub per_class: RateLimit,
    /// Unexpired invoices for each of these classes, 100..=50 000.
    pub open_max: usize,
    /// When strangers have to solve a puzzle before they get an invoice.
    pub work: InvoiceWork,
    /// How hard the puzzle is, 1..=30 bits.
    pub work_bits: u8,
    /// Invoices kept ready for each price, 0..=64.
    pub ready: usize,
}

/// When strangers have to solve a puzzle before they get an invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvoiceWork {
    /// Never: over their allowance they wait.
    Never,
    /// When an allowance is used up.
    OverLimit,
    /// Always.
    Always,
}

/// What the operator is told at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertsConfig {
    /// An invoice, or booking a settlement, that takes longer is an alert.
    pub slow: Duration,
    /// Less room to receive, in satoshis, is an alert.
    pub low_inbound_sat: Option<u64>,
    /// How often the node is asked for it, 1 s to 1 h.
    pub look_every: Duration,
    /// Where alerts are posted as JSON.
    pub webhook: Option<Url>,
    /// What they are signed with.
    pub webhook_secret: Option<Secret>,
    /// A program that is started when there is too little room to receive: its name and arguments, no shell.
    pub on_low_inbound: Vec<String>,
}

/// A Bitcoin chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Real money.
    Bitcoin,
    /// The public test chain.
    Testnet,
    /// The signed public test chain.
    Signet,
    /// A private test chain.
    Regtest,
}

impl Network {
    /// As configurations, nodes and invoices name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bitcoin => "bitcoin",
            Self::Testnet => "testnet",
            Self::Signet => "signet",
            Self::Regtest => "regtest",
        }
    }
}

/// Whose node it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LightningBackend {
    /// A node inside this process.
    Embedded(EmbeddedNode),
    /// A phoenixd reached over HTTP.
    Phoenixd(Phoenixd),
    /// An LND reached over REST.
    Lnd(Lnd),
    /// A Core Lightning.
    Cln(Cln),
    /// A wallet at an LNbits.
    Lnbits(Lnbits),
    /// A Lightning Address.
    Lnurl(Lnurl),
    /// A wallet over Nostr Wallet Connect.
    Nwc(Nwc),
}

/// An LND reached over REST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lnd {
    /// Its base URL, usually `https://127.0.0.1:8080`.
    pub url: Url,
    /// Its macaroon.
    pub macaroon: Macaroon,
    /// Its `tls.cert`, the only certificate then accepted.
    pub tls_cert: Option<PathBuf>,
}

/// Where a macaroon of LND comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Macaroon {
    /// Written in hexadecimal.
    Hex(Secret),
    /// A file as `lncli bakemacaroon --save_to` writes it.
    File(PathBuf),
}

/// A Core Lightning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cln {
    /// Its `lightning-rpc` socket.
    Socket(PathBuf),
    /// Its clnrest.
    Rest {
        /// Its base URL, usually `https://127.0.0.1:3010`.
        url: Url,
        /// What it lets the gate do.
        rune: Secret,
        /// Its `server.pem`, or the `ca.pem` that signed it: the only certificate then accepted.
        tls_cert: Option<PathBuf>,
    },
}

/// A wallet at an LNbits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lnbits {
    /// Its base URL.
    pub url: Url,
    /// The wallet's invoice key.
    pub key: Secret,
}

/// A Lightning Address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lnurl {
    /// `name@domain`, or the URL of its terms.
    pub address: String,
    /// Where open invoices are kept.
    pub file: PathBuf,
}

/// A wallet over Nostr Wallet Connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nwc {
    /// `nostr+walletconnect://…`, with the secret in it.
    pub connection: Secret,
    /// Where open invoices are kept.
    pub file: PathBuf,
}

/// A node inside this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddedNode {
    /// Where blocks come from.
    pub chain: ChainSource,
    /// Where channels and keys are kept; losing it loses money.
    pub storage_dir: PathBuf,
    /// What seals keys and channels on disk.
    pub passphrase: Option<Passphrase>,
    /// Where peers connect; empty for a node that only dials out.
    pub listen: Vec<SocketAddr>,
    /// The name announced to the network, at most 32 bytes.
    pub alias: Option<String>,
    /// Node ids (33 bytes in hex, lower case) whose channels are used before they confirm.
    pub trusted_peers: Vec<String>,
    /// Who opens channels when a payment needs one.
    pub lsp: Option<Lsp>,
}

/// Where the passphrase of a node comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Passphrase {
    /// Written, or taken from a variable or a file.
    Given(Secret),
    /// The first line that a program prints: its name and arguments, no shell.
    Command(Vec<String>),
}

/// A Lightning service provider that speaks LSPS2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lsp {
    /// Its node id, as above.
    pub id: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// What it wants to be shown.
    pub token: Option<Secret>,
    /// The most it may keep of a payment, in percent.
    pub fee_percent_max: u8,
}

/// Where blocks come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChainSource {
    /// A full node's RPC.
    Bitcoind {
        /// Host name or address.
        host: String,
        /// RPC port.
        port: u16,
        /// RPC user.
        user: String,
        /// RPC password.
        password: Secret,
    },
    /// An Esplora server's base URL (`https://…`).
    Esplora(Url),
    /// An Electrum server, `ssl://host:port` or `tcp://host:port`.
    Electrum(String),
}

impl ChainSource {
    /// The public Esplora server used when the file names no source; it learns which addresses the node watches.
    pub fn public_default(network: Network) -> Option<Self> {
        let url = match network {
            Network::Bitcoin => "https://blockstream.info/api",
            Network::Testnet => "https://blockstream.info/testnet/api",
            Network::Signet => "https://mempool.space/signet/api",
            Network::Regtest => return None,
        };
        Url::parse(url).ok().map(Self::Esplora)
    }
}

/// A phoenixd reached over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phoenixd {
    /// Its base URL, usually `http://127.0.0.1:9740`.
    pub url: Url,
    /// `http-password` of its `phoenix.conf`.
    pub password: Secret,
}
