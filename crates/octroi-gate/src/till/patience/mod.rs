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
//!
//! Gates on one database tell each other of failures once a second (`shared.rs`), behind the calls.

mod shared;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use octroi_l402::TokenId;
use parking_lot::Mutex;

use self::shared::Untold;
use super::limits::key;
use crate::generations::Generations;
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failing {
    /// By an access token that was good.
    Principal([u8; 32]),
    /// By a credential that was made here.
    Holder(TokenId),
    /// By the network it comes from: an IPv4 /24, an IPv6 /48.
    Network(Option<IpAddr>),
}

/// A caller as gates tell each other of it: a digest.
type Who = [u8; 16];

/// Counts failures.
pub(super) struct Patience {
    free: u64,
    recover_ms: u64,
    /// The service: callers of one are not callers of another.
    service: String,
    callers: Mutex<Callers>,
    /// When everybody's points will be gone: before that somebody may have some.
    calm_at: AtomicU64,
    /// When everybody's wait will be over.
    waits_until: AtomicU64,
    counted: [AtomicU64; Failure::ALL.len()],
    refused: [AtomicU64; Failure::ALL.len()],
}

struct Callers {
    records: Generations<Who, Record>,
    /// What other gates are to be told, where there may be some.
    untold: Option<Untold>,
}

/// One caller's failures, in Unix milliseconds.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
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

    /// The same on every gate, and nobody else's.
    fn digest(&self, service: &str) -> Who {
        let of = |kind: &[u8], name: &[u8]| key(b"failing", &[service.as_bytes(), kind, name]);
        let digest = match self {
            Self::Principal(principal) => of(b"principal", principal),
            Self::Holder(token) => of(b"holder", token.as_bytes()),
            Self::Network(None) => of(b"nowhere", &[]),
            Self::Network(Some(IpAddr::V4(address))) => of(b"network", &address.octets()),
            Self::Network(Some(IpAddr::V6(address))) => of(b"network", &address.octets()),
        };
        let mut who = [0; 16];
        who.copy_from_slice(&digest[..16]);
        who
    }
}

impl Patience {
    /// For the callers of `service`. `shared`: there may be other gates, which are told.
    pub(super) fn new(bounds: FailedPayments, service: &str, shared: bool) -> Self {
        let records = Generations::new(CALLERS_MAX);
        Self {
            free: u64::from(bounds.free.max(1)),
            recover_ms: u64::from(bounds.recover_seconds.clamp(1, RECOVER_MAX)) * 1000,
            service: service.to_owned(),
            callers: Mutex::new(Callers { records, untold: shared.then(Untold::default) }),
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
        let who = who.digest(&self.service);
        let mut callers = self.callers.lock();
        let mut record = callers.get(&who);
        if now_ms < record.waits_until {
            self.refused[failure as usize].fetch_add(1, Relaxed);
            return Err((record.waits_until - now_ms).div_ceil(1000));
        }
        self.counted[failure as usize].fetch_add(1, Relaxed);
        let before = record.calm_at.saturating_sub(now_ms);
        let owed = (before + failure.points() * self.recover_ms).min(self.longest());
        record.calm_at = now_ms + owed;
        record.waits_until = now_ms + self.wait(owed.div_ceil(self.recover_ms)) * 1000;
        callers.tell(who, owed as i64 - before as i64, record.waits_until);
        self.remember(&mut callers, who, record);
        Ok(())
    }

    fn remember(&self, callers: &mut Callers, who: Who, record: Record) {
        callers.records.put(who, record);
        self.calm_at.fetch_max(record.calm_at, Relaxed);
        self.waits_until.fetch_max(record.waits_until, Relaxed);
    }

    /// The longest that points take to go away, in milliseconds.
    fn longest(&self) -> u64 {
        POINTS_MAX * self.free * self.recover_ms
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
        let record = self.callers.lock().get(&who.digest(&self.service));
        (now_ms < record.waits_until).then(|| (record.waits_until - now_ms).div_ceil(1000))
    }

    /// A paid call takes a point away.
    pub(super) fn paid(&self, who: Failing, now_ms: u64) {
        if self.calm_at.load(Relaxed) <= now_ms {
            return;
        }
        let who = who.digest(&self.service);
        let mut callers = self.callers.lock();
        let record = callers.get(&who);
        let gone = record.calm_at.saturating_sub(now_ms).min(self.recover_ms);
        if gone > 0 {
            callers.tell(who, -(gone as i64), record.waits_until);
            callers.records.put(who, Record { calm_at: record.calm_at - gone, ..record });
        }
    }

    /// Failures dealt with, and failures refused for the wait's sake.
    pub(super) fn counts(&self, failure: Failure) -> (u64, u64) {
        let of = |counters: &[AtomicU64]| counters.get(failure as usize).map_or(0, |one| one.load(Relaxed));
        (of(&self.counted), of(&self.refused))
    }
}

impl Callers {
    fn get(&self, who: &Who) -> Record {
        self.records.get(who).copied().unwrap_or_default()
    }
}
