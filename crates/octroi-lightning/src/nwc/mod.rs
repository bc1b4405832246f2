//! A wallet reached by Nostr Wallet Connect (NIP-47): requests and answers as encrypted messages over relays.
//!
//! Whose wallet it is the protocol does not say, so it counts as custodial: only its word that an invoice is paid counts.
//! The crate `nwc` would bring a relay pool, a database and a second cryptography provider under TLS with it; here `nostr`
//! signs and encrypts, and the relays are this crate's own websockets.

mod connection;
mod envelope;
mod link;
mod relay;
mod settle;
mod wire;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use nostr::Keys;
use octroi_l402::{Msat, PaymentHash};
use serde_json::json;

use self::connection::Connection;
use self::envelope::Envelope;
use self::link::{AskError, Link};
use self::relay::Said;
use self::settle::Settled;
use self::wire::{Balance, Identity, Made, Notice, Paid, Transaction, Transactions};
use crate::node::{checked_invoice, msat, payable, unix_now};
use crate::paying::{amount, not_twice, proof, without_proof};
use crate::queue::Arrival;
use crate::rest::{TIMEOUT, readable};
use crate::{
    Balances, Capabilities, Channel, Invoice, InvoiceRequest, InvoiceState, LightningNode, NodeError,
    NodeInfo, Outgoing, Password, PayError, Payment, Power, Powers, Settlement, Settlements,
};

/// How often a payment is asked about whose answer was lost.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// A client of one wallet.
pub struct Nwc {
    link: Link,
    settled: Settled,
}

impl Nwc {
    /// What a wallet over Nostr Wallet Connect can do, if the connection allows it.
    pub const CAPABILITIES: Capabilities = Capabilities {
        msat_invoices: true,
        settlements: Settlements::AsTheWalletDoes,
        custodial: true,
        pay: true,
        balances: true,
        ..Capabilities::LEAST
    };

    /// A client of the wallet that `connection` (`nostr+walletconnect://…`) leads to. Nothing is sent yet; open invoices
    /// are kept in `file`.
    ///
    /// # Errors
    /// [`NodeError::Config`] for what is no connection, [`NodeError::Storage`] when the file cannot be used.
    pub fn new(connection: &Password, file: impl Into<PathBuf>) -> Result<Self, NodeError> {
        let connection = Connection::parse(connection)?;
        Ok(Self { link: Link::new(connection)?, settled: Settled::load(file.into())? })
    }

    /// The same for whoever has nothing to sell: nothing is kept in a file, so that what is paid to it while it does not run
    /// is not learned of.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn that_only_pays(connection: &Password) -> Result<Self, NodeError> {
        let connection = Connection::parse(connection)?;
        Ok(Self { link: Link::new(connection)?, settled: Settled::in_memory() })
    }

    /// Whether a text is a connection, without using it.
    ///
    /// # Errors
    /// [`NodeError::Config`], which does not repeat it.
    pub fn check(connection: &Password) -> Result<(), NodeError> {
        Connection::parse(connection).map(|_| ())
    }

    /// What the wallet knows of a payment; `None` when it knows nothing.
    async fn find(&self, hash: &PaymentHash) -> Result<Option<Transaction>, NodeError> {
        let asked = json!({"payment_hash": hash.to_string()});
        match self.link.ask::<Transaction>("lookup_invoice", &asked, TIMEOUT).await {
            Ok(found) if found.hash() == Some(*hash) => Ok(Some(found)),
            Ok(_) => Err(NodeError::BadReply("another invoice than was asked for".to_owned())),
            Err(AskError::Wallet(failure)) if failure.code == "NOT_FOUND" => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// What the connection allows, as the wallet says.
    async fn methods(&self) -> Result<Vec<String>, NodeError> {
        self.link.ready().await?;
        Ok(match self.link.info() {
            Some(info) if !info.methods.is_empty() => info.methods,
            // No relay kept what the wallet says of itself.
            _ => self.link.ask::<Identity>("get_info", &json!({}), TIMEOUT).await?.methods,
        })
    }

    /// The answer was lost; the wallet's record may have it.
    async fn after_silence(&self, hash: &PaymentHash, until: Instant) -> Result<Payment, PayError> {
        loop {
            match self.outgoing(hash).await {
                Ok(Outgoing::Paid(payment)) => return Ok(payment),
                _ if Instant::now() >= until => return Err(PayError::Pending),
                _ => tokio::time::sleep(ASK_AGAIN).await,
            }
        }
    }
}

#[async_trait]
impl LightningNode for Nwc {
    fn backend(&self) -> &'static str {
        "nwc"
    }

    /// The wallet's key: wallets make one for each connection.
    fn ledger_name(&self) -> String {
        format!("nwc:{}", self.link.shared.envelope.wallet.to_hex())
    }

    fn capabilities(&self) -> Capabilities {
        Self::CAPABILITIES
    }

    async fn powers(&self) -> Result<Powers, NodeError> {
        let methods = self.methods().await?;
        let has = |name: &str| Power::from_bool(methods.iter().any(|method| method == name));
        let spends =
            methods.iter().any(|method| method.starts_with("pay_") || method.starts_with("multi_pay_"));
        Ok(Powers {
            receive: Power::all([has("make_invoice"), has("lookup_invoice")]),
            look: Power::Unknown,
            spend: Power::from_bool(spends),
        })
    }

    async fn settlements(&self) -> Result<Settlements, NodeError> {
        self.link.ready().await?;
        // Settled by what the relays kept of it, and so is the way that payments are looked for.
        let info = self.link.info().unwrap_or_default();
        let lists = info.methods.iter().any(|method| method == "list_transactions");
        Ok(match (info.notifies, lists) {
            (true, true) => Settlements::ToldAndListed,
            (true, false) => Settlements::ToldAndAsked,
            (false, true) => Settlements::Listed,
            (false, false) => Settlements::Asked,
        })
    }

    async fn create_invoice(&self, request: InvoiceRequest) -> Result<Invoice, NodeError> {
        request.only_chosen_by_the_node()?;
        let asked = json!({
            "amount": request.above_zero()?,
            "description": request.bounded_description(),
            "expiry": request.expiry_secs(),
        });
        if !self.settled.has_room() {
            return Err(NodeError::Refused("too many invoices are open".to_owned()));
        }
        let created_at = unix_now();
        let made: Made = self.link.ask("make_invoice", &asked, TIMEOUT).await?;
        let invoice = checked_invoice(made.invoice, request.amount)?;
        let told = self.link.info().is_some_and(|info| info.notifies);
        self.settled.made(&invoice, created_at, told)?;
        Ok(invoice)
    }

    async fn lookup(&self, payment_hash: &PaymentHash) -> Result<InvoiceState, NodeError> {
        let Some(found) = self.find(payment_hash).await? else { return Ok(InvoiceState::Unknown) };
        if let Some(arrival) = found.arrival(self.settled.asked(payment_hash)) {
            return Ok(InvoiceState::Settled { amount: arrival.amount, settled_at: arrival.settled_at });
        }
        Ok(if found.is_outgoing() {
            InvoiceState::Unknown
        } else if found.is_expired(unix_now()) {
            InvoiceState::Expired
        } else {
            InvoiceState::Open
        })
    }

    async fn next_settlement(&self, after: Option<&str>) -> Result<Settlement, NodeError> {
        self.settled.next(&self.link, after).await
    }

    async fn acknowledge(&self, settlement: &Settlement) -> Result<(), NodeError> {
        self.settled.acknowledge(&settlement.payment_hash)
    }

    /// An expired invoice is asked about for two hours more, and goes by itself.
    async fn forget(&self, _payment_hash: &PaymentHash) -> Result<(), NodeError> {
        Ok(())
    }

    async fn pay(&self, bolt11: &str, _max_fee: Msat, timeout: Duration) -> Result<Payment, PayError> {
        let (hash, asked) = payable(bolt11)?;
        let until = Instant::now() + timeout;
        match self.outgoing(&hash).await {
            Ok(found) => not_twice(&found)?,
            // A connection that may pay and not look: the wallet itself does not pay an invoice twice.
            Err(NodeError::Refused(_) | NodeError::Unsupported(_)) => {}
            Err(error) => return Err(error.into()),
        }
        match self.link.ask::<Paid>("pay_invoice", &json!({"invoice": bolt11}), timeout).await {
            Ok(paid) => {
                let preimage = proof(&paid.preimage, &hash).ok_or(PayError::Pending)?;
                let fee = paid.fees_paid.and_then(msat).unwrap_or(Msat::ZERO);
                Ok(Payment { preimage, payment_hash: hash, amount: asked, fee })
            }
            Err(AskError::Wallet(failure)) => Err(failure.into()),
            Err(AskError::Node(NodeError::Timeout | NodeError::BadReply(_))) => {
                self.after_silence(&hash, until).await
            }
            Err(AskError::Node(error)) => Err(error.into()),
        }
    }

    async fn outgoing(&self, payment_hash: &PaymentHash) -> Result<Outgoing, NodeError> {
        let Some(found) = self.find(payment_hash).await? else { return Ok(Outgoing::Unknown) };
        if !found.is_outgoing() {
            return Ok(Outgoing::Unknown);
        }
        if found.is_settled() {
            return found.payment(payment_hash).map(Outgoing::Paid).ok_or_else(without_proof);
        }
        Ok(if found.has_failed() { Outgoing::Failed } else { Outgoing::Pending })
    }

    async fn balances(&self) -> Result<Balances, NodeError> {
        let found: Balance = self.link.ask("get_balance", &json!({}), TIMEOUT).await?;
        let outbound = amount(found.balance)?;
        Ok(Balances { outbound, inbound: None, onchain_sat: 0 })
    }

    /// A connection need not allow to ask; that it says so shows that the wallet is there.
    async fn info(&self) -> Result<NodeInfo, NodeError> {
        let found: Identity = match self.link.ask("get_info", &json!({}), TIMEOUT).await {
            Err(AskError::Wallet(failure)) if failure.is_want_of_permission() => Identity::default(),
            found => found?,
        };
        let network = match found.network.as_deref() {
            Some("mainnet") => "bitcoin".to_owned(),
            other => other.unwrap_or_default().to_owned(),
        };
        Ok(NodeInfo {
            id: found.pubkey.unwrap_or_default(),
            alias: found.alias.filter(|alias| !alias.is_empty()),
            network,
            block_height: found.block_height.unwrap_or(0),
            synced: true,
            channels: 0,
            usable_channels: 0,
        })
    }

    async fn channels(&self) -> Result<Vec<Channel>, NodeError> {
        Ok(Vec::new())
    }
}

/// Reads a text as whatever a relay may bring, and as whatever a wallet may answer or tell: what arrived by it.
pub(crate) fn read_anything(text: &str) -> Vec<Arrival> {
    if let Said::Event(event) = Said::read(text) {
        // Signed by nobody that is known, whatever it says.
        let envelope = Envelope { wallet: Keys::generate().public_key(), keys: Keys::generate() };
        assert!(envelope.open(&event, |_| true).is_none(), "a stranger is not believed");
    }
    let mut found: Vec<Transaction> = Notice::received(text).into_iter().collect();
    found.extend(link::read::<Transaction>("lookup_invoice", text).ok());
    if let Ok(list) = link::read::<Transactions>("list_transactions", text) {
        found.extend(readable::<Transaction>(list.transactions));
    }
    for method in ["make_invoice", "get_info", "get_balance", "pay_invoice"] {
        if let Err(error) = link::read::<serde_json::Value>(method, text) {
            let _ = NodeError::from(error).to_string();
        }
    }
    let _ = link::read::<Paid>("pay_invoice", text).is_ok();
    found.iter().filter_map(|payment| payment.arrival(Msat::ZERO)).collect()
}
