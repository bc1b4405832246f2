//! LND's replies, as far as they are read. 64-bit integers are texts, bytes are base64, and fields at their default may
//! be left out (proto3's JSON).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use octroi_l402::PaymentHash;
use reqwest::StatusCode;
use serde::{Deserialize, Deserializer};

use crate::queue::Arrival;
use crate::rest::Reply;

/// `POST /v1/invoices`.
#[derive(Deserialize)]
pub(super) struct Created {
    pub(super) payment_request: String,
}

/// `{"code":5,"message":"…"}`, under most statuses that are no success, and inside streams as `error`.
#[derive(Deserialize)]
pub(super) struct Failure {
    #[serde(default)]
    pub(super) message: String,
}

/// Whether the answer says that there is no such record: 404, or 500 with words (older releases).
pub(super) fn is_unknown(reply: &Reply) -> bool {
    let Ok(failure) = reply.parse::<Failure>() else { return false };
    let words = failure.message.as_str();
    reply.status == StatusCode::NOT_FOUND
        || ["unable to locate invoice", "no existing invoices", "payment isn't initiated"]
            .iter()
            .any(|part| words.contains(part))
}

/// An invoice, in a look-up, a list and the stream.
#[derive(Deserialize)]
pub(super) struct InvoiceRecord {
    #[serde(default)]
    pub(super) r_hash: String,
    #[serde(default)]
    pub(super) state: String,
    #[serde(default, deserialize_with = "number")]
    amt_paid_msat: u64,
    #[serde(default, deserialize_with = "number")]
    settle_date: u64,
    #[serde(default, deserialize_with = "number")]
    settle_index: u64,
    #[serde(default, deserialize_with = "number")]
    creation_date: u64,
    #[serde(default, deserialize_with = "number")]
    expiry: u64,
}

impl InvoiceRecord {
    /// What arrived for it, once it is settled.
    pub(super) fn arrival(&self) -> Option<Arrival> {
        if self.state != "SETTLED" {
            return None;
        }
        let hash: [u8; 32] = STANDARD.decode(&self.r_hash).ok()?.try_into().ok()?;
        Arrival::new(PaymentHash::from_bytes(hash), self.amt_paid_msat, self.settle_date, self.settle_index)
    }

    pub(super) const fn expires_at(&self) -> u64 {
        self.creation_date.saturating_add(self.expiry)
    }
}

/// `GET /v1/invoices`.
#[derive(Deserialize)]
pub(super) struct InvoiceList {
    #[serde(default)]
    pub(super) invoices: Vec<InvoiceRecord>,
    /// The number of the oldest of them; the page before begins below it.
    #[serde(default, deserialize_with = "number")]
    pub(super) first_index_offset: u64,
}

/// A line of a stream: one of both.
#[derive(Deserialize)]
#[serde(bound = "T: Deserialize<'de>")]
pub(super) struct Line<T> {
    pub(super) result: Option<T>,
    pub(super) error: Option<Failure>,
}

/// What became of an outgoing payment.
#[derive(Deserialize)]
pub(super) struct Sent {
    #[serde(default)]
    pub(super) status: String,
    #[serde(default)]
    pub(super) payment_preimage: String,
    #[serde(default, deserialize_with = "number")]
    pub(super) value_msat: u64,
    #[serde(default, deserialize_with = "number")]
    pub(super) fee_msat: u64,
    #[serde(default)]
    pub(super) failure_reason: String,
}

#[derive(Deserialize)]
struct Amount {
    #[serde(default, deserialize_with = "number")]
    msat: u64,
}

/// `GET /v1/balance/channels`.
#[derive(Deserialize)]
pub(super) struct ChannelBalance {
    local_balance: Option<Amount>,
}

impl ChannelBalance {
    pub(super) fn local_msat(&self) -> u64 {
        self.local_balance.as_ref().map_or(0, |amount| amount.msat)
    }
}

/// `GET /v1/balance/blockchain`.
#[derive(Deserialize)]
pub(super) struct WalletBalance {
    #[serde(default, deserialize_with = "number")]
    pub(super) total_balance: u64,
}

/// `GET /v1/channels`.
#[derive(Deserialize)]
pub(super) struct Channels {
    #[serde(default)]
    pub(super) channels: Vec<LndChannel>,
}

#[derive(Deserialize)]
pub(super) struct LndChannel {
    #[serde(default)]
    pub(super) active: bool,
    #[serde(default)]
    pub(super) remote_pubkey: String,
    #[serde(default)]
    pub(super) channel_point: String,
    #[serde(default, deserialize_with = "number")]
    pub(super) capacity: u64,
    #[serde(default, deserialize_with = "number")]
    local_balance: u64,
    #[serde(default, deserialize_with = "number")]
    remote_balance: u64,
    local_constraints: Option<Constraints>,
    remote_constraints: Option<Constraints>,
}

#[derive(Deserialize)]
struct Constraints {
    /// What this side must keep, in satoshis (BOLT 2 `channel_reserve_satoshis`).
    #[serde(default, deserialize_with = "number")]
    chan_reserve_sat: u64,
}

impl LndChannel {
    pub(super) fn outbound_msat(&self) -> u64 {
        above_reserve(self.local_balance, self.local_constraints.as_ref())
    }

    pub(super) fn inbound_msat(&self) -> u64 {
        above_reserve(self.remote_balance, self.remote_constraints.as_ref())
    }
}

fn above_reserve(balance_sat: u64, constraints: Option<&Constraints>) -> u64 {
    let reserve = constraints.map_or(0, |constraints| constraints.chan_reserve_sat);
    balance_sat.saturating_sub(reserve).saturating_mul(1000)
}

/// `GET /v1/getinfo`.
#[derive(Deserialize)]
pub(super) struct GetInfo {
    pub(super) identity_pubkey: String,
    #[serde(default)]
    pub(super) alias: String,
    #[serde(default)]
    pub(super) block_height: u32,
    #[serde(default)]
    pub(super) synced_to_chain: bool,
    #[serde(default)]
    pub(super) num_active_channels: usize,
    #[serde(default)]
    pub(super) num_inactive_channels: usize,
    #[serde(default)]
    chains: Vec<Chain>,
}

#[derive(Deserialize)]
struct Chain {
    #[serde(default)]
    network: String,
}

impl GetInfo {
    pub(super) fn network(&self) -> &str {
        match self.chains.first().map_or("", |chain| chain.network.as_str()) {
            "mainnet" => "bitcoin",
            other => other,
        }
    }
}

/// A number that may be a text. One that makes no sense is none: a record is read all the same, and counts for nothing.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either<'a> {
        Number(u64),
        Text(std::borrow::Cow<'a, str>),
        Nonsense(serde::de::IgnoredAny),
    }
    Ok(match Either::deserialize(deserializer)? {
        Either::Number(number) => number,
        // Negative where a channel owes its fees: nothing can be sent then.
        Either::Text(text) => text.parse().unwrap_or(0),
        Either::Nonsense(_) => 0,
    })
}
