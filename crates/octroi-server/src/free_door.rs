//! The free door: puzzles out, credentials in, the same for the gate's tools and its HTTP endpoints.

use octroi_gate::{Reason, Refusal, Till, challenge_json};
use octroi_pow::Submission;
use serde_json::{Value, json};

use crate::clock::unix_seconds;

/// A fresh puzzle.
///
/// # Errors
/// There is no free door, or the operating system gives no randomness.
pub(crate) fn challenge(till: &Till, service: &str) -> Result<Value, Box<Refusal>> {
    let work = till.work().ok_or_else(shut)?;
    match work.challenge(service, unix_seconds()) {
        Ok(challenge) => Ok(challenge_json(&challenge)),
        Err(error) => {
            tracing::error!(%error, "the operating system gives no randomness");
            Err(Box::new(Refusal::new(Reason::LedgerUnavailable, "no puzzle can be made right now")))
        }
    }
}

/// Takes a solution (the puzzle's fields and `nonce`, as JSON) and gives the credential it buys.
///
/// # Errors
/// [`Reason::InvalidSolution`], or it cannot be booked.
pub(crate) async fn verify(till: &Till, service: &str, body: &[u8]) -> Result<Value, Box<Refusal>> {
    if till.work().is_none() {
        return Err(shut());
    }
    let submission: Submission = serde_json::from_slice(body)
        .map_err(|error| Box::new(Refusal::new(Reason::InvalidSolution, error.to_string())))?;
    let grant = till.exchange_work(service, &submission, unix_seconds()).await?;
    Ok(json!({
        "macaroon": grant.macaroon,
        "token": grant.token,
        "ttl": grant.ttl_seconds,
        "calls": grant.calls,
    }))
}

fn shut() -> Box<Refusal> {
    Box::new(Refusal::new(Reason::InvalidSolution, "this server does not take work"))
}
