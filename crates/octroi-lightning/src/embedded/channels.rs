//! Coins and channels: what an operator, or a test, does to give a node liquidity.

use std::net::SocketAddr;
use std::time::Duration;

use ldk_node::lightning::ln::msgs::SocketAddress;
use octroi_l402::Msat;

use super::{EmbeddedNode, peer_id, unsigned};
use crate::NodeError;

/// How long a node's own first look at the chain is waited for. One that cannot reach its chain never has it.
const FIRST_SYNC: Duration = Duration::from_secs(30);

/// How often channels are looked at while waiting for one to become usable.
const LOOK: Duration = Duration::from_millis(2);

impl EmbeddedNode {
    /// A new on-chain address of this node's wallet.
    ///
    /// # Errors
    /// [`NodeError::Storage`].
    pub async fn new_address(&self) -> Result<String, NodeError> {
        self.run(|inner| {
            let address = inner.node.onchain_payment().new_address().map_err(super::storage)?;
            Ok(address.to_string())
        })
        .await
    }

    /// Looks at the chain now rather than at the next turn (every 2 s for a bitcoind).
    ///
    /// # Errors
    /// [`NodeError::Unreachable`] when the chain source does not answer.
    pub async fn sync(&self) -> Result<(), NodeError> {
        self.first_sync().await?;
        self.run(|inner| {
            inner
                .node
                .sync_wallets()
                .map_err(|error| NodeError::Unreachable(format!("the chain source: {error}")))
        })
        .await
    }

    /// Waits until the node has looked at the chain by itself: asked before that, ldk-node takes the one look for the other,
    /// which its debug builds do not survive.
    async fn first_sync(&self) -> Result<(), NodeError> {
        let looked = async {
            let seen = || self.inner.node.status().latest_lightning_wallet_sync_timestamp;
            while seen() == self.inner.looked_before {
                tokio::time::sleep(LOOK).await;
            }
        };
        let waited = tokio::time::timeout(FIRST_SYNC, looked).await;
        waited.map_err(|_| NodeError::Unreachable("the chain source: not seen since the start".to_owned()))
    }

    /// Connects to a peer, and remembers it.
    ///
    /// # Errors
    /// [`NodeError::Config`] for a bad id, [`NodeError::Unreachable`] when the peer does not answer.
    pub async fn connect(&self, peer: &str, address: SocketAddr) -> Result<(), NodeError> {
        let peer = peer_id(peer)?;
        self.run(move |inner| {
            let connected = inner.node.connect(peer, SocketAddress::from(address), true);
            connected.map_err(|error| NodeError::Unreachable(format!("the peer: {error}")))
        })
        .await
    }

    /// Opens a private channel of `capacity_sat` to a peer, paid from this node's wallet; `push` of it is the peer's
    /// from the start (a gift). Returns when the peer was reached and the opening has begun, not when it is usable.
    ///
    /// # Errors
    /// [`NodeError::Config`] for a bad id or amount, [`NodeError::Refused`] when the wallet has too little,
    /// [`NodeError::Unreachable`] when the peer does not answer.
    pub async fn open_channel(
        &self,
        peer: &str,
        address: SocketAddr,
        capacity_sat: u64,
        push: Msat,
    ) -> Result<(), NodeError> {
        use ldk_node::NodeError as Ldk;
        let peer = peer_id(peer)?;
        let Some(push) = unsigned(push) else {
            return Err(NodeError::Config("a channel cannot push less than nothing".to_owned()));
        };
        self.run(move |inner| {
            let push = (push > 0).then_some(push);
            match inner.node.open_channel(peer, SocketAddress::from(address), capacity_sat, push, None) {
                Ok(_) => Ok(()),
                Err(error @ Ldk::ConnectionFailed) => {
                    Err(NodeError::Unreachable(format!("the peer: {error}")))
                }
                Err(error) => Err(NodeError::Refused(error.to_string())),
            }
        })
        .await
    }

    /// Waits until a channel with this peer can carry payments.
    ///
    /// # Errors
    /// [`NodeError::Timeout`] after `timeout`.
    pub async fn channel_usable(&self, peer: &str, timeout: Duration) -> Result<(), NodeError> {
        let peer = peer_id(peer)?;
        // There is an event for a new channel, but none for a peer that came back: so the state itself is watched.
        let usable = async {
            let is_it = || inner_usable(&self.inner, &peer);
            while !is_it() {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(timeout, usable).await.map_err(|_| NodeError::Timeout)
    }
}

fn inner_usable(inner: &super::Inner, peer: &ldk_node::bitcoin::secp256k1::PublicKey) -> bool {
    inner
        .node
        .list_channels()
        .iter()
        .any(|channel| channel.counterparty_node_id == *peer && channel.is_usable)
}
