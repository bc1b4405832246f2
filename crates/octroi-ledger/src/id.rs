//! Ids that grow with time, and the clock they are made by.

use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};

/// The id of a hold, its call and its transaction: 48 bits of Unix milliseconds, 32 bits that tell gates apart where several write,
/// 48 bits of a count. Later ids of one gate are greater, so rows land at the end of their table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EntryId(u128);

const COUNT_BITS: u32 = 80;
const SALT_BITS: u32 = 48;

impl EntryId {
    pub(crate) const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    pub(crate) const fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// When it was made, in Unix milliseconds.
    pub(crate) fn unix_ms(self) -> u64 {
        u64::try_from(self.0 >> COUNT_BITS).unwrap_or(u64::MAX)
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

/// Not 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a call's id is 32 hexadecimal digits")]
pub struct NotCallId;

impl FromStr for CallId {
    type Err = NotCallId;

    fn from_str(text: &str) -> Result<Self, NotCallId> {
        let mut id = [0; 16];
        hex::decode_to_slice(text, &mut id).map_err(|_| NotCallId)?;
        Ok(Self(id))
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
    salt: u128,
}

impl IdSource {
    /// Continues after `last`, the greatest id on disk.
    pub(crate) const fn after(last: EntryId) -> Self {
        Self { last, salt: 0 }
    }

    /// Makes ids no other source makes, as far as `salt` is random.
    pub(crate) const fn salted(salt: u32) -> Self {
        Self { last: EntryId(0), salt: (salt as u128) << SALT_BITS }
    }

    pub(crate) fn next(&mut self, unix_ms: u64) -> EntryId {
        self.last = EntryId(EntryId::first_of(unix_ms).0 | self.salt).max(EntryId(self.last.0 + 1));
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
    fn two_gates_make_different_ids_in_the_same_millisecond() {
        let (mut a, mut b) = (IdSource::salted(1), IdSource::salted(2));
        assert!((0..9).all(|_| a.next(7_000) != b.next(7_000)));
        assert!(a.next(7_001) < b.next(7_001) && b.next(7_001) < a.next(7_002));
    }

    #[test]
    fn bytes_sort_as_ids_do() {
        let mut ids = IdSource::after(EntryId::first_of(0));
        let (a, b) = (ids.next(255), ids.next(256));
        assert!(a.to_bytes() < b.to_bytes());
        assert_eq!(EntryId::from_bytes(b.to_bytes()), b);
    }
}
