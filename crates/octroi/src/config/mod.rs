//! The configuration: one TOML, YAML or JSON file, overridden by the environment and the command line.
//!
//! The file is read into one tree whose every value knows its line, the overrides are laid over it, and the
//! sections are read out of it into plain structs with everything resolved: addresses, URLs, durations, prices in
//! millisatoshi, secrets fetched. Nothing stops at the first mistake: all are collected and shown together, each
//! with its place and what to write instead.
//!
//! Relative paths in the file are relative to the working directory, as in the URL of the ledger.

mod address;
mod args;
mod cedar;
mod identity;
pub mod invariants;
mod ledger;
mod lightning;
mod load;
mod mistake;
mod model;
mod nearest;
mod notes;
mod outside;
mod overrides;
mod powers;
mod read;
mod reader;
mod report;
mod secret;
mod server;
mod tree;
mod wallet;

pub use args::ConfigArgs;
pub use cedar::CedarConfig;
pub use identity::{DpopConfig, ExchangeConfig, ForwardConfig, ForwardJwt, IdentityConfig};
pub use ledger::{AnswersConfig, LedgerConfig, ReconcileConfig, StripeConfig};
pub use lightning::{
    AlertsConfig, ChainSource, Cln, EmbeddedNode, InvoiceWork, InvoicesConfig, LightningBackend,
    LightningConfig, Lnbits, Lnd, Lnurl, Lsp, Macaroon, Network, Nwc, Passphrase, Phoenixd,
};
pub use mistake::{Mistake, Mistakes, Place};
pub use model::{
    AdminConfig, Config, LogConfig, LogFormat, MasterKeySource, SecretsConfig, SigningKeySource,
};
pub use outside::{Outside, Process};
pub use secret::Secret;
use server::SINGLE_NAME;
pub use server::{
    ChallengeStyle, DefaultPolicy, GateTools, Limits, PaymentConfig, PowBind, PowConfig, RateLimit, Rule,
    ServerConfig, Timeouts, Upstream,
};
pub use tree::Format;

#[cfg(test)]
mod tests;
