//! What is written into the ledger, and what it answers. Times are Unix seconds.

use octroi_l402::{Msat, PaymentHash, TokenId};
use serde::Serialize;

use crate::account::{AccountRef, Unit};
use crate::engine::codes::words;
use crate::id::CallId;
use crate::limit::Limit;

/// An invoice offered to a caller. On disk before the challenge leaves, so that no payment can arrive unexpected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote {
    /// The invoice's payment hash.
    pub payment_hash: PaymentHash,
    /// The credential its payment will credit.
    pub token_id: TokenId,
    /// The principal who asked, if one was known.
    pub owner: Option<[u8; 32]>,
    /// The service it was asked for.
    pub service: String,
    /// The tool it was asked for.
    pub tool: String,
    /// How many calls the price buys.
    pub calls: u32,
    /// What the invoice asks.
    pub price: Msat,
    /// The price of a single call.
    pub call_price: Msat,
    /// When it was made.
    pub created_at: u64,
    /// When the invoice ends. A payment that arrives later is credited all the same.
    pub expires_at: u64,
    /// When the credential ends.
    pub macaroon_expires_at: u64,
}

/// Money that arrived at a Lightning node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// The hash that was paid. One hash is credited once, whatever else differs.
    pub payment_hash: PaymentHash,
    /// What arrived, be it more or less than was asked.
    pub amount: Msat,
    /// When it arrived.
    pub settled_at: u64,
    /// Where the node's stream is to be resumed after this settlement; `None` leaves the stored place as it is.
    pub cursor: Option<String>,
    /// The node.
    pub node: String,
}

/// A solved puzzle: calls for work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// The puzzle. It is rewarded once.
    pub challenge_id: [u8; 16],
    /// The credential to be credited.
    pub token_id: TokenId,
    /// The principal who solved it, if one was known.
    pub owner: Option<[u8; 32]>,
    /// How many calls it is worth. At least 1.
    pub calls: u32,
    /// The service it is for.
    pub service: String,
    /// When the calls end, and with them the memory of the puzzle: not before the puzzle itself ends.
    pub expires_at: u64,
}

/// A prepaid credential the operator gives away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voucher {
    /// The credential.
    pub token_id: TokenId,
    /// The hash of its made-up preimage: what makes it unique, as with a payment.
    pub payment_hash: PaymentHash,
    /// The principal it is for, if it is for one.
    pub owner: Option<[u8; 32]>,
    /// What it is worth.
    pub amount: Msat,
    /// How many calls it was made for; 0 where nothing was said. For the operator's lists.
    pub calls: u32,
    /// The operator's own words.
    pub note: String,
    /// When it was made.
    pub created_at: u64,
    /// When the credential ends.
    pub expires_at: u64,
}

/// What became of a payment or of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credited {
    /// It was credited.
    New {
        /// To this credential.
        token_id: TokenId,
        /// Which belongs to this principal.
        owner: Option<[u8; 32]>,
        /// The account's balance with it, in its unit.
        balance: i64,
    },
    /// It was credited before; nothing changed.
    Duplicate,
    /// Nobody was asked for this payment: it is kept in the suspense account, for the operator to look at.
    Unknown,
}

/// One call to be paid for.
#[derive(Clone, Copy, Debug)]
pub struct HoldRequest<'a> {
    /// Who pays.
    pub account: AccountRef,
    /// In which unit.
    pub unit: Unit,
    /// How much, in `unit`. 0 is allowed: it is recorded as a call.
    pub amount: i64,
    /// The service that is called.
    pub service: &'a str,
    /// The tool (or resource, or prompt) that is called.
    pub tool: &'a str,
    /// Limits the call is under, at most [`MAX_LIMITS`](crate::MAX_LIMITS): budgets, quotas. It is held only where all of them bear it.
    pub limits: &'a [Limit],
    /// The customer another ledger knows the payer by: what is charged is queued in the outbox for it.
    pub bill: Option<&'a str>,
}

impl<'a> HoldRequest<'a> {
    /// A hold under no limit, billed to nobody else.
    #[must_use]
    pub const fn new(account: AccountRef, unit: Unit, amount: i64, service: &'a str, tool: &'a str) -> Self {
        Self { account, unit, amount, service, tool, limits: &[], bill: None }
    }

    /// The same, under `limits`.
    #[must_use]
    pub const fn limited(self, limits: &'a [Limit]) -> Self {
        Self { limits, ..self }
    }

    /// The same, billed to `customer` too.
    #[must_use]
    pub const fn billed(self, customer: Option<&'a str>) -> Self {
        Self { bill: customer, ..self }
    }
}

/// A charge another ledger is to be told of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OutboxRow {
    /// The call: what makes telling it twice harmless.
    pub id: CallId,
    /// The customer, as [`HoldRequest::bill`] named it.
    pub customer: String,
    /// The service.
    pub service: String,
    /// The tool.
    pub tool: String,
    /// What was charged, in millisatoshi.
    pub msat: i64,
    /// When, in Unix milliseconds.
    pub at_ms: u64,
    /// How often it was tried to tell it, this time counted in.
    pub tries: u32,
    /// Since when an earlier try may have arrived without anybody knowing, in Unix seconds.
    pub doubtful_since: Option<u64>,
}

/// What became of one try to tell of a charge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// It was taken.
    Delivered,
    /// It was not; try again no sooner than this Unix second.
    Later {
        /// When.
        at: u64,
        /// Why, for the operator. No secret.
        why: String,
        /// It may have been taken all the same.
        doubtful: bool,
    },
    /// It will never be taken: only the operator can help.
    Refused {
        /// Why, for the operator. No secret.
        why: String,
        /// An earlier try may have been taken all the same.
        doubtful: bool,
    },
    /// The operator has helped: what was refused is to be told once more.
    Again,
    /// The operator lets it be: what was refused is named no more.
    LetBe,
}

/// What is written down of a try.
pub(crate) struct ToldRow<'a> {
    /// The state it must be in: 0 to be told, 2 refused for good.
    pub(crate) from: i16,
    /// The state it comes into; 1: told.
    pub(crate) state: i16,
    /// Not before, in Unix seconds.
    pub(crate) next_at: u64,
    pub(crate) why: &'a str,
    /// Whether what was in doubt stays in doubt.
    pub(crate) doubtful: bool,
}

impl Told {
    pub(crate) fn row(&self) -> ToldRow<'_> {
        let (from, state, next_at, why, doubtful) = match self {
            Self::Delivered => (0, 1, 0, "", false),
            Self::Later { at, why, doubtful } => (0, 0, *at, words(why), *doubtful),
            Self::Refused { why, doubtful } => (0, 2, 0, words(why), *doubtful),
            Self::Again => (2, 0, 0, "", false),
            Self::LetBe => (2, 1, 0, "", false),
        };
        ToldRow { from, state, next_at, why, doubtful }
    }
}

/// What is known of a payment hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QuoteState {
    /// Neither quoted nor paid here.
    Unknown,
    /// Quoted, and no payment has been credited.
    Unpaid(Quote),
    /// A payment has been credited to this credential; `None`: to the suspense account.
    Paid(Option<TokenId>),
}

/// What opening the ledger found of an earlier life that did not end well.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Recovery {
    /// Holds that were open and are now voided, so that the payer has the money back: nobody can say whether the reply of
    /// those calls was delivered.
    pub voided: u64,
    /// What they held, in millisatoshi.
    pub msat: i64,
    /// What they held, in calls.
    pub calls: i64,
}

/// What was forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// Unpaid quotes past their end by more than [`QUOTE_MARGIN_SECONDS`](crate::QUOTE_MARGIN_SECONDS).
    pub quotes: u64,
    /// Spent puzzles past their end.
    pub works: u64,
    /// Answers kept for calls that might be tried again, older than [`LedgerConfig::kept_for`](crate::LedgerConfig::kept_for), or
    /// beyond their bounds.
    pub answers: u64,
    /// Windows of limits that are over.
    pub counters: u64,
    /// Charges another ledger was told of, more than [`OUTBOX_SECONDS`](crate::OUTBOX_SECONDS) ago.
    pub outbox: u64,
}
