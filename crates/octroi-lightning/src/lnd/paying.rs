//! Paying with LND.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use octroi_l402::{Msat, PaymentHash};
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::Api;
use super::wire::{self, Failure, Line, Sent};
use crate::node::{msat, payable};
use crate::paying::{after_silence, proof, without_proof};
use crate::rest::{Content, Reply, TIMEOUT};
use crate::{NodeError, Outgoing, PayError, Payment};

/// LND's own time-out comes first by this much, so that its word is heard.
const GRACE: Duration = Duration::from_secs(5);

pub(super) async fn pay(
    api: &Api,
    text: &str,
    max_fee: Msat,
    timeout: Duration,
) -> Result<Payment, PayError> {
    let (hash, amount) = payable(text)?;
    let body = json!({
        "payment_request": text,
        "timeout_seconds": i32::try_from(timeout.as_secs().max(1)).unwrap_or(i32::MAX),
        "fee_limit_msat": max_fee.as_i64().max(0).to_string(),
        "no_inflight_updates": true,
    });
    let sent = api.0.send(Method::POST, "v2/router/send", Content::Json(&body), timeout + GRACE).await;
    let reply = match sent {
        Ok(reply) => reply,
        Err(NodeError::Timeout | NodeError::BadReply(_)) => return after_silence(outgoing(api, &hash).await),
        Err(error) => return Err(error.into()),
    };
    if reply.status != StatusCode::OK {
        return Err(refused(api, &reply));
    }
    let Ok(line) = last_line(&reply) else { return after_silence(outgoing(api, &hash).await) };
    match line {
        Line { result: Some(sent), .. } => match sent.status.as_str() {
            "SUCCEEDED" => paid(&sent, hash, amount).ok_or(PayError::Pending),
            "FAILED" => Err(failed(&sent.failure_reason)),
            _ => Err(PayError::Pending),
        },
        Line { error: Some(failure), .. } => Err(words(&failure.message)),
        _ => after_silence(outgoing(api, &hash).await),
    }
}

pub(super) async fn outgoing(api: &Api, hash: &PaymentHash) -> Result<Outgoing, NodeError> {
    // The list is read rather than the payment tracked: tracking answers when the payment is over.
    let path = format!("v2/router/track/{}?no_inflight_updates=false", URL_SAFE.encode(hash.as_bytes()));
    let mut response = match api.0.open(&path, Content::Nothing).await {
        Ok(response) => response,
        Err(NodeError::BadReply(_)) => return Ok(Outgoing::Unknown),
        Err(error) => return Err(error),
    };
    let read = tokio::time::timeout(TIMEOUT, async {
        let mut bytes = Vec::new();
        while !bytes.contains(&b'\n') {
            match response.chunk().await {
                Ok(Some(chunk)) if bytes.len() < (1 << 20) => bytes.extend_from_slice(&chunk),
                _ => break,
            }
        }
        bytes
    });
    let bytes = read.await.map_err(|_| NodeError::Timeout)?;
    let reply = Reply { status: StatusCode::OK, body: bytes };
    let line = first_line(&reply)?;
    if let Some(failure) = line.error {
        let body = json!({"message": failure.message}).to_string().into_bytes();
        let reply = Reply { status: StatusCode::INTERNAL_SERVER_ERROR, body };
        return if wire::is_unknown(&reply) { Ok(Outgoing::Unknown) } else { Err(api.error(&reply)) };
    }
    let sent = line.result.ok_or_else(|| NodeError::BadReply("no payment".to_owned()))?;
    match sent.status.as_str() {
        "SUCCEEDED" => {
            let amount = msat(sent.value_msat).unwrap_or(Msat::ZERO);
            let payment = paid(&sent, *hash, amount);
            payment.map(Outgoing::Paid).ok_or_else(without_proof)
        }
        "FAILED" => Ok(Outgoing::Failed),
        _ => Ok(Outgoing::Pending),
    }
}

fn first_line(reply: &Reply) -> Result<Line<Sent>, NodeError> {
    let line = reply.body.split(|byte| *byte == b'\n').find(|line| !line.is_empty()).unwrap_or_default();
    serde_json::from_slice(line).map_err(|error| NodeError::BadReply(error.to_string()))
}

fn last_line(reply: &Reply) -> Result<Line<Sent>, NodeError> {
    let line = reply.body.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty()).unwrap_or_default();
    serde_json::from_slice(line).map_err(|error| NodeError::BadReply(error.to_string()))
}

fn paid(sent: &Sent, payment_hash: PaymentHash, amount: Msat) -> Option<Payment> {
    let preimage = proof(&sent.payment_preimage, &payment_hash)?;
    Some(Payment { preimage, payment_hash, amount, fee: msat(sent.fee_msat)? })
}

fn refused(api: &Api, reply: &Reply) -> PayError {
    match reply.parse::<Failure>() {
        Ok(failure) if words(&failure.message) != PayError::Pending => words(&failure.message),
        _ => api.error(reply).into(),
    }
}

/// LND refuses to begin with a sentence. [`PayError::Pending`] stands for one that says nothing of the payment.
fn words(message: &str) -> PayError {
    let lower = message.to_ascii_lowercase();
    if lower.contains("already paid") || lower.contains("in transition") {
        PayError::AlreadyPaid
    } else if lower.contains("expired") {
        PayError::Expired
    } else if lower.contains("no route") || lower.contains("insufficient") {
        PayError::NoRoute
    } else {
        PayError::Pending
    }
}

fn failed(reason: &str) -> PayError {
    match reason {
        "FAILURE_REASON_NO_ROUTE" | "FAILURE_REASON_INSUFFICIENT_BALANCE" => PayError::NoRoute,
        "FAILURE_REASON_INCORRECT_PAYMENT_DETAILS" => PayError::Rejected,
        other => PayError::Failed(crate::rest::words(other.as_bytes())),
    }
}
