//! One trait over Lightning nodes, its adapters, and the embedded node.
//!
//! The gate sees Lightning only as [`LightningNode`]: make an invoice, learn that it was paid, pay one, say what the
//! channels hold. What answers is a node inside this process ([`embedded`], feature `embedded`), the operator's own
//! ([`lnd`], [`cln`], [`phoenixd`]), or somebody else's who keeps the money ([`lnbits`], [`lnurl`], [`nwc`]).
//!
//! A preimage proves that somebody knows it; a *settlement reported by the node* is what credits an account. So
//! settlements are handed over at least once and leave the node only when [`LightningNode::acknowledge`] says that
//! the ledger has them.

pub mod bolt11;
pub mod cln;
#[cfg(feature = "embedded")]
pub mod embedded;
mod error;
mod feed;
pub mod invariants;
mod known;
pub mod lnbits;
pub mod lnd;
pub mod lnurl;
mod node;
pub mod nwc;
mod open;
mod password;
mod paying;
pub mod phoenixd;
mod polled;
mod powers;
mod queue;
mod rest;
mod time;
mod tls;
mod treasury;
mod websocket;

pub use error::{NodeError, PayError};
pub use node::{
    Balances, Capabilities, Channel, Closing, Invoice, InvoiceRequest, InvoiceState, LightningNode, NodeInfo,
    Outgoing, Past, Payment, Settled, Settlement, Settlements,
};
pub use password::Password;
pub use powers::{Power, Powers};
pub use queue::latest_cursor;
pub use treasury::{ChannelRequest, Treasury, Withdrawal};
