//! What paying has in common, whichever node does it.

use octroi_l402::{Msat, PaymentHash, Preimage};

use crate::node::msat;
use crate::{NodeError, Outgoing, PayError, Payment};

/// A preimage that is one: a node's word alone is no proof.
pub(crate) fn proof(hex: &str, hash: &PaymentHash) -> Option<Preimage> {
    hex.parse::<Preimage>().ok().filter(|preimage| preimage.payment_hash() == *hash)
}

/// What is said of a payment that is paid and has no such proof.
pub(crate) fn without_proof() -> NodeError {
    NodeError::BadReply("a paid payment without its preimage".to_owned())
}

/// Whoever pays twice should know.
pub(crate) const fn not_twice(found: &Outgoing) -> Result<(), PayError> {
    match found {
        Outgoing::Paid(_) | Outgoing::Pending => Err(PayError::AlreadyPaid),
        Outgoing::Failed | Outgoing::Unknown => Ok(()),
    }
}

/// The answer did not come in time, or was cut off; the record may have it.
pub(crate) fn after_silence(found: Result<Outgoing, NodeError>) -> Result<Payment, PayError> {
    match found {
        Ok(Outgoing::Paid(payment)) => Ok(payment),
        _ => Err(PayError::Pending),
    }
}

/// A node's unsigned millisatoshis.
///
/// # Errors
/// [`NodeError::BadReply`] for more than there is.
pub(crate) fn amount(unsigned: u64) -> Result<Msat, NodeError> {
    msat(unsigned).ok_or_else(|| NodeError::BadReply("an amount beyond all bitcoin".to_owned()))
}
