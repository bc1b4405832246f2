//! Asking for payment: an invoice, a macaroon that it opens, and the record that ties them together.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use octroi_l402::{Challenge, Identifier, Macaroon, Msat, PaymentHash, Terms, TokenId, Verified};
use octroi_ledger::{Quote, Unit};
use octroi_lightning::{Invoice, InvoiceState, bolt11};
use octroi_mcp::digest::arguments_digest;
use octroi_pow::Submission;
use serde_json::{Value, json};

use super::work::challenge_json;
use super::{BearerToken, Failing, Failure, Problem, Sale, Till, Trouble, Wish};
use crate::clock::unix_millis;
use crate::invoices::{Asker, EntryError, NoInvoice, Order};
use crate::reason::Reason;
use crate::refusal::Refusal;

/// When a caller should try again where nobody knows better.
const RETRY_SECONDS: u64 = 5;

/// An offer to sell calls: what a 402 is made of.
pub(super) struct Offer {
    pub(super) token_id: TokenId,
    pub(super) calls: u32,
    /// What one of them costs with the credential that this buys.
    each: Msat,
    /// Until when it may be made again, in Unix seconds: half of the shorter of the invoice's and the macaroon's lives, so
    /// that whoever takes it has time to pay and to use it.
    pub(super) repeat_until: u64,
    macaroon: Vec<u8>,
    invoice: Invoice,
    /// What the invoice says it is for, where the node wrote what it was told.
    description: Option<String>,
}

impl Offer {
    /// What a program compares the invoice with before it pays.
    fn json(&self) -> Value {
        let mut told = json!({
            "macaroon": STANDARD.encode(&self.macaroon),
            "invoice": self.invoice.bolt11,
            "payment_hash": hex::encode(self.invoice.payment_hash.as_bytes()),
            "amount_msat": self.invoice.amount.as_i64(),
            "calls": self.calls,
            "call_msat": self.each.as_i64(),
            "expires_at": self.invoice.expires_at,
        });
        if let Some(description) = &self.description {
            told["description"] = json!(description);
        }
        told
    }
}

/// A macaroon just made.
struct Made<'s> {
    macaroon: Vec<u8>,
    /// Until when it is good, in Unix seconds.
    valid_until: u64,
    /// The access token that it stands for, and until when.
    stands_for: Option<(BearerToken<'s>, u64)>,
}

/// Why there is no offer.
pub(super) enum NoOffer {
    Invoice(NoInvoice),
    /// The quote could not be written down.
    Ledger,
}

impl From<NoInvoice> for NoOffer {
    fn from(why: NoInvoice) -> Self {
        Self::Invoice(why)
    }
}

impl Till {
    /// The refusal that tells a caller how to pay.
    pub(super) async fn challenge(&self, sale: &Sale<'_>, trouble: Trouble) -> Box<Refusal> {
        let work = self.work_challenge(sale);
        match self.offer(sale, &trouble).await {
            Ok(offer) => Box::new(self.payment_required(sale, &trouble, &offer, work)),
            Err(why) => Box::new(self.no_offer(sale, why, &trouble, work)),
        }
    }

    /// The offer made for the same wish before, while nobody has paid it; otherwise a new one.
    async fn offer(&self, sale: &Sale<'_>, trouble: &Trouble) -> Result<Arc<Offer>, NoOffer> {
        let calls = self.calls(sale);
        let wish = Wish::new(sale, trouble.holder, calls);
        if let Some(offer) = wish.as_ref().and_then(|wish| self.outstanding.get(wish, sale.now))
            && let Ok(None) = self.settings.ledger.balance(&offer.token_id).await
        {
            return Ok(offer);
        }
        let asker = self.asker(sale, trouble).await;
        let who = match asker {
            Asker::Identified(principal) => Some(Failing::Principal(principal)),
            Asker::Paying(token) => Some(Failing::Holder(token)),
            Asker::Stranger(peer) => Some(Failing::network(peer)),
            // Its work was its pledge.
            Asker::Worked => None,
        };
        if let Some(who) = who.filter(|_| self.has_node()) {
            self.patience.fail(who, Failure::Unpaid, unix_millis()).map_err(NoInvoice::TooMany)?;
        }
        let offer = Arc::new(self.new_offer(sale, asker, calls).await?);
        if let Some(wish) = wish {
            self.outstanding.put(wish, &offer);
        }
        Ok(offer)
    }

    /// Who asks, from the best known to the least.
    async fn asker(&self, sale: &Sale<'_>, trouble: &Trouble) -> Asker {
        if let Some(owner) = sale.owner {
            return Asker::Identified(owner);
        }
        if trouble.worked {
            return Asker::Worked;
        }
        // A macaroon and its preimage alone are no payment: the ledger must know of money.
        if let Some(token) = trouble.holder
            && let Ok(Some(balance)) = self.settings.ledger.balance(&token).await
            && balance.unit == Unit::Msat
        {
            return Asker::Paying(token);
        }
        Asker::Stranger(sale.peer)
    }

    /// A puzzle before the invoice was solved: the caller is asked for money as one that nobody knows.
    pub(super) fn let_in(&self, sale: &Sale<'_>, solution: &Submission) -> Problem {
        let redeemed = match &self.settings.invoices {
            Some(desk) => desk.redeem_entry(sale.service, solution, sale.now),
            None => Err(EntryError::NotAsked),
        };
        match redeemed {
            Ok(()) => Problem::worked(),
            Err(error) => Problem::new(Reason::InvalidSolution, error),
        }
    }

    async fn new_offer(&self, sale: &Sale<'_>, asker: Asker, calls: u32) -> Result<Offer, NoOffer> {
        let desk = self.settings.invoices.as_ref().ok_or(NoInvoice::NoLiquidity)?;
        let (total, each) = sale.pricing.for_calls(sale.price, calls).ok_or(NoInvoice::NoLiquidity)?;
        let order = Order::new(sale.service, sale.subject, calls, total);
        let wanted = order.description.clone();
        let invoice = desk.invoice(asker, order).await?;
        let description = stated(&invoice, wanted);
        let token_id = self.settings.keys.generate_token_id().map_err(|error| {
            tracing::error!(%error, "the operating system gives no randomness");
            NoOffer::Ledger
        })?;
        let identifier = Identifier { payment_hash: invoice.payment_hash, token_id };
        let made = self.macaroon(sale, identifier, each, calls).ok_or(NoOffer::Ledger)?;
        let quote = Quote {
            payment_hash: invoice.payment_hash,
            token_id,
            owner: sale.owner,
            service: sale.service.to_owned(),
            tool: sale.subject.to_owned(),
            calls,
            price: invoice.amount,
            call_price: each,
            created_at: sale.now,
            expires_at: invoice.expires_at,
            macaroon_expires_at: sale.now + self.settings.credential_ttl_seconds,
        };
        // On disk before the invoice leaves: whoever pays it is credited, also after a crash.
        self.settings.ledger.record_quote(quote).await.map_err(|error| {
            tracing::warn!(%error, "a quote could not be recorded");
            NoOffer::Ledger
        })?;
        if let (Some((bearer, until)), Some(owner)) = (made.stands_for, sale.owner) {
            self.remember(token_id, &bearer, owner, until).await;
        }
        let life = made.valid_until.min(invoice.expires_at).saturating_sub(sale.now);
        let repeat_until = sale.now + life / 2;
        Ok(Offer { token_id, calls, each, repeat_until, macaroon: made.macaroon, invoice, description })
    }

    /// A macaroon for this sale. Bound to the tool, so that a credential says what it is for, to the caller where the rule
    /// asks for one, and to the arguments where it says so; the balance of its account bounds it in any case.
    fn macaroon<'s>(
        &self,
        sale: &'s Sale<'_>,
        identifier: Identifier,
        each: Msat,
        calls: u32,
    ) -> Option<Made<'s>> {
        let selling = &sale.rule.selling;
        let bound = || arguments_digest(sale.arguments);
        let valid_until = sale.now + self.settings.credential_ttl_seconds;
        let mut terms = Terms::new(sale.service);
        terms.tools = Some(vec![sale.subject.to_owned()]);
        terms.valid_until = Some(valid_until);
        terms.price = Some(each);
        terms.price_for = sale.priced_for();
        terms.calls = selling.single_use.then_some(1);
        terms.arguments_digest = selling.bind_arguments.then(bound);
        terms.principal = sale.owner.filter(|_| sale.rule.requires_identity);
        if let (Some((bearer, until)), Some(owner)) = (sale.vouched(calls), sale.owner) {
            let until = until.min(valid_until);
            let mut vouched = terms.clone().vouch_for(owner);
            (vouched.calls, vouched.valid_until) = (Some(1), Some(until));
            vouched.arguments_digest = Some(bound());
            if let Ok(caveats) = vouched.to_caveats() {
                let macaroon = self.sign(&identifier, &caveats)?;
                return Some(Made { macaroon, valid_until: until, stands_for: Some((bearer, until)) });
            }
        }
        // A URI holds characters that no caveat can: such a credential is bound by its account, and its arguments, alone.
        let caveats = terms.to_caveats().or_else(|_| {
            (terms.tools, terms.price) = (None, None);
            terms.to_caveats()
        });
        Some(Made { macaroon: self.sign(&identifier, &caveats.ok()?)?, valid_until, stands_for: None })
    }

    /// The same account with a later end.
    pub(super) fn renew(&self, sale: &Sale<'_>, verified: &Verified) -> Option<String> {
        let terms = verified.terms.clone().renewed(sale.now + self.settings.credential_ttl_seconds);
        let caveats = terms.to_caveats().ok()?;
        Some(STANDARD.encode(self.sign(&verified.identifier, &caveats)?))
    }

    pub(super) fn sign(&self, identifier: &Identifier, caveats: &[String]) -> Option<Vec<u8>> {
        let root = self.settings.keys.root_key(&identifier.token_id)?;
        let macaroon = Macaroon::mint(&root, identifier, &self.settings.location, caveats).ok()?;
        Some(macaroon.encode_v2())
    }

    fn payment_required(
        &self,
        sale: &Sale<'_>,
        trouble: &Trouble,
        offer: &Offer,
        work: Option<Value>,
    ) -> Refusal {
        let challenge = Challenge { macaroon: &offer.macaroon, invoice: &offer.invoice.bolt11 };
        let mut refusal = Refusal::new(trouble.reason, describe(sale, trouble, offer))
            .challenging(&challenge.header_value())
            .with("price", json!({"msat": sale.price.as_i64(), "sats": sats(sale.price)}))
            .with("l402", offer.json());
        if let Some((macaroon, left)) = &trouble.renewed {
            refusal = refusal.with("renewed", renewed_json(macaroon, *left));
        }
        if let Some(seconds) = trouble.retry_after_seconds {
            refusal = refusal.retry_after(seconds);
        }
        match work {
            Some(challenge) => refusal.with("pow", challenge),
            None => refusal,
        }
    }

    /// Nothing is sold for money right now; what else is open is offered, and what was wrong is said all the same.
    fn no_offer(&self, sale: &Sale<'_>, why: NoOffer, trouble: &Trouble, work: Option<Value>) -> Refusal {
        let (reason, wait, text) = match why {
            NoOffer::Invoice(NoInvoice::TooMany(seconds)) => (
                Reason::RateLimited,
                Some(seconds),
                "too many invoices were asked for; wait, or solve the puzzle in `invoice_pow` if there is one",
            ),
            NoOffer::Invoice(NoInvoice::WorkFirst) => (
                Reason::RateLimited,
                None,
                "this call has a price, and invoices are not given away to strangers; solve the puzzle in `invoice_pow` and call again with the solution in \
                 `X-PoW-Solution` to be given an invoice",
            ),
            NoOffer::Invoice(NoInvoice::NoLiquidity) => (
                Reason::NoLiquidity,
                Some(RETRY_SECONDS),
                "no Lightning payment can be received right now; nothing was charged",
            ),
            NoOffer::Invoice(NoInvoice::Down(seconds)) => (
                Reason::NoLiquidity,
                Some(seconds),
                "the Lightning node does not answer right now; nothing was charged",
            ),
            NoOffer::Ledger => (
                Reason::LedgerUnavailable,
                Some(RETRY_SECONDS),
                "the ledger cannot record a quote right now; nothing was charged",
            ),
        };
        let text =
            if trouble.text.is_empty() { text.to_owned() } else { format!("{}; and {text}", trouble.text) };
        let mut refusal = Refusal::new(reason, text)
            .with("price", json!({"msat": sale.price.as_i64(), "sats": sats(sale.price)}));
        if let Some(seconds) = trouble.retry_after_seconds.or(wait) {
            refusal = refusal.retry_after(seconds);
        }
        if matches!(why, NoOffer::Invoice(NoInvoice::TooMany(_) | NoInvoice::WorkFirst))
            && let Some(puzzle) = self.entry_puzzle(sale)
        {
            refusal = refusal.with("invoice_pow", puzzle);
        }
        if let Some((macaroon, left)) = &trouble.renewed {
            refusal = refusal.with("renewed", renewed_json(macaroon, *left));
        }
        match work {
            Some(challenge) => refusal.with("pow", challenge),
            None => refusal,
        }
    }

    /// The puzzle that lets a stranger in. Whoever is known has an allowance of his own, and waits for it.
    fn entry_puzzle(&self, sale: &Sale<'_>) -> Option<Value> {
        let desk = self.settings.invoices.as_ref().filter(|_| sale.owner.is_none())?;
        desk.entry_challenge(sale.service, sale.now).map(|challenge| challenge_json(&challenge))
    }

    /// Asks the node whether an invoice was paid, and books it if so: for the case that its event is late or lost.
    pub(super) async fn ask_node(&self, payment_hash: &PaymentHash) {
        let Some(desk) = &self.settings.invoices else { return };
        let Some(InvoiceState::Settled { amount, settled_at }) = desk.lookup(payment_hash).await else {
            return;
        };
        let settlement = octroi_ledger::Settlement {
            payment_hash: *payment_hash,
            amount,
            settled_at,
            node: desk.node().ledger_name(),
            cursor: None,
        };
        if let Err(error) = self.settings.ledger.credit_payment(settlement).await {
            tracing::warn!(%error, "a settled payment could not be booked yet");
        }
    }
}

/// What the invoice says it is for, if that is what was wanted. A node may have cut or changed it.
fn stated(invoice: &Invoice, wanted: String) -> Option<String> {
    let said = bolt11::decode(&invoice.bolt11).ok()?.description;
    (said.as_ref() == Some(&wanted)).then_some(wanted)
}

/// What a person or a model reads.
fn describe(sale: &Sale<'_>, trouble: &Trouble, offer: &Offer) -> String {
    let mut text = String::new();
    if !trouble.text.is_empty() {
        text.push_str(&trouble.text);
        text.push_str(". ");
    }
    let amount = offer.invoice.amount;
    text.push_str(&format!(
        "Payment required: {} costs {} sats per call. Pay {} sats for {} call(s) with this Lightning invoice: {} \
         Then call again with the credential <macaroon>:<preimage> in `Authorization: L402 …`, or in \
         `_meta[\"dev.octroi/payment\"]`.",
        sale.subject,
        sats(sale.price),
        sats(amount),
        offer.calls,
        offer.invoice.bolt11,
    ));
    text
}

/// A macaroon for the same account with a later end, opened by the same preimage.
fn renewed_json(macaroon: &str, left_msat: i64) -> Value {
    json!({"macaroon": macaroon, "balance_msat": left_msat})
}

/// Satoshis for people: 1700 msat are 1.7.
fn sats(amount: Msat) -> f64 {
    amount.as_i64() as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_is_stated_where_the_invoice_says_the_same() {
        // The coffee of BOLT 11's examples.
        let bolt11 = "lnbc2500u1pvjluezsp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygspp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdq5xysxxatsyp3k7enxv4jsxqzpu9qrsgquk0rl77nj30yxdy8j9vdx85fkpmdla2087ne0xh8nhedh8w27kyke0lp53ut353s06fv3qfegext0eh0ymjpf39tuven09sam30g4vgpfna3rh";
        let mut invoice = Invoice {
            bolt11: bolt11.to_owned(),
            payment_hash: PaymentHash::from_bytes([0; 32]),
            amount: Msat::new(250_000_000),
            expires_at: 0,
        };
        let stated = |invoice: &Invoice, wanted: &str| stated(invoice, wanted.to_owned());
        assert_eq!(stated(&invoice, "1 cup coffee").as_deref(), Some("1 cup coffee"));
        assert_eq!(stated(&invoice, "2 cups coffee"), None);
        invoice.bolt11.clear();
        assert_eq!(stated(&invoice, "1 cup coffee"), None);
    }
}
