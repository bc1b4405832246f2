//! Why a call did not get through, and whose fault it is.

use octroi_l402::{Msat, PaymentHash};
use octroi_lightning::PayError;

use crate::{BillError, IdentityNeeded, PaymentRequired, PurseError, Question};

/// A call that got no answer. A tool's own error (`isError`) is an answer, not one of these.
///
/// No variant carries a token, a preimage or a macaroon.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// The agent's settings cannot be used: its owner's fault.
    #[error("configuration: {0}")]
    Config(String),
    /// The server wants to know who calls, or the access token is not enough: get one from the issuer it names.
    #[error("{0}")]
    IdentityNeeded(Box<IdentityNeeded>),
    /// The call has a price, and the agent has no wallet, and no leave to compute for it.
    #[error("payment required: {}", .0.summary())]
    PaymentRequired(Box<PaymentRequired>),
    /// The price is beyond a limit that the agent's owner set. Nothing was paid.
    #[error("{asked} asked, {left} left of the budget {limit}")]
    OverBudget {
        /// What the server asks.
        asked: Msat,
        /// What may still be spent under the limit.
        left: Msat,
        /// Which limit: `per call`, `in total`, `per hour`, `per day` or `per server and day`.
        limit: &'static str,
    },
    /// The policy names the servers that may be paid, and this is none of them. Nothing was paid.
    #[error("{server} is not among the servers that the policy allows")]
    NotListed {
        /// The server's origin.
        server: String,
    },
    /// The owner was asked and did not allow it, or nobody could be asked. Nothing was paid.
    #[error("not allowed: {0}")]
    NotApproved(Box<Question>),
    /// Whoever called gave up before the call was made. What was bought for it is in the purse.
    #[error("the call was given up")]
    GivenUp,
    /// The server's invoice is not what it says it is: the server's fault. Nothing was paid.
    #[error("the server's invoice was not paid: {0}")]
    Bill(#[from] BillError),
    /// The wallet did not pay. Nothing was spent.
    #[error("the wallet did not pay: {0}")]
    Pay(PayError),
    /// A payment for this tool has no outcome yet; the money may still go. Call again later: the same invoice is
    /// looked up, and no other one is paid meanwhile.
    #[error(
        "the payment {payment_hash} has no outcome yet; it may still succeed, so nothing else is paid for this tool"
    )]
    PaymentPending {
        /// The invoice's payment hash.
        payment_hash: PaymentHash,
    },
    /// The wallet says it paid, but its preimage does not open the invoice: the wallet's fault.
    #[error("the wallet's proof does not belong to the invoice {payment_hash}")]
    WrongProof {
        /// The invoice's payment hash.
        payment_hash: PaymentHash,
    },
    /// One payment was made and the server asks for another: the server's fault. The credential is kept unless the
    /// server called it spent.
    #[error("paid, and still refused ({reason}): {message}")]
    StillUnpaid {
        /// The server's reason code; `-` where it gave none.
        reason: String,
        /// What the server says.
        message: String,
    },
    /// The server does not do this, whatever is paid.
    #[error("refused ({status}{}): {message}", .reason.as_ref().map(|code| format!(", {code}")).unwrap_or_default())]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The server's reason code.
        reason: Option<String>,
        /// What the server says.
        message: String,
    },
    /// The server cannot be reached, or the connection broke. The call may have been made.
    #[error("network: {0}")]
    Network(String),
    /// No answer within the time allowed. The call may have been made.
    #[error("the server took too long")]
    Timeout,
    /// The answer is longer than is read: the server's fault.
    #[error("the answer is longer than {max} bytes")]
    TooLong {
        /// The bound in bytes.
        max: usize,
    },
    /// The server sends the caller elsewhere; credentials and money do not follow.
    #[error("the server redirects to {to}, which was not followed")]
    Redirected {
        /// The address given, without its query.
        to: String,
    },
    /// The answer is not MCP: the server's fault.
    #[error("the answer was not understood: {0}")]
    BadReply(String),
    /// Signing in came to no end: the issuer's fault, or nobody agreed.
    #[error("signing in: {0}")]
    SignIn(String),
    /// Credentials cannot be kept: the owner's disk. Nothing was paid.
    #[error("purse: {0}")]
    Purse(#[from] PurseError),
}
