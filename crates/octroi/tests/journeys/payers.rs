//! Other people's paying clients: they meet the 402, pay its invoice from a wallet, and get their answer.

use std::sync::Arc;

use octroi_lightning::Password;
use octroi_testkit::wallet_api;
use serde_json::json;

use crate::harness::{Market, peers};

const PASSWORD: &str = "the wallet's password";

#[tokio::test(flavor = "multi_thread")]
async fn paying_clients_pay_and_get_their_answers() {
    let market = Market::open(&[]).await;
    let node = Arc::clone(&market.payer.node);
    let wallet = wallet_api::serve(node, &Password::new(PASSWORD)).await.unwrap();
    let token = market.token("alice");
    let body = |tool: &str, arguments| {
        let params = json!({"name": tool, "arguments": arguments});
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).to_string()
    };
    let query = body("data_query", json!({"query": "carts"}));
    let echo = body("echo_request", json!({}));
    let mut received = 0;
    for (script, tool, msat, says) in [
        ("alby.mjs", &query, 1700, "north 41 carts"),
        ("l402_requests_client.py", &query, 1700, "north 41 carts"),
        ("lsat.mjs", &query, 1700, "north 41 carts"),
        ("alby.mjs", &echo, 1000, "headers"),
        ("l402_requests_client.py", &echo, 1000, "headers"),
    ] {
        let mut client = if script.ends_with(".py") { peers::python(script) } else { peers::node(script) };
        client.args([&market.gate.url, "--wallet", &wallet.url, "--password", PASSWORD, "--body", tool]);
        let report = peers::report(client).await;
        assert_eq!(report["status"], 200, "{script}: {report}");
        let answer = report["body"].as_str().unwrap();
        assert!(answer.contains(says) && !answer.contains(r#""isError":true"#), "{script}: {report}");
        received += msat;
        let ledger = market.gate.ledger().await;
        assert_eq!(
            (&ledger["received_msat"], &ledger["credit_msat"]),
            (&json!(received), &json!(0)),
            "{script}: {ledger}"
        );
    }
    // Where the tool asks who calls, too, the token has to survive the payment: these clients put their own credential
    // in `Authorization`, so it travels in the carrier beside it.
    let describe = body("image_describe", json!({"url": "http://x/y.png"}));
    for script in ["alby.mjs", "l402_requests_client.py"] {
        let mut client = if script.ends_with(".py") { peers::python(script) } else { peers::node(script) };
        client.args([&market.gate.url, "--wallet", &wallet.url, "--password", PASSWORD, "--body", &describe]);
        client.args(["--header", &format!("X-MCP-Auth-Composite: Identity {token}")]);
        market.gate.secrets.add(&token);
        let report = peers::report(client).await;
        assert_eq!(report["status"], 200, "{script}: {report}");
        assert!(report["body"].as_str().unwrap().contains("two towers"), "{script}: {report}");
    }
}
