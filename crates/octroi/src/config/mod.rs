//! The configuration: one TOML, YAML or JSON file, overridden by the environment and the command line.
//!
//! The file is read into one tree whose every value knows its line ([`tree`]), the overrides are laid over it,
//! and the sections are read out of it into plain structs with everything resolved: addresses, URLs,
//! durations, prices in millisatoshi, secrets fetched. Nothing stops at the first mistake: all are collected
//! and shown together, each with its place and what to write instead.

mod args;
mod lightning;
mod mistake;
mod model;
mod secret;
mod server;

pub use args::ConfigArgs;
pub use lightning::{ChainSource, EmbeddedNode, LightningBackend, LightningConfig, Network, Phoenixd};
pub use mistake::{Mistake, Mistakes, Place};
pub use model::{AdminConfig, Config, LedgerConfig, LogConfig, LogFormat, MasterKeySource, SecretsConfig};
pub use secret::Secret;
pub use server::{
    ChallengeStyle, DefaultPolicy, GateTools, IdentityConfig, Limits, PaymentConfig, PowConfig, Provider,
    RateLimit, Rule, ServerConfig, Timeouts, Upstream,
};

impl Config {
    /// Reads the file and lays the environment and the flags over it.
    ///
    /// # Errors
    /// Every mistake found, each with its place and what to write instead.
    pub fn load(args: &ConfigArgs) -> Result<Self, Mistakes> {
        Err(Mistakes(vec![Mistake {
            place: Place::File(args.config.display().to_string()),
            field: String::new(),
            problem: "not read yet".to_owned(),
            fix: None,
        }]))
    }
}
