//! The ledger's part of the configuration.

use std::time::Duration;

use octroi_gate::customers::Customers;
use octroi_ledger::Store;
use url::Url;

use super::Secret;

/// Where accounts and holds are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerConfig {
    /// A SQLite file, relative to the working directory, or a PostgreSQL database.
    pub store: Store,
    /// Most writes that may wait for the disk at once, 1..=1 000 000; a call beyond that is refused.
    pub queue: usize,
    /// What is kept for calls that are tried again.
    pub answers: AnswersConfig,
    /// How the books are compared with the Lightning node.
    pub reconcile: ReconcileConfig,
    /// Stripe, where it is told of charges.
    pub stripe: Option<StripeConfig>,
}

/// What is kept for calls that are tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswersConfig {
    /// How long an answer is kept, 60 seconds to a week.
    pub lifetime: Duration,
    /// Most answers, 1 000..=100 000 000.
    pub count_max: u32,
    /// Most bytes of them together, 1 MiB to 1 TiB.
    pub bytes_max: u64,
    /// Most bytes of one of them, 0 to 4 MiB, and no more than of all of them.
    pub bytes_each_max: usize,
}

/// How the books are compared with the Lightning node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReconcileConfig {
    /// How often a running gate does it, 60 seconds to a week; `None`: only when it is asked to.
    pub every: Option<Duration>,
    /// How far back it looks, 1 to 366 days.
    pub reach: Duration,
    /// Whether a running gate books what it finds missing by itself.
    pub apply: bool,
    /// A hold that is open for longer is named, 60 seconds to a day.
    pub hold_age: Duration,
    /// The node is asked about at most so many invoices in one look, 1..=1 000 000.
    pub lookups_max: u64,
}

/// Stripe, which is told of charges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StripeConfig {
    /// The secret key.
    pub key: Secret,
    /// The event name of the meter, at most 100 bytes.
    pub event: String,
    /// Which customer a caller is.
    pub customers: Customers,
    /// Stripe's address; without TLS on this machine only.
    pub endpoint: Url,
    /// How often the outbox is looked into, 1 second to an hour.
    pub every: Duration,
}
