//! A wallet at an LNbits: custodial. Whoever runs it knows the preimages, and payments between two of its wallets never
//! touch Lightning. So only its word that an invoice is paid counts.

mod list;
mod wire;

use std::time::Duration;

use async_trait::async_trait;
use octroi_l402::{Msat, PaymentHash};
use reqwest::{Method, StatusCode};
use serde_json::json;
use sha2::{Digest, Sha256};
use url::Url;

use self::wire::{Created, Found, Record, WalletRecord};
use crate::node::{checked_invoice, payable, unix_now};
use crate::paying::not_twice;
use crate::polled::{self, Pauses, Polled};
use crate::queue::Arrival;
use crate::rest::{Content, Login, Rest, TIMEOUT, words};
use crate::{
    Balances, Capabilities, Channel, Invoice, InvoiceRequest, InvoiceState, LightningNode, NodeError,
    NodeInfo, Outgoing, Password, Past, PayError, Payment, Power, Powers, Settled, Settlement, Settlements,
};

/// How often the list of payments is asked for while nothing arrives.
const POLL: Pauses = Pauses { untold: Duration::from_secs(1), told: Duration::from_secs(1) };

/// A client of one wallet.
pub struct Lnbits {
    api: Api,
    settled: Polled,
    /// The wallet, by a digest of its key.
    wallet: String,
}

struct Api(Rest);

impl Lnbits {
    /// What a wallet at an LNbits can do.
    pub const CAPABILITIES: Capabilities = Capabilities {
        settlements: Settlements::Listed,
        past: Past::Listed,
        custodial: true,
        pay: true,
        balances: true,
        ..Capabilities::LEAST
    };

    /// A client of a wallet of the LNbits at `url`. Nothing is sent yet.
    ///
    /// `key` is the wallet's invoice key; its admin key only for whoever has to pay.
    ///
    /// # Errors
    /// [`NodeError::Config`].
    pub fn new(url: &Url, key: &Password) -> Result<Self, NodeError> {
        let api = Api(Rest::new("LNbits", url, Login::Header("x-api-key", key), None)?);
        let wallet = hex::encode(&Sha256::digest(key.reveal())[..8]);
        Ok(Self { api, settled: Polled::new(POLL), wallet })
    }

    async fn record(&self, hash: &PaymentHash) -> Result<Option<Found>, NodeError> {
        let path = format!("api/v1/payments/{hash}");
        let reply = self.api.0.send(Method::GET, &path, Content::Nothing, TIMEOUT).await?;
        match reply.status {
            StatusCode::OK => reply.parse().map(Some),
            StatusCode::NOT_FOUND if !wire::is_stranger(&reply.body) => Ok(None),
            status => Err(self.api.failure(status, &reply.body)),
        }
    }
}

#[async_trait]
impl LightningNode for Lnbits {
    fn backend(&self) -> &'static str {
        "lnbits"
    }

    fn ledger_name(&self) -> String {
        format!("lnbits:{}#{}", self.api.0.base(), self.wallet)
    }

    /// Only the admin key is told the wallet's id.
    async fn powers(&self) -> Result<Powers, NodeError> {
        let wallet: WalletRecord = self.api.get("api/v1/wallet").await?;
        let spend = Power::from_bool(wallet.id.is_some());
        Ok(Powers { receive: Power::Allowed, look: Power::Unknown, spend })
    }

    fn capabilities(&self) -> Capabilities {
        Self::CAPABILITIES
    }

    async fn create_invoice(&self, request: InvoiceRequest) -> Result<Invoice, NodeError> {
        request.only_chosen_by_the_node()?;
        let sat = request.sats_above_zero()?;
        let body = json!({
            "out": false,
            "unit": "sat",
            "amount": sat,
            "memo": request.bounded_description(),
            "expiry": request.expiry_secs(),
        });
        let reply = self.api.0.send(Method::POST, "api/v1/payments", Content::Json(&body), TIMEOUT).await?;
        if !reply.status.is_success() {
            return Err(self.api.failure(reply.status, &reply.body));
        }
        let created: Created = reply.parse()?;
        checked_invoice(created.text()?, Msat::from_sat(sat).unwrap_or(Msat::ZERO))
    }

    async fn lookup(&self, payment_hash: &PaymentHash) -> Result<InvoiceState, NodeError> {
        let Some(found) = self.record(payment_hash).await? else { return Ok(InvoiceState::Unknown) };
        let Some(details) = &found.details else {
            // Without details the record is another wallet's.
            return Ok(InvoiceState::Unknown);
        };
        if let Some((arrival, _)) = details.arrival().filter(|_| found.paid) {
            return Ok(InvoiceState::Settled { amount: arrival.amount, settled_at: arrival.settled_at });
        }
        if details.is_outgoing() {
            return Ok(InvoiceState::Unknown);
        }
        let over = details.status.as_deref() == Some("failed") || details.expires_at() <= unix_now();
        Ok(if over { InvoiceState::Expired } else { InvoiceState::Open })
    }

    async fn next_settlement(&self, after: Option<&str>) -> Result<Settlement, NodeError> {
        self.settled.next(&self.api, after).await
    }

    async fn settled_since(&self, from: u64) -> Result<Vec<Settled>, NodeError> {
        polled::settled_since(&self.api, from).await
    }

    async fn acknowledge(&self, settlement: &Settlement) -> Result<(), NodeError> {
        self.settled.acknowledge(&settlement.payment_hash);
        Ok(())
    }

    /// LNbits keeps its own records.
    async fn forget(&self, _payment_hash: &PaymentHash) -> Result<(), NodeError> {
        Ok(())
    }

    async fn pay(&self, bolt11: &str, _max_fee: Msat, timeout: Duration) -> Result<Payment, PayError> {
        let (hash, _) = payable(bolt11)?;
        not_twice(&self.outgoing(&hash).await?)?;
        let body = json!({"out": true, "bolt11": bolt11});
        let sent = self.api.0.send(Method::POST, "api/v1/payments", Content::Json(&body), timeout).await;
        let refused = match sent {
            Ok(reply) if reply.status.is_success() => None,
            Ok(reply) => Some(self.api.refused_payment(reply.status, &reply.body)),
            Err(NodeError::Timeout | NodeError::BadReply(_)) => None,
            Err(error) => return Err(error.into()),
        };
        // The proof of payment stands in the record, whatever the answer was.
        match self.outgoing(&hash).await {
            Ok(Outgoing::Paid(payment)) => Ok(payment),
            Ok(Outgoing::Failed | Outgoing::Unknown) => Err(refused.unwrap_or(PayError::Pending)),
            _ => Err(PayError::Pending),
        }
    }

    async fn outgoing(&self, payment_hash: &PaymentHash) -> Result<Outgoing, NodeError> {
        let Some(found) = self.record(payment_hash).await? else { return Ok(Outgoing::Unknown) };
        match found.details {
            Some(details) if details.is_outgoing() => details.outgoing(payment_hash, found.paid),
            _ => Ok(Outgoing::Unknown),
        }
    }

    async fn balances(&self) -> Result<Balances, NodeError> {
        let wallet: WalletRecord = self.api.get("api/v1/wallet").await?;
        Ok(Balances { outbound: Msat::new(wallet.balance.max(0)), inbound: None, onchain_sat: 0 })
    }

    /// What is known of a node that is somebody else's: the wallet's name.
    async fn info(&self) -> Result<NodeInfo, NodeError> {
        let wallet: WalletRecord = self.api.get("api/v1/wallet").await?;
        Ok(NodeInfo {
            id: String::new(),
            alias: Some(wallet.name),
            network: String::new(),
            block_height: 0,
            synced: true,
            channels: 0,
            usable_channels: 0,
        })
    }

    async fn channels(&self) -> Result<Vec<Channel>, NodeError> {
        Ok(Vec::new())
    }
}

impl Api {
    async fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, NodeError> {
        let reply = self.0.send(Method::GET, path, Content::Nothing, TIMEOUT).await?;
        if reply.status.is_success() { reply.parse() } else { Err(self.failure(reply.status, &reply.body)) }
    }

    /// LNbits says `{"detail":"…","status":"…"}`, with 520 for whatever its own node could not do.
    fn failure(&self, status: StatusCode, body: &[u8]) -> NodeError {
        if wire::is_stranger(body) {
            return self.0.refusal(StatusCode::UNAUTHORIZED, body);
        }
        match wire::detail(body) {
            Some(detail) if status.as_u16() == wire::FAILED || status == StatusCode::BAD_REQUEST => {
                NodeError::Refused(words(detail.as_bytes()))
            }
            _ => self.0.refusal(status, body),
        }
    }

    fn refused_payment(&self, status: StatusCode, body: &[u8]) -> PayError {
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return self.0.refusal(status, body).into();
        }
        let detail = wire::detail(body).unwrap_or_default().to_ascii_lowercase();
        if detail.contains("insufficient") || detail.contains("route") {
            PayError::NoRoute
        } else if detail.contains("already") {
            PayError::AlreadyPaid
        } else {
            match self.failure(status, body) {
                NodeError::Refused(words) => PayError::Failed(words),
                error => error.into(),
            }
        }
    }
}

/// Reads bytes as whatever LNbits may answer: what arrived by them.
pub(crate) fn read_anything(bytes: &[u8]) -> Vec<Arrival> {
    let _ = (wire::detail(bytes), wire::is_stranger(bytes));
    let _ = serde_json::from_slice::<Created>(bytes).map(Created::text);
    let _ = serde_json::from_slice::<WalletRecord>(bytes).is_ok();
    let found = serde_json::from_slice::<Found>(bytes).ok().and_then(|found| found.details);
    let list = serde_json::from_slice::<Vec<Record>>(bytes).unwrap_or_default();
    let records = found.iter().chain(&list);
    let _ = records.clone().map(|record| record.expires_at().max(record.updated_ms())).max();
    records.filter_map(Record::arrival).map(|(arrival, _)| arrival).collect()
}
