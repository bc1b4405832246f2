//! The law of the difficulty: what it becomes, given what was solved and what can be borne.

/// How often the law is applied, in milliseconds.
pub const PERIOD_MS: u64 = 2_000;

/// How much of the gap is closed in one period.
const GAIN: f64 = 0.25;
/// A gap smaller than this, in bits (15 %), is left alone.
const DEADBAND: f64 = 0.2;
/// The most a period raises the difficulty, in bits: twice as hard.
const UP_MAX: f64 = 1.0;
/// The most a period lowers it, in bits: half as hard in 50 s.
const DOWN_MAX: f64 = 0.04;
/// The weight of the newest period in the mean: that of three periods.
const NEWEST: f64 = 0.5;
/// The least share of the capacity that trouble behind the gate leaves.
const HEALTH_MIN: f64 = 1.0 / 64.0;
/// Slowness up to this many times the ordinary is borne.
const SLOWNESS_BORNE: f64 = 2.0;
/// How fast the memory of what is ordinary follows what is slower, for each period: twice in 23 minutes.
const ORDINARY_GROWTH: f64 = 1.001;

/// Between what the difficulty moves, and for how many calls. All of it follows from what the operator wishes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// Free calls that can be borne, each second. Above 0.
    pub calls_per_second: f64,
    /// The difficulty when nobody comes, in bits.
    pub rest_bits: f64,
    /// The highest difficulty, in bits. Beyond it calls are turned away instead.
    pub most_bits: f64,
}

/// What one period saw.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Seen {
    /// Hashes that solutions have cost: for each solution the hashes it was signed for, but never more than the
    /// difficulty asked. What costs its sender nothing (asking, forging, replaying) is not in it.
    pub work: f64,
    /// Free calls that ended.
    pub ended: u64,
    /// Of these, those that failed.
    pub failed: u64,
    /// What these took, in seconds, all together.
    pub seconds: f64,
    /// Free calls under way at the end of it.
    pub under_way: u64,
}

/// The difficulty and what it remembers.
#[derive(Clone, Copy, Debug)]
pub struct Law {
    bounds: Bounds,
    bits: f64,
    /// Smoothed hashes per second.
    power: f64,
    /// Smoothed share of calls that fail, 0 to 1.
    failing: f64,
    /// Smoothed seconds a call takes; 0 until one has ended.
    seconds: f64,
    /// The seconds a call takes when all is well.
    ordinary: f64,
    health: f64,
}

impl Law {
    /// A law at rest.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        let bits = bounds.rest_bits;
        Self { bounds, bits, power: 0.0, failing: 0.0, seconds: 0.0, ordinary: 0.0, health: 1.0 }
    }

    /// How hard a call is now, in bits.
    #[must_use]
    pub fn bits(&self) -> f64 {
        self.bits
    }

    /// The bounds.
    #[must_use]
    pub fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// The share of the capacity that is there, 1/64 to 1: less when calls fail, queue up or take longer than ordinary.
    #[must_use]
    pub fn health(&self) -> f64 {
        self.health
    }

    /// Hashes per second that solvers have spent lately, smoothed.
    #[must_use]
    pub fn power(&self) -> f64 {
        self.power
    }

    /// Free calls per second that can be borne now.
    #[must_use]
    pub fn capacity(&self) -> f64 {
        self.bounds.calls_per_second * self.health
    }

    /// One period of [`PERIOD_MS`]:
    ///
    /// ```text
    /// power  ← the mean of the hashes per second that solutions have cost
    /// gap    = log2(power / capacity) − bits          where the solvers' power would just fill the capacity
    /// bits   ← bits + clamp(0.25 · gap, −0.04, +1)    unless |gap| < 0.2, and within the bounds
    /// ```
    ///
    /// The power is what solvers *have*, whatever the difficulty: it does not change because the difficulty does, so there is
    /// no delay in the loop and nothing that could swing. And since every hash in it was computed, whoever has the power to
    /// solve `h` hashes a second cannot hold the difficulty above `log2(h / capacity)` plus the deadband.
    pub fn apply(&mut self, seen: &Seen) {
        self.judge_health(seen);
        let power = seen.work * 1000.0 / PERIOD_MS as f64;
        self.power += NEWEST * (power - self.power);
        let gap = (self.power.max(1.0) / self.capacity()).log2() - self.bits;
        if gap.abs() >= DEADBAND {
            let step = (GAIN * gap).clamp(-DOWN_MAX, UP_MAX);
            self.bits = (self.bits + step).clamp(self.bounds.rest_bits, self.bounds.most_bits);
        }
    }

    /// As many periods in which nothing was seen, at once.
    pub fn rest(&mut self, periods: u64) {
        // After so many the difficulty is at its lowest and the power forgotten, wherever they were.
        let all = ((self.bounds.most_bits - self.bounds.rest_bits) / DOWN_MAX).max(0.0) as u64 + 64;
        for _ in 0..periods.min(all) {
            self.apply(&Seen::default());
        }
    }

    fn judge_health(&mut self, seen: &Seen) {
        if seen.ended > 0 {
            let ended = seen.ended as f64;
            self.failing += NEWEST * (seen.failed as f64 / ended - self.failing);
            let seconds = seen.seconds / ended;
            self.seconds = if self.seconds == 0.0 { seconds } else { (self.seconds + seconds) / 2.0 };
            let ordinary = if self.ordinary == 0.0 { seconds } else { self.ordinary * ORDINARY_GROWTH };
            self.ordinary = ordinary.min(self.seconds);
        } else {
            self.failing *= 1.0 - NEWEST;
            // Without a call there is nothing to say that they are slow.
            self.seconds += NEWEST * (self.ordinary - self.seconds);
        }
        let slowness = if self.ordinary > 0.0 { self.seconds / self.ordinary } else { 1.0 };
        // Little's law: so many calls are under way when all that can be borne take as long as is borne.
        let queue = (self.bounds.calls_per_second * self.ordinary * SLOWNESS_BORNE * 2.0).max(8.0);
        let share = |borne: f64, is: f64| if is > borne { borne / is } else { 1.0 };
        let errors = (1.0 - self.failing) * (1.0 - self.failing);
        let health = errors * share(SLOWNESS_BORNE, slowness) * share(queue, seen.under_way as f64);
        self.health = health.clamp(HEALTH_MIN, 1.0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: Bounds = Bounds { calls_per_second: 16.0, rest_bits: 20.0, most_bits: 26.0 };

    fn work(power: f64) -> Seen {
        Seen { work: power * PERIOD_MS as f64 / 1000.0, ..Seen::default() }
    }

    fn settled(power: f64) -> f64 {
        let mut law = Law::new(BOUNDS);
        for _ in 0..500 {
            law.apply(&work(power));
        }
        law.bits()
    }

    #[test]
    fn it_settles_where_the_power_fills_the_capacity() {
        // 2^27 hashes a second make 16 calls a second at 23 bits.
        assert!((settled(27.0_f64.exp2()) - 23.0).abs() <= DEADBAND);
        assert_eq!(settled(0.0), 20.0);
        assert_eq!(settled(24.0_f64.exp2()), 20.0);
        assert_eq!(settled(60.0_f64.exp2()), 26.0);
    }

    #[test]
    fn it_rises_by_a_bit_a_period_at_most_and_sinks_slowly() {
        let mut law = Law::new(BOUNDS);
        law.apply(&work(60.0_f64.exp2()));
        assert_eq!(law.bits(), 21.0);
        for _ in 0..10 {
            law.apply(&work(60.0_f64.exp2()));
        }
        assert_eq!(law.bits(), 26.0);
        // The smoothed power of an attack so absurd takes a while to be forgotten; of a real one, a few periods.
        law.rest(60);
        let before = law.bits();
        law.rest(25);
        assert!((before - law.bits() - 1.0).abs() < 1e-9, "{before} {}", law.bits());
        law.rest(u64::MAX);
        assert_eq!(law.bits(), 20.0);
    }

    #[test]
    fn trouble_behind_the_gate_makes_calls_dearer_and_ends() {
        for trouble in [
            Seen { ended: 20, failed: 15, seconds: 2.0, ..Seen::default() },
            Seen { ended: 20, seconds: 200.0, ..Seen::default() },
            Seen { ended: 20, seconds: 2.0, under_way: 10_000, ..Seen::default() },
        ] {
            let mut law = Law::new(BOUNDS);
            let well = Seen { ended: 20, seconds: 2.0, under_way: 2, ..work(24.0_f64.exp2()) };
            (0..10).for_each(|_| law.apply(&well));
            assert_eq!((law.health(), law.bits()), (1.0, 20.0));
            (0..20).for_each(|_| law.apply(&Seen { work: well.work, ..trouble }));
            assert!(law.health() < 0.25 && law.bits() > 21.0, "{trouble:?} {law:?}");
            (0..400).for_each(|_| law.apply(&well));
            assert!(law.health() > 0.99 && law.bits() < 20.3, "{trouble:?} {law:?}");
        }
    }

    proptest! {
        #[test]
        fn nobody_lifts_it_above_what_his_power_pays_for(
            power in 1.0_f64..40.0,
            on_off in proptest::collection::vec(any::<bool>(), 1..200),
        ) {
            let mut law = Law::new(BOUNDS);
            let bound = (power - BOUNDS.calls_per_second.log2()).max(BOUNDS.rest_bits) + DEADBAND;
            for on in on_off {
                law.apply(&work(if on { power.exp2() } else { 0.0 }));
                prop_assert!(law.bits() <= bound + 1e-9, "{} > {bound}", law.bits());
                prop_assert!((BOUNDS.rest_bits..=BOUNDS.most_bits).contains(&law.bits()));
            }
        }

        #[test]
        fn steady_power_never_makes_it_swing(power in 20.0_f64..40.0) {
            let mut law = Law::new(BOUNDS);
            let mut before = law.bits();
            for _ in 0..100 {
                law.apply(&work(power.exp2()));
                prop_assert!(law.bits() >= before, "it only ever rises towards where it stays");
                before = law.bits();
            }
        }

        #[test]
        fn nothing_seen_makes_it_leave_its_bounds(
            seen in proptest::collection::vec((0.0_f64..1e30, 0u64..9, 0u64..9, 0.0_f64..1e9, any::<u32>()), 0..50),
        ) {
            let mut law = Law::new(BOUNDS);
            for (work, ended, failed, seconds, under_way) in seen {
                law.apply(&Seen { work, ended, failed: failed.min(ended), seconds, under_way: under_way.into() });
                prop_assert!((BOUNDS.rest_bits..=BOUNDS.most_bits).contains(&law.bits()));
                prop_assert!((HEALTH_MIN..=1.0).contains(&law.health()));
            }
        }
    }
}
