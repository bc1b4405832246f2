//! Calls that the client gives up while the bridge still computes, asks or pays for them, in both eras.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Owner, PLAIN, Program, call, modern};
use crate::harness::{Market, soon};

/// What a person lets a model ask.
fn query() -> Value {
    json!({"query": "carts"})
}

/// The call of one of the eras.
fn paid(era: &str, id: u64) -> Value {
    match era {
        "legacy" => call(id, "data_query", query()),
        _ => modern(id, "tools/call", json!({"name": "data_query", "arguments": query()}), json!({})),
    }
}

fn given_up(id: u64) -> Value {
    json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}})
}

/// A legacy client is told so; a modern one hears no more of its call (MCP 2026-07-28 basic/patterns/cancellation).
async fn hears_of_it(bridge: &mut Program, era: &str, id: u64) {
    if era == "legacy" {
        let told = bridge.next().await;
        assert_eq!((&told["id"], &told["error"]["code"]), (&json!(id), &json!(499)), "{told}");
    }
}

/// How much a process has computed, in hundredths of a second.
fn computed(id: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    // The name stands in brackets; user and system time are the 14th and 15th field.
    let fields: Vec<u64> = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|f| f.parse().unwrap())
        .collect();
    fields.iter().sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_puzzle_is_not_solved_for_nobody() {
    let market = Market::open(&["--set", "mcp_server.auth.payment.pow_difficulty=40"]).await;
    let owner = Owner::poor();
    let mut bridge = owner.connect(&market.gate.url, &["--work", "44"]);
    bridge.initialize(json!({})).await;
    let process = bridge.child.id().unwrap();
    for (era, id) in [("legacy", 1), ("modern", 2)] {
        let before = computed(process);
        bridge.tell(&paid(era, id)).await;
        let pause = || tokio::time::sleep(Duration::from_millis(50));
        soon(async {
            while computed(process) < before + 20 {
                pause().await;
            }
        })
        .await;
        bridge.tell(&given_up(id)).await;
        hears_of_it(&mut bridge, era, id).await;
        // It is still within a while.
        soon(async {
            let mut last = computed(process);
            loop {
                tokio::time::sleep(Duration::from_millis(300)).await;
                let now = computed(process);
                if now <= last + 2 {
                    return;
                }
                last = now;
            }
        })
        .await;
    }
    assert!(bridge.ask(&call(3, "no_such_tool", json!({}))).await["id"] == 3);
    let (purse, ledger) = (owner.purse().await, market.gate.ledger().await);
    assert_eq!((&purse["receipts"], &purse["credentials"]), (&json!([]), &json!([])), "{purse}");
    assert_eq!((&ledger["captured"], market.sample.calls_of("data_query")), (&json!(0), 0), "{ledger}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_paid_for_meanwhile_is_there_for_the_next_call() {
    let market = Market::open(&[]).await;
    let owner = Owner::of(&market, PLAIN).await;
    let mut bridge = owner.connect(&market.gate.url, &[]);
    bridge.initialize(json!({})).await;
    // The wallet has said by now which network it is on: what it is asked next is to pay.
    assert!(bridge.ask(&paid("legacy", 1)).await.to_string().contains("north 41 carts"));
    let (faults, mut calls) = (&owner.wallet.as_ref().unwrap().faults, 1);
    for (era, id) in [("legacy", 2), ("modern", 3)] {
        faults.hold();
        bridge.tell(&paid(era, id)).await;
        until(&owner, |purse| purse["receipts"][0]["state"] == "open").await;
        bridge.tell(&given_up(id)).await;
        hears_of_it(&mut bridge, era, id).await;
        faults.let_go();
        until(&owner, |purse| purse["receipts"][0]["state"] == "paid").await;
        until(&owner, |purse| {
            let credentials = purse["credentials"].as_array().unwrap().iter();
            credentials.filter_map(|kept| kept["calls_left"].as_u64()).sum::<u64>() == 1
        })
        .await;
        assert_eq!(market.gate.ledger().await["captured"], calls, "nobody called");
        // The next call costs nothing more.
        let spent = owner.purse().await["spent"]["all_msat"].clone();
        let served = bridge.ask(&paid(era, id + 10)).await;
        assert!(served.to_string().contains("north 41 carts"), "{served}");
        calls += 1;
        let (purse, ledger) = (owner.purse().await, market.gate.ledger().await);
        assert_eq!((&purse["spent"]["all_msat"], &ledger["received_msat"]), (&spent, &spent));
        assert_eq!((&ledger["captured"], &ledger["credit_msat"]), (&json!(calls), &json!(0)), "{ledger}");
    }
}

/// Until the owner's purse is like that.
async fn until(owner: &Owner, like: impl Fn(&Value) -> bool) {
    soon(async {
        while !like(&owner.purse().await) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_about_a_call_given_up_is_taken_back() {
    let market = Market::open(&[]).await;
    let owner = Owner::of(&market, &format!("{PLAIN}ask_above_sats = 1\n")).await;
    let mut bridge = owner.connect(&market.gate.url, &[]);
    bridge.initialize(json!({"elicitation": {}})).await;
    bridge.tell(&paid("legacy", 1)).await;
    let asked = bridge.next().await;
    assert_eq!(asked["method"], "elicitation/create", "{asked}");
    bridge.tell(&given_up(1)).await;
    let mut heard = [bridge.next().await, bridge.next().await];
    heard.sort_by_key(|message| message.get("method").is_none());
    assert_eq!(
        (&heard[0]["method"], &heard[0]["params"]["requestId"], &heard[1]["id"]),
        (&json!("notifications/cancelled"), &asked["id"], &json!(1)),
        "{heard:?}"
    );
    // A yes that comes too late pays nothing.
    let yes = json!({"action": "accept", "content": {"pay": true}});
    bridge.tell(&json!({"jsonrpc": "2.0", "id": asked["id"], "result": yes})).await;
    assert!(bridge.ask(&call(2, "no_such_tool", json!({}))).await["id"] == 2);
    assert_eq!(owner.purse().await["receipts"], json!([]));
    assert_eq!(market.gate.ledger().await["received_msat"], 0);
}
