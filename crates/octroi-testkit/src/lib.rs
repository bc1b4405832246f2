//! What tests and the demo stand on: a regtest chain, funded Lightning nodes, a token issuer, scripted upstreams.

pub mod chain;
pub mod issuer;
pub mod nodes;
pub mod upstream;
pub mod wallet_api;
