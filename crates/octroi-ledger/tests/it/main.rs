//! The ledger's promises, each with a test that would break it.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

#[macro_use]
mod support;

mod bounds;
mod claims;
mod crash;
mod limits;
mod model;
mod opening;
mod promises;
mod proxy;
mod revocation;
mod shared;
