//! Offers that a caller has been made and has not paid yet.
//!
//! A caller with an identity that asks again is given the same invoice again: it cannot pay twice for one wish, and asking
//! often makes no more invoices than asking once.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::Sale;
use super::mint::Offer;

/// How many offers one generation remembers. When it is full the older generation is dropped; a caller forgotten this way
/// is simply made a new offer.
const OFFERS_MAX: usize = 16_384;

/// What makes two wishes the same wish.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Wish {
    owner: [u8; 32],
    subject: String,
    price_msat: i64,
    calls: u32,
}

/// The newest unpaid offer for each wish.
#[derive(Default)]
pub(super) struct Outstanding {
    generations: Mutex<Generations>,
}

#[derive(Default)]
struct Generations {
    young: HashMap<Wish, Arc<Offer>>,
    old: HashMap<Wish, Arc<Offer>>,
}

impl Outstanding {
    /// The offer made for this wish, if it can still be taken for a while.
    pub(super) fn get(&self, sale: &Sale<'_>, calls: u32) -> Option<Arc<Offer>> {
        let wish = wish(sale, calls)?;
        let generations = self.generations.lock();
        let offer = generations.young.get(&wish).or_else(|| generations.old.get(&wish))?;
        (sale.now < offer.repeat_until).then(|| Arc::clone(offer))
    }

    /// Remembers an offer.
    pub(super) fn put(&self, sale: &Sale<'_>, offer: &Arc<Offer>) {
        let Some(wish) = wish(sale, offer.calls) else { return };
        let mut generations = self.generations.lock();
        if generations.young.len() >= OFFERS_MAX {
            generations.old = std::mem::take(&mut generations.young);
        }
        generations.young.insert(wish, Arc::clone(offer));
    }

    /// Forgets the offer for this wish: it was paid.
    pub(super) fn forget(&self, sale: &Sale<'_>, calls: u32) {
        let Some(wish) = wish(sale, calls) else { return };
        let mut generations = self.generations.lock();
        generations.young.remove(&wish);
        generations.old.remove(&wish);
    }
}

/// Callers nobody can tell apart must not share an offer: who pays first would have the other's call.
fn wish(sale: &Sale<'_>, calls: u32) -> Option<Wish> {
    let owner = sale.owner?;
    Some(Wish { owner, subject: sale.subject.to_owned(), price_msat: sale.price.as_i64(), calls })
}
