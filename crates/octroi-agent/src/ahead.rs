//! Buying ahead: the next calls are paid for before the last one is used, so that no call waits for a payment.
//!
//! The rule: when at most a quarter of the last bundle is left (or one call), and this tool was bought at least twice within the
//! hour, the next bundle is bought. Only from servers that tell prices and balances, because only there it is certain that a
//! request with a credential that opens nothing is refused with an offer and never carried out. Nobody is asked: what would
//! need a question is not bought ahead.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::agent::unix_now;
use crate::paying::{Purchase, Wanted};
use crate::purse::HOUR;
use crate::visit::Subject;
use crate::{AgentError, Payer, PaymentRequired, Way};

/// How often a tool must have been bought within the hour.
const PURCHASES_MIN: u32 = 2;

/// Asks a server for an offer of so many calls.
pub(crate) type Asks =
    Box<dyn FnOnce(u32) -> Pin<Box<dyn Future<Output = Option<PaymentRequired>> + Send>> + Send>;

/// Whether the next calls should be bought now. `price` is what the server says the last one cost.
pub(crate) fn is_due(payer: &Payer, subject: &Subject, price: Option<i64>) -> Result<bool, AgentError> {
    let policy = &payer.policy;
    let can = policy.prefetch && payer.wallet.is_some() && policy.allows(Way::Lightning);
    if !can || !policy.allows(Way::Credits) || price.is_none_or(|price| price <= 0) {
        return Ok(false);
    }
    let Subject { place, tool, .. } = subject;
    let Some(left) = payer.purse.calls_left(place, tool, unix_now())? else { return Ok(false) };
    // Most calls end here.
    if left > u64::from(policy.bundle_max / 4).max(1) {
        return Ok(false);
    }
    let (calls, purchases) = payer.purse.bought_since(place, tool, unix_now().saturating_sub(HOUR))?;
    let bundle = calls.clamp(1, policy.bundle_max);
    Ok(purchases >= PURCHASES_MIN && left <= u64::from(bundle / 4))
}

/// Buys the next bundle; the offer has to come within `wait`. What goes wrong will go wrong again when the calls are needed, and be told then.
pub(crate) async fn buy(payer: &Arc<Payer>, subject: Subject, wait: Duration, asks: Asks) {
    let key = (subject.place.clone(), subject.tool.clone());
    if !payer.fetching.lock().insert(key.clone()) {
        return;
    }
    if let Ok(calls) = payer.bundle(&subject.place, &subject.tool)
        && let Ok(Some(required)) = tokio::time::timeout(wait, asks(calls)).await
    {
        let Subject { endpoint, place, tool } = subject;
        let (tried, wanted) = (Vec::new(), Wanted::in_any_case());
        let purchase = Purchase { endpoint, place, tool, calls, tried, approver: None, ahead: true, wanted };
        let _ = payer.buy(&purchase, &required).await;
    }
    payer.fetching.lock().remove(&key);
}
