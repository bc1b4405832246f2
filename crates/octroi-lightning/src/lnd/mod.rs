//! The operator's LND, over its REST interface.
//!
//! Settlements come from `GET /v1/invoices/subscribe`, which LND numbers and takes up again where it is told to. The
//! macaroon should allow no more than is used: `invoices:read invoices:write` to sell, `info:read offchain:read` to say
//! who the node is and what it can receive, and `offchain:write` only to pay.

mod paying;
mod powers;
mod stream;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use octroi_l402::{Msat, PaymentHash};
use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::json;
use url::Url;

use self::stream::Stream;
use self::wire::{
    ChannelBalance, Channels, Created, Failure, GetInfo, InvoiceList, InvoiceRecord, WalletBalance,
};
use crate::feed::Feed;
use crate::node::{checked_invoice, unix_now};
use crate::paying::amount;
use crate::queue::Arrival;
use crate::rest::{Content, Login, Reply, Rest, TIMEOUT};
use crate::{
    Balances, Capabilities, Channel, Invoice, InvoiceRequest, InvoiceState, LightningNode, NodeError,
    NodeInfo, Outgoing, Password, PayError, Payment, Powers, Settlement, Settlements,
};

/// A client of an LND.
pub struct Lnd {
    api: Arc<Api>,
    feed: Feed<Stream>,
    powers: Powers,
}

/// LND's way of being asked.
struct Api(Rest);

impl Lnd {
    /// What an LND can do.
    pub const CAPABILITIES: Capabilities = Capabilities {
        msat_invoices: true,
        chosen_preimage: true,
        settlements: Settlements::Stream,
        pay: true,
        fee_limit: true,
        balances: true,
        inbound: true,
        channels: true,
        ..Capabilities::LEAST
    };

    /// A client of the LND at `url` (usually `https://127.0.0.1:8080`). Nothing is sent yet.
    ///
    /// `macaroon` is hexadecimal; `certificate` is the text of its `tls.cert` (PEM), the only one then accepted. Without
    /// it the server's certificate must be signed by a public authority.
    ///
    /// # Errors
    /// [`NodeError::Config`].
    pub fn new(url: &Url, macaroon: &Password, certificate: Option<&str>) -> Result<Self, NodeError> {
        let hex = macaroon.reveal();
        if hex.is_empty()
            || !hex.len().is_multiple_of(2)
            || !hex.bytes().all(|digit| digit.is_ascii_hexdigit())
        {
            return Err(NodeError::Config("LND: the macaroon must be hexadecimal".to_owned()));
        }
        let login = Login::Header("grpc-metadata-macaroon", macaroon);
        let api = Arc::new(Api(Rest::new("LND", url, login, certificate)?));
        Ok(Self { feed: Feed::new(Stream::new(Arc::clone(&api))), powers: Self::powers_of(macaroon), api })
    }

    /// What a macaroon (hexadecimal) allows, without asking anybody.
    #[must_use]
    pub fn powers_of(macaroon: &Password) -> Powers {
        hex::decode(macaroon.reveal()).map_or(Powers::UNKNOWN, |bytes| powers::of(&bytes))
    }
}

impl Api {
    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, NodeError> {
        self.reply(self.0.send(Method::GET, path, Content::Nothing, TIMEOUT).await?)
    }

    /// The record of an invoice; `None` when there is none.
    async fn invoice(&self, hash: &PaymentHash) -> Result<Option<InvoiceRecord>, NodeError> {
        let reply =
            self.0.send(Method::GET, &format!("v1/invoice/{hash}"), Content::Nothing, TIMEOUT).await?;
        if reply.status != StatusCode::OK && wire::is_unknown(&reply) {
            return Ok(None);
        }
        self.reply(reply).map(Some)
    }

    fn reply<T: DeserializeOwned>(&self, reply: Reply) -> Result<T, NodeError> {
        if reply.status == StatusCode::OK { reply.parse() } else { Err(self.error(&reply)) }
    }

    /// LND puts most failures under 500 and tells them apart by words.
    fn error(&self, reply: &Reply) -> NodeError {
        let Ok(failure) = reply.parse::<Failure>() else { return self.0.refusal(reply.status, &reply.body) };
        let words = failure.message.to_ascii_lowercase();
        if ["macaroon", "permission denied", "verification failed"].iter().any(|part| words.contains(part)) {
            NodeError::Refused("the macaroon is wrong, or does not allow this".to_owned())
        } else if words.contains("wallet locked") || words.contains("starting up") {
            NodeError::Unreachable("LND is locked, or still starting".to_owned())
        } else if reply.status.is_client_error() || reply.status == StatusCode::INTERNAL_SERVER_ERROR {
            NodeError::Refused(crate::rest::words(failure.message.as_bytes()))
        } else {
            NodeError::Unreachable(format!("HTTP {}", reply.status.as_u16()))
        }
    }
}

#[async_trait]
impl LightningNode for Lnd {
    fn backend(&self) -> &'static str {
        "lnd"
    }

    fn ledger_name(&self) -> String {
        format!("lnd:{}", self.api.0.base())
    }

    async fn powers(&self) -> Result<Powers, NodeError> {
        Ok(self.powers)
    }

    fn capabilities(&self) -> Capabilities {
        Self::CAPABILITIES
    }

    async fn create_invoice(&self, request: InvoiceRequest) -> Result<Invoice, NodeError> {
        let mut body = json!({
            "value_msat": request.above_zero()?.to_string(),
            "memo": request.bounded_description(),
            "expiry": request.expiry_secs().to_string(),
            // Hints for channels that are not announced; without such channels there are none.
            "private": true,
        });
        if let Some(preimage) = &request.preimage {
            body["r_preimage"] = STANDARD.encode(preimage.as_bytes()).into();
        }
        let sent = self.api.0.send(Method::POST, "v1/invoices", Content::Json(&body), TIMEOUT).await?;
        let created: Created = self.api.reply(sent)?;
        checked_invoice(created.payment_request, request.amount)
    }

    async fn lookup(&self, payment_hash: &PaymentHash) -> Result<InvoiceState, NodeError> {
        let Some(record) = self.api.invoice(payment_hash).await? else { return Ok(InvoiceState::Unknown) };
        if let Some(arrival) = record.arrival() {
            return Ok(InvoiceState::Settled { amount: arrival.amount, settled_at: arrival.settled_at });
        }
        let over = record.state == "CANCELED" || record.expires_at() <= unix_now();
        Ok(if over { InvoiceState::Expired } else { InvoiceState::Open })
    }

    async fn next_settlement(&self, after: Option<&str>) -> Result<Settlement, NodeError> {
        self.feed.next(after).await
    }

    async fn acknowledge(&self, settlement: &Settlement) -> Result<(), NodeError> {
        self.feed.acknowledge(&settlement.payment_hash);
        Ok(())
    }

    /// LND cancels an invoice when it expires, and keeps its records or not as its own settings say.
    async fn forget(&self, _payment_hash: &PaymentHash) -> Result<(), NodeError> {
        Ok(())
    }

    async fn pay(&self, bolt11: &str, max_fee: Msat, timeout: Duration) -> Result<Payment, PayError> {
        paying::pay(&self.api, bolt11, max_fee, timeout).await
    }

    async fn outgoing(&self, payment_hash: &PaymentHash) -> Result<Outgoing, NodeError> {
        paying::outgoing(&self.api, payment_hash).await
    }

    async fn balances(&self) -> Result<Balances, NodeError> {
        let balance: ChannelBalance = self.api.get("v1/balance/channels").await?;
        let channels: Channels = self.api.get("v1/channels").await?;
        // An on-chain balance is beyond what a receiving gate's macaroon need allow.
        let onchain =
            self.api.get::<WalletBalance>("v1/balance/blockchain").await.map_or(0, |on| on.total_balance);
        let inbound = channels.channels.iter().filter(|channel| channel.active);
        let inbound = inbound.map(wire::LndChannel::inbound_msat).fold(0, u64::saturating_add);
        Ok(Balances {
            outbound: amount(balance.local_msat())?,
            inbound: Some(amount(inbound)?),
            onchain_sat: onchain,
        })
    }

    async fn info(&self) -> Result<NodeInfo, NodeError> {
        let info: GetInfo = self.api.get("v1/getinfo").await?;
        Ok(NodeInfo {
            network: info.network().to_owned(),
            id: info.identity_pubkey,
            alias: Some(info.alias).filter(|alias| !alias.is_empty()),
            block_height: info.block_height,
            synced: info.synced_to_chain,
            channels: info.num_active_channels + info.num_inactive_channels,
            usable_channels: info.num_active_channels,
        })
    }

    async fn channels(&self) -> Result<Vec<Channel>, NodeError> {
        let channels: Channels = self.api.get("v1/channels").await?;
        let channels = channels.channels.into_iter().map(|channel| {
            Ok(Channel {
                outbound: amount(channel.outbound_msat())?,
                inbound: amount(channel.inbound_msat())?,
                usable: channel.active,
                capacity_sat: channel.capacity,
                id: channel.channel_point,
                peer: channel.remote_pubkey,
            })
        });
        channels.collect()
    }
}

/// Reads bytes as whatever LND may answer: what arrived by them.
pub(crate) fn read_anything(bytes: &[u8]) -> Vec<Arrival> {
    let lines = bytes.split(|byte| *byte == b'\n').filter_map(|line| stream::read(line).ok().flatten());
    let mut arrivals: Vec<Arrival> = lines.collect();
    let reply = Reply { status: StatusCode::INTERNAL_SERVER_ERROR, body: bytes.to_vec() };
    let _ = (wire::is_unknown(&reply), reply.parse::<Created>().is_ok(), reply.parse::<Failure>().is_ok());
    if let Ok(list) = reply.parse::<InvoiceList>() {
        arrivals.extend(list.invoices.iter().filter_map(InvoiceRecord::arrival));
        let _ = list.invoices.iter().map(InvoiceRecord::expires_at).max();
    }
    if let Ok(found) = reply.parse::<Channels>() {
        let each = found.channels.iter().map(|channel| channel.inbound_msat().max(channel.outbound_msat()));
        let _ = amount(each.fold(0, u64::saturating_add));
    }
    let _ = reply.parse::<GetInfo>().map(|info| info.network().to_owned());
    let _ = (reply.parse::<ChannelBalance>().is_ok(), reply.parse::<WalletBalance>().is_ok());
    let _ = powers::of(bytes);
    arrivals
}
