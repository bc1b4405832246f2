//! One lane of the free door: its law, and the room it has right now.

use super::law::{Bounds, Law, PERIOD_MS, Seen};

/// How many seconds' worth of calls may come at once.
const BURST_SECONDS: f64 = 4.0;
/// A solution that is short of today's difficulty by so many bits, or more, needs half of the room free.
const LAG_BITS: f64 = 4.0;

/// The calls of a whole service, or of one of its tools.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    law: Law,
    seen: Seen,
    under_way: u64,
    /// When the running period began.
    period_ms: u64,
    /// Calls that there is room for now.
    room: f64,
    filled_ms: u64,
}

impl Lane {
    pub(super) fn new(bounds: Bounds, now_ms: u64) -> Self {
        let law = Law::new(bounds);
        Self {
            law,
            seen: Seen::default(),
            under_way: 0,
            period_ms: now_ms,
            room: most_room(&bounds),
            filled_ms: now_ms,
        }
    }

    /// Applies the law for every period that is over, and makes room for what the time has brought. A clock that goes
    /// back changes nothing.
    pub(super) fn advance(&mut self, now_ms: u64) {
        let periods = now_ms.saturating_sub(self.period_ms) / PERIOD_MS;
        if periods > 0 {
            let mut seen = std::mem::take(&mut self.seen);
            seen.under_way = self.under_way;
            self.law.apply(&seen);
            self.law.rest(periods - 1);
            self.period_ms += periods * PERIOD_MS;
        }
        let passed = now_ms.saturating_sub(self.filled_ms) as f64 / 1000.0;
        self.room = (self.room + passed * self.law.capacity()).min(most_room(self.law.bounds()));
        self.filled_ms = self.filled_ms.max(now_ms);
    }

    pub(super) fn law(&self) -> &Law {
        &self.law
    }

    pub(super) fn under_way(&self) -> u64 {
        self.under_way
    }

    /// Counts the work of a solution for `calls` calls that was signed for `bits`: as much for each call, so that the power
    /// that is seen stands for calls.
    pub(super) fn note_work(&mut self, bits: f64, calls: u32) {
        self.seen.work += bits.min(self.law.bits()).exp2() * f64::from(calls);
    }

    /// Whether there is room for `calls` more, for somebody whose solution is `lag` bits short of what is asked today. Puzzles
    /// hoarded while they were cheap need a door that is not busy.
    pub(super) fn has_room(&self, calls: u32, lag: f64) -> bool {
        let behind = (lag / LAG_BITS).clamp(0.0, 1.0) * most_room(self.law.bounds()) / 2.0;
        // A solution that buys more than ever fits may pass an empty lane.
        let wanted = f64::from(calls).min(most_room(self.law.bounds()) / 2.0);
        self.room >= wanted + behind
    }

    pub(super) fn take_room(&mut self, calls: u32) {
        self.room -= f64::from(calls);
    }

    /// Whole seconds, 1 to 60, until there is room for `calls` again.
    pub(super) fn seconds_until_room(&self, calls: u32) -> u64 {
        let wanted = f64::from(calls).min(most_room(self.law.bounds()) / 2.0);
        (((wanted - self.room) / self.law.capacity()).ceil()).clamp(1.0, 60.0) as u64
    }

    pub(super) fn call_began(&mut self) {
        self.under_way += 1;
    }

    pub(super) fn call_ended(&mut self, seconds: f64, failed: bool) {
        self.under_way = self.under_way.saturating_sub(1);
        self.seen.ended += 1;
        self.seen.failed += u64::from(failed);
        self.seen.seconds += seconds;
    }
}

fn most_room(bounds: &Bounds) -> f64 {
    (bounds.calls_per_second * BURST_SECONDS).max(1.0)
}
