//! From the tree to the resolved structs, a file for each section.

mod cedar;
mod gate;
mod identity;
mod ledger;
mod lightning;
mod payment;
mod policy;
mod pow;
mod price;
mod rule;
mod server;

pub(super) use gate::config;
pub(super) use lightning::read as lightning;
