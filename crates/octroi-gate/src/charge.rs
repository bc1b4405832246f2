//! A call's price, held until the call has ended.

use octroi_ledger::{LedgerError, OpenHold, Unit};
use octroi_mcp::reply::{Outcome, ResultType};

/// Money (or work) held for one call. It ends exactly once: captured or voided; dropping it voids it.
#[must_use = "a charge that is dropped is voided"]
pub struct Charge {
    hold: OpenHold,
    unit: Unit,
    amount: i64,
    balance_after: i64,
    charge_failed: bool,
}

/// How a charge ended, in its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// What was charged: the price, or nothing.
    pub charged: i64,
    /// What the account has left.
    pub balance: i64,
}

impl Charge {
    pub(crate) fn new(hold: OpenHold, unit: Unit, amount: i64, charge_failed: bool) -> Self {
        let balance_after = hold.balance_after();
        Self { hold, unit, amount, balance_after, charge_failed }
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
    ///
    /// Returns what was charged and what the account has left, in the charge's unit.
    pub fn settle(self, outcome: Outcome) -> Settled {
        let earned = match outcome {
            Outcome::Result { result_type: ResultType::InputRequired, .. } => false,
            Outcome::Result { is_error, .. } => !is_error || self.charge_failed,
            Outcome::Error { .. } | Outcome::Other | Outcome::Malformed => false,
        };
        let (amount, balance) = (self.amount, self.balance_after);
        if earned {
            self.capture();
            Settled { charged: amount, balance }
        } else {
            self.void();
            Settled { charged: 0, balance: balance + amount }
        }
    }

    /// The call was delivered: the whole price is earned.
    pub fn capture(self) {
        self.hold.capture(self.amount);
    }

    /// The call failed: the payer has the price back as credit.
    pub fn void(self) {
        self.hold.void();
    }
}
