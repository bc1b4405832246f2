//! What an operator spends from a running gate's Lightning node: payments, channels, coins.
//!
//! Every page here is sealed with the operator's key, and each seal is good once: whoever saw a request go by cannot send it again.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use octroi_l402::Msat;
use octroi_lightning::{ChannelRequest, NodeError, PayError, Withdrawal, bolt11};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::endpoint::Endpoint;
use crate::lightning_pages::{desk, failed, json_page, no_node};
use crate::operator_key::SEAL_SECONDS;

/// How long the node may take, payments excepted.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest a payment is waited for.
const PAYMENT_MAX: Duration = Duration::from_secs(600);
/// Most seals remembered as used. Each took the operator's key.
const USED_MAX: usize = 10_000;

/// What every request carries beside its own members, so that two of them are never the same.
pub type RequestId = String;

/// What `/lightning/pay` is asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PayRequest {
    /// Tells this request from any other.
    pub request: RequestId,
    /// The invoice (BOLT 11).
    pub invoice: String,
    /// The most for routing, in millisatoshi.
    pub fee_max_msat: i64,
    /// How long an outcome is waited for, in seconds; at most ten minutes.
    pub timeout_seconds: u64,
}

/// What `/lightning/open-channel` is asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenRequest {
    /// Tells this request from any other.
    pub request: RequestId,
    /// The peer's public key, 66 hex digits.
    pub peer: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// How much goes into the channel, in satoshis.
    pub sats: u64,
}

/// What `/lightning/close-channel` is asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CloseRequest {
    /// Tells this request from any other.
    pub request: RequestId,
    /// The channel's id, as `/lightning` shows it.
    pub channel: String,
    /// Without the peer.
    pub force: bool,
}

/// What `/lightning/withdraw` is asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WithdrawRequest {
    /// Tells this request from any other.
    pub request: RequestId,
    /// Where to.
    pub address: String,
    /// How much, in satoshis; `None`: everything that can go.
    pub sats: Option<u64>,
    /// For miners, in satoshis for each virtual byte; `None`: what the chain's source thinks.
    pub sat_per_vbyte: Option<u64>,
}

/// A way to spend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spending {
    Pay,
    OpenChannel,
    CloseChannel,
    Withdraw,
}

/// What is done with channels and coins.
enum Management {
    Open(ChannelRequest),
    Close(CloseRequest),
    Withdraw(Withdrawal),
}

/// Does what a sealed request asks.
pub(crate) async fn answer(endpoints: &[Arc<Endpoint>], what: Spending, body: &[u8]) -> Response<Bytes> {
    let management = match what {
        Spending::Pay => {
            return match serde_json::from_slice(body) {
                Ok(wanted) => pay(endpoints, wanted).await,
                Err(error) => not_understood(&error),
            };
        }
        Spending::OpenChannel => {
            serde_json::from_slice(body).map(|OpenRequest { peer, address, sats, .. }| {
                Management::Open(ChannelRequest { peer, address, capacity_sat: sats })
            })
        }
        Spending::CloseChannel => serde_json::from_slice(body).map(Management::Close),
        Spending::Withdraw => {
            serde_json::from_slice(body).map(|WithdrawRequest { address, sats, sat_per_vbyte, .. }| {
                Management::Withdraw(Withdrawal { address, amount_sat: sats, sat_per_vbyte })
            })
        }
    };
    match management {
        Ok(management) => manage(endpoints, management).await,
        Err(error) => not_understood(&error),
    }
}

fn not_understood(error: &serde_json::Error) -> Response<Bytes> {
    json_page(StatusCode::BAD_REQUEST, &json!({"error": error.to_string()}))
}

async fn manage(endpoints: &[Arc<Endpoint>], what: Management) -> Response<Bytes> {
    let Some(desk) = desk(endpoints) else { return no_node() };
    let Some(treasury) = desk.node().treasury() else {
        return failed(&NodeError::Unsupported("its channels and coins are managed with its own program"));
    };
    let work = async {
        match what {
            Management::Open(request) => {
                treasury.open_channel(request).await.map(|()| json!({"opening": true}))
            }
            Management::Close(CloseRequest { channel, force, .. }) => {
                let closing = treasury.close_channel(&channel, force).await;
                closing.map(|()| json!({"closing": true, "force": force}))
            }
            Management::Withdraw(withdrawal) => {
                treasury.withdraw(withdrawal).await.map(|id| json!({"transaction": id}))
            }
        }
    };
    match tokio::time::timeout(PATIENCE, work).await.unwrap_or(Err(NodeError::Timeout)) {
        Ok(done) => {
            tracing::info!(%done, "the operator spent from the Lightning node");
            json_page(StatusCode::OK, &done)
        }
        Err(error) => failed(&error),
    }
}

async fn pay(endpoints: &[Arc<Endpoint>], wanted: PayRequest) -> Response<Bytes> {
    let Some(desk) = desk(endpoints) else { return no_node() };
    if !desk.node().capabilities().pay {
        return failed(&NodeError::Unsupported("paying"));
    }
    let timeout = Duration::from_secs(wanted.timeout_seconds).min(PAYMENT_MAX);
    let hash = bolt11::decode(&wanted.invoice).ok().map(|invoice| invoice.payment_hash.to_string());
    match desk.node().pay(&wanted.invoice, Msat::new(wanted.fee_max_msat), timeout).await {
        Ok(paid) => {
            let (msat, fee) = (paid.amount.as_i64(), paid.fee.as_i64());
            tracing::info!(msat, fee, "the operator paid an invoice");
            // The proof of payment is the operator's own.
            let page = json!({
                "payment_hash": paid.payment_hash.to_string(),
                "preimage": paid.preimage.to_hex(),
                "amount_msat": msat,
                "fee_msat": fee,
            });
            json_page(StatusCode::OK, &page)
        }
        Err(PayError::Node(error)) => failed(&error),
        Err(error) => {
            let pending = error == PayError::Pending;
            let status = if pending { StatusCode::GATEWAY_TIMEOUT } else { StatusCode::BAD_REQUEST };
            let page = json!({"error": error.to_string(), "pending": pending, "payment_hash": hash});
            json_page(status, &page)
        }
    }
}

/// The seals that were used, for as long as they could be shown again.
pub(crate) struct UsedSeals {
    /// Unix seconds: what was sealed before could have been used in an earlier run.
    since: u64,
    used: Mutex<VecDeque<(u64, String)>>,
}

impl UsedSeals {
    pub(crate) const fn new(since: u64) -> Self {
        Self { since, used: Mutex::new(VecDeque::new()) }
    }

    /// Uses a good seal; `false` when it was used before, or may have been.
    pub(crate) fn take(&self, seal: &str, now: u64) -> bool {
        let Some(at) = seal.split_once('.').and_then(|(at, _)| at.parse::<u64>().ok()) else { return false };
        // Hexadecimal digits have two cases, and one meaning.
        let seal = seal.to_ascii_lowercase();
        let mut used = self.used.lock();
        while used.front().is_some_and(|(noted, _)| noted + 2 * SEAL_SECONDS < now) {
            used.pop_front();
        }
        if at < self.since || used.len() >= USED_MAX || used.iter().any(|(_, known)| *known == seal) {
            return false;
        }
        used.push_back((now, seal));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_is_used_once_and_none_of_an_earlier_run() {
        let seals = UsedSeals::new(1_000);
        assert!(!seals.take("999.ab", 1_001), "perhaps used before the restart");
        assert!(seals.take("1000.ab", 1_001));
        for again in ["1000.ab", "1000.AB"] {
            assert!(!seals.take(again, 1_001));
            assert!(!seals.take(again, 1_001 + 2 * SEAL_SECONDS), "as long as it is good");
        }
        assert!(seals.take("1000.cd", 1_060));
        assert!(!seals.take("what", 1_060));
        for number in 0..USED_MAX {
            seals.take(&format!("2000.{number}"), 2_000);
        }
        assert!(!seals.take("2000.x", 2_000), "no more than can be remembered");
        assert!(seals.take("2200.x", 2_200));
    }
}
