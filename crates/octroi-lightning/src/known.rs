//! Payments that were handed on already, by their hash: a second word of one is no news.

use std::collections::{HashSet, VecDeque};

use octroi_l402::PaymentHash;

/// Payments remembered; the oldest go. The ledger knows those, too.
const KNOWN_MAX: usize = 10_000;

/// The latest payments.
#[derive(Default)]
pub(crate) struct Known {
    hashes: HashSet<PaymentHash>,
    order: VecDeque<PaymentHash>,
}

impl Known {
    /// Whether it is the first word of this payment; it is remembered from now on.
    pub(crate) fn is_new(&mut self, hash: PaymentHash) -> bool {
        if !self.hashes.insert(hash) {
            return false;
        }
        self.order.push_back(hash);
        if self.order.len() > KNOWN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.hashes.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_word_is_no_news_and_the_memory_is_bounded() {
        let mut known = Known::default();
        let hash = |number: usize| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&number.to_be_bytes());
            PaymentHash::from_bytes(bytes)
        };
        for number in 0..=KNOWN_MAX {
            assert!(known.is_new(hash(number)));
            assert!(!known.is_new(hash(number)));
        }
        assert_eq!((known.hashes.len(), known.order.len()), (KNOWN_MAX, KNOWN_MAX));
        assert!(known.is_new(hash(0)), "the oldest went");
    }
}
