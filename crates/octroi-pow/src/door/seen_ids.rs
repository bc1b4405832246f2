//! Ids that were seen lately, in a bounded memory.

use std::collections::HashSet;

/// How many ids one of two generations holds.
const REMEMBERED: usize = 65_536;

/// Up to 131 072 ids of challenges. When a generation is full the older one is forgotten: what must never be forgotten
/// belongs into the ledger.
#[derive(Clone, Debug, Default)]
pub struct SeenIds {
    young: HashSet<[u8; 16]>,
    old: HashSet<[u8; 16]>,
}

impl SeenIds {
    /// Whether `id` was put in and is not forgotten yet.
    #[must_use]
    pub fn contains(&self, id: &[u8; 16]) -> bool {
        self.young.contains(id) || self.old.contains(id)
    }

    /// Puts `id` in; says whether it is new.
    pub fn insert(&mut self, id: [u8; 16]) -> bool {
        if self.contains(&id) {
            return false;
        }
        if self.young.len() >= REMEMBERED {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(id)
    }

    /// Takes `id` out again.
    pub fn remove(&mut self, id: &[u8; 16]) {
        self.young.remove(id);
        self.old.remove(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_new_once_and_memory_is_bounded() {
        let mut seen = SeenIds::default();
        let id = |n: u64| {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&n.to_be_bytes());
            id
        };
        assert!(seen.insert(id(7)) && !seen.insert(id(7)) && seen.contains(&id(7)));
        seen.remove(&id(7));
        assert!(seen.insert(id(7)));
        for n in 0..4 * REMEMBERED as u64 {
            seen.insert(id(n));
        }
        assert!(seen.young.len() + seen.old.len() <= 2 * REMEMBERED);
        assert!(!seen.contains(&id(7)));
    }
}
