//! Takes ldk-node's events one by one and puts each where it belongs.

use std::sync::Arc;
use std::time::Duration;

use ldk_node::Event;
use ldk_node::payment::PaymentStatus;
use octroi_l402::{Msat, PaymentHash, Preimage};
use tokio::task::block_in_place;
use tracing::{debug, error, info, warn};

use super::adapter::with_skimmed;
use super::settlements::arrival;
use super::{Inner, payment_id};
use crate::node::{msat, unix_now};

/// How long to wait when an event could not be kept: the disk is full, or the ledger is far behind.
const RETRY: Duration = Duration::from_secs(1);

/// How often records of expired invoices are dropped.
const CLEANING: Duration = Duration::from_secs(60);

/// Most records dropped in one go; more wait a second, so that payments do not wait for the disk.
const CLEANED_AT_ONCE: usize = 500;

/// Ends with the node's runtime.
pub(super) async fn run(inner: Arc<Inner>) {
    loop {
        let event = inner.node.next_event_async().await;
        // ldk-node repeats an event until it is handled, also after a crash.
        let kept = block_in_place(|| take(&inner, event) && handled(&inner));
        if !kept {
            tokio::time::sleep(RETRY).await;
        }
    }
}

fn handled(inner: &Inner) -> bool {
    match inner.node.event_handled() {
        Ok(()) => true,
        Err(error) => {
            error!(%error, "the Lightning node could not note an event as handled");
            false
        }
    }
}

/// Whether the event is dealt with for good.
fn take(inner: &Inner, event: Event) -> bool {
    match event {
        Event::PaymentReceived { payment_hash, amount_msat, .. } => {
            return received(inner, PaymentHash::from_bytes(payment_hash.0), amount_msat);
        }
        Event::PaymentSuccessful { payment_hash, payment_preimage, fee_paid_msat, .. } => {
            let hash = PaymentHash::from_bytes(payment_hash.0);
            let fee = fee_paid_msat.and_then(msat).unwrap_or(Msat::ZERO);
            // Without a preimage (a store of old) the waiter finds the outcome in the payment's record.
            if let Some(preimage) = payment_preimage {
                inner.waiters.resolve(&hash, Ok((Preimage::from_bytes(preimage.0), fee)));
            }
        }
        Event::PaymentFailed { payment_hash: Some(hash), reason, .. } => {
            inner.waiters.resolve(&PaymentHash::from_bytes(hash.0), Err(reason));
        }
        Event::PaymentClaimable { payment_hash, .. } => {
            // Only invoices for a hash chosen elsewhere need claiming, and this node makes none.
            warn!(%payment_hash, "refused a payment for an invoice that was not made here");
            if let Err(error) = inner.node.bolt11_payment().fail_for_hash(payment_hash) {
                debug!(%error, %payment_hash, "it was gone already");
            }
        }
        Event::ChannelReady { channel_id, .. } => info!(%channel_id, "Lightning channel ready"),
        Event::ChannelClosed { channel_id, reason, .. } => {
            if let Err(error) = inner.closings.note(channel_id, reason.as_ref()) {
                error!(%error, "why a channel was closed could not be written down; it will be tried again");
                return false;
            }
        }
        _ => {}
    }
    true
}

fn received(inner: &Inner, hash: PaymentHash, amount: u64) -> bool {
    let Some(amount) = msat(amount) else {
        error!(%hash, amount, "an impossible amount was received; it is not counted");
        return true;
    };
    let record = inner.node.payment(&payment_id(&hash));
    let settled_at = record.as_ref().map(|record| record.latest_update_timestamp);
    let amount = record.map_or(amount, |record| with_skimmed(&record, amount));
    match inner.settlements.record(arrival(hash, amount, settled_at.unwrap_or_else(unix_now))) {
        Ok(true) => true,
        Ok(false) => {
            warn!("too many settlements wait for the ledger; the Lightning node's events wait too");
            false
        }
        Err(error) => {
            error!(%error, "a settlement could not be written down; it will be tried again");
            false
        }
    }
}

/// Keeps the node's store bounded, for invoices that nobody [forgot](crate::LightningNode::forget).
pub(super) async fn drop_overdue_invoices(inner: Arc<Inner>) {
    loop {
        let dropped = block_in_place(|| {
            let is_paid = |hash: &PaymentHash| {
                let record = inner.node.payment(&payment_id(hash));
                record.is_some_and(|record| record.status == PaymentStatus::Succeeded)
            };
            let overdue = inner.invoices.overdue(unix_now(), is_paid);
            for hash in overdue.iter().take(CLEANED_AT_ONCE) {
                if let Err(error) = inner.node.remove_payment(&payment_id(hash)) {
                    warn!(%error, "the record of an expired invoice could not be dropped");
                } else if let Err(error) = inner.invoices.remove(hash) {
                    warn!(%error, "the expiry of an expired invoice could not be dropped");
                }
            }
            if let Err(error) = inner.closings.drop_done(&inner.node) {
                warn!(%error, "the record of a closed channel could not be dropped");
            }
            overdue.len()
        });
        debug!(dropped, "records of expired invoices");
        tokio::time::sleep(if dropped > CLEANED_AT_ONCE { RETRY } else { CLEANING }).await;
    }
}
