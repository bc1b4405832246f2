//! What the gate has decided, counted for metrics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::reason::Reason;

/// Counts since the gate started. Reading them is not a snapshot: each is exact, together they may be mid-call.
#[derive(Debug, Default)]
pub struct Counters {
    free: AtomicU64,
    charged: AtomicU64,
    refused: [AtomicU64; Reason::ALL.len()],
}

impl Counters {
    pub(crate) fn admitted(&self, charged: bool) {
        let counter = if charged { &self.charged } else { &self.free };
        counter.fetch_add(1, Relaxed);
    }

    pub(crate) fn refused(&self, reason: Reason) {
        self.refused[reason.index()].fetch_add(1, Relaxed);
    }

    /// Calls of tools, resources and prompts admitted free of charge.
    pub fn admitted_free(&self) -> u64 {
        self.free.load(Relaxed)
    }

    /// Calls admitted with a charge, whether it was captured later or not.
    pub fn admitted_charged(&self) -> u64 {
        self.charged.load(Relaxed)
    }

    /// Refusals, by reason.
    pub fn refusals(&self) -> impl Iterator<Item = (Reason, u64)> {
        Reason::ALL.into_iter().map(|reason| (reason, self.refused[reason.index()].load(Relaxed)))
    }
}
