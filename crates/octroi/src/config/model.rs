//! The resolved configuration of the whole gate.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use url::Url;

use super::{LedgerConfig, LightningConfig, Secret, ServerConfig};

/// Everything the gate needs to run, checked and with every default filled in.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the gate listens; port 0 asks the system for a free one.
    pub listen: SocketAddr,
    /// The address callers know the gate by, without a trailing slash in its path.
    pub public_url: Url,
    /// Whether the file, or who started the gate, said so; otherwise it follows [`listen`](Self::listen).
    pub public_url_given: bool,
    /// The reverse proxies that say where a request comes from.
    pub trusted_proxies: Vec<IpNet>,
    /// Where accounts and holds are kept.
    pub ledger: LedgerConfig,
    /// The keys that sign what the gate hands out.
    pub secrets: SecretsConfig,
    /// The Lightning node; without one, paid tools answer `NO_LIQUIDITY`.
    pub lightning: Option<LightningConfig>,
    /// The MCP servers behind the gate, at least one.
    pub servers: Vec<ServerConfig>,
    /// The operator's side door.
    pub admin: AdminConfig,
    /// What is logged, and how.
    pub log: LogConfig,
}

/// The keys that sign what the gate hands out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretsConfig {
    /// The key new credentials are derived from.
    pub master_key: MasterKeySource,
    /// The number its credentials carry.
    pub master_key_number: u32,
    /// Former keys (checked as above) by their numbers, whose credentials are still honoured; at most 7.
    pub previous_keys: Vec<(u32, Secret)>,
    /// What statements about callers are signed with.
    pub signing_key: SigningKeySource,
}

/// Where the master key comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MasterKeySource {
    /// 64 hexadecimal digits, checked; [`Secret::hex_key`] gives the 32 bytes.
    Given(Secret),
    /// The file to read it from, to be created with mode 0600 when it does not exist: `octroi.key` beside the ledger.
    File(PathBuf),
}

/// Where the keys come from that statements about callers are signed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SigningKeySource {
    /// One key of the operator's in PEM, checked.
    Given(Secret),
    /// The file they are kept in, made when it is first needed: `octroi-signing.json` beside the master key.
    File(PathBuf),
}

/// The operator's side door: health, metrics, the ledger's pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminConfig {
    /// An address of its own; `None` means the gate's listener, answering loopback callers only.
    pub listen: Option<SocketAddr>,
    /// Whether `/metrics` is served.
    pub metrics: bool,
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// The shape of a line.
    pub format: LogFormat,
    /// A filter as `tracing` reads it: `info`, `octroi=debug,info`.
    pub level: String,
}

/// The shape of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For a person.
    Text,
    /// One JSON object a line.
    Json,
}
