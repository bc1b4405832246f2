//! One trait over Lightning nodes, its adapters, and the embedded node.
//!
//! The gate sees Lightning only as [`LightningNode`]: make an invoice, learn that it was paid, pay one, say what the
//! channels hold. What answers is either a node inside this process ([`embedded`], feature `embedded`) or the
//! operator's own over its HTTP API ([`phoenixd`]).
//!
//! A preimage proves that somebody knows it; a *settlement reported by the node* is what credits an account. So
//! settlements are handed over at least once and leave the node only when [`LightningNode::acknowledge`] says that
//! the ledger has them.

pub mod bolt11;
#[cfg(feature = "embedded")]
pub mod embedded;
mod error;
mod node;
mod password;
pub mod phoenixd;
mod queue;

pub use error::{NodeError, PayError};
pub use node::{
    Balances, Capabilities, Channel, Invoice, InvoiceRequest, InvoiceState, LightningNode, NodeInfo,
    Outgoing, Payment, Settlement, Settlements,
};
pub use password::Password;
