//! A Lightning network in memory: signed invoices, and a wallet that pays them as each test says.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bitcoin::hashes::{Hash, sha256};
use bitcoin::secp256k1::{Secp256k1, SecretKey};
use lightning_invoice::{Currency, InvoiceBuilder, PaymentSecret, RawBolt11Invoice};
use octroi_l402::{Msat, PaymentHash, Preimage};
use octroi_lightning::{
    Balances, Capabilities, Channel, Invoice, InvoiceRequest, InvoiceState, LightningNode, NodeError,
    NodeInfo, Outgoing, PayError, Payment, Settlement, bolt11,
};

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// What goes into an invoice.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) amount_msat: Option<u64>,
    pub(crate) created_at: u64,
    pub(crate) expiry: u64,
    pub(crate) currency: Currency,
}

impl Terms {
    pub(crate) fn asking(amount_msat: u64) -> Self {
        Self { amount_msat: Some(amount_msat), created_at: now(), expiry: 600, currency: Currency::Regtest }
    }
}

/// A preimage of its own for every number.
pub(crate) fn preimage(number: u64) -> Preimage {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    Preimage::from_bytes(bytes)
}

pub(crate) fn invoice(preimage: &Preimage, terms: &Terms) -> String {
    sign(unsigned(preimage, terms))
}

/// An invoice over whole bitcoin, as many as the form can say: more than anybody counts in millisatoshi.
pub(crate) fn invoice_beyond(preimage: &Preimage, bitcoin: u64) -> String {
    let mut raw = unsigned(preimage, &Terms::asking(1_000));
    (raw.hrp.raw_amount, raw.hrp.si_prefix) = (Some(bitcoin), None);
    sign(raw)
}

fn sign(raw: RawBolt11Invoice) -> String {
    let key = SecretKey::from_slice(&[0x42; 32]).unwrap();
    raw.sign::<_, ()>(|digest| Ok(Secp256k1::new().sign_ecdsa_recoverable(digest, &key))).unwrap().to_string()
}

fn unsigned(preimage: &Preimage, terms: &Terms) -> RawBolt11Invoice {
    let hash = sha256::Hash::from_byte_array(*preimage.payment_hash().as_bytes());
    let mut builder = InvoiceBuilder::new(terms.currency.clone())
        .description("a call".to_owned())
        .payment_hash(hash)
        .payment_secret(PaymentSecret([9; 32]))
        .duration_since_epoch(Duration::from_secs(terms.created_at))
        .expiry_time(Duration::from_secs(terms.expiry))
        .min_final_cltv_expiry_delta(144);
    if let Some(amount) = terms.amount_msat {
        builder = builder.amount_milli_satoshis(amount);
    }
    builder.build_raw().unwrap()
}

/// Who knows the preimages: everybody who was ever paid.
#[derive(Default)]
pub(crate) struct Network {
    preimages: Mutex<HashMap<PaymentHash, Preimage>>,
}

impl Network {
    pub(crate) fn make(&self, preimage: &Preimage, terms: &Terms) -> String {
        self.preimages.lock().unwrap().insert(preimage.payment_hash(), preimage.clone());
        invoice(preimage, terms)
    }

    fn preimage(&self, hash: &PaymentHash) -> Option<Preimage> {
        self.preimages.lock().unwrap().get(hash).cloned()
    }
}

/// What becomes of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Pays,
    /// No answer in time; the money goes all the same.
    PaysUnseen,
    /// No answer in time; the money is under way, and stays so.
    Hangs,
    /// The wallet cannot be reached: nothing happens.
    Unreachable,
    NoRoute,
    /// Says that it paid, with a preimage of something else.
    Lies,
}

/// A wallet that remembers every millisatoshi it gave away.
pub(crate) struct Wallet {
    network: Arc<Network>,
    way: Mutex<Way>,
    fee_msat: i64,
    on: &'static str,
    paid: Mutex<Vec<Payment>>,
    under_way: Mutex<Vec<PaymentHash>>,
    orders: Mutex<Vec<String>>,
}

impl Wallet {
    pub(crate) fn new(network: Arc<Network>) -> Arc<Self> {
        Self::with(network, 0, "regtest")
    }

    pub(crate) fn with(network: Arc<Network>, fee_msat: i64, on: &'static str) -> Arc<Self> {
        Arc::new(Self {
            network,
            way: Mutex::new(Way::Pays),
            fee_msat,
            on,
            paid: Mutex::default(),
            under_way: Mutex::default(),
            orders: Mutex::default(),
        })
    }

    pub(crate) fn set(&self, way: Way) {
        *self.way.lock().unwrap() = way;
    }

    /// What was under way arrives.
    pub(crate) fn arrive(&self) {
        for hash in std::mem::take(&mut *self.under_way.lock().unwrap()) {
            self.give(&hash, Msat::new(3_000));
        }
    }

    /// What left the wallet, fees included.
    pub(crate) fn given_msat(&self) -> i64 {
        self.paid.lock().unwrap().iter().map(|paid| paid.amount.as_i64() + paid.fee.as_i64()).sum()
    }

    /// How many payments left the wallet.
    pub(crate) fn payments(&self) -> usize {
        self.paid.lock().unwrap().len()
    }

    /// Every invoice it was told to pay, in order.
    pub(crate) fn orders(&self) -> Vec<String> {
        self.orders.lock().unwrap().clone()
    }

    fn give(&self, hash: &PaymentHash, amount: Msat) -> Payment {
        let preimage = self.network.preimage(hash).unwrap_or(Preimage::from_bytes([0; 32]));
        let payment = Payment { preimage, payment_hash: *hash, amount, fee: Msat::new(self.fee_msat) };
        self.paid.lock().unwrap().push(payment.clone());
        payment
    }

    fn earlier(&self, hash: &PaymentHash) -> Option<Payment> {
        self.paid.lock().unwrap().iter().find(|paid| paid.payment_hash == *hash).cloned()
    }
}

#[async_trait]
impl LightningNode for Wallet {
    fn backend(&self) -> &'static str {
        "scripted"
    }

    fn ledger_name(&self) -> String {
        "scripted:one".to_owned()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { msat_invoices: true, pay: true, fee_limit: true, ..Capabilities::LEAST }
    }

    async fn pay(&self, text: &str, max_fee: Msat, _timeout: Duration) -> Result<Payment, PayError> {
        self.orders.lock().unwrap().push(text.to_owned());
        let invoice = bolt11::decode(text).map_err(|error| PayError::InvalidInvoice(error.to_string()))?;
        let hash = invoice.payment_hash;
        if self.earlier(&hash).is_some() || self.under_way.lock().unwrap().contains(&hash) {
            return Err(PayError::AlreadyPaid);
        }
        let amount = invoice.amount.ok_or(PayError::NoAmount)?;
        let way = *self.way.lock().unwrap();
        match way {
            _ if Msat::new(self.fee_msat) > max_fee => Err(PayError::NoRoute),
            Way::Pays => Ok(self.give(&hash, amount)),
            Way::PaysUnseen => {
                self.give(&hash, amount);
                Err(PayError::Pending)
            }
            Way::Hangs => {
                self.under_way.lock().unwrap().push(hash);
                Err(PayError::Pending)
            }
            Way::Unreachable => Err(NodeError::Unreachable("gone".to_owned()).into()),
            Way::NoRoute => Err(PayError::NoRoute),
            Way::Lies => Ok(Payment { preimage: Preimage::from_bytes([1; 32]), ..self.give(&hash, amount) }),
        }
    }

    async fn outgoing(&self, hash: &PaymentHash) -> Result<Outgoing, NodeError> {
        if *self.way.lock().unwrap() == Way::Unreachable {
            return Err(NodeError::Unreachable("gone".to_owned()));
        }
        if self.under_way.lock().unwrap().contains(hash) {
            return Ok(Outgoing::Pending);
        }
        Ok(self.earlier(hash).map_or(Outgoing::Unknown, Outgoing::Paid))
    }

    async fn info(&self) -> Result<NodeInfo, NodeError> {
        Ok(NodeInfo {
            id: String::new(),
            alias: None,
            network: self.on.to_owned(),
            block_height: 1,
            synced: true,
            channels: 1,
            usable_channels: 1,
        })
    }

    async fn create_invoice(&self, _: InvoiceRequest) -> Result<Invoice, NodeError> {
        Err(NodeError::Unsupported("receiving"))
    }

    async fn lookup(&self, _: &PaymentHash) -> Result<InvoiceState, NodeError> {
        Err(NodeError::Unsupported("receiving"))
    }

    async fn next_settlement(&self, _: Option<&str>) -> Result<Settlement, NodeError> {
        Err(NodeError::Unsupported("receiving"))
    }

    async fn acknowledge(&self, _: &Settlement) -> Result<(), NodeError> {
        Err(NodeError::Unsupported("receiving"))
    }

    async fn forget(&self, _: &PaymentHash) -> Result<(), NodeError> {
        Err(NodeError::Unsupported("receiving"))
    }

    async fn balances(&self) -> Result<Balances, NodeError> {
        Err(NodeError::Unsupported("balances"))
    }

    async fn channels(&self) -> Result<Vec<Channel>, NodeError> {
        Err(NodeError::Unsupported("channels"))
    }
}
