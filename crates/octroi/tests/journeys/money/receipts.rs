//! What a paid reply carries, and what it is worth: with the real binary on both sides.

use std::process::{Command, Output, Stdio};

use octroi_testkit::upstream::sample::Sample;
use serde_json::{Value, json};

use crate::harness::{Caller, Launch};

/// `octroi …` in the gate's folder, with something on its standard input.
fn octroi(launch: &Launch, args: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_octroi"));
    command.args(args).current_dir(launch.folder());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_proves_what_a_call_cost() {
    let sample = Sample::start().await.unwrap();
    let config = format!(
        r#"
listen = "127.0.0.1:0"
[mcp_server]
upstream = "{}"
[mcp_server.auth.payment]
pricing = {{ data_query = {{ formula = "1000 + size(args.query) * 100", max_sats = 5 }} }}
"#,
        sample.url()
    );
    let launch = Launch::new(&config, &[]);
    let minted = octroi(&launch, &["token", "mint", "octroi.toml", "--sats", "5", "--ttl", "1h"], "");
    assert!(minted.status.success(), "{}", String::from_utf8_lossy(&minted.stderr));
    let credential = String::from_utf8(minted.stdout).unwrap().trim().to_owned();
    let gate = launch.clone().start().await;
    gate.secrets.add(&credential);
    let caller = Caller::of(&gate);
    let query = || caller.call("data_query", json!({"query": "carts"}));
    let first = query().paid(&credential).header("idempotency-key", "once").send().await;
    first.worked();
    assert_eq!(first.headers["octroi-price"], "1500");
    let again = query().paid(&credential).header("idempotency-key", "once").send().await;
    again.worked();
    assert_eq!(again.headers["octroi-replayed"], "true");
    assert_eq!(sample.calls_of("data_query"), 1);

    let verify = |input: &str, more: &[&str]| {
        let output = octroi(&launch, &[&["receipt", "verify", "--json"], more].concat(), input);
        let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (output.status.code(), told)
    };
    let url = gate.url.clone();
    let by_gate = ["--gate", url.as_str()];
    let header = first.headers["octroi-receipt"].to_str().unwrap();
    let (code, told) = verify(header, &by_gate);
    assert_eq!(
        (code, &told["genuine"], &told["receipt"]["msat"]),
        (Some(0), &json!(true), &json!(1500)),
        "{told}"
    );
    assert_eq!((&told["receipt"]["balance_msat"], &told["receipt"]["iss"]), (&json!(3500), &json!(gate.url)));
    // The whole reply is a receipt for its result, and with the arguments for the whole call.
    std::fs::write(launch.folder().join("arguments.json"), r#"{ "query" : "carts" }"#).unwrap();
    std::fs::write(launch.folder().join("others.json"), r#"{"query":"cart"}"#).unwrap();
    let (code, told) = verify(&first.text, &[&by_gate[..], &["--arguments", "arguments.json"]].concat());
    assert_eq!((code, &told["result"], &told["arguments"]), (Some(0), &json!(true), &json!(true)), "{told}");
    assert_eq!(verify(&again.text, &by_gate).1["receipt"], told["receipt"], "the first answer's");
    assert_eq!(verify(header, &[&by_gate[..], &["--arguments", "others.json"]].concat()).0, Some(4));
    let other_result = first.text.replace("north 41 carts", "north 42 carts");
    assert_ne!(other_result, first.text);
    assert_eq!(verify(&other_result, &by_gate).0, Some(4));
    let dearer = first.text.replace(r#""msat":1500"#, r#""msat":1"#);
    assert_eq!(verify(&dearer, &by_gate).0, Some(4));
    assert_eq!(verify(&header.replace('.', ".A"), &by_gate).0, Some(4));

    // The keys are public, outlive the gate, and verify without it.
    let keys = reqwest::get(format!("{}/receipt-keys", gate.url)).await.unwrap().bytes().await.unwrap();
    std::fs::write(launch.folder().join("keys.json"), &keys).unwrap();
    drop(gate);
    assert_eq!(verify(header, &["--keys", "keys.json"]).0, Some(0));
    assert_eq!(verify(header, &by_gate).0, Some(1), "nobody is there to ask");

    // Another master key takes over: the former one's receipts are still good.
    let former = std::fs::read_to_string(launch.folder().join("octroi.key")).unwrap();
    let new = format!("secrets.master_key={}", "42".repeat(32));
    let previous = format!("secrets.previous_keys={{ 0 = \"{}\" }}", former.trim());
    let rotated = ["--set", &new, "--set", "secrets.master_key_number=1", "--set", &previous];
    let gate = launch.clone().with(&rotated).start().await;
    let keys = reqwest::get(format!("{}/receipt-keys", gate.url)).await.unwrap().bytes().await.unwrap();
    std::fs::write(launch.folder().join("keys.json"), &keys).unwrap();
    assert_eq!(verify(header, &["--keys", "keys.json"]).0, Some(0));
    let paid = Caller::of(&gate).call("data_query", json!({"query": "carts"})).paid(&credential).send().await;
    paid.worked();
    let newer = paid.headers["octroi-receipt"].to_str().unwrap();
    assert_eq!(verify(newer, &["--keys", "keys.json"]).0, Some(0));
    assert_ne!(newer.split('.').next(), header.split('.').next(), "signed by the new key");
}
