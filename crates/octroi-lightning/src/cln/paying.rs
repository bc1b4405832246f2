//! Paying with Core Lightning.

use std::time::Duration;

use octroi_l402::{Msat, PaymentHash};
use serde_json::json;

use super::transport::{CallError, Failure, Transport};
use super::wire::{Paid, Pays};
use crate::node::{msat, payable};
use crate::paying::{after_silence, not_twice, proof, without_proof};
use crate::rest::{TIMEOUT, words};
use crate::{NodeError, Outgoing, PayError, Payment};

/// The node's own time-out comes first by this much, so that its word is heard.
const GRACE: Duration = Duration::from_secs(5);

pub(super) async fn pay(
    transport: &Transport,
    text: &str,
    max_fee: Msat,
    timeout: Duration,
) -> Result<Payment, PayError> {
    let (hash, amount) = payable(text)?;
    // `xpay` answers a second time with the first payment.
    not_twice(&outgoing(transport, &hash).await?)?;
    let asked = json!({
        "invstring": text,
        "maxfee": max_fee.as_i64().max(0),
        "retry_for": timeout.as_secs().max(1),
    });
    match transport.ask::<Paid>("xpay", &asked, timeout + GRACE).await {
        Ok(paid) => {
            let preimage = proof(&paid.payment_preimage, &hash).ok_or(PayError::Pending)?;
            let fee = paid.amount_sent_msat.0.saturating_sub(paid.amount_msat.0);
            Ok(Payment { preimage, payment_hash: hash, amount, fee: msat(fee).unwrap_or(Msat::ZERO) })
        }
        Err(CallError::Failure(failure)) => Err(failed(&failure)),
        Err(CallError::Node(NodeError::Timeout | NodeError::BadReply(_))) => {
            after_silence(outgoing(transport, &hash).await)
        }
        Err(CallError::Node(error)) => Err(error.into()),
    }
}

pub(super) async fn outgoing(transport: &Transport, hash: &PaymentHash) -> Result<Outgoing, NodeError> {
    let asked = json!({"payment_hash": hash.to_string()});
    let found: Pays = transport.call("listpays", &asked, TIMEOUT).await?;
    let of = |status: &str| found.pays.iter().find(|pay| pay.status == status);
    if let Some(pay) = of("complete") {
        let preimage = pay.preimage.as_deref().and_then(|hex| proof(hex, hash));
        let preimage = preimage.ok_or_else(without_proof)?;
        let amount = pay.amount_msat.unwrap_or_default().0;
        let fee = pay.amount_sent_msat.unwrap_or_default().0.saturating_sub(amount);
        let msat = |unsigned| msat(unsigned).unwrap_or(Msat::ZERO);
        return Ok(Outgoing::Paid(Payment {
            preimage,
            payment_hash: *hash,
            amount: msat(amount),
            fee: msat(fee),
        }));
    }
    Ok(match (of("pending"), found.pays.is_empty()) {
        (Some(_), _) => Outgoing::Pending,
        (None, true) => Outgoing::Unknown,
        (None, false) => Outgoing::Failed,
    })
}

/// The codes of `pay` and `xpay`.
fn failed(failure: &Failure) -> PayError {
    match failure.code {
        203 => PayError::Rejected,
        205 | 206 | 209 => PayError::NoRoute,
        207 => PayError::Expired,
        // Still under way when the time was over.
        200 | 210 => PayError::Pending,
        _ => PayError::Failed(words(failure.message.as_bytes())),
    }
}
