//! Paying an invoice, and what became of it.

use std::time::Duration;

use ldk_node::lightning::events::PaymentFailureReason;
use ldk_node::lightning::routing::router::RouteParametersConfig;
use ldk_node::lightning_invoice::Bolt11Invoice;
use ldk_node::payment::{PaymentDetails, PaymentDirection, PaymentKind, PaymentStatus};
use octroi_l402::{Msat, PaymentHash, Preimage};

use super::{EmbeddedNode, Inner, payment_id, unsigned};
use crate::node::msat;
use crate::{NodeError, Outgoing, PayError, Payment, bolt11};

impl EmbeddedNode {
    pub(super) async fn pay_invoice(
        &self,
        text: &str,
        max_fee: Msat,
        timeout: Duration,
    ) -> Result<Payment, PayError> {
        let invoice = bolt11::parse(text).map_err(|error| PayError::InvalidInvoice(error.to_string()))?;
        let amount = self.payable(&invoice)?;
        let hash = bolt11::hash_of(&invoice);
        let mut waiter = self.inner.waiters.register(hash).ok_or(PayError::AlreadyPaid)?;
        let max_fee = unsigned(max_fee).unwrap_or(0);
        match self.run(move |inner| Ok(send(inner, &invoice, max_fee))).await {
            // It was begun, and may go on.
            Err(NodeError::Timeout) => return Err(PayError::Pending),
            sent => sent??,
        }
        let Ok(Some(outcome)) = tokio::time::timeout(timeout, waiter.outcome()).await else {
            // Stopped, or out of time: the record may know more than the event that has not come.
            return match self.outgoing_state(&hash) {
                Outgoing::Paid(payment) => Ok(payment),
                Outgoing::Failed => Err(PayError::Failed("see the Lightning node's log".to_owned())),
                Outgoing::Pending | Outgoing::Unknown => Err(PayError::Pending),
            };
        };
        match outcome {
            Ok((preimage, fee)) => Ok(Payment { preimage, payment_hash: hash, amount, fee }),
            Err(reason) => Err(failure(reason)),
        }
    }

    /// The amount of an invoice that this node would pay.
    fn payable(&self, invoice: &Bolt11Invoice) -> Result<Msat, PayError> {
        if invoice.network() != self.inner.network.into() {
            return Err(PayError::WrongNetwork);
        }
        if invoice.is_expired() {
            return Err(PayError::Expired);
        }
        let asked = invoice.amount_milli_satoshis().filter(|&asked| asked > 0).ok_or(PayError::NoAmount)?;
        msat(asked).ok_or_else(|| PayError::InvalidInvoice("the amount is out of range".to_owned()))
    }

    /// What the node's record says of an outgoing payment.
    pub(super) fn outgoing_state(&self, hash: &PaymentHash) -> Outgoing {
        let Some(record) = self.inner.node.payment(&payment_id(hash)) else { return Outgoing::Unknown };
        if record.direction != PaymentDirection::Outbound {
            return Outgoing::Unknown;
        }
        match record.status {
            PaymentStatus::Pending => Outgoing::Pending,
            PaymentStatus::Failed => Outgoing::Failed,
            // A paid record without its preimage cannot be proved; it has to be looked at by a person.
            PaymentStatus::Succeeded => paid(hash, &record).map_or(Outgoing::Pending, Outgoing::Paid),
        }
    }
}

fn send(inner: &Inner, invoice: &Bolt11Invoice, max_fee: u64) -> Result<(), PayError> {
    use ldk_node::NodeError as Ldk;
    let route = RouteParametersConfig { max_total_routing_fee_msat: Some(max_fee), ..Default::default() };
    match inner.node.bolt11_payment().send(invoice, Some(route)) {
        Ok(_) => Ok(()),
        Err(Ldk::DuplicatePayment) => Err(PayError::AlreadyPaid),
        // Expiry was checked before, so what is left of the reasons is that no route was found.
        Err(Ldk::PaymentSendingFailed) => Err(PayError::NoRoute),
        Err(Ldk::InvalidInvoice) => Err(PayError::InvalidInvoice("the node does not accept it".to_owned())),
        Err(Ldk::NotRunning) => Err(PayError::Node(NodeError::Stopped)),
        // It was sent, but its record could not be written.
        Err(Ldk::PersistenceFailed) => Err(PayError::Pending),
        Err(other) => Err(PayError::Failed(other.to_string())),
    }
}

fn paid(hash: &PaymentHash, record: &PaymentDetails) -> Option<Payment> {
    let PaymentKind::Bolt11 { preimage: Some(preimage), .. } = record.kind else { return None };
    Some(Payment {
        preimage: Preimage::from_bytes(preimage.0),
        payment_hash: *hash,
        amount: msat(record.amount_msat?)?,
        fee: msat(record.fee_paid_msat.unwrap_or(0))?,
    })
}

fn failure(reason: Option<PaymentFailureReason>) -> PayError {
    match reason {
        Some(PaymentFailureReason::RecipientRejected) => PayError::Rejected,
        Some(PaymentFailureReason::PaymentExpired) => PayError::Expired,
        Some(PaymentFailureReason::RouteNotFound | PaymentFailureReason::RetriesExhausted) => {
            PayError::NoRoute
        }
        Some(other) => PayError::Failed(format!("{other:?}")),
        None => PayError::Failed("no reason given".to_owned()),
    }
}
