//! Channels that end, by agreement and by force: what was paid counts once, and the money comes back on chain.

use std::sync::Arc;
use std::time::Duration;

use octroi_lightning::embedded::EmbeddedNode;
use octroi_lightning::{LightningNode, Outgoing, PayError, Treasury, Withdrawal};
use octroi_testkit::nodes::{PUSHED, Payer};

use super::{
    FEE_MAX, PATIENCE, invoice, nothing_new, one_payment, open, payer, settings, settled, start, until,
};

/// More blocks than a delay, a claim, and the sweep of what it left take together.
const BLOCKS_MAX: u32 = 600;

/// Blocks between two looks at the chain.
const STRIDE: u32 = 6;

async fn channel(payer: &Payer) -> String {
    payer.node.channels().await.unwrap()[0].id.clone()
}

/// Mines, and lets both look, until something is so.
async fn mine_until(payer: &Payer, node: &EmbeddedNode, what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..BLOCKS_MAX / STRIDE {
        if is_so().await {
            return;
        }
        payer.chain.mine(STRIDE);
        payer.node.sync().await.unwrap();
        node.sync().await.unwrap();
    }
    let (balances, refused) = (node.balances().await, payer.chain.refused());
    panic!("it never came to this: {what}; {balances:?}, {} wait, {refused:?}", payer.chain.waiting());
}

async fn coins(node: &EmbeddedNode) -> u64 {
    node.balances().await.unwrap().onchain_sat
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_closed_with_a_payment_under_way_pays_on_chain_and_counts_once() {
    let payer = payer().await;
    let dir = payer.store.path().join("gate");
    let node = start(settings(&payer, &dir, payer.chain.source())).await;
    open(&payer, &node).await;
    let mut known = vec![one_payment(&payer, &node).await];
    let pending = invoice(&node, 50_000).await;
    node.stop().await;
    drop(node);

    // For its first two seconds a node takes no payment: long enough for one to hang in the channel.
    let node = start(settings(&payer, &dir, payer.chain.source())).await;
    payer.reconnect(&node).await.unwrap();
    let before = payer.node.balances().await.unwrap().outbound;
    let paying = tokio::spawn({
        let (payer, invoice) = (Arc::clone(&payer.node), pending.bolt11.clone());
        async move { payer.pay(&invoice, FEE_MAX, Duration::from_millis(1)).await }
    });
    until("the payment is in the channel", async || payer.node.balances().await.unwrap().outbound < before)
        .await;
    assert!(matches!(paying.await.unwrap(), Err(PayError::Pending) | Ok(_)));
    payer.node.close_channel(&channel(&payer).await, true).await.unwrap();
    assert!(payer.node.channels().await.unwrap().is_empty());
    until("the closing is broadcast", async || payer.chain.waiting() > 0).await;

    mine_until(&payer, &node, "the payment has an outcome", async || {
        !matches!(payer.node.outgoing(&pending.payment_hash).await.unwrap(), Outgoing::Pending)
    })
    .await;
    let outgoing = payer.node.outgoing(&pending.payment_hash).await.unwrap();
    let mut owned = PUSHED.as_i64() / 1000 + 2_000;
    if let Outgoing::Paid(payment) = outgoing {
        assert_eq!(payment.preimage.payment_hash(), pending.payment_hash);
        settled(&node, &pending).await;
        known.push(pending.payment_hash);
        owned += 50_000;
    } else {
        assert_eq!(outgoing, Outgoing::Failed, "not paid and not credited");
    }
    // A few thousand satoshis go to miners.
    let expected = u64::try_from(owned - 10_000).unwrap();
    mine_until(&payer, &node, "the payee's money is on chain", async || coins(&node).await >= expected).await;
    nothing_new(&node, &known).await;
    let rest = 5_000_000_000 - u64::try_from(owned).unwrap() - 100_000;
    mine_until(&payer, &node, "and the payer's", async || coins(&payer.node).await >= rest).await;

    // Still the same node: what is restarted now credits nothing again.
    node.stop().await;
    drop(node);
    let node = start(settings(&payer, &dir, payer.chain.source())).await;
    payer.chain.mine(STRIDE);
    node.sync().await.unwrap();
    nothing_new(&node, &known).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_is_closed_by_agreement_and_its_money_withdrawn() {
    let payer = payer().await;
    let node = start(settings(&payer, &payer.store.path().join("gate"), payer.chain.source())).await;
    open(&payer, &node).await;
    one_payment(&payer, &node).await;
    payer.chain.mine(STRIDE);
    payer.node.sync().await.unwrap();
    node.sync().await.unwrap();
    assert!(node.close_channel("00", false).await.is_err(), "no such channel");
    node.close_channel(&channel(&payer).await, false).await.unwrap();
    mine_until(&payer, &node, "the money is in the wallet", async || coins(&node).await >= 100_000).await;

    let to = payer.node.new_address().await.unwrap();
    let withdrawal = |address: &str, amount_sat, sat_per_vbyte| Withdrawal {
        address: address.to_owned(),
        amount_sat,
        sat_per_vbyte,
    };
    for wrong in [
        withdrawal("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", Some(1_000), None),
        withdrawal("what", Some(1_000), None),
        withdrawal(&to, Some(10_000_000), None),
        withdrawal(&to, Some(1_000), Some(0)),
        withdrawal(&to, Some(1_000), Some(1_000_000)),
    ] {
        assert!(node.withdraw(wrong.clone()).await.is_err(), "{wrong:?}");
    }
    let some = withdrawal(&to, Some(20_000), Some(2));
    mine_until(&payer, &node, "some is withdrawn", async || node.withdraw(some.clone()).await.is_ok()).await;
    let rest = withdrawal(&to, None, None);
    mine_until(&payer, &node, "the rest is withdrawn", async || node.withdraw(rest.clone()).await.is_ok())
        .await;
    mine_until(&payer, &node, "the wallet is empty", async || coins(&node).await == 0).await;
    assert!(tokio::time::timeout(PATIENCE, node.stop()).await.is_ok());
}
