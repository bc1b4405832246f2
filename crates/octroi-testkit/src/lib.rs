//! What tests and the demo stand on: a regtest chain, funded Lightning nodes, a token issuer, scripted upstreams.

pub mod upstream;
