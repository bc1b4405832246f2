//! When a program that keeps dying may be started again.

use std::time::Duration;

use tokio::time::Instant;

/// Exponential, with jitter, shared by every child of one command.
#[derive(Debug)]
pub(super) struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
    last_failure: Option<Instant>,
    not_before: Option<Instant>,
}

impl Backoff {
    pub(super) fn new(first: Duration, longest: Duration) -> Self {
        Self { first: first.min(longest), longest, failures: 0, last_failure: None, not_before: None }
    }

    /// How long nothing may be started yet.
    pub(super) fn wait(&self, now: Instant) -> Option<Duration> {
        let left = self.not_before?.checked_duration_since(now)?;
        (!left.is_zero()).then_some(left)
    }

    /// A child that was started at `started` died on its own, or could not be started. One that had lived for the longest
    /// wait was no part of a crash loop. Children that die together count once. `jitter` is in 0…1.
    pub(super) fn died(&mut self, started: Instant, now: Instant, jitter: f64) {
        if now.duration_since(started) >= self.longest {
            self.failures = 0;
        } else if self.last_failure.is_none_or(|last| started >= last) {
            self.failures = self.failures.saturating_add(1);
        } else {
            return;
        }
        self.last_failure = Some(now);
        let doublings = self.failures.saturating_sub(1).min(31);
        let full = self.first.saturating_mul(1 << doublings).min(self.longest);
        let wait = full.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0);
        self.not_before = if self.failures == 0 { None } else { now.checked_add(wait) };
    }
}

/// A random number in 0…1; the middle when the system has none.
pub(crate) fn jitter() -> f64 {
    let mut byte = [128_u8];
    // Only to spread restarts: what is left after a failure is good enough.
    let _ = getrandom::fill(&mut byte);
    f64::from(byte[0]) / 255.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_secs(1);
    const LONGEST: Duration = Duration::from_secs(10);

    #[test]
    fn waits_double_up_to_the_longest() {
        let mut now = Instant::now();
        let mut backoff = Backoff::new(FIRST, LONGEST);
        assert_eq!(backoff.wait(now), None);
        for expected in [1, 2, 4, 8, 10, 10] {
            backoff.died(now, now, 1.0);
            assert_eq!(backoff.wait(now), Some(Duration::from_secs(expected)));
            now += Duration::from_secs(expected);
            assert_eq!(backoff.wait(now), None);
        }
    }

    #[test]
    fn jitter_takes_at_most_half() {
        let now = Instant::now();
        let mut backoff = Backoff::new(FIRST, LONGEST);
        backoff.died(now, now, 0.0);
        assert_eq!(backoff.wait(now), Some(FIRST / 2));
        assert!((0.0..=1.0).contains(&jitter()));
    }

    #[test]
    fn children_that_die_together_count_once() {
        let start = Instant::now();
        let mut backoff = Backoff::new(FIRST, LONGEST);
        for child in 0..50 {
            backoff.died(start, start + Duration::from_millis(10 + child), 1.0);
        }
        assert!(backoff.wait(start + Duration::from_millis(60)).unwrap() <= FIRST);
    }

    #[test]
    fn a_long_life_is_forgiven() {
        let start = Instant::now();
        let mut backoff = Backoff::new(FIRST, LONGEST);
        backoff.died(start, start, 1.0);
        let later = start + LONGEST;
        backoff.died(start, later, 1.0);
        assert_eq!(backoff.wait(later), None);
        backoff.died(later, later, 1.0);
        assert_eq!(backoff.wait(later), Some(FIRST));
    }
}
