//! The embedded node as a [`LightningNode`].

use std::time::Duration;

use async_trait::async_trait;
use ldk_node::ChannelDetails;
use ldk_node::lightning_invoice::{Bolt11InvoiceDescription, Description};
use ldk_node::payment::{PaymentDetails, PaymentDirection, PaymentKind, PaymentStatus};
use octroi_l402::{Msat, PaymentHash};

use super::{EmbeddedNode, Inner, payment_id, storage, unsigned};
use crate::node::{msat, unix_now};
use crate::paying::amount;
use crate::{
    Balances, Capabilities, Channel, Closing, Invoice, InvoiceRequest, InvoiceState, LightningNode,
    NodeError, NodeInfo, Outgoing, PayError, Payment, Settled, Settlement, Treasury, bolt11,
};

/// A wallet that saw the chain within this many seconds counts as synced: some turns of the slowest chain source.
const SYNCED_WITHIN_SECS: u64 = 300;

#[async_trait]
impl LightningNode for EmbeddedNode {
    fn backend(&self) -> &'static str {
        "embedded"
    }

    fn ledger_name(&self) -> String {
        // Gates that share a ledger have a node each.
        format!("embedded:{}", self.inner.node.node_id())
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { buys_inbound: self.inner.lsp_fee_percent.is_some(), ..Capabilities::EMBEDDED }
    }

    async fn create_invoice(&self, request: InvoiceRequest) -> Result<Invoice, NodeError> {
        self.run(move |inner| create(inner, &request)).await
    }

    async fn lookup(&self, payment_hash: &PaymentHash) -> Result<InvoiceState, NodeError> {
        let hash = *payment_hash;
        self.run(move |inner| Ok(state(inner, &hash))).await
    }

    async fn next_settlement(&self, after: Option<&str>) -> Result<Settlement, NodeError> {
        self.inner.settlements.next(after).await
    }

    async fn settled_since(&self, from: u64) -> Result<Vec<Settled>, NodeError> {
        self.run(move |inner| Ok(settled_since(inner, from))).await
    }

    async fn acknowledge(&self, settlement: &Settlement) -> Result<(), NodeError> {
        let hash = settlement.payment_hash;
        self.run(move |inner| inner.settlements.acknowledge(&hash)).await
    }

    async fn forget(&self, payment_hash: &PaymentHash) -> Result<(), NodeError> {
        let hash = *payment_hash;
        self.run(move |inner| {
            // A paid invoice's record is what refuses a second payment; it goes by its age only.
            if matches!(state(inner, &hash), InvoiceState::Open | InvoiceState::Expired) {
                inner.node.remove_payment(&payment_id(&hash)).map_err(storage)?;
                inner.invoices.remove(&hash)?;
            }
            Ok(())
        })
        .await
    }

    async fn pay(&self, bolt11: &str, max_fee: Msat, timeout: Duration) -> Result<Payment, PayError> {
        self.pay_invoice(bolt11, max_fee, timeout).await
    }

    async fn outgoing(&self, payment_hash: &PaymentHash) -> Result<Outgoing, NodeError> {
        Ok(self.outgoing_state(payment_hash))
    }

    async fn balances(&self) -> Result<Balances, NodeError> {
        self.run(|inner| {
            let channels = inner.node.list_channels();
            let usable = || channels.iter().filter(|channel| channel.is_usable);
            Ok(Balances {
                outbound: sum(usable().map(|channel| channel.outbound_capacity_msat))?,
                inbound: Some(sum(usable().map(|channel| channel.inbound_capacity_msat))?),
                onchain_sat: inner.node.list_balances().total_onchain_balance_sats,
            })
        })
        .await
    }

    async fn new_address(&self) -> Result<String, NodeError> {
        Self::new_address(self).await
    }

    fn treasury(&self) -> Option<&dyn Treasury> {
        Some(self)
    }

    async fn info(&self) -> Result<NodeInfo, NodeError> {
        self.run(|inner| {
            let (status, channels) = (inner.node.status(), inner.node.list_channels());
            let seen = status.latest_lightning_wallet_sync_timestamp;
            Ok(NodeInfo {
                id: inner.node.node_id().to_string(),
                alias: inner.node.node_alias().map(|alias| alias.to_string()),
                network: inner.network.as_str().to_owned(),
                block_height: status.current_best_block.height,
                synced: seen.is_some_and(|seen| unix_now().saturating_sub(seen) <= SYNCED_WITHIN_SECS),
                channels: channels.len(),
                usable_channels: channels.iter().filter(|channel| channel.is_usable).count(),
            })
        })
        .await
    }

    async fn channels(&self) -> Result<Vec<Channel>, NodeError> {
        self.run(|inner| inner.node.list_channels().iter().map(channel).collect()).await
    }

    async fn closing(&self) -> Result<Vec<Closing>, NodeError> {
        self.run(|inner| Ok(inner.closings.under_way(&inner.node))).await
    }
}

fn create(inner: &Inner, request: &InvoiceRequest) -> Result<Invoice, NodeError> {
    request.only_chosen_by_the_node()?;
    let Some(asked) = unsigned(request.amount).filter(|&asked| asked > 0) else {
        return Err(NodeError::Refused("an invoice must ask for more than nothing".to_owned()));
    };
    if !inner.invoices.has_room() {
        return Err(NodeError::Refused("too many invoices on record; forget the unpaid ones".to_owned()));
    }
    let description = Description::new(request.bounded_description().to_owned())
        .map_err(|error| NodeError::Refused(error.to_string()))?;
    let description = Bolt11InvoiceDescription::Direct(description);
    let payments = inner.node.bolt11_payment();
    let made = match inner.lsp_fee_percent.filter(|_| room(inner) < asked) {
        // The provider opens a channel when the payment comes, and keeps its fee of it.
        Some(percent) => {
            let fee_most = asked / 100 * u64::from(percent);
            payments.receive_via_jit_channel(asked, &description, request.expiry_secs(), Some(fee_most))
        }
        None => payments.receive(asked, &description, request.expiry_secs()),
    };
    let invoice = made.map_err(|error| match error {
        ldk_node::NodeError::PersistenceFailed => storage(error),
        // The provider is away, or too dear for so little.
        _ => NodeError::Refused(error.to_string()),
    })?;
    let payment_hash = bolt11::hash_of(&invoice);
    let expires_at = invoice.expires_at().map_or(u64::MAX, |at| at.as_secs());
    inner.invoices.insert(payment_hash, expires_at)?;
    Ok(Invoice { bolt11: invoice.to_string(), payment_hash, amount: request.amount, expires_at })
}

/// What the channels can receive now, in millisatoshi.
fn room(inner: &Inner) -> u64 {
    let channels = inner.node.list_channels();
    let usable = channels.iter().filter(|channel| channel.is_usable);
    usable.map(|channel| channel.inbound_capacity_msat).fold(0, u64::saturating_add)
}

fn state(inner: &Inner, hash: &PaymentHash) -> InvoiceState {
    if let Some((amount, settled_at)) = inner.settlements.waiting(hash) {
        return InvoiceState::Settled { amount, settled_at };
    }
    let record = inner.node.payment(&payment_id(hash));
    let Some(record) = record.filter(|record| record.direction == PaymentDirection::Inbound) else {
        return InvoiceState::Unknown;
    };
    if let Some(Settled { amount, settled_at, .. }) = settled(&record) {
        return InvoiceState::Settled { amount, settled_at };
    }
    match inner.invoices.expires_at(hash) {
        None => InvoiceState::Unknown,
        Some(expires_at) if expires_at <= unix_now() => InvoiceState::Expired,
        Some(_) => InvoiceState::Open,
    }
}

/// What was received, the oldest first, as long as its records are kept.
fn settled_since(inner: &Inner, from: u64) -> Vec<Settled> {
    let records = inner.node.list_payments_with_filter(|record| {
        record.direction == PaymentDirection::Inbound && record.latest_update_timestamp >= from
    });
    let mut found: Vec<Settled> = records.iter().filter_map(settled).collect();
    found.sort_unstable_by_key(|one| (one.settled_at, one.payment_hash));
    found
}

/// What was received for an invoice, where something was.
fn settled(record: &PaymentDetails) -> Option<Settled> {
    let received = record.direction == PaymentDirection::Inbound && record.status == PaymentStatus::Succeeded;
    let hash = match &record.kind {
        PaymentKind::Bolt11 { hash, .. } | PaymentKind::Bolt11Jit { hash, .. } if received => hash,
        _ => return None,
    };
    let amount = with_skimmed(record, record.amount_msat.and_then(msat).unwrap_or(Msat::ZERO));
    let payment_hash = PaymentHash::from_bytes(hash.0);
    Some(Settled { payment_hash, amount, settled_at: record.latest_update_timestamp })
}

/// With what a liquidity provider kept for the channel, which was paid all the same.
pub(super) fn with_skimmed(record: &PaymentDetails, amount: Msat) -> Msat {
    let kept = match record.kind {
        PaymentKind::Bolt11Jit { counterparty_skimmed_fee_msat, .. } => {
            counterparty_skimmed_fee_msat.and_then(msat)
        }
        _ => None,
    };
    kept.and_then(|kept| amount.checked_add(kept)).unwrap_or(amount)
}

fn channel(details: &ChannelDetails) -> Result<Channel, NodeError> {
    Ok(Channel {
        id: details.channel_id.to_string(),
        peer: details.counterparty_node_id.to_string(),
        capacity_sat: details.channel_value_sats,
        outbound: amount(details.outbound_capacity_msat)?,
        inbound: amount(details.inbound_capacity_msat)?,
        usable: details.is_usable,
    })
}

fn sum(parts: impl Iterator<Item = u64>) -> Result<Msat, NodeError> {
    amount(parts.fold(0, u64::saturating_add))
}
