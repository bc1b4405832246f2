//! What the caller did not get is not charged.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::Market;

/// How often, and how many times, the ledger is asked for what it will soon say.
const POLL: Duration = Duration::from_millis(20);
const POLLS: usize = 1000;

/// Asks the operator's page until no call is under way and so many have ended like this (`captured`, `voided`).
async fn settles(market: &Market, end: &str, calls: i64) -> Value {
    let mut ledger = Value::Null;
    for _ in 0..POLLS {
        ledger = market.gate.ledger().await;
        if ledger[end] == calls && ledger["open_holds"] == 0 {
            return ledger;
        }
        tokio::time::sleep(POLL).await;
    }
    panic!("{calls} calls should have been {end}: {ledger}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_call_is_refunded_however_it_fails() {
    let market = Market::open(&[]).await;
    let unreliable = |arguments: Value| market.caller.call("unreliable", arguments);
    // One call's worth of credit: the second failure could not be held if the first had been charged.
    let credential = market.pay(&unreliable(json!({})).send().await.challenge()).await;
    let failed = unreliable(json!({"fail": true})).paid(&credential).send().await;
    assert_eq!((failed.status, &failed.message["result"]["isError"]), (200, &json!(true)), "{}", failed.text);
    let mut voided = 1;
    settles(&market, "voided", voided).await;
    for (fault, status) in [
        ("tool_error", 200),
        ("rpc_error", 200),
        ("http_500", 500),
        ("cut_stream", 200),
        ("cut_body", 502),
        ("garbage", 200),
        ("empty", 200),
        ("huge", 502),
        ("wrong_id", 200),
    ] {
        let call = unreliable(json!({"fault": fault})).paid(&credential).open().await;
        let seen = call.status().as_u16();
        let _ = call.text().await;
        assert_eq!(seen, status, "{fault}");
        voided += 1;
        let ledger = settles(&market, "voided", voided).await;
        assert_eq!(
            (&ledger["captured"], &ledger["credit_msat"]),
            (&json!(0), &json!(1000)),
            "{fault}: {ledger}"
        );
    }
    // Gone before the first byte.
    let hang = unreliable(json!({"fault": "hang"})).paid(&credential);
    hang.abandon(market.sample.until(|tally| tally.calls["unreliable"] == 11)).await;
    voided += 1;
    settles(&market, "voided", voided).await;
    unreliable(json!({})).paid(&credential).send().await.worked();
    let ledger = settles(&market, "captured", 1).await;
    assert_eq!(
        (&ledger["revenue"][0]["msat"], &ledger["credit_msat"]),
        (&json!(1000), &json!(0)),
        "{ledger}"
    );
    unreliable(json!({})).paid(&credential).send().await.refused(402, "CREDENTIAL_SPENT");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_charged_when_its_result_has_come() {
    let market = Market::open(&[]).await;
    let report = || {
        market.caller.call("slow_report", json!({"steps": 3, "delay_ms": 1})).meta("progressToken", json!(1))
    };
    let credential = market.pay(&report().send().await.challenge()).await;
    let reply = report().paid(&credential).send().await;
    assert_eq!(reply.worked(), "The report is written: 3 parts.");
    assert_eq!(reply.text.matches("notifications/progress").count(), 3, "{}", reply.text);
    let ledger = settles(&market, "captured", 1).await;
    assert_eq!(ledger["revenue"][0]["msat"], 2000, "{ledger}");
}
