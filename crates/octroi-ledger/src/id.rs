//! Ids that grow with time, and the clock they are made by.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};

/// The id of a hold, its call and its transaction: 48 bits of Unix milliseconds, then a count. Later ids are greater, so
/// rows land at the end of their table; one ledger has one writer, so a count makes them unique.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EntryId(u128);

const COUNT_BITS: u32 = 80;

impl EntryId {
    pub(crate) const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    pub(crate) const fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// The least id of a millisecond.
    pub(crate) const fn first_of(unix_ms: u64) -> Self {
        Self((unix_ms as u128) << COUNT_BITS)
    }
}

/// The id of a call: of its hold, and of the transaction that charges it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId([u8; 16]);

impl CallId {
    pub(crate) const fn of(id: EntryId) -> Self {
        Self(id.to_bytes())
    }

    /// The 16 bytes. Later calls of one gate have greater ids.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for CallId {
    /// In hexadecimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl Serialize for CallId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CallId({self})")
    }
}

/// Makes ids, each greater than the last, also when the clock steps back.
#[derive(Debug)]
pub(crate) struct IdSource {
    last: EntryId,
}

impl IdSource {
    /// Continues after `last`, the greatest id on disk.
    pub(crate) const fn after(last: EntryId) -> Self {
        Self { last }
    }

    pub(crate) fn next(&mut self, unix_ms: u64) -> EntryId {
        self.last = EntryId::first_of(unix_ms).max(EntryId(self.last.0 + 1));
        self.last
    }
}

/// Unix milliseconds now; 0 on a machine that thinks it is before 1970.
pub(crate) fn unix_ms() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_grow_even_when_the_clock_steps_back() {
        let mut ids = IdSource::after(EntryId::first_of(5_000));
        let made = [7_000, 7_000, 6_999, 0, 7_001].map(|ms| ids.next(ms));
        assert!(made.is_sorted_by(|a, b| a < b), "{made:?}");
        assert_eq!(made[4], EntryId::first_of(7_001));
        assert!(IdSource::after(EntryId::first_of(5_000)).next(4_000) > EntryId::first_of(5_000));
    }

    #[test]
    fn bytes_sort_as_ids_do() {
        let mut ids = IdSource::after(EntryId::first_of(0));
        let (a, b) = (ids.next(255), ids.next(256));
        assert!(a.to_bytes() < b.to_bytes());
        assert_eq!(EntryId::from_bytes(b.to_bytes()), b);
    }
}
