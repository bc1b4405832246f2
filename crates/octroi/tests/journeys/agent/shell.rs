//! The commands of a shell: what they print, and how they end.

use std::sync::Arc;

use octroi_testkit::node_apis::nwc;
use serde_json::{Value, json};

use super::hostile::Rogue;
use super::{Owner, PLAIN};
use crate::harness::Market;

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_lists_calls_pays_and_looks_at_its_purse() {
    let market = Market::open(&[]).await;
    let owner = Owner::of(&market, PLAIN).await;
    let url = market.gate.url.as_str();
    let (code, out, _) = owner.run(&["tools", url]).await;
    assert!(
        code == 0 && out.lines().any(|line| line.starts_with("data_query") && line.contains("1.7 sats")),
        "{out}"
    );
    let (code, out, _) = owner.run(&["tools", url, "--json"]).await;
    let tools: Value = serde_json::from_str(&out).unwrap();
    let query = tools["tools"].as_array().unwrap().iter().find(|tool| tool["name"] == "data_query").unwrap();
    assert_eq!((code, &query["price_msat"]), (0, &json!(1700)));

    let (code, out, err) =
        owner.run(&["call", url, "data_query", "--arg", "query=carts", "--calls", "2"]).await;
    assert!(code == 0 && out.contains("north 41 carts") && err.contains("paid 3.4 sats"), "{out}{err}");
    let (code, out, _) =
        owner.run(&["call", url, "data_query", "--json", r#"{"query":"carts"}"#, "--json-output"]).await;
    let outcome: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &outcome["paid"], &outcome["price"]), (0, &Value::Null, &json!(1700)), "{outcome}");

    let (code, out, _) = owner.run(&["purse"]).await;
    assert!(
        code == 0 && out.contains("spent: 3.4 sats in the last hour") && out.contains("0 call(s) left"),
        "{out}"
    );
    let (code, out, _) = owner.run(&["wallet", "balance", "--json"]).await;
    let balance: Value = serde_json::from_str(&out).unwrap();
    assert!(code == 0 && balance["outbound_msat"].as_i64().unwrap() > 0, "{out}");
    let (code, out, _) =
        owner.run(&["wallet", "invoice", "21", "--description", "for a test", "--json"]).await;
    let invoice: Value = serde_json::from_str(&out).unwrap();
    let (decoded, out, _) = owner.run(&["wallet", "decode", invoice["invoice"].as_str().unwrap()]).await;
    assert!(
        code == 0 && decoded == 0 && out.contains("amount: 21 sats") && out.contains("for a test"),
        "{out}"
    );
    let asked = market.caller.call("data_query", json!({"query": "x"})).send().await.challenge();
    let (code, out, err) = owner.run(&["wallet", "pay", &asked.invoice, "--json"]).await;
    let paid: Value = serde_json::from_str(&out).unwrap_or_default();
    assert_eq!((code, &paid["amount_msat"]), (0, &json!(1700)), "{out}{err}");

    let (code, out, _) = owner.run(&["purse", "--json", "forget", "--all"]).await;
    assert_eq!((code, out.trim()), (0, r#"{"forgotten":1}"#));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_pays_over_nostr_wallet_connect() {
    let market = Market::open(&[]).await;
    let wallet = nwc::connect(Arc::clone(&market.payer.node) as _, &nwc::Terms::default()).await.unwrap();
    let owner = Owner::poor();
    std::fs::write(owner.file("wallet"), &wallet.api.credential).unwrap();
    let call = ["call", &market.gate.url, "data_query", "--arg", "query=carts"];
    let (code, out, err) = owner.run(&call).await;
    assert!(code == 0 && out.contains("north 41 carts") && err.contains("paid 1.7 sats"), "{out}{err}");
    let (code, out, err) = owner.run(&["wallet", "balance", "--json"]).await;
    assert!(code == 0 && out.contains("outbound_msat"), "{out}{err}");
    drop(wallet);
    let (code, out, err) = owner.run(&call).await;
    assert!(code != 0 && !format!("{out}{err}").contains("secret="), "{out}{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_ends_with_the_reason() {
    let market = Market::open(&[]).await;
    let owner = Owner::of(&market, PLAIN).await;
    let (poor, confused) = (Owner::poor(), Owner::poor());
    confused.rule("per_call_sats = \"a lot\"");
    let url = market.gate.url.as_str();
    let query = ["call", url, "data_query", "--arg", "query=carts"];
    let with = |more: &[&'static str]| [&query[..], more].concat();
    let failed = ["call", url, "unreliable", "--arg", "fail=true"];
    let unknown = ["call", url, "no_such_tool"];
    let identity = ["call", url, "image_describe", "--arg", "url=x"];
    let nowhere = ["call", "http://127.0.0.1:1/mcp", "x"];
    for (owner, words, expected) in [
        (&owner, &failed[..], 1),
        (&confused, &query[..], 2),
        (&owner, &identity[..], 3),
        (&poor, &query[..], 4),
        (&owner, &with(&["--max-sats", "1"])[..], 4),
        (&owner, &unknown[..], 5),
        (&owner, &nowhere[..], 6),
    ] {
        let (code, out, err) = owner.run(words).await;
        assert_eq!(code, expected, "{words:?}: {out}{err}");
        let (code, out, _) = owner.run(&[words, &["--json-output"]].concat()).await;
        let said: Value = serde_json::from_str(&out).unwrap();
        assert!(code == expected && (expected == 1 || said["error"]["exit"] == expected), "{words:?}: {out}");
    }
    owner.rule(&format!("{PLAIN}only_listed = true\n"));
    let (code, _, err) = owner.run(&query).await;
    assert!(code == 4 && err.contains("not among the servers"), "{err}");
    assert_eq!(market.gate.ledger().await["received_msat"], 1000, "only the tool that failed was paid for");
}

/// The challenge of the gate for a tool, in the words of Aperture.
async fn offer(market: &Market, tool: &str) -> (String, String) {
    let challenge = market.caller.call(tool, json!({"query": "x"})).send().await.challenge();
    let words = format!("macaroon=\"{}\", invoice=\"{}\"", challenge.macaroon, challenge.invoice);
    (words, challenge.invoice)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_fetches_what_has_a_price() {
    let market = Market::open(&[]).await;
    let owner = Owner::of(&market, PLAIN).await;
    // A paid MCP endpoint is a paid URL.
    let body = super::call(9, "data_query", json!({"query": "carts"})).to_string();
    let headers =
        ["-H", "content-type: application/json", "-H", "accept: application/json, text/event-stream"];
    let fetch = [&["fetch", market.gate.url.as_str(), "-d", body.as_str()][..], &headers].concat();
    let (code, out, err) = owner.run(&[&fetch[..], &["--max-sats", "1"]].concat()).await;
    assert!(code == 4 && err.contains("left of the budget"), "{code} {out}{err}");
    let (code, out, err) = owner.run(&fetch).await;
    assert!(code == 0 && out.contains("north 41 carts") && err.contains("paid 1.7 sats"), "{out}{err}");
    // So is what a gate of another make sells: its token is kept for everything there.
    let rogue = Rogue::start().await;
    let at = |path: &str| rogue.url.replace("/mcp", path);
    (*rogue.given.lock().unwrap(), _) = offer(&market, "data_query").await;
    let (code, out, err) = owner.run(&["fetch", &at("/priced")]).await;
    assert!(code == 0 && out == "the goods" && err.contains("paid 1.7 sats"), "{code} {out}{err}");
    let (code, out, err) = owner.run(&["fetch", &at("/other"), "-i"]).await;
    assert!(code == 0 && out.contains("200 OK") && out.ends_with("the goods"), "{code} {out}{err}");
    assert_eq!(owner.purse().await["spent"]["all_msat"], 3400);
    // Paid, and refused all the same: that is a reason of its own.
    let rogue = Rogue::start().await;
    let (words, _) = offer(&market, "unreliable").await;
    *rogue.given.lock().unwrap() = words;
    let never = rogue.url.replace("/mcp", "/never");
    let (code, _, err) = owner.run(&["fetch", &never]).await;
    assert!(code == 7 && err.contains("paid, and still refused"), "{code} {err}");
    (_, *rogue.given.lock().unwrap()) = offer(&market, "slow_report").await;
    let (code, out, _) =
        owner.run(&["call", &rogue.url, "sells", "--legacy", "--no-sign-in", "--json-output"]).await;
    let said: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &said["error"]["exit"]), (7, &json!(7)), "{out}");
    assert_eq!(owner.purse().await["spent"]["all_msat"], 3400 + 1000 + 2000);
}

#[tokio::test(flavor = "multi_thread")]
async fn free_work_comes_before_money() {
    let market = Market::open(&[]).await;
    let owner = Owner::of(&market, "work_seconds = 60\n").await;
    let (code, _, err) = owner.run(&["call", &market.gate.url, "data_query", "--arg", "query=carts"]).await;
    assert!(code == 0 && err.contains("computed 8 bits"), "{err}");
    // In use now: the next solution buys several calls, and the calls after it cost nothing and need no puzzle.
    let mut worked = Vec::new();
    for _ in 0..3 {
        let (code, out, err) =
            owner.run(&["call", &market.gate.url, "data_query", "--arg", "query=carts"]).await;
        assert!(code == 0 && out.contains("north 41 carts"), "{out}{err}");
        worked.push(err.contains("computed 8 bits"));
    }
    assert_eq!(worked, [true, false, false]);
    let credentials = owner.purse().await["credentials"].clone();
    assert_eq!((&credentials[0]["worked"], &credentials[0]["calls_left"]), (&json!(true), &json!(2)));
    assert_eq!(market.gate.ledger().await["received_msat"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_challenge_says_what_its_invoice_says() {
    let market = Market::open(&[]).await;
    let asked = market.caller.call("data_query", json!({"query": "x"})).send().await;
    assert_eq!(asked.data()["l402"]["description"], "mcp data_query x1", "{}", asked.text);
    let decoded = octroi_lightning::bolt11::decode(&asked.challenge().invoice).unwrap();
    assert_eq!(decoded.description.as_deref(), Some("mcp data_query x1"));
}

#[tokio::test]
async fn the_blocks_for_desktop_clients_start_this_very_program() {
    let owner = Owner::poor();
    let (code, out, _) = owner.run(&["connect", "https://gate.example.com/mcp", "--install"]).await;
    assert_eq!(code, 0);
    for client in ["Claude Desktop", "Claude Code", "Cursor", "VS Code"] {
        assert!(out.contains(client), "{out}");
    }
    assert!(out.contains(env!("CARGO_BIN_EXE_octroi")) && !out.contains("--install"), "{out}");
    // The line for a shell is read by one as it is meant.
    let line = out.lines().find(|line| line.starts_with("claude mcp add ")).unwrap();
    let script = format!("claude() {{ printf '%s\\n' \"$@\"; }}; {line}");
    let read = std::process::Command::new("bash").args(["-euc", &script]).output().unwrap();
    let read = String::from_utf8(read.stdout).unwrap();
    let words: Vec<&str> = read.lines().collect();
    let expected = owner.words(&["connect", "https://gate.example.com/mcp"]);
    assert_eq!(words[..3], ["mcp", "add", "gate-example-com"]);
    assert_eq!(words[3..], [&["--"], &expected.iter().map(String::as_str).collect::<Vec<_>>()[..]].concat());
}
