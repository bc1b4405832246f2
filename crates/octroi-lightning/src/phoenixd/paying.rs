//! Paying with phoenixd.

use std::time::Duration;

use octroi_l402::{Msat, PaymentHash};
use reqwest::Method;

use super::http::Http;
use super::wire::{OutgoingPayment, Paid};
use crate::node::{msat, payable};
use crate::paying::{after_silence, proof, without_proof};
use crate::{NodeError, Outgoing, PayError, Payment, bolt11};

pub(super) async fn pay(http: &Http, text: &str, timeout: Duration) -> Result<Payment, PayError> {
    let (hash, amount) = payable(text)?;
    // phoenixd answers once the payment is decided.
    let form = [("invoice", text.to_owned())];
    let paid: Paid = match http.ask(Method::POST, "payinvoice", &form, timeout).await {
        Ok(Some(paid)) => paid,
        Ok(None) => return Err(NodeError::BadReply("no /payinvoice: is this a phoenixd?".to_owned()).into()),
        Err(NodeError::Timeout) => return after_silence(outgoing(http, &hash).await),
        Err(NodeError::BadReply(_)) => return Err(PayError::Pending),
        Err(error) => return Err(error.into()),
    };
    if let Some(reason) = paid.reason {
        return Err(failure(&reason));
    }
    let preimage = paid.payment_preimage.and_then(|hex| proof(&hex, &hash)).ok_or(PayError::Pending)?;
    let fee = paid.routing_fee_sat.checked_mul(1000).and_then(msat).unwrap_or(Msat::ZERO);
    Ok(Payment { preimage, payment_hash: hash, amount, fee })
}

pub(super) async fn outgoing(http: &Http, hash: &PaymentHash) -> Result<Outgoing, NodeError> {
    let found: Option<OutgoingPayment> = http.find(&format!("payments/outgoingbyhash/{hash}")).await?;
    let Some(record) = found else { return Ok(Outgoing::Unknown) };
    if !record.is_paid {
        // One that is over and not paid has failed.
        return Ok(if record.completed_at.is_some() { Outgoing::Failed } else { Outgoing::Pending });
    }
    let preimage = record.preimage.as_deref().and_then(|hex| proof(hex, hash));
    let preimage = preimage.ok_or_else(without_proof)?;
    let fee = msat(record.fees).unwrap_or(Msat::ZERO);
    // The invoice says the amount exactly; the record counts whole satoshis, with the fee.
    let asked = record
        .invoice
        .as_deref()
        .and_then(|text| bolt11::decode(text).ok())
        .and_then(|invoice| invoice.amount);
    let sent = record.sent.checked_mul(1000).and_then(msat).and_then(|sent| sent.checked_sub(fee));
    let amount = asked.or(sent).ok_or_else(|| NodeError::BadReply("an impossible amount".to_owned()))?;
    Ok(Outgoing::Paid(Payment { preimage, payment_hash: *hash, amount, fee }))
}

/// phoenixd gives its reasons as sentences; those that change what the caller does next are told apart.
fn failure(reason: &str) -> PayError {
    let lower = reason.to_ascii_lowercase();
    if lower.contains("already") {
        PayError::AlreadyPaid
    } else if lower.contains("expired") {
        PayError::Expired
    } else if lower.contains("insufficient") || lower.contains("route") || lower.contains("balance") {
        PayError::NoRoute
    } else {
        PayError::Failed(reason.chars().filter(|character| !character.is_control()).take(200).collect())
    }
}
