//! What an operator does with a node's coins and channels, beside being paid.

use std::net::SocketAddr;

use async_trait::async_trait;

use crate::NodeError;

/// A channel to be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelRequest {
    /// The peer's public key, 66 hex digits.
    pub peer: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// How much of the node's coins go into it, in satoshis.
    pub capacity_sat: u64,
}

/// Coins that leave the node's wallet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withdrawal {
    /// Where to, an address of the node's network.
    pub address: String,
    /// How much, in satoshis; `None`: all but what is kept for closing channels.
    pub amount_sat: Option<u64>,
    /// What miners get, in satoshis for each virtual byte; `None`: what the chain's source thinks.
    pub sat_per_vbyte: Option<u64>,
}

/// A node whose coins and channels can be managed through the gate.
#[async_trait]
pub trait Treasury: Send + Sync {
    /// Opens a private channel. Returns when the peer has been reached and the opening has begun.
    ///
    /// # Errors
    /// [`NodeError::Config`] for a bad id, [`NodeError::Refused`] when the wallet has too little or the peer would not,
    /// [`NodeError::Unreachable`] when the peer does not answer.
    async fn open_channel(&self, request: ChannelRequest) -> Result<(), NodeError>;

    /// Begins to close a channel ([`Channel::id`](crate::Channel::id)); with `force`, without the peer: the money then comes back
    /// after some hundred blocks, and at a higher cost.
    ///
    /// # Errors
    /// [`NodeError::Refused`] when there is no such channel, or the peer is away and `force` is off.
    async fn close_channel(&self, id: &str, force: bool) -> Result<(), NodeError>;

    /// Sends coins of the node's wallet to an address, and gives the transaction's id, once the wallet counts it if that comes soon.
    ///
    /// # Errors
    /// [`NodeError::Config`] for an address of another network, [`NodeError::Refused`] when the wallet has too little.
    async fn withdraw(&self, withdrawal: Withdrawal) -> Result<String, NodeError>;
}
