//! How often one caller may do one thing: the generic cell rate algorithm over a bounded table.

use parking_lot::Mutex;

use crate::generations::Generations;

/// How many callers one limiter remembers per generation. When a generation is full the older one is dropped, so
/// memory stays bounded; a caller forgotten this way starts with a fresh allowance.
const CALLERS_MAX: usize = 65_536;

/// `count` calls per `period_seconds`, all of which may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Calls per period, at least 1.
    pub count: u32,
    /// The period in seconds, at least 1.
    pub period_seconds: u32,
}

/// Remembers, for each caller, the time at which its allowance will be whole again.
#[derive(Debug)]
pub(crate) struct Limiter {
    /// By a hash of who and what, in Unix milliseconds.
    full_at: Mutex<Generations<u64, u64>>,
}

impl Default for Limiter {
    fn default() -> Self {
        Self { full_at: Mutex::new(Generations::new(CALLERS_MAX)) }
    }
}

impl Limiter {
    /// Takes one call from the allowance of `caller` (a hash of who and what) at `now_ms`.
    ///
    /// # Errors
    /// The whole seconds to wait, at least 1, when the allowance is used up; nothing is taken then.
    pub(crate) fn take(&self, caller: u64, rate: Rate, now_ms: u64) -> Result<(), u64> {
        let period_ms = u64::from(rate.period_seconds.max(1)) * 1000;
        let step_ms = (period_ms / u64::from(rate.count.max(1))).max(1);
        let mut all = self.full_at.lock();
        let full_at = all.get(&caller).copied().unwrap_or(0).max(now_ms);
        let next = full_at + step_ms;
        if next > now_ms + period_ms {
            return Err((next - now_ms - period_ms).div_ceil(1000).max(1));
        }
        all.put(caller, next);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TWO_A_MINUTE: Rate = Rate { count: 2, period_seconds: 60 };

    #[test]
    fn the_allowance_is_used_up_and_comes_back() {
        let limiter = Limiter::default();
        assert_eq!(limiter.take(1, TWO_A_MINUTE, 0), Ok(()));
        assert_eq!(limiter.take(1, TWO_A_MINUTE, 0), Ok(()));
        assert_eq!(limiter.take(1, TWO_A_MINUTE, 0), Err(30));
        assert_eq!(limiter.take(2, TWO_A_MINUTE, 0), Ok(()), "another caller is not touched");
        assert_eq!(limiter.take(1, TWO_A_MINUTE, 30_000), Ok(()));
        assert_eq!(limiter.take(1, TWO_A_MINUTE, 30_001), Err(30));
    }

    #[test]
    fn the_table_stays_bounded() {
        let limiter = Limiter::default();
        for caller in 0..(3 * CALLERS_MAX as u64) {
            let _ = limiter.take(caller, TWO_A_MINUTE, 0);
        }
        assert!(limiter.full_at.lock().values().count() <= 2 * CALLERS_MAX);
    }

    proptest! {
        #[test]
        fn no_window_ever_sees_more_than_twice_the_count(
            count in 1u32..20,
            mut at in proptest::collection::vec(0u64..200_000, 1..200),
        ) {
            at.sort_unstable();
            let rate = Rate { count, period_seconds: 60 };
            let limiter = Limiter::default();
            let granted: Vec<u64> = at.into_iter().filter(|t| limiter.take(7, rate, *t).is_ok()).collect();
            for start in &granted {
                let in_window = granted.iter().filter(|t| (*start..start + 60_000).contains(*t)).count();
                prop_assert!(in_window <= 2 * count as usize);
            }
        }
    }
}
