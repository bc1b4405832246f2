//! The commands, one file each.

mod agent;
mod beside;
pub mod call;
pub mod connect;
pub mod fetch;
pub mod identity;
pub mod ledger;
pub mod lightning;
pub mod pow;
pub mod purse;
pub mod receipt;
pub mod serve;
pub mod token;
pub mod tools;
pub mod wallet;
