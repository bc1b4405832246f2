//! `kill -9` in the middle of paid calls: what was held is given back, what was paid is not lost.

use serde_json::json;

use crate::harness::{Market, soon};

/// Calls that hang when the process is killed, of the five that are paid for.
const HANGING: u64 = 3;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_held_when_the_gate_died_is_given_back() {
    let mut market = Market::open(&[]).await;
    let caller = market.caller.clone();
    let query = || caller.call("data_query", json!({"query": "carts"}));
    let credential = market.pay(&query().header("octroi-calls", "5").send().await.challenge()).await;
    query().paid(&credential).send().await.worked();
    let hanging = caller.call("data_query", json!({"query": "carts", "fault": "hang"})).paid(&credential);
    for _ in 0..HANGING {
        let call = hanging.clone();
        tokio::spawn(async move { call.abandon(std::future::pending::<()>()).await });
    }
    soon(market.sample.until(|tally| tally.calls["data_query"] == 1 + HANGING)).await;
    soon(async {
        while market.gate.ledger().await["open_holds"] != HANGING {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;

    market.gate = market.gate.kill().start().await;
    assert!(market.gate.log().contains("ended with calls in flight"), "{}", market.gate.log());
    let ledger = market.gate.ledger().await;
    assert_eq!((&ledger["open_holds"], &ledger["voided"]), (&json!(0), &json!(HANGING)), "{ledger}");
    assert_eq!((&ledger["captured"], &ledger["credit_msat"]), (&json!(1), &json!(4 * 1700)), "{ledger}");
    for _ in 0..4 {
        query().paid(&credential).send().await.worked();
    }
    market.reconnect().await;
    query().paid(&credential).send().await.refused(402, "CREDENTIAL_SPENT");
    let ledger = market.gate.ledger().await;
    assert_eq!(
        (&ledger["revenue"][0]["msat"], &ledger["credit_msat"]),
        (&json!(5 * 1700), &json!(0)),
        "{ledger}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_as_the_gate_dies_is_credited_once() {
    let mut market = Market::open(&[]).await;
    let caller = market.caller.clone();
    let query = || caller.call("data_query", json!({"query": "carts"}));
    let challenge = query().send().await.challenge();
    // An invoice of before, paid only after the crash.
    let later = query().send().await.challenge();
    let credential = market.pay(&challenge).await;
    // The payer has the preimage; whether the gate's ledger has heard of it is chance.
    market.gate = market.gate.kill().start().await;
    query().paid(&credential).send().await.worked();
    market.reconnect().await;
    query().paid(&credential).send().await.refused(402, "CREDENTIAL_SPENT");

    let credential = market.pay(&later).await;
    query().paid(&credential).send().await.worked();
    let ledger = market.gate.ledger().await;
    assert_eq!((&ledger["received_msat"], &ledger["captured"]), (&json!(2 * 1700), &json!(2)), "{ledger}");
    assert_eq!((&ledger["credit_msat"], &ledger["suspense_msat"]), (&json!(0), &json!(0)), "{ledger}");
}
