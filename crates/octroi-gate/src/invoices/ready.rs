//! Invoices made ahead, so that a challenge does not wait for a slow node.
//!
//! For each wish (an amount and what it is for) some invoices are kept. One is handed out once, to one caller; it is
//! bound to an account only then. What is getting old is replaced, and what nobody wants any more is not.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use octroi_l402::{Msat, PaymentHash};
use octroi_lightning::Invoice;
use parking_lot::Mutex;

/// Most different wishes that invoices are kept for; the one not asked for the longest gives way.
const WISHES_MAX: usize = 256;

/// A wish nobody had for this long is not kept ready for any more, unless it was named at the start.
const UNWANTED: Duration = Duration::from_secs(1800);

/// What an invoice is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Order {
    /// How much.
    pub amount: Msat,
    /// What for.
    pub description: String,
}

impl Order {
    /// An order for calls of one tool, resource or prompt.
    pub fn new(service: &str, subject: &str, calls: u32, amount: Msat) -> Self {
        Self { amount, description: format!("{service} {subject} x{calls}") }
    }
}

/// The invoices in stock.
pub(crate) struct Ready {
    /// How many are kept for each wish; 0 turns it off.
    target: usize,
    /// The least life left, in seconds, of an invoice that is handed out.
    fresh: u64,
    shelves: Mutex<HashMap<Order, Shelf>>,
}

struct Shelf {
    invoices: VecDeque<Invoice>,
    wanted: Instant,
    always: bool,
}

/// What the stock needs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// To be made: which, and how many.
    pub(crate) make: Vec<(Order, usize)>,
    /// Not handed out and too old: the node may forget them.
    pub(crate) forget: Vec<PaymentHash>,
}

impl Ready {
    /// `ttl` is the invoices' life in seconds: one is handed out while three quarters of it are left.
    pub(crate) fn new(target: usize, ttl: u64) -> Self {
        Self { target, fresh: ttl / 4 * 3, shelves: Mutex::default() }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.target > 0
    }

    /// Keeps ready for this wish from now on, whether anybody has it or not.
    pub(crate) fn always(&self, order: Order, now: Instant) {
        let mut shelves = self.shelves.lock();
        if self.target > 0 && shelves.len() < WISHES_MAX {
            shelves.insert(order, Shelf { invoices: VecDeque::new(), wanted: now, always: true });
        }
    }

    /// One from the stock, if there is one; in any case more will be kept for this wish.
    pub(crate) fn take(&self, order: &Order, now: Instant, unix: u64) -> Option<Invoice> {
        if self.target == 0 {
            return None;
        }
        let mut shelves = self.shelves.lock();
        if let Some(shelf) = shelves.get_mut(order) {
            shelf.wanted = now;
            // Those too old stay for `needs` to clear away.
            let place = shelf.invoices.iter().position(|invoice| self.is_fresh(invoice, unix))?;
            return shelf.invoices.remove(place);
        }
        if shelves.len() >= WISHES_MAX {
            let oldest =
                shelves.iter().filter(|(_, shelf)| !shelf.always).min_by_key(|(_, shelf)| shelf.wanted);
            // Its invoices expire at the node by themselves.
            let oldest = oldest.map(|(order, _)| order.clone())?;
            shelves.remove(&oldest);
        }
        shelves.insert(order.clone(), Shelf { invoices: VecDeque::new(), wanted: now, always: false });
        None
    }

    /// Puts a new one into the stock.
    pub(crate) fn put(&self, order: &Order, invoice: Invoice) {
        if let Some(shelf) = self.shelves.lock().get_mut(order)
            && shelf.invoices.len() < self.target
        {
            shelf.invoices.push_back(invoice);
        }
    }

    /// Clears away what is too old or unwanted, and says what to make.
    pub(crate) fn needs(&self, now: Instant, unix: u64) -> Needs {
        let mut needs = Needs::default();
        self.shelves.lock().retain(|order, shelf| {
            let wanted = shelf.always || now.saturating_duration_since(shelf.wanted) < UNWANTED;
            shelf.invoices.retain(|invoice| {
                let keep = wanted && self.is_fresh(invoice, unix);
                if !keep {
                    needs.forget.push(invoice.payment_hash);
                }
                keep
            });
            let missing = self.target.saturating_sub(shelf.invoices.len());
            if wanted && missing > 0 {
                needs.make.push((order.clone(), missing));
            }
            wanted
        });
        needs
    }

    /// How many are in stock.
    pub(crate) fn len(&self) -> usize {
        self.shelves.lock().values().map(|shelf| shelf.invoices.len()).sum()
    }

    fn is_fresh(&self, invoice: &Invoice, unix: u64) -> bool {
        invoice.expires_at.saturating_sub(unix) >= self.fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_000_000;

    fn order(number: i64) -> Order {
        Order { amount: Msat::new(number), description: "a call".to_owned() }
    }

    fn invoice(number: u8, expires_at: u64) -> Invoice {
        let payment_hash = PaymentHash::from_bytes([number; 32]);
        Invoice { bolt11: String::new(), payment_hash, amount: Msat::new(1), expires_at }
    }

    #[test]
    fn each_is_handed_out_once_and_replaced() {
        let (ready, now) = (Ready::new(2, 600), Instant::now());
        assert_eq!(ready.take(&order(1), now, NOW), None, "the first wish finds nothing");
        assert_eq!(ready.needs(now, NOW), Needs { make: vec![(order(1), 2)], forget: vec![] });
        for number in 1..=3 {
            ready.put(&order(1), invoice(number, NOW + 600));
        }
        assert_eq!(ready.len(), 2, "no more than the target");
        assert_eq!(ready.take(&order(2), now, NOW), None, "another price");
        assert_eq!(ready.take(&order(1), now, NOW), Some(invoice(1, NOW + 600)));
        assert_eq!(ready.take(&order(1), now, NOW), Some(invoice(2, NOW + 600)));
        assert_eq!(ready.take(&order(1), now, NOW), None);
    }

    #[test]
    fn what_is_old_is_never_handed_out_and_is_forgotten() {
        let (ready, now) = (Ready::new(2, 600), Instant::now());
        ready.always(order(1), now);
        ready.put(&order(1), invoice(1, NOW + 600));
        assert_eq!(ready.take(&order(1), now, NOW + 151), None, "less than three quarters are left");
        let needs = ready.needs(now, NOW + 151);
        assert_eq!(needs.forget, [invoice(1, 0).payment_hash]);
        assert_eq!(needs.make, [(order(1), 2)]);
        let later = now + UNWANTED;
        assert_eq!(ready.needs(later, NOW).make.len(), 1, "always");
        ready.take(&order(2), now, NOW);
        ready.put(&order(2), invoice(2, NOW + 600));
        assert_eq!(ready.needs(later, NOW).forget, [invoice(2, 0).payment_hash], "wanted by nobody");
    }

    #[test]
    fn the_stock_is_bounded_and_can_be_off() {
        let (ready, now) = (Ready::new(1, 600), Instant::now());
        ready.always(order(-1), now);
        for number in 0..2 * WISHES_MAX as i64 {
            ready.take(&order(number), now + Duration::from_millis(number.unsigned_abs()), NOW);
        }
        assert_eq!(ready.shelves.lock().len(), WISHES_MAX);
        assert!(ready.shelves.lock().contains_key(&order(-1)));
        let off = Ready::new(0, 600);
        off.always(order(1), now);
        off.take(&order(1), now, NOW);
        assert_eq!(off.needs(now, NOW), Needs::default());
    }
}
