//! The owner is asked through the connected client, in either era; and a wallet is a server of its own.

use serde_json::{Value, json};

use super::{Owner, PLAIN, Program, call, modern};
use crate::harness::Market;

/// Asks about every payment above one satoshi.
fn asking() -> String {
    format!("{PLAIN}ask_above_sats = 1\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_legacy_client_is_asked_with_a_request() {
    let market = Market::open(&[]).await;
    let owner = Owner::of(&market, &asking()).await;
    let mut bridge = owner.connect(&market.gate.url, &[]);
    bridge.initialize(json!({"elicitation": {}})).await;
    for (id, action, content, served) in [
        (1, "decline", Value::Null, false),
        (2, "accept", json!({"pay": false}), false),
        (3, "accept", json!({"pay": true}), true),
    ] {
        bridge.tell(&call(id, "data_query", json!({"query": "carts"}))).await;
        let asked = bridge.next().await;
        assert_eq!(asked["method"], "elicitation/create", "{asked}");
        let message = asked["params"]["message"].as_str().unwrap();
        assert!(message.starts_with("Octroi: Pay 1.7 sats to http://127.0.0.1"), "{message}");
        let answer = json!({"action": action, "content": content});
        bridge.tell(&json!({"jsonrpc": "2.0", "id": asked["id"], "result": answer})).await;
        let reply = bridge.next().await;
        assert_eq!((&reply["id"], reply["result"]["isError"] == true), (&json!(id), !served), "{reply}");
    }
    assert_eq!(market.gate.ledger().await["received_msat"], 1700);
    // A client that cannot ask pays nothing.
    let mut mute = owner.connect(&market.gate.url, &[]);
    mute.initialize(json!({})).await;
    let reply = mute.ask(&call(1, "data_query", json!({"query": "carts"}))).await;
    assert!(
        reply["result"]["content"][0]["text"].as_str().unwrap().contains("not allowed: Pay 1.7 sats"),
        "{reply}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_modern_client_is_asked_with_a_result() {
    let market = Market::open(&[]).await;
    let owner = Owner::of(&market, &asking()).await;
    let mut bridge = owner.connect(&market.gate.url, &[]);
    let params = json!({"name": "data_query", "arguments": {"query": "carts"}});
    let can = json!({"elicitation": {"form": {}}});
    let asked = bridge.ask(&modern(1, "tools/call", params.clone(), can.clone())).await;
    assert_eq!(asked["result"]["resultType"], "input_required", "{asked}");
    let question = &asked["result"]["inputRequests"]["dev.octroi/pay"];
    assert_eq!(question["method"], "elicitation/create");
    let again = |id: u64, yes: bool| {
        let mut params = params.clone();
        params["requestState"] = asked["result"]["requestState"].clone();
        params["inputResponses"] = json!({"dev.octroi/pay": {"action": "accept", "content": {"pay": yes}}});
        modern(id, "tools/call", params, can.clone())
    };
    let reply = bridge.ask(&again(2, true)).await;
    assert!(reply.to_string().contains("north 41 carts"), "{reply}");
    // The same answer again is none.
    let reply = bridge.ask(&again(3, true)).await;
    assert_eq!(reply["result"]["resultType"], "input_required", "{reply}");
    assert_eq!(market.gate.ledger().await["received_msat"], 1700);
    let mute = bridge.ask(&modern(4, "tools/call", params, json!({}))).await;
    assert_eq!(mute["result"]["isError"], true, "{mute}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_serves_a_client_that_cannot_pay() {
    let market = Market::open(&[]).await;
    let owner = Owner::of(&market, &format!("{PLAIN}per_day_sats = 5\n")).await;
    let mut wallet = Program::start(&owner.words(&["wallet", "serve"]), &[]);
    wallet.initialize(json!({})).await;
    let tool = |id: u64, name: &str, arguments: Value| call(id, name, arguments);
    let said = |reply: Value| reply["result"]["structuredContent"].clone();
    let balance = said(wallet.ask(&tool(1, "balance", json!({}))).await);
    assert!(
        balance["outbound_msat"].as_i64().unwrap() > 0 && balance["left_this_day_msat"] == 5_000,
        "{balance}"
    );

    let challenge = market.caller.call("data_query", json!({"query": "carts"})).send().await.challenge();
    let invoice = json!({"invoice": challenge.invoice});
    let decoded = said(wallet.ask(&tool(2, "decode_invoice", invoice.clone())).await);
    assert_eq!(
        (&decoded["amount_msat"], &decoded["network"]),
        (&json!(1700), &json!("regtest")),
        "{decoded}"
    );
    let paid = said(wallet.ask(&tool(3, "pay_invoice", invoice.clone())).await);
    let credential = format!("{}:{}", challenge.macaroon, paid["preimage"].as_str().unwrap());
    market.gate.secrets.add(&credential);
    market.caller.call("data_query", json!({"query": "carts"})).paid(&credential).send().await.worked();
    let again = wallet.ask(&tool(4, "pay_invoice", invoice)).await;
    assert!(again["result"]["content"][0]["text"].as_str().unwrap().contains("paid before"), "{again}");

    // A paid MCP endpoint is a paid URL like any other.
    let body = call(9, "data_query", json!({"query": "carts"})).to_string();
    let headers =
        json!({"content-type": "application/json", "accept": "application/json, text/event-stream"});
    let fetch = json!({"url": market.gate.url, "method": "POST", "headers": headers, "body": body});
    let fetched = said(wallet.ask(&tool(5, "fetch", fetch.clone())).await);
    assert!(fetched["status"] == 200 && fetched["paid_msat"] == 1700, "{fetched}");
    assert!(fetched["body"].as_str().unwrap().contains("north 41 carts"));
    // 3.4 of 5 sats are gone.
    let fetched = said(wallet.ask(&tool(6, "fetch", fetch)).await);
    assert!(
        fetched["status"] == 402 && fetched["not_paid"].as_str().unwrap().contains("per day"),
        "{fetched}"
    );
    let spent = said(wallet.ask(&tool(7, "list_spending", json!({}))).await);
    assert_eq!(
        (&spent["day_msat"], spent["payments"].as_array().map(Vec::len)),
        (&json!(3_400), Some(2)),
        "{spent}"
    );
}
