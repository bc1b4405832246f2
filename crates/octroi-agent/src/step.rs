//! What an agent does on the way to an answer, told as it happens.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use octroi_l402::{Msat, PaymentHash};

/// A payment that was made for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paid {
    /// What the server got.
    pub amount: Msat,
    /// What the route took on top.
    pub fee: Msat,
    /// The invoice.
    pub payment_hash: PaymentHash,
    /// How many calls it bought.
    pub calls: u32,
}

/// Work that was done for a call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Worked {
    /// How hard the puzzle was.
    pub bits: f64,
    /// How long it took.
    pub seconds: f64,
}

/// One step.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Step {
    /// A request was answered.
    Answered {
        /// The HTTP status.
        status: u16,
        /// From the first byte sent to the last byte read.
        elapsed: Duration,
    },
    /// The server asks for payment.
    Asked {
        /// Its reason code.
        reason: Option<String>,
        /// The price of a call.
        price: Option<Msat>,
        /// How hard the puzzle is that it takes instead.
        work_bits: Option<f64>,
    },
    /// A credential from the purse is used.
    Reused {
        /// What it was bought with.
        payment_hash: PaymentHash,
        /// How many calls it is good for, this one included; `None` where the server does not count.
        calls_left: Option<u32>,
    },
    /// A credential was replaced by one with a later end, for free.
    Renewed {
        /// What it was bought with.
        payment_hash: PaymentHash,
    },
    /// The server no longer takes a credential, and it left the purse.
    Dropped {
        /// What it was bought with.
        payment_hash: PaymentHash,
        /// The server's reason code.
        reason: String,
    },
    /// An invoice is about to be paid.
    Paying {
        /// What it asks.
        amount: Msat,
        /// The most that the route may take on top.
        max_fee: Msat,
        /// How many calls it buys.
        calls: u32,
    },
    /// It was paid.
    Paid(Paid),
    /// A puzzle is about to be solved.
    Solving {
        /// How hard it is.
        bits: f64,
        /// Counts the hashes tried while it goes on.
        tried: Arc<AtomicU64>,
    },
    /// It was solved.
    Worked(Worked),
    /// The solution was handed in for a credential.
    Redeemed {
        /// How many calls it is good for, this one included.
        calls: u32,
    },
}

/// Is told of every [`Step`] when it happens. Called on the task that makes the call: it must return at once.
pub type Observer = Arc<dyn Fn(&Step) + Send + Sync>;
