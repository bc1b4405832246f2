//! A map that stays bounded by forgetting: when the young half is full, the old half goes and the young one takes its place.

use std::collections::HashMap;
use std::hash::Hash;

/// What was put last, at least `most` of it and at most twice as much.
#[derive(Debug)]
pub(crate) struct Generations<K, V> {
    most: usize,
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Eq + Hash, V> Generations<K, V> {
    /// Empty. `most`: how many one generation has.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, young: HashMap::new(), old: HashMap::new() }
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    pub(crate) fn put(&mut self, key: K, value: V) {
        if self.young.len() >= self.most {
            self.turn();
        }
        self.young.insert(key, value);
    }

    /// As [`Generations::get`]; what is in use stays.
    pub(crate) fn used(&mut self, key: &K) -> Option<&V> {
        if let Some((key, value)) = self.old.remove_entry(key)
            && !self.young.contains_key(&key)
        {
            self.put(key, value);
        }
        self.young.get(key)
    }

    pub(crate) fn remove(&mut self, key: &K) {
        self.young.remove(key);
        self.old.remove(key);
    }

    /// The young become the old, and the old are forgotten.
    pub(crate) fn turn(&mut self) {
        self.old = std::mem::take(&mut self.young);
    }

    /// All that is remembered; twice, where it was put again.
    #[cfg(test)]
    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.young.values().chain(self.old.values())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_remembered_and_no_more_than_twice_the_bound() {
        let mut map = Generations::new(10);
        for number in 0..1_000 {
            map.put(number, number);
            assert!(map.values().count() <= 20);
            assert!((number.max(10) - 10..=number).all(|one| map.get(&one) == Some(&one)), "{number}");
        }
        assert_eq!(map.get(&0), None);
        map.put(999, 7);
        assert_eq!(map.get(&999), Some(&7), "the newest counts");
        map.remove(&999);
        assert_eq!(map.get(&999), None);
    }

    #[test]
    fn what_is_in_use_stays() {
        let mut map = Generations::new(10);
        map.put(0, 0);
        for number in 1..1_000 {
            map.put(number, number);
            assert_eq!(map.used(&0), Some(&0), "{number}");
        }
        assert_eq!(map.used(&1), None);
    }
}
