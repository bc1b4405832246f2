//! A payment is an account: bundles, renewal, and credit that belongs to the caller.

use std::time::Duration;

use serde_json::json;

use crate::harness::{Market, soon};

#[tokio::test(flavor = "multi_thread")]
async fn one_payment_buys_a_hundred_calls() {
    let market = Market::open(&[]).await;
    let query = || market.caller.call("data_query", json!({"query": "carts"}));
    let reply = query().header("octroi-calls", "100").send().await;
    assert_eq!(reply.data()["l402"]["amount_msat"], 170_000, "{}", reply.text);
    let credential = market.pay(&reply.challenge()).await;
    for left in (0..100).rev() {
        let reply = query().paid(&credential).send().await;
        reply.worked();
        assert_eq!(reply.headers["octroi-balance"], (left * 1700).to_string().as_str());
    }
    query().paid(&credential).send().await.refused(402, "CREDENTIAL_SPENT").challenge();
    let in_meta = query().meta("dev.octroi/calls", json!(7)).send().await;
    assert_eq!(in_meta.data()["l402"]["calls"], 7, "{}", in_meta.text);
    let ledger = market.gate.ledger().await;
    assert_eq!((&ledger["received_msat"], &ledger["captured"]), (&json!(170_000), &json!(100)), "{ledger}");
    assert_eq!(ledger["credit_msat"], 0, "{ledger}");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_at_once_never_spend_the_same_money_twice() {
    let market = Market::open(&[]).await;
    let query = || market.caller.call("data_query", json!({"query": "carts"}));
    let credential = market.pay(&query().header("octroi-calls", "5").send().await.challenge()).await;
    let calls: Vec<_> = (0..20).map(|_| query().paid(&credential)).collect();
    let calls: Vec<_> =
        calls.into_iter().map(|call| tokio::spawn(async move { call.send().await })).collect();
    let mut worked = 0;
    for call in calls {
        let reply = soon(call).await.unwrap();
        if reply.status == 200 {
            worked += 1;
        } else {
            reply.refused(402, "CREDENTIAL_SPENT");
        }
    }
    assert_eq!(worked, 5);
    assert_eq!(market.sample.calls_of("data_query"), 5);
    assert_eq!(market.gate.ledger().await["revenue"][0]["msat"], 5 * 1700);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_lost_the_preimage_is_known_by_the_token() {
    let market = Market::open(&[]).await;
    let token = market.token("alice");
    let describe = || market.caller.call("image_describe", json!({"url": "http://x/y.png"}));
    let challenge = describe().bearer(&token).send().await.challenge();
    market.pay(&challenge).await;
    // The ledger hears of the money from the gate's node, which is told by the network.
    soon(async {
        while market.gate.ledger().await["received_msat"] != 3000 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    // Whoever else asks has to pay.
    describe().bearer(&market.token("bob")).send().await.refused(402, "PAYMENT_REQUIRED");
    describe().bearer(&token).send().await.worked();
    describe().bearer(&token).send().await.refused(402, "PAYMENT_REQUIRED");
    assert_eq!(market.sample.calls_of("image_describe"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_credential_with_money_left_is_renewed() {
    let market = Market::open(&["--set", "mcp_server.auth.payment.macaroon_ttl_seconds=10"]).await;
    let query = || market.caller.call("data_query", json!({"query": "carts"}));
    let credential = market.pay(&query().header("octroi-calls", "3").send().await.challenge()).await;
    query().paid(&credential).send().await.worked();
    // Asked for another tool, it is refused without a charge, until its time has passed on the gate's own clock.
    let elsewhere = market.caller.call("echo_request", json!({})).paid(&credential);
    soon(async {
        while elsewhere.send().await.reason() == "WRONG_TOOL" {
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    })
    .await;
    let reply = query().paid(&credential).send().await;
    reply.refused(402, "CREDENTIAL_EXPIRED").challenge();
    let renewed = &reply.data()["renewed"];
    assert_eq!(renewed["balance_msat"], 3400, "{}", reply.text);
    let (_, preimage) = credential.split_once(':').unwrap();
    let renewed = format!("{}:{preimage}", renewed["macaroon"].as_str().unwrap());
    query().paid(&renewed).send().await.worked();
    query().paid(&renewed).send().await.worked();
    query().paid(&renewed).send().await.refused(402, "CREDENTIAL_SPENT");
    assert_eq!(market.gate.ledger().await["received_msat"], 5100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_mcp_client_is_told_in_band() {
    let market = Market::open(&[]).await;
    let query = || market.caller.call("data_query", json!({"query": "carts"})).introduced();
    let reply = query().send().await;
    assert_eq!((reply.status, &reply.message["result"]["isError"]), (200, &json!(true)), "{}", reply.text);
    assert_eq!(reply.message["result"]["resultType"], "complete", "{}", reply.text);
    assert!(!reply.headers.contains_key("www-authenticate"));
    let asked = &reply.message["result"]["_meta"]["dev.octroi/payment-required"];
    assert_eq!(asked["reason"], "PAYMENT_REQUIRED", "{}", reply.text);
    let invoice = asked["l402"]["invoice"].as_str().unwrap();
    assert!(reply.message["result"]["content"][0]["text"].as_str().unwrap().contains(invoice));
    let preimage = market.settle(invoice).await.preimage.to_hex();
    let object = json!({"macaroon": asked["l402"]["macaroon"], "preimage": preimage});
    query().meta("dev.octroi/payment", object).send().await.worked();
}
