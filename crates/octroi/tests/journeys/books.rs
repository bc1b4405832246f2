//! A ledger that lost a payment is told of it by the node: `octroi ledger reconcile`, with a gate and without. Stripe is told
//! of what customers are charged.

use std::path::Path;
use std::time::Duration;

use octroi_testkit::issuer::{Issuer, TokenSpec};
use octroi_testkit::stripe::{EVENT, Fault, KEY, Stripe};
use octroi_testkit::upstream::sample::Sample;
use serde_json::{Value, json};

use crate::harness::money::free_port;
use crate::harness::{Caller, Launch, Market, soon};

/// When a difference is left.
const DIFFERS: i32 = 4;

/// Runs `octroi ledger reconcile … --json` on this gate's configuration; its exit code and what it printed.
async fn reconcile(launch: &Launch, args: &[&str]) -> (i32, Value) {
    let mut command = launch.octroi(&["ledger", "reconcile"]);
    command.args(args).arg("--json");
    let done = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let (out, said) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    let code = done.status.code().unwrap();
    (code, serde_json::from_str(&out).unwrap_or_else(|_| panic!("{code}: {out}\n{said}")))
}

/// Puts an older copy of the ledger in its place.
fn restore(folder: &Path) {
    for rest in ["octroi.db-wal", "octroi.db-shm"] {
        let _ = std::fs::remove_file(folder.join(rest));
    }
    std::fs::copy(folder.join("copy.db"), folder.join("octroi.db")).unwrap();
}

/// Whether a payment over this is named as missing.
fn misses(reply: &Value, msat: u64) -> bool {
    let findings = reply["books"]["findings"].as_array().unwrap();
    findings.iter().any(|one| one["kind"] == "not_credited" && one["msat"] == msat)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_restored_from_before_a_payment_gets_it_back_once() {
    let mut market = Market::open(&[]).await;
    let caller = market.caller.clone();
    let query = || caller.call("data_query", json!({"query": "carts"}));
    let launch = market.gate.launch();
    let (code, well) = reconcile(&launch, &[]).await;
    assert_eq!((code, &well["books"]["findings"]), (0, &json!([])), "{well}");

    let challenge = query().header("octroi-calls", "2").send().await.challenge();
    let mut backup = launch.octroi(&["ledger", "backup", "copy.db", "octroi.db"]);
    assert!(backup.status().unwrap().success());
    let credential = market.pay(&challenge).await;
    query().paid(&credential).send().await.worked();

    let launch = market.gate.stop();
    restore(launch.folder());
    // Nobody listens: the command asks the node itself. Looking changes nothing.
    for _ in 0..2 {
        let (code, books) = reconcile(&launch, &[]).await;
        assert!(code == DIFFERS && misses(&books, 2 * 1700), "{books}");
    }
    for credited in [1, 0] {
        let (code, books) = reconcile(&launch, &["--apply"]).await;
        assert_eq!((code, &books["books"]["findings"]), (0, &json!([])), "{books}");
        assert_eq!(books["acted"]["credited"], credited, "{books}");
    }

    // The gate's node may tell of its latest payments once more when it is started: they are known.
    market.gate = launch.clone().start().await;
    let (code, books) = reconcile(&launch, &["--apply"]).await;
    assert_eq!(
        (code, &books["books"]["findings"], &books["acted"]["credited"]),
        (0, &json!([]), &json!(0)),
        "{books}"
    );
    let get = async |path: &str| reqwest::get(format!("{}{path}", market.gate.admin)).await.unwrap();
    assert_eq!(get("/ledger/reconciliation").await.json::<Value>().await.unwrap()["findings"], json!([]));
    let metrics = get("/metrics").await.text().await.unwrap();
    assert!(metrics.contains("octroi_reconcile_looks_total 1"), "{metrics}");

    // What was called since the copy is forgotten with it, in the payer's favour.
    for _ in 0..2 {
        query().paid(&credential).send().await.worked();
    }
    market.reconnect().await;
    query().paid(&credential).send().await.refused(402, "CREDENTIAL_SPENT");
    let ledger = market.gate.ledger().await;
    assert_eq!((&ledger["received_msat"], &ledger["credit_msat"]), (&json!(2 * 1700), &json!(0)), "{ledger}");
}

#[tokio::test(flavor = "multi_thread")]
async fn stripe_is_told_once_of_what_a_customer_is_charged() {
    let stripe = Stripe::start(&["cus_alice"]).await.unwrap();
    let settings = [
        format!("ledger.stripe.key={KEY}"),
        format!("ledger.stripe.event={EVENT}"),
        format!("ledger.stripe.endpoint={}", stripe.url),
        "ledger.stripe.customer_claim=stripe_customer_id".to_owned(),
        "ledger.stripe.every_seconds=1".to_owned(),
    ];
    let args: Vec<&str> = settings.iter().flat_map(|one| ["--set", one]).collect();
    let mut market = Market::open(&args).await;
    market.gate.secrets.add(KEY);
    let caller = market.caller.clone();
    let spec = TokenSpec::new("alice", &market.gate.url).claim("stripe_customer_id", "cus_alice");
    let alice = market.issuer.token(spec);
    let query = || caller.call("data_query", json!({"query": "carts"}));
    let credential = market.pay(&query().header("octroi-calls", "5").send().await.challenge()).await;

    query().paid(&credential).send().await.worked();
    query().bearer(&alice).paid(&credential).send().await.worked();
    soon(stripe.until(|taken, _| taken.len() == 1)).await;
    // It is taken, and the gate dies before it hears of it.
    stripe.plan(Fault::Withhold);
    query().bearer(&alice).paid(&credential).send().await.worked();
    soon(stripe.until(|taken, _| taken.len() == 2)).await;
    market.gate = market.gate.kill().start().await;
    let told = async {
        while market.gate.ledger().await["outbox_waiting"] != 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon(told).await;
    let taken = stripe.taken();
    let values: Vec<(&str, i64)> = taken.iter().map(|one| (one.customer.as_str(), one.value)).collect();
    assert_eq!(
        values,
        [("cus_alice", 1700); 2],
        "those of nobody's customer are not told, and none is told twice"
    );
    let metrics = reqwest::get(format!("{}/metrics", market.gate.admin)).await.unwrap().text().await.unwrap();
    assert!(metrics.contains("octroi_stripe_delivered_total 1"), "{metrics}");
}

/// Runs `octroi ledger bill …` in a gate's folder; its exit code and what it printed.
async fn bill(launch: &Launch, words: &[&str]) -> (i32, Value) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_octroi"));
    command.args(["ledger", "bill"]).args(words).arg("--json").current_dir(launch.folder());
    let done = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let (out, said) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    let code = done.status.code().unwrap();
    (code, serde_json::from_str(&out).unwrap_or_else(|_| panic!("{code}: {out}\n{said}")))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stripe_refused_is_told_once_more_or_let_be_as_the_operator_says() {
    let stripe = Stripe::start(&[]).await.unwrap();
    let sample = Sample::start().await.unwrap();
    let issuer = Issuer::start().await.unwrap();
    let config = format!(
        r#"
listen = "127.0.0.1:{}"
[ledger.stripe]
key = "{KEY}"
event = "{EVENT}"
endpoint = "{}"
customer_claim = "stripe_customer_id"
every_seconds = 1
[mcp_server]
upstream = "{}"
[mcp_server.auth.identity]
issuer = "{}"
allow_insecure_http = true
allow_private_addresses = true
[mcp_server.auth.payment]
pricing = {{ data_query = {{ msats = 1700 }} }}
"#,
        free_port(),
        stripe.url,
        sample.url(),
        issuer.url(),
    );
    let launch = Launch::new(&config, &[]);
    let gate = launch.clone().start().await;
    gate.secrets.add(KEY);
    let mut mint = std::process::Command::new(env!("CARGO_BIN_EXE_octroi"));
    mint.args(["token", "mint", "octroi.toml", "--sats", "10", "--ttl", "1h"]).current_dir(launch.folder());
    let minted = String::from_utf8(mint.output().unwrap().stdout).unwrap();
    let query = |subject: &str, customer: &str| {
        let spec = TokenSpec::new(subject, &gate.url).claim("stripe_customer_id", customer);
        let call = Caller::of(&gate).call("data_query", json!({"query": "carts"}));
        call.bearer(&issuer.token(spec)).paid(minted.trim())
    };
    for subject in ["alice", "bob"] {
        query(subject, &format!("cus_{subject}")).send().await.worked();
    }
    let refused = async {
        while gate.ledger().await["outbox_refused"] != 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon(refused).await;
    let (code, list) = bill(&launch, &["list", "octroi.db"]).await;
    let customers: Vec<&str> =
        list.as_array().unwrap().iter().map(|row| row["customer"].as_str().unwrap()).collect();
    assert_eq!((code, customers), (0, vec!["cus_alice", "cus_bob"]), "{list}");
    assert!(list[0]["why"].as_str().unwrap().contains("No such customer"), "{list}");
    let (code, books) = reconcile(&launch, &[]).await;
    assert_eq!((code, &books["books"]["findings"][0]["kind"]), (DIFFERS, &json!("bill_refused")), "{books}");

    // Beside the running gate. One call's id is nobody's; bob's charge is let be, alice's is told.
    let (alice, bob) = (list[0]["id"].as_str().unwrap(), list[1]["id"].as_str().unwrap());
    let (code, done) =
        bill(&launch, &["accept", "octroi.toml", "--call", bob, "--call", &"0".repeat(32)]).await;
    assert_eq!((code, &done["done"], &done["unknown"]), (DIFFERS, &json!([bob]), &json!(["0".repeat(32)])));
    stripe.add_customer("cus_alice");
    let (code, done) = bill(&launch, &["retry", "octroi.toml", "--all"]).await;
    assert_eq!((code, &done["done"], &done["doubtful"]), (0, &json!([alice]), &json!([])), "{done}");
    soon(stripe.until(|taken, _| taken.len() == 1)).await;
    assert_eq!((stripe.taken()[0].identifier.as_str(), stripe.taken()[0].value), (alice, 1700));
    let told = async {
        while gate.ledger().await["outbox_waiting"] != 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon(told).await;
    // Nothing is left to say, with the gate or without it.
    let (code, books) = reconcile(&launch, &[]).await;
    assert_eq!((code, &books["books"]["findings"]), (0, &json!([])), "{books}");
    drop(gate.stop());
    let (code, done) = bill(&launch, &["retry", "octroi.toml", "--all"]).await;
    assert_eq!((code, &done["done"]), (0, &json!([])), "{done}");
    assert_eq!(stripe.taken().len(), 1);
}
