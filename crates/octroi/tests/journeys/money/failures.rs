//! The failure rules through the real gate: what a call costs when its caller, its server or the gate itself is gone.

use std::process::Command;
use std::time::Duration;

use octroi_testkit::upstream::sample::Sample;
use serde_json::{Value, json};

use super::vouchers::{config, done};
use crate::harness::money::free_port;
use crate::harness::{Caller, Events, Gate, Launch, soon};

/// A pause that no test waits for.
const NEVER_MS: u64 = 3_600_000;

const PRICES: &str = "pricing = { data_query = { sats = 1 }, slow_report = { sats = 1 } }\n";

/// A gate that sells two tools, and a credential with so much on it.
struct Shop {
    sample: Sample,
    launch: Launch,
    gate: Gate,
    credential: String,
}

impl Shop {
    async fn open(sats: &str, more: &str) -> Self {
        let sample = Sample::start().await.unwrap();
        let text = config(&sample, free_port(), "");
        let (text, _) = text.split_once("pricing").unwrap();
        let launch = Launch::new(&format!("{text}{PRICES}{more}"), &[]);
        let credential = done(&launch, &["mint", "--sats", sats, "--ttl", "1h"]);
        let gate = launch.clone().start().await;
        gate.secrets.add(&credential);
        Self { sample, launch, gate, credential }
    }

    fn caller(&self) -> Caller {
        Caller::of(&self.gate)
    }

    /// The ledger, once no call is under way.
    async fn settled(&self) -> Value {
        soon(async {
            loop {
                let ledger = self.gate.ledger().await;
                if ledger["open_holds"] == 0 {
                    return ledger;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
    }

    /// A power cut; then the gate comes up on the same ledger, in which every promise still holds.
    async fn killed(self) -> Self {
        let Self { sample, launch, gate, credential } = self;
        gate.kill();
        let mut verify = Command::new(env!("CARGO_BIN_EXE_octroi"));
        let gate = launch.clone().start().await;
        verify.args(["ledger", "verify"]).current_dir(launch.folder());
        let verified = verify.output().unwrap();
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
        Self { sample, launch, gate, credential }
    }
}

#[track_caller]
fn counts(ledger: &Value, captured: u64, voided: u64, credit_msat: i64) {
    let found = (&ledger["captured"], &ledger["voided"], &ledger["credit_msat"]);
    assert_eq!(found, (&json!(captured), &json!(voided), &json!(credit_msat)), "{ledger}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_too_slow_is_not_paid() {
    let shop = Shop::open("1", "[mcp_server.timeouts]\nfirst_byte_seconds = 1\nidle_seconds = 1\n").await;
    let silent = shop.caller().call("data_query", json!({"query": "carts", "fault": "hang"}));
    silent.paid(&shop.credential).send().await.refused(502, "UPSTREAM_UNAVAILABLE");
    counts(&shop.settled().await, 0, 1, 1000);
    shop.caller().call("data_query", json!({"query": "carts"})).paid(&shop.credential).send().await.worked();
    counts(&shop.settled().await, 1, 1, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cancels_pays_nothing_where_nothing_came_and_all_where_it_came() {
    let shop = Shop::open("2", "").await;
    let caller = shop.caller();
    let session = caller.initialize().await;
    let report = |delay_ms: u64| {
        let params = json!({"name": "slow_report", "arguments": {"steps": 2, "delay_ms": delay_ms}});
        caller.ask_in(&session, "tools/call", params).meta("progressToken", json!("p")).paid(&shop.credential)
    };
    let long = report(NEVER_MS);
    let mut events = Events::of(long.open().await);
    events.next().await.expect("it has begun");
    let cancel = |id: &Value| {
        caller.ask_in(&session, "notifications/cancelled", json!({"requestId": id})).notification()
    };
    assert_eq!(cancel(&long.body["id"]).send().await.status, 202);
    while let Some(event) = events.next().await {
        assert!(event.get("result").is_none(), "{event}");
    }
    counts(&shop.settled().await, 0, 1, 2000);
    // Too late: the server has answered.
    let short = report(1);
    short.send().await.worked();
    assert_eq!(cancel(&short.body["id"]).send().await.status, 202);
    counts(&shop.settled().await, 1, 1, 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_pays_from_the_first_byte_on() {
    let shop = Shop::open("3", "").await;
    let caller = shop.caller();
    let hang = caller.call("data_query", json!({"query": "carts", "fault": "hang"})).paid(&shop.credential);
    hang.abandon(shop.sample.until(|tally| tally.calls.get("data_query") == Some(&1))).await;
    counts(&shop.settled().await, 0, 1, 3000);
    let report = caller.call("slow_report", json!({"steps": 2, "delay_ms": NEVER_MS}));
    let report = report.meta("progressToken", json!("p")).paid(&shop.credential);
    let mut events = Events::of(report.open().await);
    events.next().await.expect("it has begun");
    drop(events);
    counts(&shop.settled().await, 1, 1, 2000);
    // The answer is there, and nobody reads it.
    drop(caller.call("data_query", json!({"query": "carts"})).paid(&shop.credential).open().await);
    counts(&shop.settled().await, 2, 1, 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_that_dies_at_any_step_charges_nothing_that_was_not_answered() {
    let mut shop = Shop::open("4", "").await;
    // While the server works.
    let caller = shop.caller();
    let hang = caller.call("data_query", json!({"query": "carts", "fault": "hang"})).paid(&shop.credential);
    let hanging = tokio::spawn(async move { hang.dropped().await });
    soon(shop.sample.until(|tally| tally.calls.get("data_query") == Some(&1))).await;
    soon(async {
        while shop.gate.ledger().await["open_holds"] != 1 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    shop = shop.killed().await;
    soon(hanging).await.unwrap();
    counts(&shop.settled().await, 0, 1, 4000);

    // In the middle of a stream, of which its caller has seen something.
    let report = shop.caller().call("slow_report", json!({"steps": 2, "delay_ms": NEVER_MS}));
    let report = report.meta("progressToken", json!("p")).paid(&shop.credential);
    let mut events = Events::of(report.open().await);
    events.next().await.expect("it has begun");
    shop = shop.killed().await;
    counts(&shop.settled().await, 0, 2, 4000);

    // The moment the answer is there. Whether the end of the call was on disk is chance; what is not is that the same call
    // is charged once, and answered.
    for round in 1..=3 {
        let key = format!("call {round}");
        let query = |shop: &Shop| {
            let call = shop.caller().call("data_query", json!({"query": "carts"}));
            call.paid(&shop.credential).header("idempotency-key", &key)
        };
        query(&shop).send().await.worked();
        shop = shop.killed().await;
        query(&shop).send().await.worked();
        query(&shop).send().await.worked();
        let ledger = shop.settled().await;
        assert_eq!(ledger["captured"], round, "{ledger}");
        assert_eq!(ledger["credit_msat"], 4000 - 1000 * round, "{ledger}");
    }
}
