//! What can go wrong at a Lightning node, and whose fault it is.

use thiserror::Error;

/// A node did not do what the gate asked.
///
/// No variant carries a secret: neither passwords, preimages, nor addresses with credentials in them.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The node does not answer (the operator's, or the network's, fault). Trying again later may help.
    #[error("the Lightning node does not answer: {0}")]
    Unreachable(String),
    /// The node answered and would not: a wrong password, an amount it does not take, too many open invoices.
    #[error("the Lightning node refused: {0}")]
    Refused(String),
    /// The node cannot do this at all; [`crate::Capabilities`] says so beforehand.
    #[error("this Lightning backend cannot do that: {0}")]
    Unsupported(&'static str),
    /// No answer within the time allowed. What was asked may have happened.
    #[error("the Lightning node took too long")]
    Timeout,
    /// The node answered something that is not its API (a proxy's page, another version): the node's fault.
    #[error("the Lightning node's answer was not understood: {0}")]
    BadReply(String),
    /// The node's own store cannot be read or written: the operator's disk.
    #[error("the Lightning node's store failed: {0}")]
    Storage(String),
    /// The node's store is an older copy: starting from it would lose the money of its channels. Fatal at start.
    #[error("{0}")]
    Stale(String),
    /// The settings given for the node cannot be used: the operator's fault, fatal at start.
    #[error("Lightning configuration: {0}")]
    Config(String),
    /// The address to listen on is taken, or not this machine's: the operator's fault, fatal at start.
    #[error("the Lightning node cannot listen on the address configured")]
    CannotListen,
    /// The node was stopped.
    #[error("the Lightning node is stopped")]
    Stopped,
}

/// A payment was not made, or may not have been.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PayError {
    /// Not a BOLT 11 invoice, or its signature is wrong: whoever gave the invoice.
    #[error("not a payable BOLT 11 invoice: {0}")]
    InvalidInvoice(String),
    /// The invoice is for another network than the node's.
    #[error("the invoice is for another network")]
    WrongNetwork,
    /// The invoice names no amount; the gate never lets a stranger's default choose one.
    #[error("the invoice names no amount")]
    NoAmount,
    /// The invoice's time is over. Nothing was sent.
    #[error("the invoice has expired")]
    Expired,
    /// This payment hash was paid, or is being paid, by this node already. Nothing was sent.
    #[error("this invoice was paid already, or is being paid")]
    AlreadyPaid,
    /// No route within the fee limit, or too little outbound capacity: ours, or the network's. Nothing was spent.
    #[error("no route to the payee within the fee limit")]
    NoRoute,
    /// The payee's node refused the money. Nothing was spent.
    #[error("the payee refused the payment")]
    Rejected,
    /// The node gave the payment up for another reason. Nothing was spent.
    #[error("the payment failed: {0}")]
    Failed(String),
    /// No outcome yet: **the money may still go**. Ask again with the same invoice; never pay another for the same.
    #[error("no outcome within the time allowed; the payment may still succeed")]
    Pending,
    /// The node itself failed.
    #[error(transparent)]
    Node(#[from] NodeError),
}
