//! Offers that a caller has been made and has not paid yet.
//!
//! A caller that can be told from every other and asks again is given the same invoice again: it cannot pay twice for one
//! wish, and asking often makes no more invoices than asking once.

use std::sync::Arc;

use octroi_l402::TokenId;
use octroi_mcp::digest::arguments_digest;
use parking_lot::Mutex;

use super::Sale;
use super::mint::Offer;
use crate::generations::Generations;

/// How many offers one generation remembers. When it is full the older generation is dropped; a caller forgotten this way
/// is simply made a new offer.
const OFFERS_MAX: usize = 16_384;

/// Who wishes. Callers nobody can tell apart must not share an offer: who pays first would have the other's call.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Wisher {
    /// By its access token.
    Owner([u8; 32]),
    /// By a genuine credential, spent or expired.
    Holder(TokenId),
    /// By its address and session, which nobody else is told.
    Session(u128),
}

/// What makes two wishes the same wish.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Wish {
    wisher: Wisher,
    subject: String,
    /// The digest of the arguments, where the offer is for these arguments only.
    arguments: Option<[u8; 32]>,
    /// The access token that its credential stands for, by its digest: the rights of one are not another's.
    stands_for: Option<[u8; 32]>,
    price_msat: i64,
    calls: u32,
}

/// The newest unpaid offer for each wish.
pub(super) struct Outstanding(Mutex<Generations<Wish, Arc<Offer>>>);

impl Default for Outstanding {
    fn default() -> Self {
        Self(Mutex::new(Generations::new(OFFERS_MAX)))
    }
}

impl Outstanding {
    /// The offer made for this wish, if it can still be taken for a while.
    pub(super) fn get(&self, wish: &Wish, now: u64) -> Option<Arc<Offer>> {
        let offers = self.0.lock();
        let offer = offers.get(wish)?;
        (now < offer.repeat_until).then(|| Arc::clone(offer))
    }

    /// Remembers an offer.
    pub(super) fn put(&self, wish: Wish, offer: &Arc<Offer>) {
        self.0.lock().put(wish, Arc::clone(offer));
    }

    /// Forgets the offer for this wish: it was paid.
    pub(super) fn forget(&self, wish: &Wish) {
        self.0.lock().remove(wish);
    }
}

impl Wish {
    /// The wish of a caller that can be told from every other; `holder` is the account of the credential it showed.
    pub(super) fn new(sale: &Sale<'_>, holder: Option<TokenId>, calls: u32) -> Option<Self> {
        let wisher = match (sale.owner, holder, sale.session) {
            (Some(owner), _, _) => Wisher::Owner(owner),
            (None, Some(token), _) => Wisher::Holder(token),
            (None, None, Some(session)) => Wisher::Session(session),
            (None, None, None) => return None,
        };
        let (subject, price_msat) = (sale.subject.to_owned(), sale.price.as_i64());
        let stands_for = sale.vouched(calls).map(|(bearer, _)| bearer.digest());
        let bound = stands_for.is_some() || sale.rule.selling.bind_arguments;
        let arguments = if bound { Some(arguments_digest(sale.arguments)) } else { sale.priced_for() };
        Some(Self { wisher, subject, arguments, stands_for, price_msat, calls })
    }
}
