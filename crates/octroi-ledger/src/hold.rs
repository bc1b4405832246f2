//! A hold that has not ended.

use crate::error::LedgerError;

/// Money (or calls) held for one call. It ends exactly once: captured, voided, or voided by being dropped.
#[derive(Debug)]
#[must_use = "a hold that is dropped is voided"]
pub struct OpenHold {
    balance_after: i64,
}

impl OpenHold {
    /// Waits until the hold is on disk; the reply waits for this.
    ///
    /// # Errors
    /// The hold is not on disk and will not be: the call is not charged and its reply must not be given away.
    pub async fn durable(&self) -> Result<(), LedgerError> {
        todo!()
    }

    /// Charges `amount` of what is held and gives the rest back. More than is held charges what is held; less than 0 nothing.
    pub fn capture(self, amount: i64) {
        let _ = amount;
    }

    /// Gives everything back.
    pub fn void(self) {}

    /// What the account has left while this hold is open, in the unit of the hold.
    #[must_use]
    pub fn balance_after(&self) -> i64 {
        self.balance_after
    }
}
