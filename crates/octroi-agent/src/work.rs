//! Paying with computation.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use octroi_pow::{Challenge, Submission, solver};

use crate::agent::unix_now;
use crate::{Agent, Worked};

/// The longest time spent on one puzzle.
const SOLVE_WAIT: Duration = Duration::from_secs(600);
/// How long the machine's speed is measured.
const MEASURED: Duration = Duration::from_millis(40);

/// Whether an agent computes for a call before it pays.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum WorkPolicy {
    /// It does not.
    #[default]
    Never,
    /// It solves puzzles of up to so many bits: each more doubles the work.
    UpTo(f64),
    /// It solves puzzles that take this machine so many seconds on average.
    Within(f64),
}

impl WorkPolicy {
    /// Whether this puzzle is within the limit, and can be solved before it ends at all.
    pub(crate) fn takes(self, challenge: &Challenge, now: u64) -> bool {
        // What the target asks for, and not only what is said of it.
        let available = challenge.algorithm.is_available();
        available && challenge.expires_at > now && self.takes_bits(challenge.bits())
    }

    /// Whether a puzzle of so many bits is within the limit.
    pub(crate) fn takes_bits(self, bits: f64) -> bool {
        match self {
            Self::Never => false,
            Self::UpTo(most) => bits <= most,
            Self::Within(seconds) => bits.exp2() <= seconds * hashes_per_second(),
        }
    }

    /// Whether there is any puzzle that is solved.
    pub(crate) fn works(self) -> bool {
        self != Self::Never
    }
}

/// How fast this machine is, measured once.
fn hashes_per_second() -> f64 {
    static RATE: OnceLock<f64> = OnceLock::new();
    *RATE.get_or_init(|| {
        let (cancel, tried) = (AtomicBool::new(false), AtomicU64::new(0));
        let started = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(MEASURED);
                cancel.store(true, Ordering::Relaxed);
            });
            // No hash is below zero: it ends when it is told to.
            let _ = solver::solve("", &[0; 32], solver::all_cores(), &cancel, &tried);
        });
        tried.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64()
    })
}

impl Agent {
    /// Solves a puzzle, whatever the [`WorkPolicy`] says; `tried` counts the hashes meanwhile. `None` when it took more than ten
    /// minutes, or the puzzle ended meanwhile.
    pub async fn solve(&self, challenge: &Challenge, tried: Arc<AtomicU64>) -> Option<(Submission, Worked)> {
        solve(challenge, tried, unix_now()).await
    }
}

/// Stops the search when whoever waits for it goes away.
struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Solves a puzzle with every core; `None` when it took too long, or ended meanwhile.
pub(crate) async fn solve(
    challenge: &Challenge,
    tried: Arc<AtomicU64>,
    now: u64,
) -> Option<(Submission, Worked)> {
    let started = Instant::now();
    let cancel = Arc::new(AtomicBool::new(false));
    let _stop = Stop(Arc::clone(&cancel));
    let puzzle = challenge.clone();
    let search = tokio::task::spawn_blocking(move || {
        solver::solve_challenge(&puzzle, solver::all_cores(), &cancel, &tried)
    });
    let wait = SOLVE_WAIT.min(Duration::from_secs(challenge.expires_at.saturating_sub(now)));
    let nonce = tokio::time::timeout(wait, search).await.ok()?.ok()?.ok()??;
    let worked = Worked { bits: challenge.difficulty.bits(), seconds: started.elapsed().as_secs_f64() };
    Some((Submission::new(challenge.clone(), nonce).ok()?, worked))
}

#[cfg(test)]
mod tests {
    use octroi_pow::{Binding, Difficulty, Signer};
    use serde_json::json;

    use super::*;

    fn challenge(bits: u32) -> Challenge {
        let binding = Binding {
            tool: None,
            principal: None,
            arguments_digest: None,
            calls: 1,
            service: "s".to_owned(),
        };
        Signer::generate().unwrap().issue(Difficulty::from_bits(bits).unwrap(), binding, 100, 60, [1; 16])
    }

    #[test]
    fn the_limit_is_about_the_target() {
        let honest = challenge(12);
        assert!(WorkPolicy::UpTo(12.0).takes(&honest, 100));
        assert!(!WorkPolicy::UpTo(11.9).takes(&honest, 100));
        assert!(!WorkPolicy::UpTo(12.0).takes(&honest, 160));
        assert!(!WorkPolicy::Never.takes(&honest, 100));
        assert!(WorkPolicy::UpTo(0.0).takes(&challenge(0), 100));
        for target in [format!("{:064x}", 1), "0".repeat(64)] {
            let mut liar = serde_json::to_value(&honest).unwrap();
            liar["target"] = json!(target);
            let liar: Challenge = serde_json::from_value(liar).unwrap();
            assert!(!WorkPolicy::UpTo(64.0).takes(&liar, 100), "says 12 bits, asks for 256");
        }
    }

    #[tokio::test]
    async fn a_puzzle_is_solved_in_time_or_not_at_all() {
        let easy = challenge(4);
        let (submission, worked) = solve(&easy, Arc::default(), 100).await.unwrap();
        assert_eq!(submission.challenge, easy);
        assert_eq!(worked.bits, 4.0);
        assert!(solve(&challenge(64), Arc::default(), 160).await.is_none());
    }
}
