//! The operator's pages about the Lightning node: what it is, what it can carry, and who was given invoices.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};
use octroi_gate::Till;
use octroi_gate::invoices::{Alert, Class, InvoiceDesk};
use octroi_l402::Msat;
use octroi_lightning::{Invoice, InvoiceRequest, LightningNode, NodeError};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::endpoint::Endpoint;

/// How long the node may take to answer one question.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long an invoice of the operator's may be paid, unless told otherwise.
const EXPIRY_SECONDS: u64 = 3600;
/// At most a week.
const EXPIRY_SECONDS_MAX: u64 = 604_800;

/// The desk of the one node behind these endpoints.
pub(crate) fn desk(endpoints: &[Arc<Endpoint>]) -> Option<&Arc<InvoiceDesk>> {
    endpoints.iter().find_map(|endpoint| endpoint.gate.till().and_then(Till::invoices))
}

/// `GET /lightning`
pub(crate) async fn status(endpoints: &[Arc<Endpoint>]) -> Response<Bytes> {
    let Some(desk) = desk(endpoints) else { return no_node() };
    let (mut page, unknown) = of_node(desk.node().as_ref()).await;
    page["up"] = desk.is_up().into();
    page["in_stock"] = desk.in_stock().into();
    page["invoices"] = Class::ALL
        .map(|class| {
            let (made, refused, open) = desk.counts(class);
            json!({"class": class.as_str(), "made": made, "refused": refused, "open": open})
        })
        .to_vec()
        .into();
    page["alerts"] = Alert::ALL
        .map(|alert| (alert.as_str().to_owned(), Value::Bool(desk.alert(alert).0)))
        .into_iter()
        .collect::<Map<_, _>>()
        .into();
    if let Some(error) = unknown {
        page["error"] = error.to_string().into();
    }
    json_page(StatusCode::OK, &page)
}

/// What a node is, what it can, what it can carry, and its channels; and why it does not say who it is, if it does not.
pub async fn of_node(node: &dyn LightningNode) -> (Value, Option<NodeError>) {
    let can = node.capabilities();
    let (info, balances, channels, closing) = tokio::join!(
        tokio::time::timeout(PATIENCE, node.info()),
        tokio::time::timeout(PATIENCE, node.balances()),
        tokio::time::timeout(PATIENCE, node.channels()),
        tokio::time::timeout(PATIENCE, node.closing()),
    );
    let balances = balances.ok().and_then(Result::ok);
    let channels = channels.ok().and_then(Result::ok).unwrap_or_default();
    let info = info.unwrap_or(Err(NodeError::Timeout));
    let page = json!({
        "backend": node.backend(),
        "can": can.to_string(),
        "custodial": can.custodial,
        "up": info.is_ok(),
        "outbound_msat": balances.map(|balances| balances.outbound.as_i64()),
        "inbound_msat": balances.and_then(|balances| balances.inbound).map(Msat::as_i64),
        "onchain_sat": balances.map(|balances| balances.onchain_sat),
        "node": info.as_ref().ok().map(|info| json!({
            "id": info.id,
            "alias": info.alias,
            "network": info.network,
            "block_height": info.block_height,
            "synced": info.synced,
            "channels": info.channels,
            "usable_channels": info.usable_channels,
        })),
        "channels": channels.iter().map(|channel| json!({
            "id": channel.id,
            "peer": channel.peer,
            "capacity_sat": channel.capacity_sat,
            "outbound_msat": channel.outbound.as_i64(),
            "inbound_msat": channel.inbound.as_i64(),
            "usable": channel.usable,
        })).collect::<Vec<_>>(),
        "closing": closing.ok().and_then(Result::ok).unwrap_or_default(),
    });
    (page, info.err())
}

/// An invoice as it was made.
pub fn of_invoice(invoice: &Invoice) -> Value {
    json!({
        "invoice": invoice.bolt11,
        "payment_hash": invoice.payment_hash.to_string(),
        "amount_msat": invoice.amount.as_i64(),
        "expires_at": invoice.expires_at,
    })
}

/// What `POST /lightning/invoice` is told.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    msat: i64,
    #[serde(default)]
    description: String,
    expiry_seconds: Option<u64>,
}

/// `POST /lightning/invoice`: an invoice of the operator's own. What is paid for it is nobody's in the ledger.
pub(crate) async fn invoice(endpoints: &[Arc<Endpoint>], body: &[u8]) -> Response<Bytes> {
    let Some(desk) = desk(endpoints) else { return no_node() };
    let wanted: Wanted = match serde_json::from_slice(body) {
        Ok(wanted) => wanted,
        Err(error) => return json_page(StatusCode::BAD_REQUEST, &json!({"error": error.to_string()})),
    };
    let seconds = wanted.expiry_seconds.unwrap_or(EXPIRY_SECONDS).min(EXPIRY_SECONDS_MAX);
    let request = InvoiceRequest {
        amount: Msat::new(wanted.msat),
        description: wanted.description,
        expiry: Duration::from_secs(seconds),
        preimage: None,
    };
    let made = tokio::time::timeout(PATIENCE, desk.node().create_invoice(request)).await;
    match made.unwrap_or(Err(NodeError::Timeout)) {
        Ok(invoice) => json_page(StatusCode::OK, &of_invoice(&invoice)),
        Err(error) => failed(&error),
    }
}

/// `POST /lightning/address`: a new on-chain address of the node's wallet.
pub(crate) async fn address(endpoints: &[Arc<Endpoint>]) -> Response<Bytes> {
    let Some(desk) = desk(endpoints) else { return no_node() };
    match tokio::time::timeout(PATIENCE, desk.node().new_address()).await.unwrap_or(Err(NodeError::Timeout)) {
        Ok(address) => json_page(StatusCode::OK, &json!({"address": address})),
        Err(error) => failed(&error),
    }
}

pub(crate) fn no_node() -> Response<Bytes> {
    json_page(StatusCode::NOT_FOUND, &json!({"error": "this gate has no Lightning node"}))
}

pub(crate) fn failed(error: &NodeError) -> Response<Bytes> {
    let status = match error {
        NodeError::Refused(_) | NodeError::Unsupported(_) | NodeError::Config(_) => StatusCode::BAD_REQUEST,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    json_page(status, &json!({"error": error.to_string()}))
}

pub(crate) fn json_page(status: StatusCode, page: &Value) -> Response<Bytes> {
    let mut reply = Response::new(Bytes::from(page.to_string()));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}
