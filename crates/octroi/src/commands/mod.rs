//! The commands, one file each.

pub mod call;
pub mod ledger;
pub mod pow;
pub mod serve;
pub mod token;
