//! Channels that closed: why, and what of their money is still on its way.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use ldk_node::lightning::events::ClosureReason;
use ldk_node::lightning::ln::types::ChannelId;
use ldk_node::lightning::util::persist::KVStoreSync;
use ldk_node::{LightningBalance, Node, PendingSweepBalance};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::store::Store;
use super::{NAMESPACE, storage};
use crate::node::unix_now;
use crate::{Closing, NodeError};

const CLOSINGS: &str = "closings";

/// How long the record of a closing is kept at least, in seconds: between the event and its transaction there is nothing to see.
const RETENTION_SECS: u64 = 7 * 24 * 3600;

/// Most bytes of a reason: the peer may have written it.
const REASON_MAX: usize = 200;

/// Why channels were closed. Bounded by their number: a record goes when the money is back.
pub(super) struct Closings {
    store: Arc<Store>,
    known: Mutex<BTreeMap<String, Record>>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Record {
    /// Seconds since the Unix epoch.
    at: u64,
    reason: String,
    unasked: bool,
}

/// What is still to come of a channel: satoshis, and the height of the last of them.
type Rest = (u64, Option<u32>);

impl Closings {
    pub(super) fn load(store: Arc<Store>) -> Result<Self, NodeError> {
        let mut known = BTreeMap::new();
        for key in KVStoreSync::list(&*store, NAMESPACE, CLOSINGS).map_err(storage)? {
            let bytes = KVStoreSync::read(&*store, NAMESPACE, CLOSINGS, &key).map_err(storage)?;
            let record = serde_json::from_slice(&bytes)
                .map_err(|_| NodeError::Storage(format!("the record of closed channel {key} is damaged")))?;
            known.insert(key, record);
        }
        Ok(Self { store, known: Mutex::new(known) })
    }

    /// Keeps why a channel was closed, and says so in the log. Told again after a crash.
    pub(super) fn note(&self, channel: ChannelId, reason: Option<&ClosureReason>) -> Result<(), NodeError> {
        let (channel, unasked) = (channel.to_string(), reason.is_some_and(is_unasked));
        let reason = said(reason);
        if unasked {
            tracing::error!(
                channel,
                reason,
                "a Lightning channel was closed unasked; its money comes back on chain"
            );
        } else {
            tracing::warn!(channel, reason, "Lightning channel closed");
        }
        let record = Record { at: unix_now(), reason, unasked };
        let bytes = serde_json::to_vec(&record).map_err(storage)?;
        KVStoreSync::write(&*self.store, NAMESPACE, CLOSINGS, &channel, bytes).map_err(storage)?;
        self.known.lock().insert(channel, record);
        Ok(())
    }

    /// Channels whose money is not all in the wallet.
    pub(super) fn under_way(&self, node: &Node) -> Vec<Closing> {
        let known = self.known.lock();
        let closing = |(channel, (sat, at_height)): (String, Rest)| {
            let record = known.get(&channel);
            let unasked = record.is_some_and(|record| record.unasked);
            Closing { reason: record.map(|record| record.reason.clone()), unasked, channel, sat, at_height }
        };
        rests(node).into_iter().map(closing).collect()
    }

    /// Drops the records of those whose money is back, some time later.
    pub(super) fn drop_done(&self, node: &Node) -> Result<(), NodeError> {
        let rests = rests(node);
        let oldest = unix_now().saturating_sub(RETENTION_SECS);
        let done: Vec<String> = {
            let known = self.known.lock();
            let done =
                |(channel, record): &(&String, &Record)| record.at < oldest && !rests.contains_key(*channel);
            known.iter().filter(done).map(|(channel, _)| channel.clone()).collect()
        };
        for channel in done {
            KVStoreSync::remove(&*self.store, NAMESPACE, CLOSINGS, &channel, false).map_err(storage)?;
            self.known.lock().remove(&channel);
        }
        Ok(())
    }
}

/// Neither the operator nor an agreement with the peer.
const fn is_unasked(reason: &ClosureReason) -> bool {
    !matches!(
        reason,
        ClosureReason::HolderForceClosed { .. }
            | ClosureReason::LegacyCooperativeClosure
            | ClosureReason::CounterpartyInitiatedCooperativeClosure
            | ClosureReason::LocallyInitiatedCooperativeClosure
            | ClosureReason::CounterpartyCoopClosedUnfundedChannel
            | ClosureReason::LocallyCoopClosedUnfundedChannel
    )
}

fn said(reason: Option<&ClosureReason>) -> String {
    let mut text = match reason {
        None => "not said".to_owned(),
        Some(ClosureReason::OutdatedChannelManager) => {
            "the node was killed, or lost its power, between two writes of a payment".to_owned()
        }
        Some(reason) => reason.to_string(),
    };
    text.truncate(text.floor_char_boundary(REASON_MAX));
    text
}

/// What closed channels still owe, by channel.
fn rests(node: &Node) -> BTreeMap<String, Rest> {
    let open: HashSet<ChannelId> = node.list_channels().iter().map(|channel| channel.channel_id).collect();
    let balances = node.list_balances();
    let in_channels = balances.lightning_balances.iter().filter_map(in_channel);
    let to_sweep = balances.pending_balances_from_channel_closures.iter().filter_map(to_sweep);
    let mut rests = BTreeMap::<String, Rest>::new();
    for (channel, sat, height) in in_channels.chain(to_sweep).filter(|(channel, ..)| !open.contains(channel))
    {
        let rest = rests.entry(channel.to_string()).or_default();
        *rest = (rest.0.saturating_add(sat), rest.1.max(height));
    }
    rests
}

/// What is to come out of a channel, for certain or if the peer does not take it first.
const fn in_channel(balance: &LightningBalance) -> Option<(ChannelId, u64, Option<u32>)> {
    Some(match *balance {
        LightningBalance::ClaimableOnChannelClose { channel_id, amount_satoshis, .. }
        | LightningBalance::CounterpartyRevokedOutputClaimable { channel_id, amount_satoshis, .. } => {
            (channel_id, amount_satoshis, None)
        }
        LightningBalance::ClaimableAwaitingConfirmations {
            channel_id,
            amount_satoshis,
            confirmation_height: height,
            ..
        }
        | LightningBalance::ContentiousClaimable {
            channel_id,
            amount_satoshis,
            timeout_height: height,
            ..
        }
        | LightningBalance::MaybeTimeoutClaimableHTLC {
            channel_id,
            amount_satoshis,
            claimable_height: height,
            ..
        } => (channel_id, amount_satoshis, Some(height)),
        // A payment that was not claimed here is not this node's.
        LightningBalance::MaybePreimageClaimableHTLC { .. } => return None,
    })
}

/// What is out of the channel, and not yet in the wallet.
fn to_sweep(balance: &PendingSweepBalance) -> Option<(ChannelId, u64, Option<u32>)> {
    match *balance {
        PendingSweepBalance::PendingBroadcast { channel_id, amount_satoshis }
        | PendingSweepBalance::BroadcastAwaitingConfirmation { channel_id, amount_satoshis, .. } => {
            Some((channel_id?, amount_satoshis, None))
        }
        // The wallet counts it from the first confirmation on.
        PendingSweepBalance::AwaitingThresholdConfirmations { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closing_is_on_record_and_says_whose_wish_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let load = || Closings::load(Arc::new(Store::plain(dir.path(), None).unwrap())).unwrap();
        let closings = load();
        let (one, two) = (ChannelId([1; 32]), ChannelId([2; 32]));
        closings.note(one, Some(&ClosureReason::OutdatedChannelManager)).unwrap();
        closings.note(two, Some(&ClosureReason::LocallyInitiatedCooperativeClosure)).unwrap();
        drop(closings);
        let closings = load();
        let known = closings.known.lock();
        assert!(known[&one.to_string()].unasked && known[&one.to_string()].reason.contains("killed"));
        assert!(!known[&two.to_string()].unasked);
    }

    #[test]
    fn what_a_peer_says_is_cut() {
        let err = "ü".repeat(1000);
        assert!(said(Some(&ClosureReason::ProcessingError { err })).len() <= REASON_MAX);
    }
}
