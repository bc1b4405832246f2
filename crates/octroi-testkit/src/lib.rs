//! What tests and the demo stand on: a regtest chain, funded Lightning nodes, a token issuer, scripted upstreams, a PostgreSQL server.

#[cfg(feature = "lightning")]
pub mod chain;
pub mod issuer;
#[cfg(feature = "lightning")]
pub mod node_apis;
#[cfg(feature = "lightning")]
pub mod nodes;
pub mod postgres;
#[cfg(feature = "lightning")]
pub mod real_lnbits;
pub mod stripe;
pub mod upstream;
#[cfg(feature = "lightning")]
pub mod wallet_api;
