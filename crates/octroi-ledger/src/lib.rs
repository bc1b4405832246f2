//! The ledger: accounts, holds, captures and credits in millisatoshi, durable and exactly once.
