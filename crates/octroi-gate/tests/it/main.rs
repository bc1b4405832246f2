//! The gate as a layer: calls in, charges and refusals out.
//!
//! The inner service is scripted, the ledger is real, the credential is a voucher.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test may fail")]

mod failure_rules;
mod free_door;
mod house;
mod limits;
mod prices;
mod receipts;
mod retries;
