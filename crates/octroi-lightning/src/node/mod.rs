//! The trait every Lightning backend implements, and the words it is spoken in.

mod capabilities;
mod invoice;
mod payment;
mod state;

use std::time::Duration;

use async_trait::async_trait;
use octroi_l402::{Msat, PaymentHash};

pub use capabilities::{Capabilities, Past, Settlements};
pub(crate) use invoice::checked_invoice;
pub use invoice::{Invoice, InvoiceRequest, InvoiceState};
pub(crate) use payment::payable;
pub use payment::{Outgoing, Payment, Settled, Settlement};
pub use state::{Balances, Channel, Closing, NodeInfo};

use crate::{NodeError, PayError, Powers, Treasury};

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

    /// How it tells of settlements: what [`Capabilities::settlements`] says, or where that depends on the node at the other end, what
    /// this one does.
    ///
    /// # Errors
    /// When the node could not be asked.
    async fn settlements(&self) -> Result<Settlements, NodeError> {
        Ok(self.capabilities().settlements)
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

    /// Channels that were closed, as long as a part of their money is not back in the wallet. None where the node's coins are not
    /// managed through the gate ([`treasury`](Self::treasury)).
    async fn closing(&self) -> Result<Vec<Closing>, NodeError> {
        Ok(Vec::new())
    }
}

/// All there will ever be, 21 million bitcoin, in millisatoshis.
const ALL_BITCOIN: u64 = 2_100_000_000_000_000_000;

/// A node's unsigned millisatoshis as the gate counts them; `None` beyond all bitcoin.
pub(crate) fn msat(unsigned: u64) -> Option<Msat> {
    i64::try_from(unsigned).ok().filter(|_| unsigned <= ALL_BITCOIN).map(Msat::new)
}

/// Seconds since the Unix epoch; 0 on a machine whose clock stands before it.
pub(crate) fn unix_now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
