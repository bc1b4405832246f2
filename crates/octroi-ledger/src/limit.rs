//! Limits: how many calls, or how much money, somebody may spend in a minute, an hour, a day.
//!
//! A limit is counted where the hold is decided, and written in the transaction that writes the hold, so that it holds across
//! restarts and, where gates share a database, across gates. A call that fails gives back what it counted.

use crate::error::HoldRefused;
use crate::report::CallEnd;

/// Most limits one hold may be under.
pub const MAX_LIMITS: usize = 12;

/// How long a limit counts before it starts over. Windows are aligned to Unix time: a day starts at midnight UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Window {
    /// 60 seconds.
    Minute,
    /// 3 600 seconds.
    Hour,
    /// 86 400 seconds.
    Day,
    /// It never starts over. Such a limit belongs to the account that pays: what is counted is forgotten when nothing more can be held
    /// on that account.
    Always,
}

/// The window of what never starts over: the last second of the year 9999, so that nothing forgets it before.
const ALWAYS: (u32, u64) = (1, 253_402_300_799);

impl Window {
    /// Its length in seconds, and where the one that `now` is in starts, in Unix seconds.
    const fn at(self, now: u64) -> (u32, u64) {
        let seconds: u32 = match self {
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
            Self::Always => return ALWAYS,
        };
        (seconds, now - now % seconds as u64)
    }
}

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Counts {
    /// Calls that were captured or are under way. One that is voided is given back.
    Calls,
    /// What they were charged, in the unit of the hold. What is held and not captured is given back.
    Amount,
}

impl Counts {
    /// What stands for it on disk.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Calls => 0,
            Self::Amount => 1,
        }
    }
}

/// At most so much in one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Whose limit on what: a digest the caller of the ledger makes (over the principal and the rule, say).
    pub key: [u8; 32],
    /// How long it counts.
    pub window: Window,
    /// What it counts.
    pub counts: Counts,
    /// The most there may be in one window, this call counted in.
    pub most: i64,
}

impl Limit {
    /// What a hold of `amount` takes of it at `now` (Unix seconds).
    pub(crate) fn taken(&self, amount: i64, now: u64) -> Taken {
        let (seconds, start) = self.window.at(now);
        let key = CounterKey { key: self.key, counts: self.counts, seconds, start };
        match self.counts {
            Counts::Calls => Taken { key, take: 1, most: self.most },
            Counts::Amount => Taken { key, take: amount, most: self.most },
        }
    }
}

/// One counter: a limit's key, and one of its windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct CounterKey {
    pub(crate) key: [u8; 32],
    pub(crate) counts: Counts,
    pub(crate) seconds: u32,
    /// Unix seconds.
    pub(crate) start: u64,
}

impl CounterKey {
    /// Whether it never starts over: then it belongs to one account, and goes with it.
    pub(crate) const fn is_lasting(&self) -> bool {
        self.seconds == ALWAYS.0 && self.start == ALWAYS.1
    }

    /// When the window ends, in Unix seconds.
    pub(crate) const fn end(&self) -> u64 {
        self.start.saturating_add(self.seconds as u64)
    }
}

/// What a hold has taken of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) key: CounterKey,
    pub(crate) take: i64,
    /// The most there may be.
    pub(crate) most: i64,
}

/// The bytes one [`Taken`] takes on disk.
const TAKEN_BYTES: usize = 32 + 4 + 8 + 1 + 8 + 8;

impl Taken {
    /// Whether the limit at `place`, of which `used` is used, bears this.
    pub(crate) fn fits(&self, place: usize, used: i64) -> Result<(), HoldRefused> {
        let left = self.most.saturating_sub(used).max(0);
        if self.take > left {
            return Err(HoldRefused::Limited { limit: place, left, until: self.key.end() });
        }
        Ok(())
    }

    /// What is given back when the hold of `held` ends.
    pub(crate) const fn given_back(&self, held: i64, captured: i64, end: CallEnd) -> i64 {
        match self.key.counts {
            Counts::Calls => match end {
                CallEnd::Captured => 0,
                CallEnd::Voided | CallEnd::Recovered => self.take,
            },
            Counts::Amount => held - captured,
        }
    }

    /// What an open hold has taken, as it is kept beside it on disk; `None` for nothing.
    pub(crate) fn encode(taken: &[Self]) -> Option<Vec<u8>> {
        let mut bytes = Vec::with_capacity(taken.len() * TAKEN_BYTES);
        for one in taken {
            bytes.extend_from_slice(&one.key.key);
            bytes.extend_from_slice(&one.key.seconds.to_be_bytes());
            bytes.extend_from_slice(&one.key.start.to_be_bytes());
            bytes.push(one.key.counts.code());
            bytes.extend_from_slice(&one.take.to_be_bytes());
            bytes.extend_from_slice(&one.most.to_be_bytes());
        }
        (!bytes.is_empty()).then_some(bytes)
    }

    /// Reads what [`Taken::encode`] wrote. What is not that is left out: a limit that stays counted is the smaller harm.
    pub(crate) fn decode(bytes: &[u8]) -> Vec<Self> {
        bytes.chunks_exact(TAKEN_BYTES).filter_map(Self::decode_one).collect()
    }

    fn decode_one(bytes: &[u8]) -> Option<Self> {
        let (key, rest) = bytes.split_first_chunk::<32>()?;
        let (seconds, rest) = rest.split_first_chunk::<4>()?;
        let (start, rest) = rest.split_first_chunk::<8>()?;
        let (counts, rest) = rest.split_first()?;
        let (take, rest) = rest.split_first_chunk::<8>()?;
        let (take, most) = (i64::from_be_bytes(*take), i64::from_be_bytes(*rest.first_chunk::<8>()?));
        let key = CounterKey {
            key: *key,
            counts: if *counts == 0 { Counts::Calls } else { Counts::Amount },
            seconds: u32::from_be_bytes(*seconds),
            start: u64::from_be_bytes(*start),
        };
        Some(Self { key, take, most })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_is_read_as_it_was_written() {
        let limit = |counts| Limit { key: [7; 32], window: Window::Hour, counts, most: 9 };
        let taken = [limit(Counts::Calls).taken(500, 7_201), limit(Counts::Amount).taken(500, 7_201)];
        assert_eq!(taken[0].key.start, 7_200);
        assert_eq!((taken[0].take, taken[1].take), (1, 500));
        let bytes = Taken::encode(&taken).unwrap_or_default();
        assert_eq!(Taken::decode(&bytes), taken);
        assert_eq!(Taken::encode(&[]), None);
        assert_eq!(Taken::decode(&bytes[..TAKEN_BYTES + 1]), taken[..1], "a torn end is left out");
    }

    #[test]
    fn what_never_starts_over_has_one_window() {
        let limit = Limit { key: [7; 32], window: Window::Always, counts: Counts::Calls, most: 9 };
        assert_eq!(limit.taken(0, 0).key, limit.taken(0, 4_000_000_000).key);
        assert!(limit.taken(0, 0).key.end() > 253_000_000_000, "and is not forgotten");
    }

    #[test]
    fn what_is_given_back() {
        let limit = |counts| Limit { key: [7; 32], window: Window::Day, counts, most: 9 }.taken(500, 0);
        let back = |counts, captured, end| limit(counts).given_back(500, captured, end);
        assert_eq!(back(Counts::Calls, 200, CallEnd::Captured), 0);
        assert_eq!(back(Counts::Calls, 0, CallEnd::Voided), 1);
        assert_eq!(back(Counts::Amount, 200, CallEnd::Captured), 300);
        assert_eq!(back(Counts::Amount, 0, CallEnd::Recovered), 500);
    }
}
