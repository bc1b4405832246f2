//! The commands, one file each.

pub mod call;
pub mod pow;
pub mod serve;
