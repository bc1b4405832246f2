//! Core Lightning's replies, as far as they are read.

use serde::{Deserialize, Deserializer};

use crate::queue::Arrival;

/// Millisatoshis: a number, or in older releases a text that ends in `msat`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Amount(pub(super) u64);

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either<'a> {
            Number(u64),
            Text(std::borrow::Cow<'a, str>),
        }
        match Either::deserialize(deserializer)? {
            Either::Number(number) => Ok(Self(number)),
            Either::Text(text) => {
                text.trim_end_matches("msat").parse().map(Self).map_err(serde::de::Error::custom)
            }
        }
    }
}

/// `invoice`.
#[derive(Deserialize)]
pub(super) struct Created {
    pub(super) bolt11: String,
}

/// `listinvoices`.
#[derive(Deserialize)]
pub(super) struct Invoices {
    pub(super) invoices: Vec<InvoiceRecord>,
}

/// One of [`Invoices`], and the answer of `waitanyinvoice`.
#[derive(Deserialize)]
pub(super) struct InvoiceRecord {
    pub(super) label: Option<String>,
    pub(super) payment_hash: String,
    pub(super) status: String,
    #[serde(default)]
    pub(super) expires_at: u64,
    pub(super) pay_index: Option<u64>,
    #[serde(default, deserialize_with = "sense")]
    pub(super) amount_received_msat: Option<Amount>,
    #[serde(default, deserialize_with = "sense")]
    pub(super) paid_at: Option<u64>,
}

impl InvoiceRecord {
    /// What arrived for it, once it is paid.
    pub(super) fn arrival(&self) -> Option<Arrival> {
        if self.status != "paid" {
            return None;
        }
        let hash = self.payment_hash.parse().ok()?;
        Arrival::new(hash, self.amount_received_msat?.0, self.paid_at?, self.pay_index?)
    }
}

/// A value that may make no sense: it is none then, and the record is read without it.
fn sense<'de, D: Deserializer<'de>, T: serde::de::DeserializeOwned>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).ok())
}

/// `xpay`.
#[derive(Deserialize)]
pub(super) struct Paid {
    pub(super) payment_preimage: String,
    pub(super) amount_msat: Amount,
    pub(super) amount_sent_msat: Amount,
}

/// `listpays`.
#[derive(Deserialize)]
pub(super) struct Pays {
    pub(super) pays: Vec<Pay>,
}

#[derive(Deserialize)]
pub(super) struct Pay {
    pub(super) status: String,
    pub(super) preimage: Option<String>,
    pub(super) amount_msat: Option<Amount>,
    pub(super) amount_sent_msat: Option<Amount>,
}

/// `listpeerchannels`.
#[derive(Deserialize)]
pub(super) struct Channels {
    pub(super) channels: Vec<ClnChannel>,
}

#[derive(Deserialize)]
pub(super) struct ClnChannel {
    pub(super) peer_id: String,
    #[serde(default)]
    peer_connected: bool,
    state: String,
    pub(super) channel_id: Option<String>,
    #[serde(default)]
    pub(super) spendable_msat: Amount,
    #[serde(default)]
    pub(super) receivable_msat: Amount,
    #[serde(default)]
    pub(super) total_msat: Amount,
}

impl ClnChannel {
    pub(super) fn is_usable(&self) -> bool {
        self.peer_connected && self.state == "CHANNELD_NORMAL"
    }
}

/// `listfunds`.
#[derive(Deserialize)]
pub(super) struct Funds {
    #[serde(default)]
    outputs: Vec<Output>,
}

#[derive(Deserialize)]
struct Output {
    #[serde(default)]
    amount_msat: Amount,
}

impl Funds {
    pub(super) fn onchain_sat(&self) -> u64 {
        self.outputs.iter().map(|output| output.amount_msat.0 / 1000).fold(0, u64::saturating_add)
    }
}

/// `getinfo`.
#[derive(Deserialize)]
pub(super) struct GetInfo {
    pub(super) id: String,
    pub(super) alias: Option<String>,
    pub(super) network: String,
    pub(super) blockheight: u32,
    #[serde(default)]
    pub(super) num_active_channels: usize,
    #[serde(default)]
    pub(super) num_inactive_channels: usize,
    warning_bitcoind_sync: Option<String>,
    warning_lightningd_sync: Option<String>,
}

impl GetInfo {
    pub(super) const fn is_synced(&self) -> bool {
        self.warning_bitcoind_sync.is_none() && self.warning_lightningd_sync.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_in_both_spellings() {
        let read = |text: &str| serde_json::from_str::<Amount>(text).ok().map(|amount| amount.0);
        assert_eq!(
            (read("1700"), read("\"1700msat\""), read("\"1700\"")),
            (Some(1700), Some(1700), Some(1700))
        );
        assert_eq!((read("-1"), read("\"1btc\""), read("1.5")), (None, None, None));
    }
}
