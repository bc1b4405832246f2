//! Asking the owner before money goes.

use std::fmt;

use async_trait::async_trait;
use octroi_l402::Msat;

/// A payment that the owner has to allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Who is paid: the server's origin; empty for an invoice handed in by hand.
    pub server: String,
    /// For what.
    pub tool: String,
    /// How much, without routing fees.
    pub amount: Msat,
    /// How many calls it buys.
    pub calls: u32,
    /// What the invoice says it is for.
    pub description: String,
}

impl fmt::Display for Question {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Pay {} sats", self.amount.as_i64() as f64 / 1000.0)?;
        if !self.server.is_empty() {
            write!(out, " to {} for {} call(s) of {}", self.server, self.calls, self.tool)?;
        }
        if !self.description.is_empty() {
            write!(out, " (the invoice says: {})", self.description)?;
        }
        Ok(())
    }
}

/// Who can be asked. It has to bound its own wait; what is not answered is refused.
#[async_trait]
pub trait Approver: Send + Sync {
    /// Whether the owner allows this payment.
    async fn approve(&self, question: &Question) -> bool;
}
