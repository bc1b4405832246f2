//! The embedded node's coins and channels, for its operator.

use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use ldk_node::bitcoin::{Address, FeeRate};
use octroi_l402::Msat;

use super::{EmbeddedNode, Inner};
use crate::{ChannelRequest, NodeError, Treasury, Withdrawal};

/// The most that is paid to miners, in satoshis for each virtual byte: beyond this it is a slip of the pen.
const FEE_RATE_MAX: u64 = 10_000;

/// How long a transaction may take to be seen after it was sent.
const SEEN: Duration = Duration::from_secs(30);

/// How often it is looked for.
const LOOK: Duration = Duration::from_millis(200);

/// What a peer is told of a closing that it was not asked about.
const FORCED: &str = "closed by its operator";

/// What spends coins looks at the chain first: the wallet does not count what it sent itself until it has seen it there, and would
/// spend the same coins again.
#[async_trait]
impl Treasury for EmbeddedNode {
    async fn open_channel(&self, request: ChannelRequest) -> Result<(), NodeError> {
        let ChannelRequest { peer, address, capacity_sat } = request;
        self.sync().await?;
        Self::open_channel(self, &peer, address, capacity_sat, Msat::ZERO).await
    }

    async fn close_channel(&self, id: &str, force: bool) -> Result<(), NodeError> {
        let id = id.to_ascii_lowercase();
        self.run(move |inner| close(inner, &id, force)).await
    }

    async fn withdraw(&self, withdrawal: Withdrawal) -> Result<String, NodeError> {
        self.sync().await?;
        next_second().await;
        let (sent, before) = self.run(move |inner| Ok((withdraw(inner, &withdrawal)?, coins(inner)))).await?;
        self.seen(&sent, before).await;
        Ok(sent)
    }
}

impl EmbeddedNode {
    /// Waits until the wallet knows of a transaction that leaves it with less than `before` (satoshis), so that its coins are not
    /// taken again by the next one.
    async fn seen(&self, sent: &str, before: u64) {
        let seeing = async {
            while coins(&self.inner) >= before {
                tokio::time::sleep(LOOK).await;
                if let Err(error) = self.sync().await {
                    tracing::warn!(%error, "the wallet could not look at the chain");
                }
            }
        };
        if tokio::time::timeout(SEEN, seeing).await.is_err() {
            tracing::warn!(
                transaction = sent,
                "a withdrawal was sent, and is not seen by the chain's source"
            );
        }
    }
}

/// Waits until the clock shows another second. ldk-node takes whatever entered bitcoind's mempool in the second of the newest
/// transaction it has seen for something it has already told the wallet of, and would never tell it of one sent in that second.
async fn next_second() {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let gone = Duration::from_nanos(since_epoch.subsec_nanos().into());
    tokio::time::sleep(Duration::from_secs(1).saturating_sub(gone)).await;
}

fn coins(inner: &Inner) -> u64 {
    inner.node.list_balances().total_onchain_balance_sats
}

fn close(inner: &Inner, id: &str, force: bool) -> Result<(), NodeError> {
    let channels = inner.node.list_channels();
    let Some(channel) = channels.iter().find(|channel| channel.channel_id.to_string() == id) else {
        return Err(NodeError::Refused("there is no such channel".to_owned()));
    };
    let (number, peer) = (&channel.user_channel_id, channel.counterparty_node_id);
    let closing = if force {
        inner.node.force_close_channel(number, peer, Some(FORCED.to_owned()))
    } else {
        inner.node.close_channel(number, peer)
    };
    closing.map_err(|error| NodeError::Refused(error.to_string()))
}

fn withdraw(inner: &Inner, withdrawal: &Withdrawal) -> Result<String, NodeError> {
    let address = Address::from_str(&withdrawal.address)
        .map_err(|error| NodeError::Config(format!("not an address: {error}")))?
        .require_network(inner.network.into())
        .map_err(|_| NodeError::Config("an address of another network".to_owned()))?;
    let rate = match withdrawal.sat_per_vbyte {
        Some(0) => return Err(NodeError::Config("miners take no transaction for nothing".to_owned())),
        Some(rate) if rate > FEE_RATE_MAX => {
            return Err(NodeError::Config(format!("more than {FEE_RATE_MAX} sat/vB for miners")));
        }
        Some(rate) => FeeRate::from_sat_per_vb(rate),
        None => None,
    };
    let wallet = inner.node.onchain_payment();
    let sent = match withdrawal.amount_sat {
        Some(amount) => wallet.send_to_address(&address, amount, rate),
        None => wallet.send_all_to_address(&address, true, rate),
    };
    sent.map(|id| id.to_string()).map_err(|error| NodeError::Refused(error.to_string()))
}
