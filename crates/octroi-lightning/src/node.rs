//! The trait every Lightning backend implements, and the words it is spoken in.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use octroi_l402::{Msat, PaymentHash, Preimage};

use crate::{NodeError, PayError, Powers, Treasury, bolt11};

/// A Lightning node, seen from the gate.
///
/// All waits are bounded by the implementation, except [`next_settlement`](Self::next_settlement), which waits for
/// money. Every method is safe to cancel by dropping its future; what was asked of the node may still happen.
#[async_trait]
pub trait LightningNode: Send + Sync {
    /// The backend's name as config spells it: `embedded`, `phoenixd`.
    fn backend(&self) -> &'static str;

    /// What a ledger calls this node: its kind, a colon, and which of its kind. Two nodes that one ledger hears of at once
    /// need two names, since it keeps the place in the stream of settlements under it; the name must outlive a restart. No
    /// secret can be read out of it.
    fn ledger_name(&self) -> String;

    /// What this backend can and cannot do.
    fn capabilities(&self) -> Capabilities;

    /// What the credential given allows. Asks the node where the credential itself does not say.
    ///
    /// # Errors
    /// When the node could not be asked.
    async fn powers(&self) -> Result<Powers, NodeError> {
        Ok(Powers::UNKNOWN)
    }

    /// Makes a BOLT 11 invoice.
    ///
    /// A backend that counts in whole satoshis rounds the amount **up**; [`Invoice::amount`] is what the invoice asks.
    ///
    /// # Errors
    /// [`NodeError::Refused`] when the amount is not above zero, or too many invoices are open.
    async fn create_invoice(&self, request: InvoiceRequest) -> Result<Invoice, NodeError>;

    /// What became of an invoice this node made.
    async fn lookup(&self, payment_hash: &PaymentHash) -> Result<InvoiceState, NodeError>;

    /// The next settlement after `after` (the [`Settlement::cursor`] of an earlier one), waiting until there is one.
    ///
    /// At least once: a settlement not yet [acknowledged](Self::acknowledge) comes again after a restart, even when
    /// it lies before `after`; and some of the latest may, although they were acknowledged. Recognise them by their
    /// payment hash. One consumer at a time.
    ///
    /// # Errors
    /// [`NodeError::Stopped`] when the node was stopped; otherwise transient: ask again.
    async fn next_settlement(&self, after: Option<&str>) -> Result<Settlement, NodeError>;

    /// Everything that settled at `from` (Unix seconds) or later, or the oldest part of it, the oldest first: ask again from
    /// the last one's time for the rest, of which some comes twice.
    ///
    /// # Errors
    /// [`NodeError::Unsupported`] unless [`Capabilities::past`] is [`Past::Listed`].
    async fn settled_since(&self, _from: u64) -> Result<Vec<Settled>, NodeError> {
        Err(NodeError::Unsupported("a list of what arrived"))
    }

    /// The ledger has this settlement durably: the node may drop it. Doing it twice is harmless.
    async fn acknowledge(&self, settlement: &Settlement) -> Result<(), NodeError>;

    /// Drops the record of an unpaid invoice, so that the node's store stays bounded. The invoice may still be paid
    /// by a late payer, and is then a settlement like any other.
    async fn forget(&self, payment_hash: &PaymentHash) -> Result<(), NodeError>;

    /// Pays a BOLT 11 invoice that names its amount, for at most `max_fee` of routing fees, waiting at most `timeout`.
    ///
    /// # Errors
    /// [`PayError::Pending`] is the only one after which money may still move; see each variant.
    async fn pay(&self, bolt11: &str, max_fee: Msat, timeout: Duration) -> Result<Payment, PayError>;

    /// What became of a payment of this node: where to look after [`PayError::Pending`].
    ///
    /// # Errors
    /// [`NodeError::Unsupported`] where the backend has no such record.
    async fn outgoing(&self, _payment_hash: &PaymentHash) -> Result<Outgoing, NodeError> {
        Err(NodeError::Unsupported("looking up an outgoing payment"))
    }

    /// What can be sent and received now.
    ///
    /// # Errors
    /// [`NodeError::Unsupported`] where the backend has no such record ([`Capabilities::balances`]).
    async fn balances(&self) -> Result<Balances, NodeError>;

    /// A new on-chain address of the node's own wallet.
    ///
    /// # Errors
    /// [`NodeError::Unsupported`] where the wallet is not for the gate's use.
    async fn new_address(&self) -> Result<String, NodeError> {
        Err(NodeError::Unsupported("on-chain addresses"))
    }

    /// Its coins and channels, where they are managed through the gate.
    fn treasury(&self) -> Option<&dyn Treasury> {
        None
    }

    /// Who the node is and how far it has seen the chain.
    async fn info(&self) -> Result<NodeInfo, NodeError>;

    /// The node's channels, in the node's order; none where the backend shows none ([`Capabilities::channels`]).
    async fn channels(&self) -> Result<Vec<Channel>, NodeError>;
}

/// What a backend can do, as far as backends differ. Known before anything is asked of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Invoices for parts of a satoshi. Without it amounts are rounded up to whole satoshis.
    pub msat_invoices: bool,
    /// [`InvoiceRequest::preimage`] is taken.
    pub chosen_preimage: bool,
    /// How settlements are learned of.
    pub settlements: Settlements,
    /// What is known of settlements that the ledger has long had.
    pub past: Past,
    /// Somebody else than the operator's own node knows preimages before they are paid for, so that only the
    /// backend's word says that money arrived.
    pub custodial: bool,
    /// [`LightningNode::pay`] works with the credentials given.
    pub pay: bool,
    /// The node enforces `max_fee` of [`LightningNode::pay`].
    pub fee_limit: bool,
    /// [`LightningNode::balances`] works.
    pub balances: bool,
    /// [`Balances::inbound`] is said.
    pub inbound: bool,
    /// [`LightningNode::channels`] shows them.
    pub channels: bool,
    /// [`LightningNode::forget`] frees something.
    pub forget: bool,
    /// The backend buys room to receive when it is needed, so [`Balances::inbound`] is no limit.
    pub buys_inbound: bool,
}

impl Capabilities {
    /// What every backend can: make invoices over whole satoshis, and say what became of them.
    pub const LEAST: Self = Self {
        msat_invoices: false,
        chosen_preimage: false,
        settlements: Settlements::Polled,
        past: Past::ByHash,
        custodial: false,
        pay: false,
        fee_limit: false,
        balances: false,
        inbound: false,
        channels: false,
        forget: false,
        buys_inbound: false,
    };

    /// What the node inside this process can, without a liquidity provider. Known to a binary built without it, too.
    pub const EMBEDDED: Self = Self {
        msat_invoices: true,
        settlements: Settlements::Resumable,
        past: Past::Listed,
        pay: true,
        fee_limit: true,
        balances: true,
        inbound: true,
        channels: true,
        forget: true,
        ..Self::LEAST
    };
}

/// How a backend tells of settlements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlements {
    /// A stream that is taken up again where the cursor says: nothing is missed, whatever happened in between.
    Resumable,
    /// A list, or one invoice after the other, is asked again and again.
    Polled,
}

/// What a backend says of settlements after they were acknowledged: what a ledger can be compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Past {
    /// [`LightningNode::settled_since`] lists them, as far back as the backend keeps records.
    Listed,
    /// [`LightningNode::lookup`] says what became of each invoice whose hash is known.
    ByHash,
    /// Nothing: an invoice that was acknowledged is forgotten.
    Forgotten,
}

impl fmt::Display for Capabilities {
    /// One line for an operator: what can be done, then what cannot.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { msat_invoices, pay, fee_limit, balances, channels, custodial, .. } = *self;
        let settlements = match self.settlements {
            Settlements::Resumable => "settlements as a stream",
            Settlements::Polled => "settlements by asking",
        };
        let words = [
            (true, settlements, ""),
            (msat_invoices, "prices to the millisatoshi", "prices rounded up to whole satoshis"),
            (self.chosen_preimage, "chosen preimages", "no chosen preimages"),
            (self.inbound, "knows what it can receive", "does not know what it can receive"),
            (self.buys_inbound, "buys room to receive", "buys no room to receive"),
            (balances, "balances", "no balances"),
            (channels, "channels", "no channels"),
            (
                pay && fee_limit,
                "pays within a fee limit",
                if pay { "pays without a fee limit" } else { "pays nobody" },
            ),
            (!custodial, "only this node knows preimages", "CUSTODIAL: somebody else knows the preimages"),
        ];
        let words: Vec<&str> = words.iter().map(|(can, yes, no)| if *can { *yes } else { *no }).collect();
        out.write_str(&words.join(", "))
    }
}

/// An invoice to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvoiceRequest {
    /// How much to ask for; above zero.
    pub amount: Msat,
    /// What the payer's wallet shows. At most 128 bytes are kept (phoenixd's bound); the rest is cut at a character.
    pub description: String,
    /// How long it can be paid; between one second and 30 days, else it is brought into that range.
    pub expiry: Duration,
    /// The preimage to use; only where [`Capabilities::chosen_preimage`] is set, otherwise
    /// [`NodeError::Unsupported`]. `None`: the node chooses.
    pub preimage: Option<Preimage>,
}

/// An invoice as made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invoice {
    /// The invoice's text (BOLT 11).
    pub bolt11: String,
    /// The hash that the payer learns the preimage of.
    pub payment_hash: PaymentHash,
    /// What the invoice asks for: at least what was requested.
    pub amount: Msat,
    /// When it stops being payable, seconds since the Unix epoch.
    pub expires_at: u64,
}

/// What became of an invoice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvoiceState {
    /// Not paid yet, and still payable.
    Open,
    /// Paid.
    Settled {
        /// What the payer paid: never less than the invoice asked.
        amount: Msat,
        /// Seconds since the Unix epoch.
        settled_at: u64,
    },
    /// Its time passed without a payment.
    Expired,
    /// Never made here, or forgotten.
    Unknown,
}

/// Money that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// Whose invoice was paid. A settlement is counted once per payment hash.
    pub payment_hash: PaymentHash,
    /// What the payer paid. A backend that bought room to receive for it may have kept a part (phoenixd's `fees`).
    pub amount: Msat,
    /// Seconds since the Unix epoch.
    pub settled_at: u64,
    /// Where this settlement stands in the node's stream: opaque, at most 128 bytes of ASCII.
    pub cursor: String,
}

/// Money that arrived, as a list of the past says it: it may have been acknowledged long ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// Whose invoice was paid.
    pub payment_hash: PaymentHash,
    /// What the payer paid; as in [`Settlement::amount`].
    pub amount: Msat,
    /// Seconds since the Unix epoch.
    pub settled_at: u64,
}

/// A payment that was made.
#[derive(Clone, PartialEq, Eq)]
pub struct Payment {
    /// The proof of payment. A secret until it is shown to the gate that asked for the money.
    pub preimage: Preimage,
    /// The hash that was paid.
    pub payment_hash: PaymentHash,
    /// What the payee got.
    pub amount: Msat,
    /// What the route took on top.
    pub fee: Msat,
}

/// The preimage is worth what was paid for it, so it is left out.
impl std::fmt::Debug for Payment {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Payment")
            .field("payment_hash", &self.payment_hash)
            .field("amount", &self.amount)
            .field("fee", &self.fee)
            .finish_non_exhaustive()
    }
}

/// What became of a payment of this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outgoing {
    /// Never tried here.
    Unknown,
    /// Under way: the money may still go.
    Pending,
    /// Paid.
    Paid(Payment),
    /// Given up; nothing was spent.
    Failed,
}

/// What the node's usable channels can carry now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Balances {
    /// What can be sent, over all usable channels.
    pub outbound: Msat,
    /// What can be received, over all usable channels; `None` where the backend does not say. Below an invoice's
    /// amount the gate answers `NO_LIQUIDITY`.
    pub inbound: Option<Msat>,
    /// On-chain satoshis, confirmed and not, including what is kept as a reserve for closing channels.
    pub onchain_sat: u64,
}

/// Who a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeInfo {
    /// The node's public key, 66 hex digits.
    pub id: String,
    /// Its name, when it has one.
    pub alias: Option<String>,
    /// `bitcoin`, `testnet`, `signet` or `regtest`.
    pub network: String,
    /// The height of the best block it knows.
    pub block_height: u32,
    /// It has seen the chain's tip lately.
    pub synced: bool,
    /// How many channels it has, usable or not.
    pub channels: usize,
    /// How many of them can carry a payment now.
    pub usable_channels: usize,
}

/// A channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// The backend's name for it, hex.
    pub id: String,
    /// The peer's public key, 66 hex digits; empty where the backend does not say.
    pub peer: String,
    /// Its size in satoshis.
    pub capacity_sat: u64,
    /// What can be sent over it now.
    pub outbound: Msat,
    /// What can be received over it now.
    pub inbound: Msat,
    /// It can carry a payment now.
    pub usable: bool,
}

/// A node's unsigned millisatoshis as the gate counts them; `None` beyond `i64`, which is more than all bitcoin.
pub(crate) fn msat(unsigned: u64) -> Option<Msat> {
    i64::try_from(unsigned).ok().map(Msat::new)
}

/// Shortest and longest time an invoice made here can be paid.
const EXPIRY: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(30 * 24 * 3600);

/// Most bytes of a description (phoenixd's bound, so that every backend shows the same text).
const MAX_DESCRIPTION: usize = 128;

impl InvoiceRequest {
    /// The expiry in whole seconds, inside its bounds.
    pub(crate) fn expiry_secs(&self) -> u32 {
        let seconds = self.expiry.clamp(*EXPIRY.start(), *EXPIRY.end()).as_secs();
        u32::try_from(seconds).unwrap_or(u32::MAX)
    }

    /// The amount in millisatoshi.
    ///
    /// # Errors
    /// [`NodeError::Refused`] when it is not above zero.
    pub(crate) fn above_zero(&self) -> Result<i64, NodeError> {
        match self.amount.as_i64() {
            msat if msat > 0 => Ok(msat),
            _ => Err(NodeError::Refused("an invoice must ask for more than nothing".to_owned())),
        }
    }

    /// The amount in whole satoshis, rounded up.
    ///
    /// # Errors
    /// As [`above_zero`](Self::above_zero).
    pub(crate) fn sats_above_zero(&self) -> Result<i64, NodeError> {
        self.above_zero().map(|_| self.amount.ceil_to_sat())
    }

    /// For backends that choose preimages themselves.
    pub(crate) fn only_chosen_by_the_node(&self) -> Result<(), NodeError> {
        match self.preimage {
            Some(_) => Err(NodeError::Unsupported("an invoice for a chosen preimage")),
            None => Ok(()),
        }
    }

    /// The description, cut at a character boundary.
    pub(crate) fn bounded_description(&self) -> &str {
        &self.description[..self.description.floor_char_boundary(MAX_DESCRIPTION)]
    }
}

/// An invoice as a backend made it. Its text is what the payer sees, so it is what counts.
///
/// # Errors
/// [`NodeError::BadReply`] when it is no invoice, or asks for something else than `amount`.
pub(crate) fn checked_invoice(text: String, amount: Msat) -> Result<Invoice, NodeError> {
    let decoded = bolt11::decode(&text).map_err(|error| NodeError::BadReply(error.to_string()))?;
    if decoded.amount != Some(amount) {
        return Err(NodeError::BadReply("the invoice asks for another amount".to_owned()));
    }
    let (payment_hash, expires_at) = (decoded.payment_hash, decoded.expires_at);
    Ok(Invoice { bolt11: text, payment_hash, amount, expires_at })
}

/// What an invoice asks for, when it may be paid.
///
/// # Errors
/// What is wrong with it; nothing was sent.
pub(crate) fn payable(text: &str) -> Result<(PaymentHash, Msat), PayError> {
    let invoice = bolt11::decode(text).map_err(|error| PayError::InvalidInvoice(error.to_string()))?;
    if invoice.is_expired(unix_now()) {
        return Err(PayError::Expired);
    }
    let amount = invoice.amount.filter(|asked| *asked > Msat::ZERO).ok_or(PayError::NoAmount)?;
    Ok((invoice.payment_hash, amount))
}

/// Seconds since the Unix epoch; 0 on a machine whose clock stands before it.
pub(crate) fn unix_now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
