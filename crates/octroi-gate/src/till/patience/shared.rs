//! What gates on one database tell each other of failures.
//!
//! Once a second each gate adds what its callers' failures came to since to what is known of them, and hears what the others added. A call
//! waits for none of it. Until it is heard, gates know nothing of each other's failures: of `n` gates a caller who fails at all of them
//! at once gets at most `n` times what one grants, for a second.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::{Duration, Instant};

use octroi_ledger::{Board, MAX_STRIKES, Standing, Strike};

use super::{Callers, Patience, Record, Who};
use crate::clock::unix_millis;

/// How often gates tell each other.
const SHARE_EVERY: Duration = Duration::from_secs(1);

/// Each look reaches so far behind the last one: what is told may be seen later than it was written.
const OVERLAP: Duration = Duration::from_secs(2);

/// The longest pause after the database did not answer.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// What other gates are to be told, at most [`MAX_STRIKES`] callers; of more, the rest is known here alone.
#[derive(Default)]
pub(super) struct Untold(HashMap<Who, Strike>);

impl Callers {
    /// Notes for the others that `who` will be calm so much later, in milliseconds, and waits until then, in Unix milliseconds.
    pub(super) fn tell(&mut self, who: Who, longer: i64, waits_until: u64) {
        let Some(Untold(untold)) = &mut self.untold else { return };
        let full = untold.len() >= MAX_STRIKES;
        match untold.entry(who) {
            Entry::Occupied(mut known) => {
                let strike = known.get_mut();
                strike.longer = strike.longer.saturating_add(longer);
                strike.waits_until = strike.waits_until.max(waits_until);
            }
            Entry::Vacant(free) if !full => {
                free.insert(Strike { who, longer, waits_until });
            }
            Entry::Vacant(_) => {}
        }
    }
}

impl Patience {
    /// Tells and hears, for as long as it is polled.
    pub(in super::super) async fn share(&self, board: &Board) {
        // Begins with everything that still counts.
        let mut lately = Duration::from_millis(self.longest());
        let mut pause = SHARE_EVERY;
        loop {
            let began = Instant::now();
            let strikes = self.take_untold();
            let now_ms = unix_millis();
            match board.share(&strikes, lately, now_ms, self.longest()).await {
                Ok(known) => {
                    self.hear(&known, unix_millis());
                    (lately, pause) = (OVERLAP, SHARE_EVERY);
                }
                Err(error) => {
                    tracing::warn!(%error, "failed payments are counted on this gate alone");
                    self.put_back(strikes);
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
            tokio::time::sleep(pause).await;
            lately += began.elapsed();
        }
    }

    fn take_untold(&self) -> Vec<Strike> {
        let untold = self.callers.lock().untold.as_mut().map(std::mem::take);
        untold.map(|Untold(untold)| untold.into_values().collect()).unwrap_or_default()
    }

    fn put_back(&self, strikes: Vec<Strike>) {
        let mut callers = self.callers.lock();
        for strike in strikes {
            callers.tell(strike.who, strike.longer, strike.waits_until);
        }
    }

    /// What all gates know counts, and on top of it what was not told yet.
    fn hear(&self, known: &[Standing], now_ms: u64) {
        let mut callers = self.callers.lock();
        for one in known {
            let before = callers.get(&one.who);
            let untold = callers.untold.as_ref().and_then(|Untold(untold)| untold.get(&one.who));
            let told = one.calm_at.max(now_ms);
            let record = Record {
                calm_at: told
                    .saturating_add_signed(untold.map_or(0, |strike| strike.longer))
                    .min(now_ms + self.longest()),
                // A gate with another clock, or other bounds, makes nobody here wait longer than this one would.
                waits_until: one.waits_until.min(now_ms + super::WAIT_MAX * 1000).max(before.waits_until),
            };
            if record != before && (record.calm_at > now_ms || before.calm_at > now_ms) {
                self.remember(&mut callers, one.who, record);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FailedPayments, Failing, Failure};
    use super::*;

    const BOUNDS: FailedPayments = FailedPayments { free: 10, recover_seconds: 2 };
    const START: u64 = 1_000_000;
    const WHO: Failing = Failing::Principal([1; 32]);

    fn gate() -> Patience {
        Patience::new(BOUNDS, "mcp", true)
    }

    /// What the database makes of what gates tell it.
    #[derive(Default)]
    struct Database(HashMap<Who, Standing>);

    impl Database {
        /// One gate tells, and hears.
        fn share(&mut self, gate: &Patience, now: u64) {
            for strike in gate.take_untold() {
                let fresh = Standing { who: strike.who, calm_at: 0, waits_until: 0 };
                let known = self.0.entry(strike.who).or_insert(fresh);
                let latest = now + gate.longest();
                known.calm_at = known.calm_at.max(now).saturating_add_signed(strike.longer).min(latest);
                known.waits_until = known.waits_until.max(strike.waits_until);
            }
            let known: Vec<Standing> = self.0.values().copied().collect();
            gate.hear(&known, now);
        }
    }

    #[test]
    fn who_fails_at_one_gate_is_slowed_at_the_other() {
        let (here, there, mut database) = (gate(), gate(), Database::default());
        for _ in 0..11 {
            assert_eq!(here.fail(WHO, Failure::Unpaid, START), Ok(()));
        }
        assert_eq!(there.waits(WHO, START), None, "not told yet");
        database.share(&here, START);
        database.share(&there, START);
        assert_eq!(there.waits(WHO, START), Some(1));
        assert_eq!(there.fail(WHO, Failure::Unpaid, START), Err(1));
        let other = Failing::Principal([2; 32]);
        assert_eq!((there.waits(other, START), there.fail(other, Failure::Unpaid, START)), (None, Ok(())));
    }

    #[test]
    fn points_of_several_gates_add_up_once_and_go_away() {
        let (here, there, mut database) = (gate(), gate(), Database::default());
        for _ in 0..3 {
            for gate in [&here, &there] {
                gate.fail(WHO, Failure::Unpaid, START).unwrap();
                gate.fail(WHO, Failure::Unpaid, START).unwrap();
            }
            // Heard again and again, nothing is counted twice.
            for _ in 0..3 {
                database.share(&here, START);
                database.share(&there, START);
            }
        }
        let points = |gate: &Patience| {
            let calm_at = gate.callers.lock().get(&WHO.digest("mcp")).calm_at;
            calm_at.saturating_sub(START) / 2_000
        };
        assert_eq!((points(&here), points(&there)), (12, 12));
        // A paid call here takes a point away there.
        here.paid(WHO, START);
        database.share(&here, START);
        database.share(&there, START);
        assert_eq!((points(&here), points(&there)), (11, 11));
        let later = START + 30_000;
        database.share(&there, later);
        assert_eq!(there.fail(WHO, Failure::Unpaid, later), Ok(()));
        assert_eq!(there.waits(WHO, later), None);
    }

    #[test]
    fn what_could_not_be_told_is_told_later_and_bounded() {
        let (here, there, mut database) = (gate(), gate(), Database::default());
        for _ in 0..11 {
            here.fail(WHO, Failure::Unpaid, START).unwrap();
        }
        let strikes = here.take_untold();
        here.fail(WHO, Failure::Unpaid, START + 1_000).unwrap();
        here.put_back(strikes);
        database.share(&here, START + 1_000);
        database.share(&there, START + 1_000);
        assert!(there.waits(WHO, START + 1_000).is_some());
        for number in 0..2 * MAX_STRIKES as u64 {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&number.to_be_bytes());
            let _ = here.fail(Failing::Principal(id), Failure::Forged, START);
        }
        assert_eq!(here.take_untold().len(), MAX_STRIKES);
    }

    #[test]
    fn a_gate_with_a_wrong_clock_locks_nobody_out() {
        let here = gate();
        let far = Standing { who: WHO.digest("mcp"), calm_at: u64::MAX, waits_until: u64::MAX };
        here.hear(&[far], START);
        assert_eq!(here.waits(WHO, START), Some(64));
        let calm = START + here.longest();
        assert_eq!((here.waits(WHO, calm), here.fail(WHO, Failure::Unpaid, calm)), (None, Ok(())));
    }
}
