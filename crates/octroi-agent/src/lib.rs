//! The caller's side: an agent that calls tools behind a gate and gets through 401, 402 and proof of work.
//!
//! An [`Agent`] sends a call, reads what the gate asks, and answers within the limits its owner set: with a credential
//! out of its [`Purse`], with computation ([`WorkPolicy`]), or with money from its wallet ([`Policy`], [`Budget`]). The rules:
//!
//! 1. An invoice is read and checked before it is paid: amount, expiry, network, and that the token offered for it is
//!    locked to it.
//! 2. A spend is written into the purse before it is made, and at most one payment is made for one call. A payment
//!    without an outcome is looked up, or asked for again with the *same* invoice; never replaced by another one.
//! 3. What the wallet gives away, routing fees included, stays within the budget, whatever the server answers.
//!
//! [`Agent::send_raw`], [`Agent::identity_needed`], [`PaymentRequired::read`], [`PaymentRequired::bill`], [`Agent::pay`] and [`Agent::solve`] are the
//! steps of [`Agent::call`], each on its own.
#![forbid(unsafe_code)]

mod agent;
mod ahead;
mod approval;
mod bridge;
mod budget;
mod call;
mod challenge;
mod client;
mod error;
mod exchange;
mod http;
mod identity;
pub mod invariants;
mod layer;
mod payer;
mod paying;
mod plain;
mod policy;
mod purse;
mod redeem;
#[cfg(feature = "rmcp")]
pub mod rmcp;
mod secret;
mod session;
mod signin;
mod step;
mod taken;
mod visit;
mod wallet_server;
mod work;

pub use agent::{Agent, AgentBuilder, CallOptions, Protocol, ToolInfo};
pub use approval::{Approver, Question};
pub use bridge::{Bridge, Identity, Link};
pub use budget::Budget;
pub use call::CallOutcome;
pub use challenge::{Bill, BillError, PaymentRequired, Price, Renewal};
pub use client::HttpClient;
pub use error::AgentError;
pub use exchange::{Exchange, Proof, Request};
pub use identity::{IdentityNeeded, ResourceMetadata};
pub use layer::{Asks, BoxError, Carrier, Charged, PaidBody, PayLayer, PayService, Unpaid};
pub use payer::{Payer, PayerBuilder};
pub use plain::{Plain, PlainLines};
pub use policy::{Policy, PolicyError, ServerRule, Way};
pub use purse::{Bought, KeySource, Purse, PurseError, Receipt, SpendState, Totals};
pub use secret::Secret;
pub use signin::{Grant, SignIn, SignInSettings, client_metadata};
pub use step::{Observer, Paid, Step, Worked};
pub use wallet_server::WalletServer;
pub use work::WorkPolicy;
