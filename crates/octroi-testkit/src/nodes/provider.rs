//! Somebody who sells room to receive: ldk-node's own LSPS2 service, with coins, on the payer's chain.

use std::net::SocketAddr;
use std::time::Duration;

use ldk_node::config::{AnchorChannelsConfig, Config};
use ldk_node::lightning::ln::msgs::SocketAddress;
use ldk_node::liquidity::LSPS2ServiceConfig;
use ldk_node::{Builder, Node};
use octroi_lightning::NodeError;
use octroi_lightning::embedded::ChainSource;

use super::{OPENING, Payer, free_address};

/// What a provider wants to be shown.
pub const TICKET: &str = "ticket";

/// The provider keeps one percent.
const FEE_PPM: u32 = 10_000;

/// How often what should come is looked for.
const LOOK: Duration = Duration::from_millis(20);

/// A provider, with a channel from the payer. It stops when dropped.
pub struct Provider {
    /// Its node id, 66 hex digits.
    pub id: String,
    /// Where it listens.
    pub address: SocketAddr,
    node: Option<Node>,
}

impl Provider {
    /// Starts it, gives it coins, and has the payer open a channel to it.
    ///
    /// # Errors
    /// Whatever the nodes say; [`NodeError::Timeout`] when coins or channel do not come.
    pub async fn start(payer: &Payer) -> Result<Self, NodeError> {
        let address = free_address()?;
        let node = build(payer, address)?;
        let failed = |error: &dyn std::fmt::Display| NodeError::Config(format!("the provider: {error}"));
        node.start().map_err(|error| failed(&error))?;
        let coins = node.onchain_payment().new_address().map_err(|error| failed(&error))?;
        payer.chain.fund(&coins.to_string()).map_err(|error| failed(&error))?;
        let provider = Self { id: node.node_id().to_string(), address, node: Some(node) };
        // Its own first look at the chain comes first; then it sees its coins.
        provider.until(|node| node.list_balances().spendable_onchain_balance_sats > 0).await?;
        payer.open_channel(&provider.id, address).await?;
        // Its end may open a moment later, and fails what is to be forwarded until then.
        provider.until(|node| node.list_channels().iter().any(|channel| channel.is_usable)).await?;
        Ok(provider)
    }

    /// Sees the chain's tip: whoever counts fewer blocks than a payee names a deadline that is too near for it.
    ///
    /// # Errors
    /// [`NodeError::Unreachable`].
    pub async fn sync(&mut self) -> Result<(), NodeError> {
        let Some(node) = self.node.take() else { return Err(NodeError::Stopped) };
        let synced = tokio::task::spawn_blocking(move || (node.sync_wallets(), node)).await;
        let (synced, node) = synced.map_err(|_| NodeError::Stopped)?;
        self.node = Some(node);
        synced.map_err(|error| NodeError::Unreachable(error.to_string()))
    }

    async fn until(&self, is_so: impl Fn(&Node) -> bool) -> Result<(), NodeError> {
        let waiting = async {
            while !self.node.as_ref().is_some_and(&is_so) {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(OPENING, waiting).await.map_err(|_| NodeError::Timeout)
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        if let Some(node) = self.node.take() {
            // On a thread of its own: stopping blocks, and may not do so on a runtime's.
            let stopped = std::thread::spawn(move || node.stop());
            let _ = stopped.join();
        }
    }
}

fn build(payer: &Payer, address: SocketAddr) -> Result<Node, NodeError> {
    let failed = |error: &dyn std::fmt::Display| NodeError::Config(format!("the provider: {error}"));
    let trusted =
        vec![payer.id().parse().map_err(|error: ldk_node::bitcoin::secp256k1::Error| failed(&error))?];
    let mut builder = Builder::from_config(Config {
        storage_dir_path: payer.store.path().join("provider").display().to_string(),
        network: ldk_node::bitcoin::Network::Regtest,
        trusted_peers_0conf: trusted.clone(),
        anchor_channels_config: Some(AnchorChannelsConfig {
            trusted_peers_no_reserve: trusted,
            ..AnchorChannelsConfig::default()
        }),
        ..Config::default()
    });
    builder.set_log_facade_logger();
    builder.set_listening_addresses(vec![SocketAddress::from(address)]).map_err(|error| failed(&error))?;
    if let ChainSource::Bitcoind { host, port, user, password } = payer.chain.source() {
        builder.set_chain_source_bitcoind_rpc(host, port, user, password.reveal().to_owned());
    }
    builder.set_liquidity_provider_lsps2(LSPS2ServiceConfig {
        require_token: Some(TICKET.to_owned()),
        advertise_service: false,
        channel_opening_fee_ppm: FEE_PPM,
        channel_over_provisioning_ppm: 1_000_000,
        min_channel_opening_fee_msat: 0,
        min_channel_lifetime: 100,
        max_client_to_self_delay: 1024,
        min_payment_size_msat: 0,
        max_payment_size_msat: 1_000_000_000,
        client_trusts_lsp: true,
    });
    builder.build().map_err(|error| failed(&error))
}
