//! What is known of the node: whether it answers, how fast, and what it can receive.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use octroi_l402::Msat;
use octroi_lightning::{Balances, NodeError};
use parking_lot::Mutex;

use super::alert::{Alert, Alerts};

/// After a node did not answer, nobody waits for it again for this long; doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// The longest such pause.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// What was seen of the node lately.
pub(crate) struct Health {
    state: Mutex<State>,
    /// How long invoices took to be made.
    pub(crate) making: Latencies,
    /// How long settlements took from the node to the ledger.
    pub(crate) settling: Latencies,
}

#[derive(Default)]
struct State {
    /// What it could carry, and when that was seen.
    balances: Option<(Balances, Instant)>,
    /// No question before this moment, and the pause that led to it.
    down: Option<(Instant, Duration)>,
}

impl Health {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::default(), making: Latencies::default(), settling: Latencies::default() }
    }

    /// Whether the node is worth asking now.
    ///
    /// # Errors
    /// The whole seconds to wait, at least 1.
    pub(crate) fn answers(&self, now: Instant) -> Result<(), u64> {
        match self.state.lock().down {
            Some((until, _)) if now < until => Err((until - now).as_secs().max(1)),
            _ => Ok(()),
        }
    }

    /// The node did what it was asked.
    pub(crate) fn up(&self, alerts: &Alerts) {
        if self.state.lock().down.take().is_some() {
            alerts.clear(Alert::NodeDown);
        }
    }

    /// The node did not do what it was asked.
    pub(crate) fn failed(&self, error: &NodeError, now: Instant, alerts: &Alerts) {
        // A refusal is an answer.
        if matches!(error, NodeError::Refused(_) | NodeError::Unsupported(_)) {
            return;
        }
        {
            let mut state = self.state.lock();
            let pause = match state.down {
                // Others asked at the same time; their failures are the same one.
                Some((until, _)) if now < until => return,
                Some((_, pause)) => (pause * 2).min(PAUSE_MAX),
                None => PAUSE_MIN,
            };
            state.down = Some((now + pause, pause));
        }
        alerts.raise(Alert::NodeDown, &error.to_string());
    }

    pub(crate) fn saw_balances(&self, balances: Balances) {
        self.state.lock().balances = Some((balances, Instant::now()));
    }

    /// What the node could carry when it was last asked; `None` before the first answer.
    pub(crate) fn balances(&self) -> Option<Balances> {
        self.state.lock().balances.map(|(balances, _)| balances)
    }

    /// When that was.
    pub(crate) fn balances_seen(&self) -> Option<Instant> {
        self.state.lock().balances.map(|(_, seen)| seen)
    }

    /// Whether an invoice over this amount could be paid, as far as is known.
    pub(crate) fn can_receive(&self, amount: Msat) -> bool {
        self.balances().and_then(|balances| balances.inbound).is_none_or(|inbound| inbound >= amount)
    }

    /// Whether the node answered when it was last asked.
    pub(crate) fn is_up(&self) -> bool {
        self.state.lock().down.is_none()
    }
}

/// The upper ends of the histogram's buckets, in milliseconds.
pub const LATENCY_BUCKETS_MS: [u64; 10] = [1, 5, 10, 50, 100, 500, 1_000, 3_000, 10_000, 60_000];

/// A histogram of durations.
#[derive(Debug, Default)]
pub struct Latencies {
    /// Not cumulative; the last is for what is longer than every bucket.
    buckets: [AtomicU64; LATENCY_BUCKETS_MS.len() + 1],
    sum_ms: AtomicU64,
}

impl Latencies {
    pub(crate) fn note(&self, took: Duration) {
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let place = LATENCY_BUCKETS_MS.partition_point(|end| *end < ms);
        self.buckets[place].fetch_add(1, Relaxed);
        self.sum_ms.fetch_add(ms, Relaxed);
    }

    /// How many took at most so many milliseconds, for each of [`LATENCY_BUCKETS_MS`], and how many there were.
    pub fn cumulative(&self) -> (Vec<(u64, u64)>, u64) {
        let mut count = 0;
        let mut up_to = |bucket: &AtomicU64| {
            count += bucket.load(Relaxed);
            count
        };
        let ends = LATENCY_BUCKETS_MS.iter().zip(&self.buckets);
        let counts = ends.map(|(end, bucket)| (*end, up_to(bucket))).collect();
        let longest = self.buckets.last().map_or(0, |bucket| bucket.load(Relaxed));
        (counts, count + longest)
    }

    /// All of them together, in milliseconds.
    pub fn sum_ms(&self) -> u64 {
        self.sum_ms.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unreachable() -> NodeError {
        NodeError::Unreachable("no connection".to_owned())
    }

    #[test]
    fn a_node_that_is_down_is_left_alone_for_longer_and_longer() {
        let (health, alerts) = (Health::new(), Alerts::default());
        let mut now = Instant::now();
        let mut pauses = Vec::new();
        for _ in 0..7 {
            health.failed(&unreachable(), now, &alerts);
            health.failed(&unreachable(), now, &alerts);
            let pause = health.answers(now).unwrap_err();
            assert!(health.answers(now + Duration::from_millis(1)).is_err());
            now += Duration::from_secs(pause);
            assert!(health.answers(now).is_ok());
            pauses.push(pause);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
        health.up(&alerts);
        assert!(health.is_up());
        health.failed(&NodeError::Refused("too many".to_owned()), now, &alerts);
        assert!(health.is_up(), "a refusal is an answer");
    }

    #[test]
    fn what_cannot_be_received_is_known_once_the_node_has_said_it() {
        let health = Health::new();
        assert!(health.can_receive(Msat::new(i64::MAX)), "not known yet");
        let mut balances = Balances { outbound: Msat::ZERO, inbound: None, onchain_sat: 0 };
        health.saw_balances(balances);
        assert!(health.can_receive(Msat::new(i64::MAX)), "not said");
        balances.inbound = Some(Msat::new(5_000));
        health.saw_balances(balances);
        assert!(health.can_receive(Msat::new(5_000)));
        assert!(!health.can_receive(Msat::new(5_001)));
    }

    #[test]
    fn latencies_are_counted_by_their_buckets() {
        let latencies = Latencies::default();
        for ms in [0, 1, 2, 100, 101, 600_000] {
            latencies.note(Duration::from_millis(ms));
        }
        let (buckets, count) = latencies.cumulative();
        assert_eq!(
            buckets.iter().map(|(_, count)| *count).collect::<Vec<_>>(),
            [2, 3, 3, 3, 4, 5, 5, 5, 5, 5]
        );
        assert_eq!((count, latencies.sum_ms()), (6, 600_204));
    }
}
