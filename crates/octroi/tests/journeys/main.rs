//! Journeys: the real binary between real programs. `cargo xtask test` installs what they need and runs them.

// Helpers of tests may fail as tests do.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod agent;
mod books;
mod browser;
mod clients;
mod conformance;
mod crash;
mod envelope;
mod free_door;
mod harness;
mod identity;
mod lightning;
mod money;
mod payers;
mod proxies;
mod stdio;
mod streams;
mod template;
mod work;
