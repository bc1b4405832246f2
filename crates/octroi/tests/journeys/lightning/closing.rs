//! Channels that end by force: the operator's wish, and not his. Status, alert and ledger say what is so, until the money is back.

use octroi_l402::Msat;
use octroi_lightning::{LightningNode, Treasury};
use octroi_testkit::nodes::{Payer, StoreDir};
use octroi_testkit::upstream::sample::Sample;
use serde_json::{Value, json};

use super::{SELLING, done, embedded, query, text, until};
use crate::harness::money::node;
use crate::harness::{Caller, Gate, Launch, PATIENCE};

/// Blocks between two looks.
const STRIDE: u32 = 24;

/// Blocks before the first look: a closing that is in a block, and not yet for good.
const FIRST: u32 = 2;

/// Most looks: the node looks for what it can sweep every half minute, and a look takes it two seconds.
const STRIDES_MAX: usize = 24;

/// What a closing costs at most, in satoshis.
const FEES_MAX: u64 = 20_000;

/// A gate that has coins, a channel, and sold one call over it.
async fn sold(payer: &Payer, url: &str) -> (Gate, String) {
    let lines = "passphrase = \"open sesame\"\n[lightning.alerts]\nlook_every_seconds = 1\n";
    let gate = Launch::new(&embedded(payer, url, lines, SELLING), &[]).start().await;
    payer.chain.fund(&text(&done(&gate, "address", &[]).await["address"])).unwrap();
    let (id, address) = node(&gate);
    payer.open_channel(&id, address).await.unwrap();
    gate.channel_usable().await;
    payer.chain.mine(STRIDE);
    payer.node.sync().await.unwrap();
    until(async || status(&gate).await["onchain_sat"].as_u64() > Some(0)).await;
    let challenge = query(&Caller::of(&gate)).send().await.challenge();
    payer.node.pay(&challenge.invoice, Msat::ZERO, PATIENCE).await.unwrap();
    until(async || gate.ledger().await["received_msat"] == 1700).await;
    let channel = text(&done(&gate, "channels", &[]).await["channels"][0]["id"]);
    (gate, channel)
}

async fn status(gate: &Gate) -> Value {
    done(gate, "status", &[]).await
}

/// Mines until nothing is under way; gives what was seen of the closing on the way.
async fn back(gate: &Gate, payer: &Payer) -> Vec<Value> {
    let mut seen = Vec::new();
    for blocks in std::iter::once(FIRST).chain(std::iter::repeat_n(STRIDE, STRIDES_MAX)) {
        let closing = status(gate).await["closing"].as_array().unwrap().clone();
        if closing.is_empty() {
            return seen;
        }
        seen.extend(closing);
        payer.chain.mine(blocks);
        payer.node.sync().await.unwrap();
        // It looks every two seconds, and must not be left behind.
        until(async || status(gate).await["node"]["block_height"] == payer.chain.height()).await;
    }
    panic!("the money never came: {}", status(gate).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_closes_by_force_and_the_money_comes_back() {
    let payer = Payer::start(StoreDir::temporary().unwrap()).await.unwrap();
    let sample = Sample::start().await.unwrap();
    let (gate, channel) = sold(&payer, &sample.url()).await;
    let before = status(&gate).await;
    let (coins, owned) =
        (before["onchain_sat"].as_u64().unwrap(), before["outbound_msat"].as_u64().unwrap() / 1000);
    assert_eq!(before["closing"], json!([]));
    let (code, refused) = gate.launch().lightning("close-channel", &[&channel, "--force"]).await;
    assert_eq!(code, 5, "nobody said yes: {refused}");

    // The peer is trusted, so it is the peer's own state of the channel that ends on chain.
    done(&gate, "close-channel", &[&channel, "--force", "--yes"]).await;
    until(async || status(&gate).await["channels"] == json!([])).await;
    let closed = status(&gate).await;
    let closing = &closed["closing"][0];
    assert_eq!((&closing["channel"], &closing["unasked"]), (&json!(channel), &json!(false)), "{closed}");
    assert!(closing["sat"].as_u64().unwrap() >= owned, "all of it is said to come: {closed}");
    assert_eq!(closed["alerts"]["channel_closed"], false);
    let mut shown = gate.launch().octroi(&["lightning", "status"]);
    let shown = tokio::task::spawn_blocking(move || shown.output()).await.unwrap().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains(&format!("closing        {channel}")) && shown.contains("sat to come"), "{shown}");

    until(async || payer.chain.waiting() > 0).await;
    let seen = back(&gate, &payer).await;
    assert!(seen.iter().any(|one| one["at_height"].is_u64()), "from when on it can be had: {seen:?}");
    let after = status(&gate).await;
    let gained = after["onchain_sat"].as_u64().unwrap().saturating_sub(coins);
    assert!(gained + FEES_MAX >= owned, "{gained} of {owned} came back: {after}");
    let ledger = gate.ledger().await;
    assert_eq!((&ledger["received_msat"], &ledger["suspense_msat"]), (&json!(1700), &json!(0)), "{ledger}");
    // Sales go on over another channel.
    let (id, address) = node(&gate);
    payer.open_channel(&id, address).await.unwrap();
    gate.channel_usable().await;
    let challenge = query(&Caller::of(&gate)).send().await.challenge();
    payer.node.pay(&challenge.invoice, Msat::ZERO, PATIENCE).await.unwrap();
    until(async || gate.ledger().await["received_msat"] == 3400).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_the_peer_closes_by_force_raises_an_alert_until_the_money_is_back() {
    let payer = Payer::start(StoreDir::temporary().unwrap()).await.unwrap();
    let sample = Sample::start().await.unwrap();
    let (gate, channel) = sold(&payer, &sample.url()).await;
    payer.node.close_channel(&channel, true).await.unwrap();
    let raised = "octroi_alert{alert=\"channel_closed\"} 1";
    until(async || gate.metrics().await.contains(raised)).await;
    let closed = status(&gate).await;
    assert_eq!(
        (&closed["closing"][0]["unasked"], &closed["alerts"]["channel_closed"]),
        (&json!(true), &json!(true))
    );
    assert!(text(&closed["closing"][0]["reason"]).len() > 10, "{closed}");
    until(async || payer.chain.waiting() > 0).await;
    back(&gate, &payer).await;
    until(async || !gate.metrics().await.contains(raised)).await;
    assert_eq!(gate.ledger().await["received_msat"], 1700);
}
