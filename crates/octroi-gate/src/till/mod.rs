//! The till: takes a payment for a call, or says how to pay.
//!
//! One credential is one account. What a caller shows is judged here ([`Till::take`]); what it is asked for when it
//! shows nothing good enough is made in [`mint`]; work instead of money is taken in [`work`].

mod limits;
mod mint;
mod outstanding;
mod patience;
mod problem;
mod retry;
mod sale;
mod tender;
mod vouch;
mod work;

use std::sync::Arc;
use std::time::Duration;

use octroi_identity::Caller;
use octroi_l402::{MasterKeys, NotPermitted, Terms, Verified};
use octroi_ledger::{AccountRef, Answer, HoldRefused, HoldRequest, Ledger, Unit};
use octroi_mcp::digest::arguments_digest;

use crate::charge::Charge;
use crate::clock::unix_millis;
use crate::credentials::Proof;
use crate::customers::Customers;
use crate::invoices::{EntryDesk, InvoiceDesk};
use crate::reason::Reason;
use crate::receipts::{self, Draft, ReceiptDesk};
use crate::refusal::Refusal;

use limits::Bounds;
pub use limits::{Budget, Budgets};
use outstanding::{Outstanding, Wish};
pub use patience::{FailedPayments, Failure, RECOVER_MAX};
use patience::{Failing, Patience};
use problem::{Problem, Refused, Trouble, closed, out_of_patience, spent, unavailable};
use retry::First;
pub(crate) use sale::Sale;
pub(crate) use tender::Tender;
use vouch::Vouches;
pub(crate) use vouch::{BearerToken, Vouch};
pub(crate) use work::FreeCall;
pub use work::{
    AccessTokens, BadToken, Bind, KeyRejected, Tallied, WorkAsk, WorkClaims, WorkDesk, WorkGrant,
    WorkSettings, challenge_json,
};

/// How long a payer who shows the preimage is kept waiting for the node's own word that the money arrived. The payee's event
/// usually comes before the payer even has the preimage.
const SETTLEMENT_WAIT: Duration = Duration::from_secs(3);

/// How long a caller who asks again without a proof is kept waiting for a payment that may be on its way: a payer knows
/// its preimage some milliseconds before the payee's ledger has the money.
const CREDIT_WAIT: Duration = Duration::from_millis(150);

/// What the till is set to.
pub struct TillSettings {
    /// The service whose calls are paid for.
    pub service: String,
    /// The keys credentials are signed with.
    pub keys: Arc<MasterKeys>,
    /// Where money is counted.
    pub ledger: Ledger,
    /// Where invoices come from; `None`: nothing can be sold for money.
    pub invoices: Option<Arc<InvoiceDesk>>,
    /// The macaroons' location: a hint for people.
    pub location: String,
    /// How long a credential may be used, in seconds.
    pub credential_ttl_seconds: u64,
    /// The most calls one payment may buy.
    pub calls_max: u32,
    /// What the operator lets be spent.
    pub budgets: Budgets,
    /// How much failing to pay is borne.
    pub failed_payments: FailedPayments,
    /// Who signs receipts; `None`: none are given.
    pub receipts: Option<Arc<ReceiptDesk>>,
    /// The free door; `None` where it is shut.
    pub work: Option<WorkSettings>,
}

/// What is held for a call; or, where the very same call was made and charged before, the answer it had.
pub(crate) type Taken = Result<Charge, Answer>;

/// Takes payment for the calls of one service.
pub struct Till {
    settings: TillSettings,
    work: Option<Arc<WorkDesk>>,
    outstanding: Outstanding,
    vouches: Vouches,
    patience: Patience,
    customers: Option<Arc<Customers>>,
}

impl Till {
    /// A till with these settings.
    pub fn new(mut settings: TillSettings) -> Self {
        let work = settings.work.take().map(WorkDesk::new).map(Arc::new);
        let shared = settings.ledger.board().is_some();
        let patience = Patience::new(settings.failed_payments, &settings.service, shared);
        let (outstanding, vouches) = (Outstanding::default(), Vouches::default());
        Self { settings, work, outstanding, vouches, patience, customers: None }
    }

    /// The same, where another ledger is told what these customers are charged.
    #[must_use]
    pub fn billing(self, customers: Arc<Customers>) -> Self {
        Self { customers: Some(customers), ..self }
    }

    /// What another ledger knows a caller by.
    pub(crate) fn customer<'a>(&'a self, caller: &'a Caller) -> Option<&'a str> {
        self.customers.as_ref()?.of(caller)
    }

    /// The free door.
    pub fn work(&self) -> Option<&WorkDesk> {
        self.work.as_deref()
    }

    /// Whether money can come in at all.
    pub fn has_node(&self) -> bool {
        self.settings.invoices.is_some()
    }

    /// Where invoices come from.
    pub fn invoices(&self) -> Option<&Arc<InvoiceDesk>> {
        self.settings.invoices.as_ref()
    }

    /// Where money is counted.
    pub fn ledger(&self) -> &Ledger {
        &self.settings.ledger
    }

    /// Holds the price for one call, unless it is free today, or was made before.
    ///
    /// # Errors
    /// What is wrong with the proof, and a fresh challenge; or only the challenge, where nothing was shown.
    pub(crate) async fn take(&self, sale: &Sale<'_>, tender: &Tender<'_>) -> Result<Taken, Box<Refusal>> {
        let claim = match self.first(sale, tender).await? {
            First::Yes(claim) => claim,
            First::No(answer) => return Ok(Err(answer)),
        };
        let taken = match self.take_free(sale).await? {
            Some(charge) => Ok(charge),
            None => self.take_proof(sale, tender).await,
        };
        match taken {
            Ok(charge) => {
                if charge.unit() == Unit::Msat && charge.amount() > 0 {
                    self.patience.paid(sale.caller(), unix_millis());
                }
                Ok(Ok(charge.claimed(claim)))
            }
            Err(Problem::Payment(mut trouble)) => {
                // Whoever holds a genuine credential is not taken for a stranger.
                let genuine = tender.genuine(&self.settings.keys, sale.service);
                trouble.holder = genuine.map(|verified| verified.token_id);
                self.bear(sale, &trouble)?;
                Err(self.challenge(sale, trouble).await)
            }
            Err(Problem::Fatal(refusal)) => Err(refusal),
        }
    }

    async fn take_proof(&self, sale: &Sale<'_>, tender: &Tender<'_>) -> Result<Charge, Problem> {
        match tender.proof() {
            Some(Proof::Credential(credential)) => {
                match tender.judge(credential, &self.settings.keys, sale.service) {
                    Ok(verified) => self.take_credential(sale, verified).await,
                    Err(error) => Err(Problem::new(Reason::InvalidMacaroon, error)),
                }
            }
            Some(Proof::Solution(solution)) if EntryDesk::is_entry(solution) => {
                Err(self.let_in(sale, solution))
            }
            Some(Proof::Solution(solution)) => self.take_solution(sale, solution).await,
            Some(Proof::Unreadable(why)) => Err(Problem::new(Reason::InvalidMacaroon, why)),
            Some(Proof::UnreadableSolution(why)) => Err(Problem::new(Reason::InvalidSolution, why)),
            None => self.take_credit_or_wait(sale).await,
        }
    }

    /// One of the calls that the caller has for nothing today; `None` where none is left.
    async fn take_free(&self, sale: &Sale<'_>) -> Result<Option<Charge>, Box<Refusal>> {
        if sale.rule.free_per_day == 0 {
            return Ok(None);
        }
        let limits = [limits::free_calls(sale)];
        let request = HoldRequest::new(AccountRef::Nobody, Unit::Msat, 0, sale.service, sale.subject);
        match self.settings.ledger.hold(&request.limited(&limits)).await {
            Ok(hold) => Ok(Some(Charge::new(hold, Unit::Msat, 0, sale.rule.charge_failed))),
            Err(HoldRefused::Limited { .. }) => Ok(None),
            Err(other) => match unavailable(&other) {
                Problem::Fatal(refusal) => Err(refusal),
                Problem::Payment(_) => Ok(None),
            },
        }
    }

    /// Counts what is wrong with a credential.
    ///
    /// # Errors
    /// 429 where its holder, or where forgeries come from, has failed too often of late.
    fn bear(&self, sale: &Sale<'_>, trouble: &Trouble) -> Result<(), Box<Refusal>> {
        let (who, failure) = match (trouble.reason, trouble.holder) {
            // Its money is still there: it failed at nothing.
            (Reason::CredentialExpired, _) if trouble.renewed.is_some() => return Ok(()),
            // What one holder lent to another is used up: the account is not, and its owner does not wait for that.
            (Reason::CredentialSpent | Reason::CredentialExpired, Some(_)) if trouble.lent => {
                (sale.caller(), Failure::Spent)
            }
            (Reason::CredentialSpent | Reason::CredentialExpired, Some(token)) => {
                (Failing::Holder(token), Failure::Spent)
            }
            // Revoked, or somebody else's: whose it is does not wait for who shows it.
            (Reason::InvalidMacaroon, Some(_)) => (sale.caller(), Failure::Spent),
            (Reason::InvalidMacaroon, None) => (sale.caller(), Failure::Forged),
            _ => return Ok(()),
        };
        self.patience.fail(who, failure, unix_millis()).map_err(out_of_patience)
    }

    /// Failures dealt with, and failures refused for the wait's sake.
    pub fn failures(&self, failure: Failure) -> (u64, u64) {
        self.patience.counts(failure)
    }

    /// Tells the other gates on the ledger of failures and hears of theirs, for as long as it is polled.
    pub async fn share_failures(&self) {
        if let Some(board) = self.settings.ledger.board() {
            self.patience.share(board).await;
        }
    }

    /// As [`Till::take_credit`]; where this caller was made an offer before, its payment is waited for a moment.
    async fn take_credit_or_wait(&self, sale: &Sale<'_>) -> Result<Charge, Problem> {
        let taken = self.take_credit(sale).await;
        let wish = Wish::new(sale, None, self.calls(sale))
            .filter(|_| sale.owner.is_some() && sale.rule.selling.credit);
        let (Err(Problem::Payment(_)), Some(wish)) = (&taken, wish) else { return taken };
        let Some(offer) = self.outstanding.get(&wish, sale.now) else { return taken };
        if !self.settings.ledger.wait_for_credit(offer.token_id, CREDIT_WAIT).await {
            return taken;
        }
        self.outstanding.forget(&wish);
        self.take_credit(sale).await
    }

    /// How many calls an offer is made for.
    fn calls(&self, sale: &Sale<'_>) -> u32 {
        let most = if sale.rule.selling.single_use { 1 } else { self.settings.calls_max.max(1) };
        sale.calls.unwrap_or(1).clamp(1, most)
    }

    /// A caller with an identity spends what its earlier payments left, without showing any of their credentials.
    async fn take_credit(&self, sale: &Sale<'_>) -> Result<Charge, Problem> {
        let nothing = || Problem::new(Reason::PaymentRequired, "");
        let Some(owner) = sale.owner.filter(|_| sale.rule.selling.credit) else { return Err(nothing()) };
        self.hold(sale, AccountRef::Owner(owner), Unit::Msat, None).await.map_err(|refused| match refused {
            Refused::Ledger(HoldRefused::Unknown | HoldRefused::Insufficient { .. }) => nothing(),
            Refused::Ledger(HoldRefused::Revoked) => closed(),
            other => other.into_problem(),
        })
    }

    async fn take_credential(&self, sale: &Sale<'_>, verified: &Verified) -> Result<Charge, Problem> {
        if let Some(at) = verified.terms.ended_at(sale.now) {
            return Err(self.expired(sale, verified, at).await);
        }
        // Whoever shows a spent credential again and again is not looked up each time.
        if let Some(seconds) = self.patience.waits(Failing::Holder(verified.token_id), unix_millis()) {
            return Err(Problem::Fatal(out_of_patience(seconds)));
        }
        // What was promised when the credential was sold is kept, should the price have risen since.
        let promised = verified.terms.promised(|| arguments_digest(sale.arguments));
        let sale = &Sale { price: promised.map_or(sale.price, |price| price.min(sale.price)), ..*sale };
        permit(sale, verified)?;
        let account = AccountRef::Token(verified.token_id);
        match self.hold(sale, account, Unit::Msat, Some(&verified.terms)).await {
            Ok(charge) => Ok(charge),
            Err(Refused::Ledger(HoldRefused::Insufficient { available })) => Err(spent(sale, available)),
            Err(Refused::Ledger(HoldRefused::OtherUnit(_))) => self.take_worked(sale, verified).await,
            Err(Refused::Ledger(HoldRefused::Unknown)) => self.take_unsettled(sale, verified).await,
            Err(other) => Err(other.into_problem()),
        }
    }

    /// A credential that was bought with work: it counts calls, and opens only what its owner marked for it.
    async fn take_worked(&self, sale: &Sale<'_>, verified: &Verified) -> Result<Charge, Problem> {
        if !sale.rule.work_accepted {
            let text = "this credential was bought with work, which this call does not take";
            return Err(Problem::new(Reason::WrongTool, text));
        }
        let account = AccountRef::Token(verified.token_id);
        let held = self.hold(sale, account, Unit::Call, Some(&verified.terms)).await;
        held.map_err(|refused| match refused {
            Refused::Ledger(HoldRefused::Insufficient { .. } | HoldRefused::Unknown) => {
                Problem::new(Reason::CredentialSpent, "the calls bought with this work are used up")
            }
            Refused::Ledger(HoldRefused::Expired) => {
                Problem::new(Reason::CredentialExpired, "the calls bought with this work have expired")
            }
            other => other.into_problem(),
        })
    }

    /// The preimage is right but the ledger knows of no money yet: wait for the node's word, then ask the node.
    async fn take_unsettled(&self, sale: &Sale<'_>, verified: &Verified) -> Result<Charge, Problem> {
        if !self.settings.ledger.wait_for_credit(verified.token_id, SETTLEMENT_WAIT).await {
            self.ask_node(&verified.payment_hash).await;
        }
        let account = AccountRef::Token(verified.token_id);
        let held = self.hold(sale, account, Unit::Msat, Some(&verified.terms)).await;
        held.map_err(|refused| match refused {
            Refused::Ledger(HoldRefused::Insufficient { available }) => spent(sale, available),
            Refused::Ledger(HoldRefused::Unknown) => {
                let text = "the preimage is right, but the payment has not arrived here; try again";
                Problem::new(Reason::PaymentUnverified, text)
            }
            other => other.into_problem(),
        })
    }

    async fn expired(&self, sale: &Sale<'_>, verified: &Verified, at: u64) -> Problem {
        // Whoever lent it wants it to end. Its owner has the one it was made from.
        if verified.terms.ends_for_good {
            let text = format_args!("the credential was lent until {at}").to_string();
            return Problem::new(Reason::CredentialExpired, text).lent();
        }
        // The money is not lost: the same account gets a macaroon with a later end, opened by the same preimage.
        let balance = self.settings.ledger.balance(&verified.token_id).await.ok().flatten();
        let left =
            balance.filter(|balance| balance.unit == Unit::Msat).map_or(0, |balance| balance.available);
        let renewed = (left > 0).then(|| self.renew(sale, verified)).flatten().map(|token| (token, left));
        Problem::new(Reason::CredentialExpired, format_args!("the credential expired at {at}"))
            .renewed(renewed)
    }

    async fn hold(
        &self,
        sale: &Sale<'_>,
        account: AccountRef,
        unit: Unit,
        terms: Option<&Terms>,
    ) -> Result<Charge, Refused> {
        let amount = match unit {
            Unit::Msat => sale.price.as_i64(),
            Unit::Call => 1,
        };
        let bounds = match unit {
            Unit::Msat => Bounds::of(&self.settings.budgets, sale, &account, terms),
            Unit::Call => Bounds::of(&Budgets::default(), sale, &account, terms),
        };
        let request = HoldRequest::new(account, unit, amount, sale.service, sale.subject);
        let request = request.limited(bounds.limits()).billed(sale.customer);
        let hold = self.settings.ledger.hold(&request).await.map_err(|refused| match refused {
            HoldRefused::Limited { limit, left, until } => {
                Refused::Bound(bounds.refuse(limit, left, until, sale.now))
            }
            other => Refused::Ledger(other),
        })?;
        let draft = if unit == Unit::Msat { self.draft(sale, &account) } else { None };
        let charge = Charge::new(hold, unit, amount, sale.rule.charge_failed);
        let charge = charge.metered(sale.pricing.meter.as_ref()).receipted(draft);
        Ok(match &self.work {
            Some(desk) if unit == Unit::Call => charge.counted(desk.call_began(sale.subject)),
            _ => charge,
        })
    }

    /// What the receipt for a call will say, where receipts are given.
    fn draft(&self, sale: &Sale<'_>, account: &AccountRef) -> Option<Draft> {
        let desk = self.settings.receipts.as_ref()?;
        Some(Draft {
            desk: Arc::clone(desk),
            service: sale.service.to_owned(),
            tool: sale.subject.to_owned(),
            payer: receipts::payer(account)?,
            arguments_sha256: receipts::arguments_digest(sale.arguments),
        })
    }
}

/// Whether the credential's own caveats allow this call.
fn permit(sale: &Sale<'_>, verified: &Verified) -> Result<(), Problem> {
    let digest = || arguments_digest(sale.arguments);
    verified.permits(sale.subject, digest, sale.owner.as_ref()).map_err(|error| {
        let reason = match error {
            NotPermitted::WrongTool | NotPermitted::WrongArguments => Reason::WrongTool,
            NotPermitted::WrongPrincipal => Reason::InvalidMacaroon,
        };
        Problem::new(reason, error)
    })?;
    if verified.terms.max_price.is_some_and(|most| sale.price > most) {
        let text = "this call costs more than the credential may spend at once";
        return Err(Problem::new(Reason::WrongTool, text));
    }
    Ok(())
}
