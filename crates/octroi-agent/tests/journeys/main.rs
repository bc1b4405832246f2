//! The agent against servers of every kind, over real HTTP: a gate that plays by the rules, and those that do not.

#![allow(clippy::unwrap_used, reason = "everything here is a test, also what is no test function")]

mod any_server;
mod foreign;
mod free_work;
mod gate;
mod honest;
mod liars;
mod lightning;
#[cfg(feature = "rmcp")]
mod rust_sdk;
mod server;
mod wallets;
