//! Calls that may be tried again: which are the same call.
//!
//! A call is the same as another where the same caller says so (`Idempotency-Key`), or shows the same credential that is good
//! for one call, with the same arguments. Callers nobody can tell apart have no calls to try again: one would get the other's
//! answers.

use std::time::Duration;

use octroi_l402::Verified;
use octroi_ledger::{Answer, Claim, Claimed};
use octroi_mcp::digest::arguments_digest;

use super::limits::key;
use super::{Sale, Tender, Till, permit};
use crate::reason::Reason;
use crate::refusal::Refusal;

/// How long the second of two same calls waits for the first to end.
const SAME_CALL_WAIT: Duration = Duration::from_secs(30);

/// Whether a call is made for the first time.
pub(super) enum First {
    /// It is, or nobody can say.
    Yes(Option<Claim>),
    /// It was made and charged before: this is its answer.
    No(Answer),
}

impl Till {
    /// Claims the call, or finds the answer it had.
    ///
    /// # Errors
    /// Another call was made under this key, or the same one is still under way; or the ledger cannot say.
    pub(super) async fn first(&self, sale: &Sale<'_>, tender: &Tender<'_>) -> Result<First, Box<Refusal>> {
        let Some(key) = self.call_key(sale, tender) else { return Ok(First::Yes(None)) };
        let request = request(sale);
        match self.settings.ledger.claim(key, request, SAME_CALL_WAIT).await {
            Ok(Claimed::New(claim)) => Ok(First::Yes(Some(claim))),
            Ok(Claimed::Done(answer)) => Ok(First::No(answer)),
            Ok(Claimed::Conflict) => {
                let text = "another call was made under this Idempotency-Key; take a new one";
                Err(Box::new(Refusal::new(Reason::IdempotencyConflict, text)))
            }
            Ok(Claimed::Revoked) => {
                let text = "what paid for this call has been revoked since";
                Err(Box::new(Refusal::new(Reason::ToolForbidden, text)))
            }
            Ok(Claimed::Running) => {
                let text = "this call is still under way; ask again for its answer";
                Err(Box::new(Refusal::new(Reason::CallInProgress, text).retry_after(1)))
            }
            Err(error) => {
                tracing::warn!(%error, "the ledger took no claim");
                let text = "the ledger cannot say whether this call was made before; nothing was charged";
                Err(Box::new(Refusal::new(Reason::LedgerUnavailable, text).retry_after(1)))
            }
        }
    }

    /// What stands for the call; `None` where it cannot be tried again.
    fn call_key(&self, sale: &Sale<'_>, tender: &Tender<'_>) -> Option<[u8; 32]> {
        let service = sale.service.as_bytes();
        // Genuine and good for this call, whatever its age.
        let verified = || {
            let genuine = tender.genuine(&self.settings.keys, sale.service)?;
            permit(sale, genuine).is_ok().then_some(genuine)
        };
        // Who shows nothing but a credential for one call names no calls of its owner's: it has that one.
        let retry = sale.retry.filter(|_| !sale.vouched_for);
        match (retry, sale.owner) {
            (Some(retry), Some(owner)) => Some(key(b"a caller's call", &[service, &owner, retry.as_bytes()])),
            (Some(retry), None) => {
                Some(holders_key(b"a credential's call", service, verified()?, retry.as_bytes()))
            }
            (None, _) => {
                let verified = verified().filter(|verified| verified.terms.calls == Some(1))?;
                // One that could stand for its owner's token, and need not: nobody asked for one that is good once.
                let beside_token = verified.terms.vouched_principal.is_some() && !sale.vouched_for;
                if beside_token && !sale.rule.selling.single_use {
                    return None;
                }
                Some(holders_key(b"a credential's one call", service, verified, &request(sale)))
            }
        }
    }
}

/// What stands for a call of whoever holds this credential. One who was lent it under a budget of his own has calls of his own:
/// he is given no answer that its owner paid for, nor one of another borrower's.
fn holders_key(purpose: &[u8], service: &[u8], verified: &Verified, name: &[u8]) -> [u8; 32] {
    let mut parts = vec![service, verified.token_id.as_bytes()];
    parts.extend(verified.terms.budgets.iter().map(|budget| budget.label.as_bytes()));
    // In one order, however the caveats stand.
    parts[2..].sort_unstable();
    parts.push(name);
    key(purpose, &parts)
}

/// What the call asks for.
fn request(sale: &Sale<'_>) -> [u8; 32] {
    key(b"request", &[sale.service.as_bytes(), sale.subject.as_bytes(), &arguments_digest(sale.arguments)])
}
