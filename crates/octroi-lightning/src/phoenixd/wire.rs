//! phoenixd's replies, as far as they are read. Amounts are satoshis where the name says so, else millisatoshis;
//! times are milliseconds since the Unix epoch.

use serde::Deserialize;

use crate::queue::Arrival;

/// `POST /createinvoice`.
#[derive(Deserialize)]
pub(super) struct Created {
    pub(super) serialized: String,
}

/// `GET /payments/incoming` (a list of these) and `GET /payments/incoming/{hash}`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Incoming {
    pub(super) payment_hash: String,
    pub(super) is_paid: bool,
    #[serde(default)]
    pub(super) is_expired: bool,
    pub(super) requested_sat: Option<u64>,
    #[serde(default)]
    pub(super) received_sat: u64,
    /// What phoenixd kept for room to receive, in msat.
    #[serde(default)]
    pub(super) fees: u64,
    pub(super) completed_at: Option<u64>,
}

impl Incoming {
    /// Whose money, what the payer paid, and when (milliseconds); `None` while it is unpaid, or makes no sense.
    ///
    /// What arrived is said in whole satoshis and without the fee, so the sum of both may miss a part of a satoshi:
    /// an invoice with an amount is never paid with less.
    pub(super) fn arrival(&self) -> Option<(Arrival, u64)> {
        let completed_at = self.completed_at.filter(|_| self.is_paid)?;
        let paid = self.received_sat.checked_mul(1000)?.checked_add(self.fees)?;
        let asked = self.requested_sat.unwrap_or(0).checked_mul(1000)?;
        let payment_hash = self.payment_hash.parse().ok()?;
        let settled_at = completed_at / 1000;
        Some((Arrival::new(payment_hash, paid.max(asked), settled_at, 0)?, completed_at))
    }
}

/// `POST /payinvoice`: either of two shapes.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Paid {
    pub(super) reason: Option<String>,
    pub(super) payment_preimage: Option<String>,
    #[serde(default)]
    pub(super) routing_fee_sat: u64,
}

/// `GET /payments/outgoingbyhash/{hash}`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OutgoingPayment {
    pub(super) preimage: Option<String>,
    pub(super) is_paid: bool,
    /// With the fee.
    pub(super) sent: u64,
    /// In msat.
    pub(super) fees: u64,
    pub(super) invoice: Option<String>,
    pub(super) completed_at: Option<u64>,
}

/// `GET /getbalance`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Balance {
    pub(super) balance_sat: u64,
}

/// `GET /getinfo`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Info {
    pub(super) node_id: String,
    pub(super) channels: Vec<ChannelInfo>,
    pub(super) chain: String,
    pub(super) block_height: Option<u32>,
}

impl Info {
    pub(super) fn network(&self) -> &str {
        match self.chain.as_str() {
            "mainnet" => "bitcoin",
            "testnet3" => "testnet",
            other => other,
        }
    }
}

/// A channel of [`Info`]; one that is being made has only a state.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ChannelInfo {
    pub(super) state: String,
    pub(super) channel_id: Option<String>,
    pub(super) balance_sat: Option<u64>,
    pub(super) inbound_liquidity_sat: Option<u64>,
    pub(super) capacity_sat: Option<u64>,
}

impl ChannelInfo {
    pub(super) fn is_usable(&self) -> bool {
        self.state == "Normal"
    }
}
