//! Other people's clients start the bridge and call paid tools without knowing that anything is paid.

use serde_json::{Value, json};

use super::{Owner, PLAIN, call, modern};
use crate::harness::{Market, peers, soon};

/// A client: its script, and how it is told to settle the protocol's version.
const CLIENTS: [(&str, &[&str]); 7] = [
    ("ts-v1.mjs", &[]),
    ("ts-v2.mjs", &["--mode", "legacy"]),
    ("ts-v2.mjs", &["--mode", "auto"]),
    ("ts-v2.mjs", &["--mode", "pin"]),
    ("python_client.py", &["--mode", "legacy"]),
    ("python_client.py", &["--mode", "auto"]),
    ("python_client.py", &["--mode", "2026-07-28"]),
];

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_know_nothing_of_money_call_paid_tools() {
    let market = Market::open(&[]).await;
    let owner = Owner::of(&market, PLAIN).await;
    let command = json!(owner.words(&["connect", &market.gate.url])).to_string();
    let mut received = 0;
    for (script, options) in CLIENTS {
        let mut client = if script.ends_with(".py") { peers::python(script) } else { peers::node(script) };
        client.args(["--command", &command]).args(options);
        client.args(["--tool", "data_query", "--arguments", r#"{"query": "carts"}"#]);
        let report = peers::report(client).await;
        let said = report["call"]["result"].to_string();
        assert!(said.contains("north 41 carts"), "{script} {options:?}: {report}");
        let tools = report["tools"].as_array().unwrap();
        let query = tools.iter().find(|tool| tool["name"] == "data_query").unwrap();
        assert_eq!(query["_meta"]["dev.octroi/price"]["msat"], 1700, "{script} {options:?}");
        received += 1700;
        let ledger = market.gate.ledger().await;
        assert_eq!(
            (&ledger["received_msat"], &ledger["credit_msat"]),
            (&json!(received), &json!(0)),
            "{ledger}"
        );
    }
    assert_eq!(owner.purse().await["spent"]["all_msat"], received);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_inspector_pays_on_its_command_line() {
    let market = Market::open(&[]).await;
    let owner = Owner::of(&market, PLAIN).await;
    let words = owner.words(&["connect", &market.gate.url]);
    let settings = json!({"mcpServers": {"paid": {"command": words[0], "args": words[1..]}}});
    let file = owner.file("inspector.json");
    std::fs::write(&file, settings.to_string()).unwrap();
    for (method, more, says) in [
        ("tools/list", &[][..], "dev.octroi/price"),
        ("tools/call", &["--tool-name", "data_query", "--tool-arg", "query=carts"][..], "north 41 carts"),
    ] {
        let mut inspector =
            peers::node("node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js");
        inspector
            .args(["--cli", "--config", file.to_str().unwrap(), "--server", "paid", "--method", method])
            .args(more);
        inspector.env("HOME", owner.folder.path());
        let output = soon(inspector.output()).await.unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && text.contains(says),
            "{text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    assert_eq!(market.gate.ledger().await["captured"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_else_passes_through() {
    let market = Market::open(&[]).await;
    let owner = Owner::of(&market, PLAIN).await;
    let mut bridge = owner.connect(&market.gate.url, &["--token", &market.token("alice")]);
    let hello = bridge.initialize(json!({})).await;
    assert_eq!(hello["result"]["protocolVersion"], "2025-11-25", "{hello}");
    // Progress of a paid call comes before its answer.
    let params = json!({"name": "slow_report", "arguments": {"steps": 3, "delay_ms": 1}, "_meta": {"progressToken": "p"}});
    bridge.tell(&json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params})).await;
    for step in 1..=3 {
        let said = bridge.next().await;
        assert_eq!(
            (&said["method"], &said["params"]["progress"]),
            (&json!("notifications/progress"), &json!(step)),
            "{said}"
        );
    }
    assert!(bridge.next().await.to_string().contains("3 parts"));
    for (method, params, says) in [
        ("resources/list", json!({}), "sample://notes"),
        ("resources/read", json!({"uri": "sample://notes"}), "three sous"),
        ("prompts/get", json!({"name": "describe", "arguments": {"style": "poetic"}}), "poetic"),
        ("ping", json!({}), "result"),
    ] {
        let reply =
            bridge.ask(&json!({"jsonrpc": "2.0", "id": method, "method": method, "params": params})).await;
        assert!(reply.to_string().contains(says), "{reply}");
    }
    // Both eras at once: a listener of the modern one hears of a change.
    let filter = json!({"notifications": {"toolsListChanged": true}});
    bridge.tell(&modern(7, "subscriptions/listen", filter, json!({}))).await;
    let heard = bridge.next().await;
    assert_eq!(heard["method"], "notifications/subscriptions/acknowledged", "{heard}");
    market.sample.announce(octroi_testkit::upstream::sample::Change::Tools);
    let mut heard = bridge.next().await;
    // The legacy session hears of it, too, on a stream of its own.
    while heard["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"] != 7 {
        assert_eq!(heard["method"], "notifications/tools/list_changed", "{heard}");
        heard = bridge.next().await;
    }
    assert_eq!(heard["method"], "notifications/tools/list_changed", "{heard}");
    // A cancelled call is given up at the server, and paid for by nobody.
    let long = json!({"name": "slow_report", "arguments": {"steps": 1, "delay_ms": 60_000}});
    bridge.tell(&modern(8, "tools/call", long, json!({}))).await;
    soon(market.sample.until(|tally| tally.calls["slow_report"] == 2)).await;
    bridge
        .tell(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 8}}))
        .await;
    soon(async {
        while market.gate.ledger().await["voided"] != 1 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!(market.gate.ledger().await["open_holds"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_clients_use_one_purse_and_no_limit_is_passed() {
    let market = Market::open(&[]).await;
    // Six calls of 1.7 sats.
    let owner = Owner::of(&market, &format!("{PLAIN}per_day_sats = 10.2\n")).await;
    let mut bridges: Vec<_> = (0..3).map(|_| owner.connect(&market.gate.url, &[])).collect();
    let mut answered = Vec::new();
    for bridge in &mut bridges {
        bridge.initialize(json!({})).await;
        for id in 0..4 {
            bridge.tell(&call(id, "data_query", json!({"query": "carts"}))).await;
        }
    }
    for bridge in &mut bridges {
        for _ in 0..4 {
            answered.push(bridge.next().await);
        }
    }
    let served = answered.iter().filter(|reply| reply.to_string().contains("north 41 carts")).count();
    let refused =
        answered.iter().filter(|reply| reply.to_string().contains("left of the budget per day")).count();
    let texts: Vec<_> =
        answered.iter().map(|reply| reply["result"]["content"][0]["text"].to_string()).collect();
    assert_eq!((served, refused), (6, 6), "{texts:#?}");
    let (ledger, purse) = (market.gate.ledger().await, owner.purse().await);
    assert_eq!((&ledger["received_msat"], &purse["spent"]["day_msat"]), (&json!(10_200), &json!(10_200)));
}

#[tokio::test(flavor = "multi_thread")]
async fn bundles_grow_with_use_and_the_next_is_bought_ahead() {
    let market = Market::open(&[]).await;
    let owner = Owner::of(&market, "work_seconds = 0\nbundle_max = 4\n").await;
    let mut bridge = owner.connect(&market.gate.url, &[]);
    bridge.initialize(json!({})).await;
    let bought = |purse: &Value| -> Vec<i64> {
        let receipts = purse["receipts"].as_array().unwrap().iter();
        receipts.rev().map(|receipt| receipt["calls"].as_i64().unwrap()).collect()
    };
    for id in 0..2 {
        let reply = bridge.ask(&call(id, "data_query", json!({"query": "carts"}))).await;
        assert!(reply.to_string().contains("north 41 carts"), "{reply}");
    }
    // The second purchase within the hour shows use: the next is made in the background, and twice as large.
    soon(async {
        while bought(&owner.purse().await) != [1, 1, 2] {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    for id in 2..4 {
        bridge.ask(&call(id, "data_query", json!({"query": "carts"}))).await;
    }
    soon(async {
        while bought(&owner.purse().await) != [1, 1, 2, 4] {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    // Asking for an offer made no call.
    assert_eq!(
        (market.sample.calls_of("data_query"), &market.gate.ledger().await["captured"]),
        (4, &json!(4))
    );
}
