//! What is known of tokens seen a moment ago.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;
use sha2::{Digest, Sha256};

/// How many locks the entries are spread over.
const SHARDS: usize = 16;

/// SHA-256 of a token: the token itself is never kept.
pub(crate) type TokenHash = [u8; 32];

/// A bounded map from tokens to what is known of them: their callers, or what they were exchanged for. A full one forgets the oldest entry that was not used since
/// it came up last (second chance), so that a flood of new tokens does not drive out the busy ones.
pub(crate) struct TokenCache<V> {
    shards: [RwLock<Shard<V>>; SHARDS],
    /// At least 1.
    shard_entries: usize,
}

struct Shard<V> {
    entries: HashMap<TokenHash, Entry<V>>,
    /// The entries' keys, oldest first.
    order: VecDeque<TokenHash>,
}

struct Entry<V> {
    value: Arc<V>,
    /// Seconds since the Unix epoch: good before, not at.
    until: u64,
    /// The generation that accepted it.
    generation: u64,
    used: AtomicBool,
}

impl<V> TokenCache<V> {
    /// A cache of at most `entries`, rounded up to a multiple of the number of locks.
    pub(crate) fn new(entries: usize) -> Self {
        Self { shards: Default::default(), shard_entries: entries.div_ceil(SHARDS).max(1) }
    }

    /// What was remembered in this generation, before `until`.
    pub(crate) fn get(&self, hash: &TokenHash, now: u64, generation: u64) -> Option<Arc<V>> {
        let shard = self.shard(hash).read();
        let entry = shard.entries.get(hash)?;
        if now >= entry.until || entry.generation != generation {
            return None;
        }
        entry.used.store(true, Ordering::Relaxed);
        Some(Arc::clone(&entry.value))
    }

    /// Remembers a value.
    pub(crate) fn insert(&self, hash: TokenHash, value: Arc<V>, until: u64, generation: u64) {
        let mut shard = self.shard(&hash).write();
        let entry = Entry { value, until, generation, used: AtomicBool::new(false) };
        if !shard.entries.contains_key(&hash) {
            // Room is made first: the newcomer, not used yet, would be the first to go.
            while shard.entries.len() >= self.shard_entries && shard.forget_one() {}
            shard.order.push_back(hash);
        }
        shard.entries.insert(hash, entry);
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        for shard in &self.shards {
            *shard.write() = Shard::default();
        }
    }

    fn shard(&self, hash: &TokenHash) -> &RwLock<Shard<V>> {
        &self.shards[usize::from(hash[0]) % SHARDS]
    }
}

impl<V> Default for Shard<V> {
    fn default() -> Self {
        Self { entries: HashMap::new(), order: VecDeque::new() }
    }
}

impl<V> Shard<V> {
    /// Takes the oldest entry, or puts it at the end if it was used. False when there is none.
    fn forget_one(&mut self) -> bool {
        let Some(oldest) = self.order.pop_front() else { return false };
        if self.entries.get(&oldest).is_some_and(|entry| entry.used.swap(false, Ordering::Relaxed)) {
            self.order.push_back(oldest);
        } else {
            self.entries.remove(&oldest);
        }
        true
    }
}

/// The hash of a token.
pub(crate) fn hash(token: &str) -> TokenHash {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Caller;

    fn caller(subject: &str) -> Arc<Caller> {
        Arc::new(Caller::new("https://issuer.example", subject, 100))
    }

    #[test]
    fn an_entry_is_good_before_its_end_and_for_its_generation() {
        let cache = TokenCache::new(10);
        cache.insert(hash("token"), caller("a"), 100, 7);
        assert_eq!(cache.get(&hash("token"), 99, 7), Some(caller("a")));
        assert_eq!(cache.get(&hash("token"), 100, 7), None);
        assert_eq!(cache.get(&hash("token"), 99, 6), None);
        assert_eq!(cache.get(&hash("token"), 99, 8), None);
        assert_eq!(cache.get(&hash("toke"), 99, 7), None);
        cache.insert(hash("token"), caller("b"), 200, 8);
        assert_eq!(cache.get(&hash("token"), 150, 8), Some(caller("b")));
        cache.clear();
        assert_eq!(cache.get(&hash("token"), 150, 8), None);
    }

    proptest! {
        #[test]
        fn never_more_than_its_bound(tokens in prop::collection::vec(0..2000u16, 0..500), entries in 1..100usize) {
            let cache = TokenCache::new(entries);
            for token in tokens {
                let token = token.to_string();
                cache.insert(hash(&token), caller(&token), 100, 0);
                // What was just put in is there, and is what was put in.
                prop_assert_eq!(cache.get(&hash(&token), 0, 0), Some(caller(&token)));
            }
            for shard in &cache.shards {
                let shard = shard.read();
                prop_assert!(shard.entries.len() <= entries.div_ceil(SHARDS));
                prop_assert_eq!(shard.entries.len(), shard.order.len());
            }
        }

        #[test]
        fn a_flood_does_not_drive_out_the_busy_one(entries in 64..256usize) {
            let cache = TokenCache::new(entries);
            cache.insert(hash("busy"), caller("busy"), 100, 0);
            for flood in 0..entries * 4 {
                prop_assert!(cache.get(&hash("busy"), 0, 0).is_some());
                cache.insert(hash(&flood.to_string()), caller("flood"), 100, 0);
            }
        }
    }
}
