//! The operator's Core Lightning: over its REST plugin (clnrest) with a rune, or over its Unix socket.
//!
//! Settlements come from `waitanyinvoice`, which waits for the payment after a number. The rune should allow no more than
//! is used: `invoice`, `listinvoices`, `waitanyinvoice`, `delinvoice`, `getinfo`, `listpeerchannels`, `listfunds`, and to
//! pay `xpay` and `listpays`.

mod paying;
mod powers;
mod stream;
mod transport;
mod wire;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use octroi_l402::{Msat, PaymentHash};
use serde_json::json;
use url::Url;

use self::stream::Stream;
use self::transport::Transport;
use self::wire::{Channels, Created, Funds, GetInfo, InvoiceRecord, Invoices};
use crate::feed::Feed;
use crate::node::{checked_invoice, unix_now};
use crate::paying::amount;
use crate::queue::Arrival;
use crate::rest::{Login, Rest, TIMEOUT};
use crate::{
    Balances, Capabilities, Channel, Invoice, InvoiceRequest, InvoiceState, LightningNode, NodeError,
    NodeInfo, Outgoing, Password, PayError, Payment, Powers, Settlement, Settlements,
};

/// A client of a Core Lightning.
pub struct Cln {
    transport: Arc<Transport>,
    feed: Feed<Stream>,
    powers: Powers,
}

impl Cln {
    /// What a Core Lightning can do.
    pub const CAPABILITIES: Capabilities = Capabilities {
        msat_invoices: true,
        chosen_preimage: true,
        settlements: Settlements::Stream,
        pay: true,
        fee_limit: true,
        balances: true,
        inbound: true,
        channels: true,
        forget: true,
        ..Capabilities::LEAST
    };

    /// A client of the clnrest at `url` (usually `https://127.0.0.1:3010`). Nothing is sent yet.
    ///
    /// `certificate` is the text of its `server.pem`, or of the `ca.pem` that signed it: the only one then accepted.
    ///
    /// # Errors
    /// [`NodeError::Config`].
    pub fn over_rest(url: &Url, rune: &Password, certificate: Option<&str>) -> Result<Self, NodeError> {
        let rest = Rest::new("clnrest", url, Login::Header("rune", rune), certificate)?;
        Ok(Self::over(Transport::Rest(rest), Self::powers_of(rune)))
    }

    /// A client of the `lightning-rpc` socket at `path`. Whoever may open it may do everything. Nothing is sent yet.
    #[must_use]
    pub fn over_socket(path: impl Into<PathBuf>) -> Self {
        Self::over(Transport::Socket(path.into()), Powers::ALL)
    }

    fn over(transport: Transport, powers: Powers) -> Self {
        let transport = Arc::new(transport);
        Self { feed: Feed::new(Stream::new(Arc::clone(&transport))), transport, powers }
    }

    /// What a rune allows, without asking anybody.
    #[must_use]
    pub fn powers_of(rune: &Password) -> Powers {
        powers::of(rune.reveal())
    }
}

/// Labels are unique at a node: ours are drawn.
fn label() -> Result<String, NodeError> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| NodeError::Storage(error.to_string()))?;
    Ok(format!("octroi-{}", hex::encode(random)))
}

#[async_trait]
impl LightningNode for Cln {
    fn backend(&self) -> &'static str {
        "cln"
    }

    fn ledger_name(&self) -> String {
        format!("cln:{}", self.transport.place())
    }

    async fn powers(&self) -> Result<Powers, NodeError> {
        Ok(self.powers)
    }

    fn capabilities(&self) -> Capabilities {
        Self::CAPABILITIES
    }

    async fn create_invoice(&self, request: InvoiceRequest) -> Result<Invoice, NodeError> {
        let mut asked = json!({
            "amount_msat": request.above_zero()?,
            "label": label()?,
            "description": request.bounded_description(),
            "expiry": request.expiry_secs(),
        });
        if let Some(preimage) = &request.preimage {
            asked["preimage"] = hex::encode(preimage.as_bytes()).into();
        }
        let created: Created = self.transport.call("invoice", &asked, TIMEOUT).await?;
        checked_invoice(created.bolt11, request.amount)
    }

    async fn lookup(&self, payment_hash: &PaymentHash) -> Result<InvoiceState, NodeError> {
        let Some(record) = self.transport.invoice(payment_hash).await? else {
            return Ok(InvoiceState::Unknown);
        };
        if let Some(arrival) = record.arrival() {
            return Ok(InvoiceState::Settled { amount: arrival.amount, settled_at: arrival.settled_at });
        }
        let over = record.status == "expired" || record.expires_at <= unix_now();
        Ok(if over { InvoiceState::Expired } else { InvoiceState::Open })
    }

    async fn next_settlement(&self, after: Option<&str>) -> Result<Settlement, NodeError> {
        self.feed.next(after).await
    }

    async fn acknowledge(&self, settlement: &Settlement) -> Result<(), NodeError> {
        self.feed.acknowledge(&settlement.payment_hash);
        Ok(())
    }

    async fn forget(&self, payment_hash: &PaymentHash) -> Result<(), NodeError> {
        let Some(record) = self.transport.invoice(payment_hash).await? else { return Ok(()) };
        // The status is named again, so that one paid in this moment stays.
        if record.status == "paid" || record.label.is_none() {
            return Ok(());
        }
        let asked = json!({"label": record.label, "status": record.status});
        match self.transport.call::<serde_json::Value>("delinvoice", &asked, TIMEOUT).await {
            Ok(_) | Err(NodeError::Refused(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn pay(&self, bolt11: &str, max_fee: Msat, timeout: Duration) -> Result<Payment, PayError> {
        paying::pay(&self.transport, bolt11, max_fee, timeout).await
    }

    async fn outgoing(&self, payment_hash: &PaymentHash) -> Result<Outgoing, NodeError> {
        paying::outgoing(&self.transport, payment_hash).await
    }

    async fn balances(&self) -> Result<Balances, NodeError> {
        let channels: Channels = self.transport.call("listpeerchannels", &json!({}), TIMEOUT).await?;
        // A rune that only sells need not allow this.
        let funds = self.transport.call::<Funds>("listfunds", &json!({}), TIMEOUT).await;
        let usable = || channels.channels.iter().filter(|channel| channel.is_usable());
        let sum = |part: fn(&wire::ClnChannel) -> u64| usable().map(part).fold(0, u64::saturating_add);
        Ok(Balances {
            outbound: amount(sum(|channel| channel.spendable_msat.0))?,
            inbound: Some(amount(sum(|channel| channel.receivable_msat.0))?),
            onchain_sat: funds.map_or(0, |funds| funds.onchain_sat()),
        })
    }

    async fn info(&self) -> Result<NodeInfo, NodeError> {
        let info: GetInfo = self.transport.call("getinfo", &json!({}), TIMEOUT).await?;
        Ok(NodeInfo {
            synced: info.is_synced(),
            id: info.id,
            alias: info.alias.filter(|alias| !alias.is_empty()),
            network: info.network,
            block_height: info.blockheight,
            channels: info.num_active_channels + info.num_inactive_channels,
            usable_channels: info.num_active_channels,
        })
    }

    async fn channels(&self) -> Result<Vec<Channel>, NodeError> {
        let channels: Channels = self.transport.call("listpeerchannels", &json!({}), TIMEOUT).await?;
        let channels = channels.channels.into_iter().map(|channel| {
            Ok(Channel {
                usable: channel.is_usable(),
                capacity_sat: channel.total_msat.0 / 1000,
                outbound: amount(channel.spendable_msat.0)?,
                inbound: amount(channel.receivable_msat.0)?,
                id: channel.channel_id.unwrap_or_default(),
                peer: channel.peer_id,
            })
        });
        channels.collect()
    }
}

/// Reads bytes as whatever Core Lightning may answer: what arrived by them.
pub(crate) fn read_anything(bytes: &[u8]) -> Vec<Arrival> {
    let value = match transport::answer(bytes) {
        Ok(value) => value,
        Err(error) => {
            let _ = NodeError::from(error).to_string();
            serde_json::from_slice(bytes).unwrap_or_default()
        }
    };
    let _ = std::str::from_utf8(bytes).map(powers::of);
    let _ = serde_json::from_value::<Created>(value.clone()).is_ok();
    let _ = serde_json::from_value::<GetInfo>(value.clone()).is_ok_and(|info| info.is_synced());
    let _ = serde_json::from_value::<Funds>(value.clone()).map(|funds| funds.onchain_sat());
    if let Ok(found) = serde_json::from_value::<Channels>(value.clone()) {
        let _ = found.channels.iter().filter(|channel| channel.is_usable()).count();
    }
    let one = serde_json::from_value::<InvoiceRecord>(value.clone()).ok();
    let list = serde_json::from_value::<Invoices>(value).map_or_else(|_| Vec::new(), |list| list.invoices);
    one.iter().chain(&list).filter_map(InvoiceRecord::arrival).collect()
}
