//! Limits that tighten on patterns of failed payments, and ease again slowly.
//!
//! Whoever fails to pay collects points: one for an invoice that is made and may never be paid, one for a credential that has
//! nothing left, three for one that was not made here. Points go away with time, and one with each paid call. Up to
//! `free` of them mean nothing. Beyond, each further failure starts a wait that doubles with every `free` more points, from one
//! second to [`WAIT_MAX`]; what fails during the wait is answered with how long it lasts, and nothing is made or looked up for
//! it. It does not count, so that a wait ends.
//!
//! So in `t` seconds nobody causes failures of more than [`POINTS_MAX`]` · free + t / recover + 3` points to be dealt with, where a
//! point takes no longer than [`RECOVER_MAX`] to go away.
//!
//! What is slowed is failing: a payment that is good is taken at any time, unless it is made with the very credential that has
//! just come back empty so often. And nobody slows anybody else: points belong to a principal whose token was good, to a
//! credential that was made here and whose preimage was shown, or to the network that the request came from, never to a
//! name that a request merely claims.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use octroi_l402::TokenId;
use parking_lot::Mutex;

use crate::invoices::wide_network;

/// The longest wait, in seconds.
const WAIT_MAX: u64 = 64;

/// The most points anybody collects, in multiples of those that are free.
const POINTS_MAX: u64 = 8;

/// The longest that a point may take to go away, in seconds: three of them in the longest wait.
pub const RECOVER_MAX: u32 = 20;

/// How many callers one generation remembers. When it is full the older one is forgotten; who is forgotten starts anew.
const CALLERS_MAX: usize = 65_536;

/// How much failing is borne.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailedPayments {
    /// Points that mean nothing, at least 1.
    pub free: u32,
    /// How long it takes one point to go away, in seconds, 1 to [`RECOVER_MAX`].
    pub recover_seconds: u32,
}

impl Default for FailedPayments {
    /// Sixty, and two seconds.
    fn default() -> Self {
        Self { free: 60, recover_seconds: 2 }
    }
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// An invoice is about to be made.
    Unpaid,
    /// A credential that was made here has no money, no time or no right left.
    Spent,
    /// A credential was not made here, or changed, or cannot be read.
    Forged,
}

impl Failure {
    /// Every one, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Unpaid, Self::Spent, Self::Forged];

    /// As it stands in a metric's label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unpaid => "unpaid",
            Self::Spent => "spent",
            Self::Forged => "forged",
        }
    }

    const fn points(self) -> u64 {
        match self {
            Self::Unpaid | Self::Spent => 1,
            Self::Forged => 3,
        }
    }
}

/// Whom a failure is counted against: somebody who proved to be that, or a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Failing {
    /// By an access token that was good.
    Principal([u8; 32]),
    /// By a credential that was made here.
    Holder(TokenId),
    /// By the network it comes from: an IPv4 /24, an IPv6 /48.
    Network(Option<IpAddr>),
}

/// Counts failures.
pub(super) struct Patience {
    free: u64,
    recover_ms: u64,
    hasher: RandomState,
    callers: Mutex<Callers>,
    /// When everybody's points will be gone: before that somebody may have some.
    calm_at: AtomicU64,
    /// When everybody's wait will be over.
    waits_until: AtomicU64,
    counted: [AtomicU64; Failure::ALL.len()],
    refused: [AtomicU64; Failure::ALL.len()],
}

#[derive(Default)]
struct Callers {
    young: HashMap<u64, Record>,
    old: HashMap<u64, Record>,
}

/// One caller's failures, in Unix milliseconds.
#[derive(Clone, Copy, Default)]
struct Record {
    /// When the last of its points will be gone.
    calm_at: u64,
    /// Until when it waits.
    waits_until: u64,
}

impl Failing {
    pub(super) fn network(peer: Option<IpAddr>) -> Self {
        Self::Network(peer.map(wide_network))
    }
}

impl Patience {
    pub(super) fn new(bounds: FailedPayments) -> Self {
        Self {
            free: u64::from(bounds.free.max(1)),
            recover_ms: u64::from(bounds.recover_seconds.clamp(1, RECOVER_MAX)) * 1000,
            hasher: RandomState::new(),
            callers: Mutex::default(),
            calm_at: AtomicU64::new(0),
            waits_until: AtomicU64::new(0),
            counted: Default::default(),
            refused: Default::default(),
        }
    }

    /// Counts a failure, at `now_ms` (Unix milliseconds).
    ///
    /// # Errors
    /// The whole seconds this caller still has to wait, at least 1: it was not counted, and nothing is to be done for it.
    pub(super) fn fail(&self, who: Failing, failure: Failure, now_ms: u64) -> Result<(), u64> {
        let mut callers = self.callers.lock();
        let key = self.hasher.hash_one(who);
        let mut record = callers.get(key).unwrap_or_default();
        if now_ms < record.waits_until {
            self.refused[failure as usize].fetch_add(1, Relaxed);
            return Err((record.waits_until - now_ms).div_ceil(1000));
        }
        self.counted[failure as usize].fetch_add(1, Relaxed);
        let most = POINTS_MAX * self.free * self.recover_ms;
        let owed = record.calm_at.saturating_sub(now_ms) + failure.points() * self.recover_ms;
        record.calm_at = now_ms + owed.min(most);
        record.waits_until = now_ms + self.wait(owed.min(most).div_ceil(self.recover_ms)) * 1000;
        callers.put(key, record);
        self.calm_at.fetch_max(record.calm_at, Relaxed);
        self.waits_until.fetch_max(record.waits_until, Relaxed);
        Ok(())
    }

    /// The wait after a failure that makes so many points, in seconds.
    fn wait(&self, points: u64) -> u64 {
        match points.saturating_sub(1) / self.free {
            0 => 0,
            level => WAIT_MAX.min(1 << (level - 1).min(32)),
        }
    }

    /// The whole seconds this caller still has to wait before another failure is dealt with; `None`: none.
    pub(super) fn waits(&self, who: Failing, now_ms: u64) -> Option<u64> {
        // As long as nobody waits, which is nearly always, nobody is looked up.
        if self.waits_until.load(Relaxed) <= now_ms {
            return None;
        }
        let record = self.callers.lock().get(self.hasher.hash_one(who))?;
        (now_ms < record.waits_until).then(|| (record.waits_until - now_ms).div_ceil(1000))
    }

    /// A paid call takes a point away.
    pub(super) fn paid(&self, who: Failing, now_ms: u64) {
        if self.calm_at.load(Relaxed) <= now_ms {
            return;
        }
        let mut callers = self.callers.lock();
        let key = self.hasher.hash_one(who);
        if let Some(record) = callers.get(key) {
            callers.put(key, Record { calm_at: record.calm_at.saturating_sub(self.recover_ms), ..record });
        }
    }

    /// Failures dealt with, and failures refused for the wait's sake.
    pub(super) fn counts(&self, failure: Failure) -> (u64, u64) {
        let of = |counters: &[AtomicU64]| counters.get(failure as usize).map_or(0, |one| one.load(Relaxed));
        (of(&self.counted), of(&self.refused))
    }
}

impl Callers {
    fn get(&self, key: u64) -> Option<Record> {
        self.young.get(&key).or_else(|| self.old.get(&key)).copied()
    }

    fn put(&mut self, key: u64, record: Record) {
        if self.young.len() >= CALLERS_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, record);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: FailedPayments = FailedPayments { free: 10, recover_seconds: 2 };
    const START: u64 = 1_000_000;

    fn network(text: &str) -> Failing {
        Failing::network(Some(text.parse().unwrap()))
    }

    /// Fails as often as it is dealt with at `at`.
    fn exhaust(patience: &Patience, who: Failing, failure: Failure, at: u64) -> usize {
        (0..10_000).take_while(|_| patience.fail(who, failure, at).is_ok()).count()
    }

    #[test]
    fn waits_double_and_end() {
        let patience = Patience::new(BOUNDS);
        let who = network("192.0.2.1");
        assert_eq!(
            exhaust(&patience, who, Failure::Unpaid, START),
            11,
            "ten are free, the eleventh starts the wait"
        );
        assert_eq!(patience.fail(who, Failure::Unpaid, START), Err(1));
        assert_eq!(patience.waits(who, START), Some(1));
        let mut at = START;
        let mut longest = 0;
        for _ in 0..500 {
            let wait = patience.fail(who, Failure::Forged, at).err().unwrap_or_default();
            longest = longest.max(wait);
            at += wait * 1000;
        }
        // As much comes as goes: three points, six seconds.
        assert!((4..=16).contains(&longest), "{longest}");
        let calm = at + POINTS_MAX * 10 * 2000;
        assert_eq!(exhaust(&patience, who, Failure::Unpaid, calm), 11, "as if nothing had been");
    }

    #[test]
    fn forgeries_weigh_more_and_paying_makes_good() {
        let patience = Patience::new(BOUNDS);
        assert_eq!(exhaust(&patience, network("192.0.2.1"), Failure::Forged, START), 4);
        // Who pays for what it asks may ask for ever.
        let buyer = network("198.51.100.1");
        for _ in 0..1000 {
            assert_eq!(patience.fail(buyer, Failure::Unpaid, START), Ok(()));
            patience.paid(buyer, START);
        }
        assert_eq!(patience.counts(Failure::Unpaid), (1000, 0));
        assert_eq!(patience.counts(Failure::Forged), (4, 1));
    }

    #[test]
    fn nobody_waits_for_what_another_did() {
        let patience = Patience::new(BOUNDS);
        exhaust(&patience, network("192.0.2.1"), Failure::Forged, START);
        assert!(patience.waits(network("192.0.2.99"), START).is_some(), "the same network");
        for other in [
            network("192.0.3.1"),
            Failing::network(None),
            Failing::Principal([1; 32]),
            Failing::Holder(TokenId::from_bytes([1; 32])),
        ] {
            assert_eq!(
                (patience.waits(other, START), patience.fail(other, Failure::Forged, START)),
                (None, Ok(()))
            );
        }
    }

    #[test]
    fn the_table_stays_bounded() {
        let patience = Patience::new(BOUNDS);
        for number in 0..3 * CALLERS_MAX as u64 {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&number.to_be_bytes());
            let _ = patience.fail(Failing::Principal(id), Failure::Forged, START);
        }
        let callers = patience.callers.lock();
        assert!(callers.young.len() + callers.old.len() <= 2 * CALLERS_MAX);
    }

    proptest! {
        #[test]
        fn no_span_of_time_sees_more_failures_than_the_law_allows(
            free in 1_u32..40,
            recover_seconds in 1..=RECOVER_MAX,
            mut tries in proptest::collection::vec((0_u64..600_000, 0_usize..3), 1..600),
        ) {
            tries.sort_unstable();
            let patience = Patience::new(FailedPayments { free, recover_seconds });
            let mut dealt = Vec::new();
            for (at, kind) in tries {
                let failure = Failure::ALL[kind];
                if patience.fail(network("192.0.2.1"), failure, START + at).is_ok() {
                    dealt.push((at, failure.points()));
                }
            }
            for (place, (start, _)) in dealt.iter().enumerate() {
                let mut points = 0;
                for (at, more) in &dealt[place..] {
                    points += more;
                    let gone = (at - start) / (u64::from(recover_seconds) * 1000) + 1;
                    // The last one may go beyond the most that are kept.
                    prop_assert!(points <= POINTS_MAX * u64::from(free) + gone + Failure::Forged.points());
                }
            }
        }
    }
}
