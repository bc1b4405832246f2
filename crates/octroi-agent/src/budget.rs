//! How much an agent may give away.

use std::collections::HashMap;

use octroi_l402::{Msat, PaymentHash};
use parking_lot::Mutex;

use crate::AgentError;

/// What a route may take on top of an amount: this much …
const FEE_BASE_MSAT: i64 = 10_000;
/// … and one part in so many of the amount.
const FEE_PART: i64 = 100;

/// The limits an agent's owner sets, in millisatoshi. The default lets nothing be spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// The most that one call may cost, without routing fees. Of calls bought at once each may cost as much.
    pub per_call_msat: i64,
    /// The most that this agent may give away in its life, routing fees included.
    ///
    /// A wallet that takes no fee limit (`Capabilities::fee_limit`) may exceed it by the last payment's fee, which is
    /// counted afterwards.
    pub total_msat: i64,
}

/// What was given away, and what is set aside for payments under way.
pub(crate) struct Spending {
    budget: Budget,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    settled: i64,
    /// By payment hash, so that a payment that is taken up again is counted once.
    reserved: HashMap<PaymentHash, i64>,
}

impl State {
    /// Saturating: what cannot be counted leaves nothing.
    fn spent(&self) -> i64 {
        self.reserved.values().fold(self.settled, |sum, reserved| sum.saturating_add(*reserved))
    }
}

impl Spending {
    pub(crate) fn new(budget: Budget) -> Self {
        Self { budget, state: Mutex::default() }
    }

    /// Sets `amount` and its fee aside for `calls` calls; returns the most that the fee may be.
    ///
    /// # Errors
    /// [`AgentError::OverBudget`]: nothing is set aside.
    pub(crate) fn reserve(&self, hash: PaymentHash, amount: Msat, calls: u32) -> Result<Msat, AgentError> {
        let asked = amount.as_i64();
        let most = self.budget.per_call_msat.saturating_mul(i64::from(calls));
        if asked > most {
            return Err(AgentError::OverBudget { asked: amount, left: Msat::new(most), limit: "per call" });
        }
        let mut state = self.state.lock();
        let earlier = state.reserved.remove(&hash);
        let left = self.budget.total_msat.saturating_sub(state.spent());
        if asked <= 0 || asked > left {
            state.reserved.extend(earlier.map(|reserved| (hash, reserved)));
            return Err(AgentError::OverBudget {
                asked: amount,
                left: Msat::new(left.max(0)),
                limit: "in total",
            });
        }
        let fee = (FEE_BASE_MSAT + asked / FEE_PART).min(left - asked);
        state.reserved.insert(hash, asked + fee);
        Ok(Msat::new(fee))
    }

    /// The payment was made and cost `cost` in all. One that nothing was set aside for was another agent's.
    pub(crate) fn settle(&self, hash: &PaymentHash, cost: Msat) {
        let mut state = self.state.lock();
        if state.reserved.remove(hash).is_some() {
            state.settled = state.settled.saturating_add(cost.as_i64());
        }
    }

    /// The payment was not made, and never will be.
    pub(crate) fn release(&self, hash: &PaymentHash) {
        self.state.lock().reserved.remove(hash);
    }

    /// Given away or set aside.
    pub(crate) fn spent(&self) -> Msat {
        Msat::new(self.state.lock().spent())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hash(number: u8) -> PaymentHash {
        PaymentHash::from_bytes([number; 32])
    }

    #[test]
    fn each_limit_holds_by_itself() {
        let spending = Spending::new(Budget { per_call_msat: 3_000, total_msat: 10_000 });
        assert!(matches!(
            spending.reserve(hash(1), Msat::new(3_001), 1),
            Err(AgentError::OverBudget { limit: "per call", .. })
        ));
        assert_eq!(spending.reserve(hash(1), Msat::new(6_000), 2).unwrap(), Msat::new(4_000));
        assert!(matches!(
            spending.reserve(hash(2), Msat::new(1), 1),
            Err(AgentError::OverBudget { limit: "in total", .. })
        ));
        spending.settle(&hash(1), Msat::new(6_100));
        assert_eq!(spending.spent(), Msat::new(6_100));
        assert_eq!(spending.reserve(hash(2), Msat::new(3_000), 1).unwrap(), Msat::new(900));
        spending.release(&hash(2));
        assert_eq!(spending.spent(), Msat::new(6_100));
    }

    #[test]
    fn a_payment_taken_up_again_is_counted_once() {
        let spending = Spending::new(Budget { per_call_msat: 3_000, total_msat: 3_000 });
        for _ in 0..2 {
            assert_eq!(spending.reserve(hash(1), Msat::new(3_000), 1).unwrap(), Msat::ZERO);
        }
        assert_eq!(spending.spent(), Msat::new(3_000));
    }

    proptest! {
        #[test]
        fn what_is_set_aside_never_exceeds_the_total(
            per_call_msat in any::<i64>(),
            total_msat in 0..i64::MAX,
            asked in prop::collection::vec((any::<i64>(), any::<u32>(), 0_u8..4, 0_u8..3), 0..20),
        ) {
            let spending = Spending::new(Budget { per_call_msat, total_msat });
            for (amount, calls, number, end) in asked {
                if let Ok(fee) = spending.reserve(hash(number), Msat::new(amount), calls) {
                    prop_assert!(amount > 0 && fee >= Msat::ZERO);
                    match end {
                        0 => spending.settle(&hash(number), Msat::new(amount + fee.as_i64())),
                        1 => spending.release(&hash(number)),
                        _ => {}
                    }
                }
                prop_assert!(spending.spent().as_i64() <= total_msat);
            }
        }
    }
}
