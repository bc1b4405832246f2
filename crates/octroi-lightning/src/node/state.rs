//! Who a node is, and what its coins and channels hold.

use octroi_l402::Msat;
use serde::Serialize;

/// What the node's usable channels can carry now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Balances {
    /// What can be sent, over all usable channels.
    pub outbound: Msat,
    /// What can be received, over all usable channels; `None` where the backend does not say. Below an invoice's
    /// amount the gate answers `NO_LIQUIDITY`.
    pub inbound: Option<Msat>,
    /// On-chain satoshis, confirmed and not, including what is kept as a reserve for closing channels.
    pub onchain_sat: u64,
}

/// Who a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeInfo {
    /// The node's public key, 66 hex digits.
    pub id: String,
    /// Its name, when it has one.
    pub alias: Option<String>,
    /// `bitcoin`, `testnet`, `signet` or `regtest`.
    pub network: String,
    /// The height of the best block it knows.
    pub block_height: u32,
    /// It has seen the chain's tip lately.
    pub synced: bool,
    /// How many channels it has, usable or not.
    pub channels: usize,
    /// How many of them can carry a payment now.
    pub usable_channels: usize,
}

/// A channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// The backend's name for it, hex.
    pub id: String,
    /// The peer's public key, 66 hex digits; empty where the backend does not say.
    pub peer: String,
    /// Its size in satoshis.
    pub capacity_sat: u64,
    /// What can be sent over it now.
    pub outbound: Msat,
    /// What can be received over it now.
    pub inbound: Msat,
    /// It can carry a payment now.
    pub usable: bool,
}

/// A closed channel whose money is on its way back on chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Closing {
    /// The backend's name for the channel, hex.
    pub channel: String,
    /// What is still to come, in satoshis, before what miners take.
    pub sat: u64,
    /// The height at which the last of it can be had, where that is known by now.
    pub at_height: Option<u32>,
    /// Why it was closed, as the node says it; `None` where that is not on record.
    pub reason: Option<String>,
    /// Neither the operator nor an agreement with the peer closed it.
    pub unasked: bool,
}
