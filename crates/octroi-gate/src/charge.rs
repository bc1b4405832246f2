//! A call's price, held until the call has ended.

use std::time::Instant;

use octroi_l402::Msat;
use octroi_ledger::{Answer, Claim, LedgerError, OpenHold, Unit};
use octroi_mcp::reply::{Outcome, ResultType};

use crate::price::{Meter, Usage};
use crate::receipts::{Draft, SignedReceipt, with_receipt};
use crate::till::FreeCall;

/// Money (or work) held for one call. It ends exactly once: captured or voided; dropping it voids it.
#[must_use = "a charge that is dropped is voided"]
pub struct Charge {
    hold: OpenHold,
    unit: Unit,
    amount: i64,
    balance_after: i64,
    charge_failed: bool,
    metered: Option<(Meter, Instant)>,
    /// Where the call was bought with work: counted until it ends.
    free: Option<FreeCall>,
    draft: Option<Box<Draft>>,
    claim: Option<Claim>,
}

/// How a charge ended, in its unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// What was charged: the price, or nothing.
    pub charged: i64,
    /// What the account has left.
    pub balance: i64,
    /// The receipt, where something was charged and receipts are given.
    pub receipt: Option<SignedReceipt>,
    /// The raw result with the receipt in it, where there is one.
    pub result: Option<Vec<u8>>,
}

/// What is known of an answer when its charge ends.
#[derive(Clone, Copy, Debug, Default)]
pub struct Answered<'a> {
    /// Bytes that the server sent.
    pub bytes: u64,
    /// The raw `result`, where there is one.
    pub result: Option<&'a [u8]>,
}

impl Charge {
    pub(crate) fn new(hold: OpenHold, unit: Unit, amount: i64, charge_failed: bool) -> Self {
        let balance_after = hold.balance_after();
        let (metered, free, draft, claim) = (None, None, None, None);
        Self { hold, unit, amount, balance_after, charge_failed, metered, free, draft, claim }
    }

    /// The same charge, of which is captured what `meter` says. Work is counted in calls, which no meter divides.
    pub(crate) fn metered(self, meter: Option<&Meter>) -> Self {
        let meter = meter.filter(|_| self.unit == Unit::Msat);
        Self { metered: meter.map(|meter| (meter.clone(), Instant::now())), ..self }
    }

    /// Counts the call as one under way until the charge ends.
    pub(crate) fn counted(self, call: FreeCall) -> Self {
        Self { free: Some(call), ..self }
    }

    /// The server behind the gate did not answer.
    pub(crate) fn upstream_failed(&mut self) {
        if let Some(free) = &mut self.free {
            free.fail();
        }
    }

    /// The same charge, with a receipt for what is captured.
    pub(crate) fn receipted(self, draft: Option<Draft>) -> Self {
        Self { draft: draft.map(Box::new), ..self }
    }

    /// The same charge, whose answer is kept for whoever makes the same call again.
    pub(crate) fn claimed(self, claim: Option<Claim>) -> Self {
        Self { claim, ..self }
    }

    /// What is counted: millisatoshi or calls bought with work.
    pub fn unit(&self) -> Unit {
        self.unit
    }

    /// What is held, in [`Charge::unit`].
    pub fn amount(&self) -> i64 {
        self.amount
    }

    /// What the account has left while this charge is held.
    pub fn balance_after(&self) -> i64 {
        self.balance_after
    }

    /// Whether the reply changes when the charge ends: a receipt is put into it.
    pub(crate) fn rewrites(&self) -> bool {
        self.draft.is_some()
    }

    /// Whether the answer is wanted even where its caller has gone away.
    pub(crate) fn is_kept(&self) -> bool {
        self.claim.is_some()
    }

    /// Waits until the hold is on disk; no reply leaves before.
    ///
    /// # Errors
    /// The ledger could not record the hold: the call is not charged and its reply must not be given away.
    pub async fn durable(&self) -> Result<(), LedgerError> {
        self.hold.durable().await
    }

    /// Ends the charge as the outcome of the call demands.
    ///
    /// | outcome | ends as |
    /// |---|---|
    /// | a result | captured |
    /// | a result with `isError: true` | voided, unless the rule charges failed calls |
    /// | a result that asks for more input | voided: the retry holds again |
    /// | a JSON-RPC error, anything else | voided |
    pub fn settle(self, outcome: Outcome, answered: Answered<'_>) -> Settled {
        let earned = match outcome {
            Outcome::Result { result_type: ResultType::InputRequired, .. } => false,
            Outcome::Result { is_error, .. } => !is_error || self.charge_failed,
            Outcome::Error { .. } | Outcome::Other | Outcome::Malformed => false,
        };
        if earned { self.capture(answered) } else { self.void() }
    }

    /// The call was delivered: the price is earned, or what the meter says of it.
    pub fn capture(self, answered: Answered<'_>) -> Settled {
        let Answered { bytes, result } = answered;
        let charged = match &self.metered {
            None => self.amount,
            Some((meter, since)) => {
                let usage = Usage { bytes, elapsed: since.elapsed(), result };
                meter.charge(Msat::new(self.amount), &usage).as_i64()
            }
        };
        let balance = self.balance_after + (self.amount - charged);
        let draft = self.draft.filter(|_| charged > 0);
        let receipt = draft.map(|draft| draft.sign(self.hold.id(), charged, balance, result));
        let amended = match (&receipt, result) {
            (Some(receipt), Some(result)) => Some(with_receipt(result, receipt)),
            _ => None,
        };
        match self.claim {
            Some(claim) => {
                let body = amended.clone().or_else(|| result.map(<[u8]>::to_vec));
                let answer = Answer { status: 200, media: "application/json".to_owned(), body };
                self.hold.capture_and_keep(charged, claim, answer);
            }
            None => self.hold.capture(charged),
        }
        Settled { charged, balance, receipt, result: amended }
    }

    /// The call failed: the payer has the price back as credit.
    pub fn void(self) -> Settled {
        let balance = self.balance_after + self.amount;
        self.hold.void();
        Settled { balance, ..Settled::default() }
    }
}
