//! The till: takes a payment for a call, or says how to pay.
//!
//! One credential is one account. What a caller shows is judged here ([`Till::take`]); what it is asked for when it
//! shows nothing good enough is made in [`mint`]; work instead of money is taken in [`work`].

mod mint;
mod outstanding;
mod work;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use octroi_l402::{Credential, MasterKeys, Msat, NotPermitted, TokenId, Verified, VerifyError};
use octroi_ledger::{AccountRef, HoldRefused, HoldRequest, Ledger, Unit};
use octroi_mcp::digest::arguments_digest;

use crate::charge::Charge;
use crate::credentials::Proof;
use crate::invoices::{EntryDesk, InvoiceDesk};
use crate::policy::Rule;
use crate::price::Price;
use crate::reason::Reason;
use crate::refusal::Refusal;

use outstanding::{Outstanding, Wish};
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
    /// The free door; `None` where it is shut.
    pub work: Option<WorkSettings>,
}

/// Takes payment for the calls of one service.
pub struct Till {
    settings: TillSettings,
    work: Option<Arc<WorkDesk>>,
    outstanding: Outstanding,
}

/// One call to be paid for.
#[derive(Clone, Copy)]
pub(crate) struct Sale<'a> {
    pub(crate) service: &'a str,
    /// The tool's name, the resource's URI or the prompt's name.
    pub(crate) subject: &'a str,
    /// What is held for it today.
    pub(crate) price: Msat,
    /// What that follows from.
    pub(crate) pricing: &'a Price,
    pub(crate) rule: &'a Rule,
    /// The raw arguments.
    pub(crate) arguments: Option<&'a [u8]>,
    /// The caller's principal, if it has shown an access token.
    pub(crate) owner: Option<[u8; 32]>,
    /// A caller without an identity that can be told from every other: by its session.
    pub(crate) session: Option<u128>,
    /// Where the caller comes from.
    pub(crate) peer: Option<IpAddr>,
    /// How many calls the caller would like to buy at once.
    pub(crate) calls: Option<u32>,
    /// Unix seconds.
    pub(crate) now: u64,
}

impl Sale<'_> {
    /// The digest of the arguments, where the price is one for these arguments only.
    fn priced_for(&self) -> Option<[u8; 32]> {
        self.pricing.depends_on_arguments().then(|| arguments_digest(self.arguments))
    }
}

impl Till {
    /// A till with these settings.
    pub fn new(mut settings: TillSettings) -> Self {
        let work = settings.work.take().map(WorkDesk::new).map(Arc::new);
        Self { settings, work, outstanding: Outstanding::default() }
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

    /// Holds the price for one call.
    ///
    /// # Errors
    /// What is wrong with the proof, and a fresh challenge; or only the challenge, where nothing was shown.
    pub(crate) async fn take(&self, sale: &Sale<'_>, proof: Option<&Proof>) -> Result<Charge, Box<Refusal>> {
        let taken = match proof {
            Some(Proof::Credential(credential)) => self.take_credential(sale, credential).await,
            Some(Proof::Solution(solution)) if EntryDesk::is_entry(solution) => {
                Err(self.let_in(sale, solution))
            }
            Some(Proof::Solution(solution)) => self.take_solution(sale, solution).await,
            Some(Proof::Unreadable(why)) => Err(Problem::new(Reason::InvalidMacaroon, why)),
            Some(Proof::UnreadableSolution(why)) => Err(Problem::new(Reason::InvalidSolution, why)),
            None => self.take_credit_or_wait(sale).await,
        };
        match taken {
            Ok(charge) => Ok(charge),
            Err(Problem::Payment(mut trouble)) => {
                trouble.holder = self.holder(sale, proof);
                Err(self.challenge(sale, trouble).await)
            }
            Err(Problem::Fatal(refusal)) => Err(refusal),
        }
    }

    /// The account of a genuine credential, so that whoever holds it is not taken for a stranger.
    fn holder(&self, sale: &Sale<'_>, proof: Option<&Proof>) -> Option<TokenId> {
        let Some(Proof::Credential(credential)) = proof else { return None };
        let verified = octroi_l402::authenticate(credential, &self.settings.keys, sale.service);
        verified.ok().map(|verified| verified.token_id)
    }

    /// As [`Till::take_credit`]; where this caller was made an offer before, its payment is waited for a moment.
    async fn take_credit_or_wait(&self, sale: &Sale<'_>) -> Result<Charge, Problem> {
        let taken = self.take_credit(sale).await;
        let wish = Wish::new(sale, None, self.calls(sale)).filter(|_| sale.owner.is_some());
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
        sale.calls.unwrap_or(1).clamp(1, self.settings.calls_max.max(1))
    }

    /// A caller with an identity spends what its earlier payments left, without showing any of their credentials.
    async fn take_credit(&self, sale: &Sale<'_>) -> Result<Charge, Problem> {
        let nothing = || Problem::new(Reason::PaymentRequired, "");
        let Some(owner) = sale.owner else { return Err(nothing()) };
        self.hold(sale, AccountRef::Owner(owner), Unit::Msat).await.map_err(|refused| match refused {
            HoldRefused::Unknown | HoldRefused::Insufficient { .. } => nothing(),
            HoldRefused::Revoked => closed(),
            other => unavailable(&other),
        })
    }

    async fn take_credential(&self, sale: &Sale<'_>, credential: &Credential) -> Result<Charge, Problem> {
        let verified = match octroi_l402::verify(credential, &self.settings.keys, sale.service, sale.now) {
            Ok(verified) => verified,
            Err(VerifyError::Expired { at }) => return Err(self.expired(sale, credential, at).await),
            Err(error) => return Err(Problem::new(Reason::InvalidMacaroon, error)),
        };
        // What was promised when the credential was sold is kept, should the price have risen since.
        let promised = verified.terms.promised(|| arguments_digest(sale.arguments));
        let sale = &Sale { price: promised.map_or(sale.price, |price| price.min(sale.price)), ..*sale };
        permit(sale, &verified)?;
        let account = AccountRef::Token(verified.token_id);
        match self.hold(sale, account, Unit::Msat).await {
            Ok(charge) => Ok(charge),
            Err(HoldRefused::Insufficient { available }) => Err(spent(sale, available)),
            Err(HoldRefused::OtherUnit(_)) => self.take_worked(sale, account).await,
            Err(HoldRefused::Unknown) => self.take_unsettled(sale, &verified).await,
            Err(HoldRefused::Revoked) => Err(revoked()),
            Err(other) => Err(unavailable(&other)),
        }
    }

    /// A credential that was bought with work: it counts calls, and opens only what its owner marked for it.
    async fn take_worked(&self, sale: &Sale<'_>, account: AccountRef) -> Result<Charge, Problem> {
        if !sale.rule.work_accepted {
            let text = "this credential was bought with work, which this call does not take";
            return Err(Problem::new(Reason::WrongTool, text));
        }
        self.hold(sale, account, Unit::Call).await.map_err(|refused| match refused {
            HoldRefused::Insufficient { .. } | HoldRefused::Unknown => {
                Problem::new(Reason::CredentialSpent, "the calls bought with this work are used up")
            }
            HoldRefused::Expired => {
                Problem::new(Reason::CredentialExpired, "the calls bought with this work have expired")
            }
            HoldRefused::Revoked => revoked(),
            other => unavailable(&other),
        })
    }

    /// The preimage is right but the ledger knows of no money yet: wait for the node's word, then ask the node.
    async fn take_unsettled(&self, sale: &Sale<'_>, verified: &Verified) -> Result<Charge, Problem> {
        if !self.settings.ledger.wait_for_credit(verified.token_id, SETTLEMENT_WAIT).await {
            self.ask_node(&verified.payment_hash).await;
        }
        self.hold(sale, AccountRef::Token(verified.token_id), Unit::Msat).await.map_err(|refused| {
            match refused {
                HoldRefused::Insufficient { available } => spent(sale, available),
                HoldRefused::Revoked => revoked(),
                HoldRefused::Unknown => {
                    let text = "the preimage is right, but the payment has not arrived here; try again";
                    Problem::new(Reason::PaymentUnverified, text)
                }
                other => unavailable(&other),
            }
        })
    }

    async fn expired(&self, sale: &Sale<'_>, credential: &Credential, at: u64) -> Problem {
        let mut trouble = Trouble {
            reason: Reason::CredentialExpired,
            holder: None,
            worked: false,
            text: format!("the credential expired at {at}"),
            renewed: None,
            retry_after_seconds: None,
        };
        if let Ok(verified) = octroi_l402::authenticate(credential, &self.settings.keys, sale.service) {
            // The money is not lost: the same account gets a macaroon with a later end, opened by the same preimage.
            let balance = self.settings.ledger.balance(&verified.token_id).await.ok().flatten();
            let left =
                balance.filter(|balance| balance.unit == Unit::Msat).map_or(0, |balance| balance.available);
            trouble.renewed =
                (left > 0).then(|| self.renew(sale, &verified)).flatten().map(|token| (token, left));
        }
        Problem::Payment(trouble)
    }

    async fn hold(&self, sale: &Sale<'_>, account: AccountRef, unit: Unit) -> Result<Charge, HoldRefused> {
        let amount = match unit {
            Unit::Msat => sale.price.as_i64(),
            Unit::Call => 1,
        };
        let request = HoldRequest::new(account, unit, amount, sale.service, sale.subject);
        let hold = self.settings.ledger.hold(&request).await?;
        let charge =
            Charge::new(hold, unit, amount, sale.rule.charge_failed).metered(sale.pricing.meter.as_ref());
        Ok(match &self.work {
            Some(desk) if unit == Unit::Call => charge.counted(desk.call_began(sale.subject)),
            _ => charge,
        })
    }
}

/// Why no price was taken.
pub(crate) enum Problem {
    /// The proof is not good enough: answered with a fresh challenge.
    Payment(Trouble),
    /// Something that no payment would mend.
    Fatal(Box<Refusal>),
}

/// What is wrong with a proof.
pub(crate) struct Trouble {
    reason: Reason,
    /// The account of a genuine credential that was shown, whatever is wrong with it.
    holder: Option<TokenId>,
    /// A puzzle before the invoice was solved.
    worked: bool,
    /// Empty where nothing is wrong beyond the lack of a payment.
    text: String,
    /// A macaroon for the same account with a later end, and the msat left on it.
    renewed: Option<(String, i64)>,
    /// When the same proof may be shown again, in seconds.
    retry_after_seconds: Option<u64>,
}

impl Problem {
    pub(crate) fn new(reason: Reason, text: impl std::fmt::Display) -> Self {
        let text = text.to_string();
        Self::Payment(Trouble {
            reason,
            holder: None,
            worked: false,
            text,
            renewed: None,
            retry_after_seconds: None,
        })
    }

    /// Nothing is wrong: the puzzle before the invoice was solved, and now the invoice is asked for.
    fn worked() -> Self {
        match Self::new(Reason::PaymentRequired, "") {
            Self::Payment(trouble) => Self::Payment(Trouble { worked: true, ..trouble }),
            fatal => fatal,
        }
    }

    /// The proof is good and not spent; it may be shown again after so many seconds.
    fn retry_after(mut self, seconds: u64) -> Self {
        if let Self::Payment(trouble) = &mut self {
            trouble.retry_after_seconds = Some(seconds);
        }
        self
    }

    /// On a call itself there is another way in than to wait: that is a 402, and not a 429.
    fn or_pay(mut self) -> Self {
        if let Self::Payment(trouble) = &mut self
            && trouble.reason == Reason::RateLimited
        {
            trouble.reason = Reason::PaymentRequired;
        }
        self
    }

    /// The refusal, where no fresh challenge is to be added.
    fn into_refusal(self) -> Box<Refusal> {
        match self {
            Self::Payment(Trouble { reason, text, retry_after_seconds, .. }) => {
                let refusal = Refusal::new(reason, text);
                Box::new(match retry_after_seconds {
                    Some(seconds) => refusal.retry_after(seconds),
                    None => refusal,
                })
            }
            Self::Fatal(refusal) => refusal,
        }
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

fn spent(sale: &Sale<'_>, available: i64) -> Problem {
    let price = sale.price.as_i64();
    let text =
        format_args!("the credential has {available} msat left and the call costs {price} msat").to_string();
    Problem::new(Reason::CredentialSpent, text)
}

fn revoked() -> Problem {
    Problem::new(Reason::InvalidMacaroon, "the credential has been revoked")
}

/// Nothing that this caller could pay would help it.
fn closed() -> Problem {
    let text = "the operator has closed this caller's account";
    Problem::Fatal(Box::new(Refusal::new(Reason::ToolForbidden, text)))
}

fn unavailable(refused: &HoldRefused) -> Problem {
    tracing::warn!(error = %refused, "the ledger took no hold");
    let text = "the ledger cannot record the charge right now; nothing was charged";
    Problem::Fatal(Box::new(Refusal::new(Reason::LedgerUnavailable, text).retry_after(1)))
}
