//! Why no price was taken, and what is said of it.

use octroi_l402::TokenId;
use octroi_ledger::HoldRefused;

use super::Sale;
use crate::reason::Reason;
use crate::refusal::Refusal;

/// Why nothing was held.
pub(super) enum Refused {
    /// The ledger's word, which means one thing or another.
    Ledger(HoldRefused),
    /// A limit, and what is said of it.
    Bound(Problem),
}

impl Refused {
    /// What is said where it means nothing in particular.
    pub(super) fn into_problem(self) -> Problem {
        match self {
            Self::Bound(problem) => problem,
            Self::Ledger(HoldRefused::Revoked) => revoked(),
            Self::Ledger(other) => unavailable(&other),
        }
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
    pub(super) reason: Reason,
    /// The account of a genuine credential that was shown, whatever is wrong with it.
    pub(super) holder: Option<TokenId>,
    /// What is used up is what a holder lent, and not the account.
    pub(super) lent: bool,
    /// A puzzle before the invoice was solved.
    pub(super) worked: bool,
    /// Empty where nothing is wrong beyond the lack of a payment.
    pub(super) text: String,
    /// A macaroon for the same account with a later end, and the msat left on it.
    pub(super) renewed: Option<(String, i64)>,
    /// When the same proof may be shown again, in seconds.
    pub(super) retry_after_seconds: Option<u64>,
}

impl Problem {
    pub(crate) fn new(reason: Reason, text: impl std::fmt::Display) -> Self {
        Self::Payment(Trouble {
            reason,
            holder: None,
            lent: false,
            worked: false,
            text: text.to_string(),
            renewed: None,
            retry_after_seconds: None,
        })
    }

    /// Nothing is wrong: the puzzle before the invoice was solved, and now the invoice is asked for.
    pub(super) fn worked() -> Self {
        match Self::new(Reason::PaymentRequired, "") {
            Self::Payment(trouble) => Self::Payment(Trouble { worked: true, ..trouble }),
            fatal => fatal,
        }
    }

    /// The proof is good and not spent; it may be shown again after so many seconds.
    pub(super) fn retry_after(mut self, seconds: u64) -> Self {
        if let Self::Payment(trouble) = &mut self {
            trouble.retry_after_seconds = Some(seconds);
        }
        self
    }

    /// What is used up is what a holder lent, and not the account.
    pub(super) fn lent(mut self) -> Self {
        if let Self::Payment(trouble) = &mut self {
            trouble.lent = true;
        }
        self
    }

    /// The money of the credential is still there: under this macaroon, so many msat.
    pub(super) fn renewed(mut self, renewed: Option<(String, i64)>) -> Self {
        if let Self::Payment(trouble) = &mut self {
            trouble.renewed = renewed;
        }
        self
    }

    /// On a call itself there is another way in than to wait: that is a 402, and not a 429.
    pub(super) fn or_pay(mut self) -> Self {
        if let Self::Payment(trouble) = &mut self
            && trouble.reason == Reason::RateLimited
        {
            trouble.reason = Reason::PaymentRequired;
        }
        self
    }

    /// The refusal, where no fresh challenge is to be added.
    pub(super) fn into_refusal(self) -> Box<Refusal> {
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

pub(super) fn spent(sale: &Sale<'_>, available: i64) -> Problem {
    let price = sale.price.as_i64();
    let text =
        format_args!("the credential has {available} msat left and the call costs {price} msat").to_string();
    Problem::new(Reason::CredentialSpent, text)
}

fn revoked() -> Problem {
    Problem::new(Reason::InvalidMacaroon, "the credential has been revoked")
}

/// Too many payments of this caller's have failed of late.
pub(super) fn out_of_patience(seconds: u64) -> Box<Refusal> {
    let text = format!(
        "too many payments have failed; payments that are good are taken at any time, others in {seconds} s"
    );
    Box::new(Refusal::new(Reason::RateLimited, text).retry_after(seconds))
}

/// Nothing that this caller could pay would help it.
pub(super) fn closed() -> Problem {
    let text = "the operator has closed this caller's account";
    Problem::Fatal(Box::new(Refusal::new(Reason::ToolForbidden, text)))
}

pub(super) fn unavailable(refused: &HoldRefused) -> Problem {
    tracing::warn!(error = %refused, "the ledger took no hold");
    let text = "the ledger cannot record the charge right now; nothing was charged";
    Problem::Fatal(Box::new(Refusal::new(Reason::LedgerUnavailable, text).retry_after(1)))
}
