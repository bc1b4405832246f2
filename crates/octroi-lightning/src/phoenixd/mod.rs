//! The operator's phoenixd, over its HTTP API.
//!
//! phoenixd counts in whole satoshis, so invoices are rounded up. It buys room to receive by itself, for a fee that
//! it keeps from what arrives; the payer is credited with what they paid. Its websocket tells that something settled, its
//! list of received payments what: the list also knows what arrived while nobody listened. Where there is no websocket the
//! list is asked again and again.

mod http;
mod paying;
mod settled;

/// Reads bytes as whatever phoenixd may answer or tell: what arrived by them.
pub(crate) fn read_anything(bytes: &[u8]) -> Vec<Arrival> {
    let _ = std::str::from_utf8(bytes).map(told::is_news);
    let _ = serde_json::from_slice::<Created>(bytes).is_ok();
    let _ = serde_json::from_slice::<Balance>(bytes).map(|balance| sat(balance.balance_sat));
    if let Ok(info) = serde_json::from_slice::<Info>(bytes) {
        let _ = info.channels.iter().filter(|channel| channel.is_usable()).count();
    }
    let one = serde_json::from_slice::<Incoming>(bytes).ok();
    let list = serde_json::from_slice::<Vec<Incoming>>(bytes).unwrap_or_default();
    one.iter().chain(&list).filter_map(Incoming::arrival).map(|(arrival, _)| arrival).collect()
}

#[cfg(test)]
mod tests;
mod told;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use octroi_l402::{Msat, PaymentHash};
use reqwest::Method;
use url::Url;

use self::http::Http;
use self::told::Told;
use self::wire::{Balance, Created, Incoming, Info};
use crate::node::checked_invoice;
use crate::polled::{self, Pauses, Polled};
use crate::queue::Arrival;
use crate::{
    Balances, Capabilities, Channel, Invoice, InvoiceRequest, InvoiceState, LightningNode, NodeError,
    NodeInfo, Outgoing, Password, PayError, Payment, Power, Powers, Settled, Settlement, Settlements,
};

/// How often phoenixd is asked while nothing arrives.
const POLL: Pauses = Pauses { untold: Duration::from_millis(500), told: Duration::from_secs(10) };

/// A client of a phoenixd.
pub struct Phoenixd {
    http: Http,
    settled: Arc<Polled>,
    told: Told,
}

impl Phoenixd {
    /// What a phoenixd can do.
    pub const CAPABILITIES: Capabilities = Capabilities {
        msat_invoices: false,
        chosen_preimage: false,
        settlements: Settlements::ToldAndListed,
        past: crate::Past::Listed,
        custodial: false,
        pay: true,
        fee_limit: false,
        balances: true,
        inbound: true,
        channels: true,
        forget: false,
        buys_inbound: true,
    };

    /// A client of the phoenixd at `url` (usually `http://127.0.0.1:9740`). Nothing is sent yet.
    ///
    /// `password` is `http-password` of its `phoenix.conf`, or `http-password-limited-access` for a gate that only
    /// receives.
    ///
    /// # Errors
    /// [`NodeError::Config`] when `url` is not `http` or `https`, or carries a user name or password.
    pub fn new(url: &Url, password: Password) -> Result<Self, NodeError> {
        Self::asking(url, password, POLL)
    }

    fn asking(url: &Url, password: Password, pauses: Pauses) -> Result<Self, NodeError> {
        let settled = Arc::new(Polled::new(pauses));
        let http = Http::new(url, password.clone())?;
        Ok(Self { told: Told::new(http.websocket()?, password, Arc::clone(&settled))?, http, settled })
    }

    /// What phoenixd says of an invoice of ours; `None` when it does not know it.
    async fn incoming(&self, hash: &PaymentHash) -> Result<Option<Incoming>, NodeError> {
        self.http.find(&format!("payments/incoming/{hash}")).await
    }

    async fn node_info(&self) -> Result<Info, NodeError> {
        self.http.call(Method::GET, "getinfo", &[]).await
    }
}

#[async_trait]
impl LightningNode for Phoenixd {
    fn backend(&self) -> &'static str {
        "phoenixd"
    }

    fn ledger_name(&self) -> String {
        format!("phoenixd:{}", self.http.base())
    }

    /// The limited password may do all but spend, and is turned away before anything else is looked at.
    async fn powers(&self) -> Result<Powers, NodeError> {
        self.node_info().await?;
        let spend = self.http.may_pay().await?;
        Ok(Powers { spend: Power::from_bool(spend), ..Powers::ALL })
    }

    fn capabilities(&self) -> Capabilities {
        Self::CAPABILITIES
    }

    /// A proxy may let no websocket through.
    async fn settlements(&self) -> Result<Settlements, NodeError> {
        let told = self.told.can().await;
        Ok(if told { Settlements::ToldAndListed } else { Settlements::Listed })
    }

    async fn create_invoice(&self, request: InvoiceRequest) -> Result<Invoice, NodeError> {
        request.only_chosen_by_the_node()?;
        let sat = request.sats_above_zero()?;
        let form = [
            ("amountSat", sat.to_string()),
            ("description", request.bounded_description().to_owned()),
            ("expirySeconds", request.expiry_secs().to_string()),
        ];
        let created: Created = self.http.call(Method::POST, "createinvoice", &form).await?;
        checked_invoice(created.serialized, Msat::from_sat(sat).unwrap_or(Msat::ZERO))
    }

    async fn lookup(&self, payment_hash: &PaymentHash) -> Result<InvoiceState, NodeError> {
        let Some(payment) = self.incoming(payment_hash).await? else { return Ok(InvoiceState::Unknown) };
        if let Some((arrival, _)) = payment.arrival() {
            return Ok(InvoiceState::Settled { amount: arrival.amount, settled_at: arrival.settled_at });
        }
        Ok(if payment.is_expired { InvoiceState::Expired } else { InvoiceState::Open })
    }

    async fn next_settlement(&self, after: Option<&str>) -> Result<Settlement, NodeError> {
        self.told.listen();
        self.settled.next(&self.http, after).await
    }

    async fn settled_since(&self, from: u64) -> Result<Vec<Settled>, NodeError> {
        polled::settled_since(&self.http, from).await
    }

    async fn acknowledge(&self, settlement: &Settlement) -> Result<(), NodeError> {
        self.settled.acknowledge(&settlement.payment_hash);
        Ok(())
    }

    /// phoenixd keeps its own records.
    async fn forget(&self, _payment_hash: &PaymentHash) -> Result<(), NodeError> {
        Ok(())
    }

    async fn pay(&self, bolt11: &str, _max_fee: Msat, timeout: Duration) -> Result<Payment, PayError> {
        paying::pay(&self.http, bolt11, timeout).await
    }

    async fn outgoing(&self, payment_hash: &PaymentHash) -> Result<Outgoing, NodeError> {
        paying::outgoing(&self.http, payment_hash).await
    }

    async fn balances(&self) -> Result<Balances, NodeError> {
        let balance: Balance = self.http.call(Method::GET, "getbalance", &[]).await?;
        let info = self.node_info().await?;
        let inbound = info
            .channels
            .iter()
            .filter_map(|channel| channel.inbound_liquidity_sat)
            .fold(0, u64::saturating_add);
        let inbound = sat(inbound)?;
        Ok(Balances { outbound: sat(balance.balance_sat)?, inbound: Some(inbound), onchain_sat: 0 })
    }

    async fn info(&self) -> Result<NodeInfo, NodeError> {
        let info = self.node_info().await?;
        Ok(NodeInfo {
            alias: None,
            network: info.network().to_owned(),
            block_height: info.block_height.unwrap_or(0),
            synced: info.block_height.is_some(),
            channels: info.channels.len(),
            usable_channels: info.channels.iter().filter(|channel| channel.is_usable()).count(),
            id: info.node_id,
        })
    }

    async fn channels(&self) -> Result<Vec<Channel>, NodeError> {
        let info = self.node_info().await?;
        let channels = info.channels.into_iter().map(|channel| {
            Ok(Channel {
                peer: String::new(),
                capacity_sat: channel.capacity_sat.unwrap_or(0),
                outbound: sat(channel.balance_sat.unwrap_or(0))?,
                inbound: sat(channel.inbound_liquidity_sat.unwrap_or(0))?,
                usable: channel.is_usable(),
                id: channel.channel_id.unwrap_or_default(),
            })
        });
        channels.collect()
    }
}

/// Whole satoshis of a reply.
fn sat(sat: u64) -> Result<Msat, NodeError> {
    crate::paying::amount(sat.saturating_mul(1000))
}
