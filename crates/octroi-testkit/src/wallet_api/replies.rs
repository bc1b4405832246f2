//! What the wallet answers, in phoenixd's words.

use http::{Response, StatusCode, header};
use octroi_l402::{Msat, PaymentHash};
use octroi_lightning::bolt11::Decoded;
use octroi_lightning::{Channel, InvoiceState, NodeError, NodeInfo, PayError, Payment};
use serde_json::{Value, json};

use super::book::{Made, Received};

/// A request that was not fulfilled: a status and a sentence.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    sentence: String,
}

impl Refusal {
    pub(super) const fn new(status: StatusCode, sentence: String) -> Self {
        Self { status, sentence }
    }

    pub(super) const fn bad_request(sentence: String) -> Self {
        Self::new(StatusCode::BAD_REQUEST, sentence)
    }

    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "Not found".to_owned())
    }

    pub(super) fn into_response(self) -> Response<String> {
        let mut response = Response::new(self.sentence);
        *response.status_mut() = self.status;
        if self.status == StatusCode::UNAUTHORIZED {
            let basic = header::HeaderValue::from_static("Basic realm=\"wallet\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, basic);
        }
        response
    }
}

impl From<NodeError> for Refusal {
    fn from(error: NodeError) -> Self {
        let status = match error {
            NodeError::Refused(_) => StatusCode::BAD_REQUEST,
            NodeError::Unsupported(_) => StatusCode::NOT_IMPLEMENTED,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, error.to_string())
    }
}

pub(super) fn json_response(body: &Value) -> Response<String> {
    let mut response = Response::new(body.to_string());
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// Whole satoshis, rounded down as phoenixd shows them.
pub(super) const fn sat(amount: Msat) -> i64 {
    amount.as_i64().div_euclid(1000)
}

/// phoenixd names payments by UUID; ours is the hash's first half in that form.
fn payment_id(hash: &PaymentHash) -> String {
    let hex = hash.to_string();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..32])
}

pub(super) fn payment_sent(payment: &Payment) -> Value {
    json!({
        "type": "payment_sent",
        "recipientAmountSat": sat(payment.amount),
        "routingFeeSat": sat(payment.fee),
        "paymentId": payment_id(&payment.payment_hash),
        "paymentHash": payment.payment_hash.to_string(),
        "paymentPreimage": payment.preimage.to_hex(),
    })
}

pub(super) fn payment_failed(hash: &PaymentHash, error: &PayError) -> Value {
    json!({ "type": "payment_failed", "paymentHash": hash.to_string(), "reason": error.to_string() })
}

/// An outgoing payment; `None` for the payment while it is not made.
pub(super) fn outgoing(hash: &PaymentHash, paid: Option<&Payment>) -> Value {
    json!({
        "type": "outgoing_payment",
        "subType": "lightning",
        "paymentId": payment_id(hash),
        "paymentHash": hash.to_string(),
        "preimage": paid.map(|payment| payment.preimage.to_hex()),
        "isPaid": paid.is_some(),
        "sent": paid.map_or(0, |payment| sat(payment.amount) + sat(payment.fee)),
        "fees": paid.map_or(0, |payment| payment.fee.as_i64()),
    })
}

/// An incoming payment, from what is remembered of its invoice and its arrival, and what the node says.
pub(super) fn incoming(
    hash: &PaymentHash,
    made: Option<&Made>,
    arrival: Option<Received>,
    state: InvoiceState,
) -> Value {
    let (received, completed_at) = match (arrival, state) {
        (Some(arrival), _) => (Some(arrival.amount), Some(arrival.completed_at)),
        (None, InvoiceState::Settled { amount, settled_at }) => {
            (Some(amount), Some(settled_at.saturating_mul(1000)))
        }
        (None, _) => (None, None),
    };
    json!({
        "type": "incoming_payment",
        "subType": "lightning",
        "paymentHash": hash.to_string(),
        "preimage": null,
        "externalId": made.and_then(|made| made.external_id.clone()),
        "description": made.map(|made| made.description.clone()),
        "invoice": made.map(|made| made.invoice.bolt11.clone()),
        "isPaid": received.is_some(),
        "isExpired": state == InvoiceState::Expired,
        "requestedSat": made.map(|made| sat(made.invoice.amount)),
        "receivedSat": received.map_or(0, sat),
        "fees": 0,
        "payerNote": null,
        "payerKey": null,
        "expiresAt": made.map(|made| made.invoice.expires_at.saturating_mul(1000)),
        "completedAt": completed_at,
        "createdAt": made.map(|made| made.created_at).or(completed_at),
    })
}

pub(super) fn info(info: &NodeInfo, channels: &[Channel]) -> Value {
    let channels: Vec<Value> = channels
        .iter()
        .map(|channel| {
            json!({
                "state": if channel.usable { "Normal" } else { "Offline" },
                "channelId": channel.id,
                "balanceSat": sat(channel.outbound),
                "inboundLiquiditySat": sat(channel.inbound),
                "capacitySat": channel.capacity_sat,
            })
        })
        .collect();
    json!({
        "nodeId": info.id,
        "channels": channels,
        "chain": if info.network == "bitcoin" { "mainnet" } else { &info.network },
        "blockHeight": info.block_height,
        "version": concat!("octroi-testkit-", env!("CARGO_PKG_VERSION")),
    })
}

pub(super) fn decoded(invoice: &Decoded) -> Value {
    json!({
        "chain": if invoice.network == "bitcoin" { "mainnet" } else { invoice.network },
        "amount": invoice.amount.map(Msat::as_i64),
        "paymentHash": invoice.payment_hash.to_string(),
        "description": invoice.description,
        "timestampSeconds": invoice.created_at,
        "expirySeconds": invoice.expires_at.saturating_sub(invoice.created_at),
    })
}
