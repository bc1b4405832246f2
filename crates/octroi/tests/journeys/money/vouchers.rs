//! `octroi token`: prepaid credentials from the day they are made to the day they are taken back.

use std::process::Command;

use octroi_testkit::postgres::{Cluster, ClusterOptions};
use octroi_testkit::upstream::sample::Sample;
use serde_json::{Value, json};

use crate::harness::money::free_port;
use crate::harness::{Ask, Caller, Gate, Launch, Reply};

/// A gate's configuration in front of `sample`, with more lines at its top.
pub(super) fn config(sample: &Sample, port: u16, top: &str) -> String {
    format!(
        "listen = \"127.0.0.1:{port}\"\n{top}\n[mcp_server]\nupstream = \"{}\"\n[mcp_server.auth.payment]\n\
         pricing = {{ data_query = {{ sats = 1 }}, echo_request = {{ sats = 1 }} }}\n",
        sample.url()
    )
}

/// `octroi token …` in a gate's folder: its exit code, and what it says where that belongs.
fn token(launch: &Launch, words: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_octroi"));
    command.arg("token").arg(words[0]).arg("octroi.toml").args(&words[1..]).current_dir(launch.folder());
    let output = command.output().unwrap();
    let said = if output.status.success() { output.stdout } else { output.stderr };
    (output.status.code(), String::from_utf8(said).unwrap().trim().to_owned())
}

#[track_caller]
pub(super) fn done(launch: &Launch, words: &[&str]) -> String {
    let (code, said) = token(launch, words);
    assert_eq!(code, Some(0), "{words:?}: {said}");
    said
}

/// Refused: these gates have no Lightning node, so nothing is sold instead, and what was wrong is said.
#[track_caller]
pub(super) fn no_good(reply: &Reply, why: &str) {
    reply.refused(503, "NO_LIQUIDITY");
    let said = reply.message["error"]["message"].as_str().unwrap();
    assert!(said.contains(why), "{why}: {said}");
}

fn query(gate: &Gate) -> Ask {
    Caller::of(gate).call("data_query", json!({"query": "carts"}))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voucher_is_spent_shown_renewed_and_taken_back() {
    let sample = Sample::start().await.unwrap();
    let launch = Launch::new(&config(&sample, free_port(), ""), &[]);
    let gate = launch.clone().start().await;
    // Beside the running gate, which is the only writer of its ledger.
    let credential =
        done(&launch, &["mint", "--sats", "5", "--ttl", "1h", "--tool", "data_query", "--calls", "4"]);
    gate.secrets.add(&credential);
    query(&gate).paid(&credential).send().await.worked();
    let echo = Caller::of(&gate).call("echo_request", json!({}));
    no_good(&echo.paid(&credential).send().await, "for another tool");
    let shown: Value =
        serde_json::from_str(&done(&launch, &["show", "--token", &credential, "--json"])).unwrap();
    assert_eq!((&shown["account"]["balance"], &shown["revoked"]), (&json!(4000), &json!(false)), "{shown}");
    let id = shown["token"].as_str().unwrap();

    let renewed = done(&launch, &["renew", "--token", &credential, "--ttl", "2h"]);
    gate.secrets.add(&renewed);
    assert_ne!(renewed, credential);
    query(&gate).paid(&renewed).send().await.worked();
    query(&gate).paid(&credential).send().await.worked();

    // Taken back by its id, with everything renewed from it, and at once.
    assert_eq!(done(&launch, &["revoke", "--token", id, "--reason", "leaked"]), "revoked");
    for shown in [&credential, &renewed] {
        no_good(&query(&gate).paid(shown).send().await, "has been revoked");
    }
    assert_eq!(token(&launch, &["renew", "--token", &credential, "--ttl", "2h"]).0, Some(1));
    assert!(done(&launch, &["show", "--token", id]).contains("revoked     yes"));
    assert_eq!(done(&launch, &["revoke", "--token", id, "--undo"]), "restored");
    query(&gate).paid(&renewed).send().await.worked();
    // A satoshi is left, and no call.
    no_good(&query(&gate).paid(&renewed).send().await, "calls of this credential are used up");
    assert_eq!(gate.ledger().await["credit_msat"], 1000);
    assert_eq!(sample.calls_of("data_query"), 4);
    assert_eq!(token(&launch, &["show", "--token", "nonsense"]).0, Some(2));
    assert_eq!(token(&launch, &["revoke"]).0, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_master_key_takes_over_while_the_old_one_is_honoured() {
    let sample = Sample::start().await.unwrap();
    let port = free_port();
    let launch = Launch::new(&config(&sample, port, ""), &[]);
    let old = done(&launch, &["mint", "--sats", "5", "--ttl", "1h"]);
    let gate = launch.clone().start().await;
    gate.secrets.add(&old);
    query(&gate).paid(&old).send().await.worked();

    // What it prints is what the configuration needs.
    let lines = done(&launch, &["rotate-key"]);
    assert!(!lines.contains(std::fs::read_to_string(launch.folder().join("octroi.key")).unwrap().trim()));
    let file = launch.folder().join("octroi.toml");
    std::fs::write(&file, config(&sample, port, &lines)).unwrap();
    query(&gate).paid(&old).send().await.worked();
    drop(gate);
    let gate = launch.clone().start().await;
    let new = done(&launch, &["mint", "--sats", "5", "--ttl", "1h"]);
    gate.secrets.add(&new);
    for credential in [&old, &new] {
        query(&gate).paid(credential).send().await.worked();
    }
    let number = |credential: &str| {
        let shown = done(&launch, &["show", "--token", credential, "--json"]);
        serde_json::from_str::<Value>(&shown).unwrap()["master_key"].clone()
    };
    assert_eq!((number(&old), number(&new)), (json!(0), json!(1)));

    // A key that leaked is taken back whole, at once; dropped from the configuration, nobody knows it any more.
    assert_eq!(done(&launch, &["revoke", "--master-key", "0"]), "revoked");
    no_good(&query(&gate).paid(&old).send().await, "has been revoked");
    query(&gate).paid(&new).send().await.worked();
    drop(gate);
    let alone: Vec<&str> = lines.lines().filter(|line| !line.starts_with("previous_keys")).collect();
    std::fs::write(&file, config(&sample, port, &alone.join("\n"))).unwrap();
    let gate = launch.clone().start().await;
    no_good(&query(&gate).paid(&old).send().await, "under a key that is not held");
    query(&gate).paid(&new).send().await.worked();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_back_is_taken_back_on_every_gate() {
    let sample = Sample::start().await.unwrap();
    let cluster =
        tokio::task::spawn_blocking(|| Cluster::start(ClusterOptions::default())).await.unwrap().unwrap();
    let top = format!(
        "[ledger]\nurl = \"{}\"\n[secrets]\nmaster_key = \"{}\"\n",
        cluster.fresh_url(),
        "42".repeat(32)
    );
    let launches = [(); 2].map(|()| Launch::new(&config(&sample, free_port(), &top), &[]));
    let gates = [launches[0].clone().start().await, launches[1].clone().start().await];
    // Minted beside one gate, spent at both.
    let [spare, credential] = [(); 2].map(|()| done(&launches[0], &["mint", "--sats", "50", "--ttl", "1h"]));
    for gate in &gates {
        gate.secrets.add(&credential);
        gate.secrets.add(&spare);
        query(gate).paid(&credential).header("idempotency-key", "once").send().await.worked();
        query(gate).paid(&credential).send().await.worked();
    }
    assert_eq!(sample.calls_of("data_query"), 3, "the same call is one call, on whichever gate");

    assert_eq!(done(&launches[1], &["revoke", "--token", &credential]), "revoked");
    for gate in &gates {
        no_good(&query(gate).paid(&credential).send().await, "has been revoked");
        let again = query(gate).paid(&credential).header("idempotency-key", "once").send().await;
        again.refused(403, "TOOL_FORBIDDEN");
        query(gate).paid(&spare).send().await.worked();
    }
    assert_eq!(done(&launches[0], &["revoke", "--token", &credential, "--undo"]), "restored");
    for gate in &gates {
        let again = query(gate).paid(&credential).header("idempotency-key", "once").send().await;
        again.worked();
        assert_eq!(again.headers["octroi-replayed"], "true");
    }
    assert_eq!(done(&launches[0], &["revoke", "--master-key", "0"]), "revoked");
    for gate in &gates {
        for shown in [&credential, &spare] {
            no_good(&query(gate).paid(shown).send().await, "has been revoked");
        }
    }
    assert_eq!(sample.calls_of("data_query"), 5);
}
