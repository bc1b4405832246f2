//! `kill -9` at each step: afterwards the purse knows what the gate's ledger knows, and nothing was paid twice.

use std::time::Duration;

use octroi_lightning::LightningNode;
use octroi_testkit::nodes::{CHANNEL_SAT, PUSHED, start_node};
use serde_json::{Value, json};

use super::wallets::embedded;
use super::{Owner, PLAIN, call};
use crate::harness::money::node;
use crate::harness::{Market, PATIENCE, soon};

/// Mined at a time while money comes back from a closed channel.
const BLOCKS: u32 = 24;

/// Calls until one is answered: a payment under way, or a gate that starts, are said and not paid again.
async fn persist(owner: &Owner, market: &Market) {
    soon(async {
        loop {
            let mut bridge = owner.connect(&market.gate.url, &[]);
            bridge.initialize(json!({})).await;
            let reply = bridge.ask(&call(1, "data_query", json!({"query": "carts"}))).await;
            bridge.stop().await;
            if reply.to_string().contains("north 41 carts") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
}

/// What was paid by the one is what was received by the other, and what was bought is used or there.
async fn agree(owner: &Owner, market: &Market, calls: u64) {
    let (code, out, err) = owner.run(&["purse", "--json", "settle"]).await;
    assert_eq!((code, out.trim()), (0, r#"{"open":0}"#), "{err}");
    let (purse, ledger) = (owner.purse().await, market.gate.ledger().await);
    assert_eq!(purse["spent"]["all_msat"], ledger["received_msat"], "{purse} {ledger}");
    let left: i64 =
        purse["credentials"].as_array().unwrap().iter().map(|c| c["calls_left"].as_i64().unwrap()).sum();
    let credit = ledger["credit_msat"].as_i64().unwrap();
    assert!(left * 1700 <= credit, "the purse believes in more than there is: {purse} {ledger}");
    assert_eq!(ledger["captured"], calls, "{ledger}");
    assert_eq!(ledger["open_holds"], 0, "{ledger}");
}

fn payments(purse: &Value) -> usize {
    purse["receipts"].as_array().unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_that_dies_at_any_moment_pays_nothing_twice() {
    let market = Market::open(&[]).await;
    let mut owner = Owner::of(&market, PLAIN).await;
    dies_and_goes_on(&mut owner, &market, Dies::Bridge, &[0, 5, 10, 20, 40, 80, 160, 320]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_that_dies_at_any_moment_is_asked_what_became_of_it() {
    let market = Market::open(&[]).await;
    let mut owner = Owner::of(&market, PLAIN).await;
    dies_and_goes_on(&mut owner, &market, Dies::Wallet, &[0, 10, 20, 40, 80, 160]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_dies_with_its_bridge_pays_nothing_twice_and_loses_nothing() {
    let market = Market::open(&[]).await;
    let settings = embedded(&market).await;
    let section = format!("[lightning]\nnetwork = \"regtest\"\nbackend = \"embedded\"\n{settings}");
    let mut owner = Owner::with_wallet(&section, PLAIN);
    dies_and_goes_on(&mut owner, &market, Dies::Node, &[0, 60, 120, 200, 300, 450]).await;
}

/// What the node's owner does after a `kill -9`: where LDK found the channel ahead of its own list and closed it, the money is waited
/// for, and another channel opened.
async fn mend(market: &Market) {
    let (id, address) = node(&market.gate);
    let folder = market.payer.store.path().join("payer");
    let own = start_node(&market.payer.chain, folder, "payer", std::slice::from_ref(&id)).await.unwrap();
    own.connect(&id, address).await.unwrap();
    if own.channels().await.unwrap().is_empty() {
        soon(async {
            while !own.closing().await.unwrap().is_empty() {
                market.payer.chain.mine(BLOCKS);
                own.sync().await.unwrap();
            }
        })
        .await;
        own.open_channel(&id, address, CHANNEL_SAT, PUSHED).await.unwrap();
    }
    own.channel_usable(&id, PATIENCE).await.unwrap();
    market.gate.channel_usable().await;
    own.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_stopped_with_its_bridge_goes_on_where_it_was() {
    let market = Market::open(&[]).await;
    let settings = embedded(&market).await;
    let section = format!("[lightning]\nnetwork = \"regtest\"\nbackend = \"embedded\"\n{settings}");
    let mut owner = Owner::with_wallet(&section, PLAIN);
    dies_and_goes_on(&mut owner, &market, Dies::Told, &[0, 30, 60, 120, 250, 500]).await;
}

/// What ends in the middle of a call.
#[derive(Clone, Copy)]
enum Dies {
    /// The bridge, as by a power cut.
    Bridge,
    /// The bridge, and a node within it, because they are told to.
    Told,
    /// The same, as by a power cut.
    Node,
    /// The wallet's API; the node behind it goes on.
    Wallet,
}

/// Lets something end so many milliseconds after each call was sent, from before the first request has left until after the
/// answer, and another bridge go on.
async fn dies_and_goes_on(owner: &mut Owner, market: &Market, dies: Dies, delays_ms: &[u64]) {
    let mut served = 0;
    for delay_ms in delays_ms {
        let mut bridge = owner.connect(&market.gate.url, &[]);
        bridge.initialize(json!({})).await;
        bridge.tell(&call(1, "data_query", json!({"query": "carts"}))).await;
        tokio::time::sleep(Duration::from_millis(*delay_ms)).await;
        match dies {
            Dies::Bridge => bridge.kill().await,
            Dies::Told => bridge.stop().await,
            Dies::Node => {
                bridge.kill().await;
                mend(market).await;
            }
            Dies::Wallet => {
                owner.wallet = None;
                // It is answered, or told that it cannot be.
                bridge.next().await;
                bridge.stop().await;
                owner.open_wallet(market).await;
            }
        }
        persist(owner, market).await;
        soon(async {
            while market.gate.ledger().await["open_holds"] != 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        let calls = market.gate.ledger().await["captured"].as_u64().unwrap();
        assert!((served + 1..=served + 2).contains(&calls), "{calls} calls after {served}");
        served = calls;
        agree(owner, market, served).await;
    }
    let bought = payments(&owner.purse().await) as u64;
    assert!(bought <= served + 1, "{bought} payments for {served} calls");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_that_dies_is_found_again_and_its_session_too() {
    let mut market = Market::open(&[]).await;
    let owner = Owner::of(&market, PLAIN).await;
    let mut bridge = owner.connect(&market.gate.url, &[]);
    bridge.initialize(json!({})).await;
    let query = |id| call(id, "data_query", json!({"query": "carts"}));
    assert!(bridge.ask(&query(1)).await.to_string().contains("north 41 carts"));
    // While a call hangs at the server: it is told that there is no answer, and its money is still there.
    bridge.tell(&call(2, "data_query", json!({"query": "carts", "fault": "hang"}))).await;
    soon(market.sample.until(|tally| tally.calls["data_query"] == 2)).await;
    market.gate = market.gate.kill().start().await;
    market.sample.forget_sessions();
    let broken = bridge.next().await;
    assert!(
        broken["id"] == 2 && broken.get("result").is_none_or(|result| result["isError"] == true),
        "{broken}"
    );
    // The same bridge goes on: a new connection, a new session, the credential of before.
    let paid = payments(&owner.purse().await);
    let answered = bridge.ask(&query(3)).await;
    assert!(answered.to_string().contains("north 41 carts"), "{answered}");
    assert_eq!(payments(&owner.purse().await), paid);
    agree(&owner, &market, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_that_dies_is_asked_again_for_the_same_payment() {
    let market = Market::open(&[]).await;
    let mut owner = Owner::of(&market, PLAIN).await;
    let mut bridge = owner.connect(&market.gate.url, &[]);
    bridge.initialize(json!({})).await;
    let query = |id| call(id, "data_query", json!({"query": "carts"}));
    assert!(bridge.ask(&query(1)).await.to_string().contains("north 41 carts"));
    owner.wallet = None;
    let refused = bridge.ask(&query(2)).await;
    assert_eq!(refused["result"]["isError"], true, "{refused}");
    bridge.kill().await;
    assert_eq!(market.gate.ledger().await["received_msat"], 1700);
    let open = owner.purse().await["receipts"][0].clone();
    assert_eq!((&open["state"], &open["amount_msat"]), (&json!("open"), &json!(1700)), "{open}");

    // It comes back, elsewhere: the payment of before is made, and no other.
    owner.open_wallet(&market).await;
    persist(&owner, &market).await;
    assert_eq!(payments(&owner.purse().await), 2);
    agree(&owner, &market, 2).await;
}
