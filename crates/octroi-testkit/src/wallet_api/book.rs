//! What the wallet remembers beside its node: the texts of its invoices, and the order in which money came.

use std::collections::{HashMap, VecDeque};
use std::time::UNIX_EPOCH;

use octroi_l402::{Msat, PaymentHash};
use octroi_lightning::{Invoice, Settlement};

/// Most invoices, and most arrivals, remembered; the oldest go.
const KEPT: usize = 10_000;

/// An invoice made over the API.
#[derive(Clone)]
pub(super) struct Made {
    pub(super) invoice: Invoice,
    pub(super) description: String,
    pub(super) external_id: Option<String>,
    /// Milliseconds since the Unix epoch.
    pub(super) created_at: u64,
}

/// Money that came.
#[derive(Clone, Copy)]
pub(super) struct Received {
    pub(super) payment_hash: PaymentHash,
    pub(super) amount: Msat,
    /// Milliseconds since the Unix epoch; never below the one before.
    pub(super) completed_at: u64,
}

#[derive(Default)]
pub(super) struct Book {
    made: HashMap<PaymentHash, Made>,
    made_order: VecDeque<PaymentHash>,
    received: VecDeque<Received>,
}

impl Book {
    pub(super) fn made(&mut self, invoice: &Invoice, description: String, external_id: Option<String>) {
        if self.made_order.len() == KEPT
            && let Some(oldest) = self.made_order.pop_front()
        {
            self.made.remove(&oldest);
        }
        self.made_order.push_back(invoice.payment_hash);
        let made = Made { invoice: invoice.clone(), description, external_id, created_at: now_millis() };
        self.made.insert(invoice.payment_hash, made);
    }

    pub(super) fn received(&mut self, settlement: &Settlement) {
        // Repeated when it could not be acknowledged.
        if self.arrival(&settlement.payment_hash).is_some() {
            return;
        }
        if self.received.len() == KEPT {
            self.received.pop_front();
        }
        let last = self.received.back().map_or(0, |last| last.completed_at);
        self.received.push_back(Received {
            payment_hash: settlement.payment_hash,
            amount: settlement.amount,
            completed_at: now_millis().max(last),
        });
    }

    pub(super) fn invoice(&self, hash: &PaymentHash) -> Option<&Made> {
        self.made.get(hash)
    }

    pub(super) fn arrival(&self, hash: &PaymentHash) -> Option<Received> {
        self.received.iter().rev().find(|received| received.payment_hash == *hash).copied()
    }

    /// Arrivals from `from` to `to` (both included, milliseconds), the latest first.
    pub(super) fn arrivals(&self, from: u64, to: u64) -> impl Iterator<Item = Received> {
        self.received
            .iter()
            .rev()
            .filter(move |received| (from..=to).contains(&received.completed_at))
            .copied()
    }
}

/// Milliseconds since the Unix epoch.
pub(super) fn now_millis() -> u64 {
    UNIX_EPOCH.elapsed().map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settlement(number: u64) -> Settlement {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&number.to_be_bytes());
        let payment_hash = PaymentHash::from_bytes(hash);
        Settlement { payment_hash, amount: Msat::new(1), settled_at: 1, cursor: String::new() }
    }

    #[test]
    fn arrivals_are_bounded_ordered_and_counted_once() {
        let mut book = Book::default();
        for number in 0..=KEPT as u64 {
            book.received(&settlement(number));
            book.received(&settlement(number));
        }
        let all: Vec<_> = book.arrivals(0, u64::MAX).collect();
        assert_eq!(all.len(), KEPT);
        assert!(all.is_sorted_by(|later, earlier| later.completed_at >= earlier.completed_at));
        assert!(book.arrival(&settlement(0).payment_hash).is_none(), "the oldest went");
        assert_eq!(book.arrivals(0, 1).count(), 0);
    }
}
