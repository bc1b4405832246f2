//! The ledger's promises, each with a test that would break it.

mod crash;
mod limits;
mod model;
mod opening;
mod promises;
mod support;
