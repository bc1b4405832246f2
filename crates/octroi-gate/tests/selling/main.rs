//! Selling through the layer itself, with a real ledger and a scripted Lightning node: who is given an invoice, who is not,
//! and what a payment becomes.

#![allow(clippy::expect_used, reason = "a test may fail")]

mod node;
mod shop;
mod stand;

mod books;
mod failing;
mod flood;
mod model;
mod paying;
mod trouble;
