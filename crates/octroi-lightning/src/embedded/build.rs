//! From settings to a node.

use std::sync::Arc;
use std::time::Duration;

use ldk_node::bitcoin::secp256k1::PublicKey;
use ldk_node::config::{AnchorChannelsConfig, Config};
use ldk_node::lightning::ln::msgs::SocketAddress;
use ldk_node::{BuildError, Builder, Node};
use tokio::runtime::{Handle, Runtime};

use super::config::{ChainSource, EmbeddedConfig};
use super::store::{Opened, Store};
use super::tracing_log::TracingLog;
use super::{age, peer_id, storage};
use crate::NodeError;

/// How long the node's tasks may take to end.
pub(super) const SHUTDOWN: Duration = Duration::from_secs(5);

/// Each peer's task may be blocked by the disk, and the one that writes LDK's list of channels must not wait for a worker: see
/// [`database`](super::database).
const WORKERS: usize = 4;

/// Kept on chain per channel with a peer that is not trusted to close it well; ldk-node's default.
const RESERVE_SAT: u64 = 25_000;

pub(super) fn runtime() -> Result<Runtime, NodeError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .thread_name("lightning")
        .enable_all()
        .build()
        .map_err(storage)
}

/// The node on a store that was opened, and is no older copy.
pub(super) fn node(config: &EmbeddedConfig, opened: &Opened, handle: Handle) -> Result<Node, NodeError> {
    age::check(&opened.store, &config.storage_dir)?;
    let mut builder = Builder::from_config(node_config(config)?);
    if let Some(seed) = &opened.seed {
        builder.set_entropy_seed_bytes(**seed);
    }
    builder.set_runtime(handle);
    builder.set_custom_logger(Arc::new(TracingLog::new(config.log_level)));
    if let Some(alias) = &config.alias {
        builder.set_node_alias(alias.clone()).map_err(|error| build_error(&error))?;
    }
    if !config.listen.is_empty() {
        let addresses = config.listen.iter().copied().map(SocketAddress::from).collect();
        builder.set_listening_addresses(addresses).map_err(|error| build_error(&error))?;
    }
    if let Some(provider) = &config.liquidity {
        let token = provider.token.as_ref().map(|token| token.reveal().to_owned());
        builder.set_liquidity_source_lsps2(peer_id(&provider.id)?, provider.address.into(), token);
    }
    match &config.chain {
        ChainSource::Bitcoind { host, port, user, password } => {
            let password = password.reveal().to_owned();
            builder.set_chain_source_bitcoind_rpc(host.clone(), *port, user.clone(), password);
        }
        ChainSource::Esplora { url } => {
            builder.set_chain_source_esplora(url.clone(), None);
        }
        ChainSource::Electrum { url } => {
            builder.set_chain_source_electrum(url.clone(), None);
        }
    }
    builder.build_with_store(Arc::<Store>::clone(&opened.store)).map_err(|error| build_error(&error))
}

fn node_config(config: &EmbeddedConfig) -> Result<Config, NodeError> {
    let Some(storage_dir) = config.storage_dir.to_str() else {
        return Err(NodeError::Config("the storage folder's path is not UTF-8".to_owned()));
    };
    let provider = config.liquidity.as_ref().map(|provider| &provider.id);
    Ok(Config {
        storage_dir_path: storage_dir.to_owned(),
        network: config.network.into(),
        trusted_peers_0conf: peer_ids(&config.trusted_0conf)?,
        anchor_channels_config: Some(AnchorChannelsConfig {
            trusted_peers_no_reserve: peer_ids(
                &config.trusted_no_reserve.iter().chain(provider).cloned().collect::<Vec<_>>(),
            )?,
            per_channel_reserve_sats: RESERVE_SAT,
        }),
        ..Config::default()
    })
}

fn peer_ids(hex: &[String]) -> Result<Vec<PublicKey>, NodeError> {
    hex.iter().map(|id| peer_id(id)).collect()
}

fn build_error(error: &BuildError) -> NodeError {
    match error {
        BuildError::ReadFailed
        | BuildError::WriteFailed
        | BuildError::StoragePathAccessFailed
        | BuildError::KVStoreSetupFailed
        | BuildError::RuntimeSetupFailed
        | BuildError::LoggerSetupFailed => storage(error),
        BuildError::WalletSetupFailed => {
            NodeError::Unreachable(format!("{error} (is the chain source up, and for this network?)"))
        }
        _ => NodeError::Config(error.to_string()),
    }
}

pub(super) fn start_error(error: ldk_node::NodeError) -> NodeError {
    use ldk_node::NodeError as Ldk;
    match error {
        Ldk::FeerateEstimationUpdateFailed
        | Ldk::FeerateEstimationUpdateTimeout
        | Ldk::TxSyncFailed
        | Ldk::TxSyncTimeout
        | Ldk::WalletOperationTimeout => NodeError::Unreachable(format!("the chain source: {error}")),
        Ldk::InvalidSocketAddress => NodeError::CannotListen,
        Ldk::PersistenceFailed => storage(error),
        _ => NodeError::Config(error.to_string()),
    }
}
