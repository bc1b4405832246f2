//! A call that is tried again: one charge, one answer.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::StatusCode;
use http_body_util::BodyExt;
use octroi_l402::Macaroon;
use octroi_ledger::Revocation;
use serde_json::{Value, json};

use crate::house::*;

const LATE: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"late"}]}}"#;

fn ok() -> Script {
    Script::Json(StatusCode::OK, LATE)
}

fn rich() -> Plan {
    Plan { msat: 10 * PRICE, till: TillPlan { receipts: true, ..TillPlan::default() }, ..Plan::default() }
}

async fn body(house: &House, script: Script, arguments: &str, key: &str) -> (StatusCode, bool, Value) {
    let credential = format!("L402 {}", house.attenuated(&[]));
    let headers = [("authorization", &*credential), ("idempotency-key", key)];
    let response = house.ask(script, arguments, &headers).await;
    let (status, replayed) = (response.status(), response.headers().contains_key("octroi-replayed"));
    // A stream that is cut gives none.
    let body = House::read(response).await.unwrap_or_default();
    (status, replayed, serde_json::from_slice(&body).unwrap_or_default())
}

#[tokio::test]
async fn the_same_key_gets_the_first_answer_for_one_charge() {
    let house = House::new(rich()).await;
    let (_, replayed, first) = body(&house, ok(), r#"{"a":1}"#, "k1").await;
    assert!(!replayed);
    // Another spelling of the key, another order of the arguments: the same call.
    for key in ["k1", "\"k1\""] {
        let (status, replayed, again) = body(&house, Script::Refused, r#"{ "a" : 1 }"#, key).await;
        assert_eq!((status, replayed, &again), (StatusCode::OK, true, &first), "with its receipt");
    }
    assert!(first["result"]["_meta"]["dev.octroi/receipt"]["jws"].is_string());
    assert_eq!((house.left().await, house.calls()), (9 * PRICE, 1));
    let (status, _, refused) = body(&house, ok(), r#"{"a":2}"#, "k1").await;
    assert_eq!(
        (status, &refused["error"]["data"]["reason"]),
        (StatusCode::CONFLICT, &json!("IDEMPOTENCY_CONFLICT"))
    );
    assert!(!body(&house, ok(), r#"{"a":2}"#, "k2").await.1);
    assert_eq!((house.left().await, house.calls()), (8 * PRICE, 2));
    assert!(house.ledger.verify().expect("readable").is_sound());
}

#[tokio::test]
async fn a_call_that_failed_is_made_again() {
    let house = House::new(rich()).await;
    for script in [Script::Json(StatusCode::OK, FAILED), Script::Refused, Script::Events(&[PROGRESS], true)] {
        assert!(!body(&house, script, "{}", "k").await.1);
    }
    assert_eq!(house.left().await, 10 * PRICE);
    assert!(!body(&house, ok(), "{}", "k").await.1);
    assert!(body(&house, ok(), "{}", "k").await.1);
    assert_eq!((house.left().await, house.calls()), (9 * PRICE, 4));
}

#[tokio::test]
async fn a_stream_is_answered_again_by_its_reply() {
    let house = House::new(rich()).await;
    let _ = body(&house, Script::Events(&[PROGRESS, FINAL], false), "{}", "k").await;
    let (status, replayed, again) = body(&house, Script::Refused, "{}", "k").await;
    assert_eq!((status, replayed, &again["result"]["content"]), (StatusCode::OK, true, &json!([])));
    assert_eq!(house.left().await, 9 * PRICE);
}

#[tokio::test]
async fn who_left_in_the_middle_of_a_stream_finds_its_answer() {
    let house = House::new(rich()).await;
    let credential = format!("L402 {}", house.attenuated(&[]));
    let headers = [("authorization", &*credential), ("idempotency-key", "k")];
    let mut response = house.ask(Script::Events(&[PROGRESS, FINAL], false), "{}", &headers).await;
    assert!(response.body_mut().frame().await.is_some(), "the first byte");
    drop(response);
    let (status, replayed, again) = body(&house, Script::Refused, "{}", "k").await;
    assert_eq!((status, replayed, &again["result"]["content"]), (StatusCode::OK, true, &json!([])));
    assert_eq!((house.left().await, house.calls()), (9 * PRICE, 1));
}

#[tokio::test]
async fn of_calls_at_once_one_is_made() {
    let house = House::new(rich()).await;
    let calls = (0..8).map(|_| body(&house, ok(), "{}", "k"));
    let mut answers = Vec::new();
    let mut waiting: Vec<_> = calls.map(Box::pin).collect();
    // Polled together, on one task.
    std::future::poll_fn(|cx| {
        waiting.retain_mut(|call| match call.as_mut().poll(cx) {
            std::task::Poll::Ready(answer) => {
                answers.push(answer);
                false
            }
            std::task::Poll::Pending => true,
        });
        if waiting.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    assert_eq!(answers.iter().filter(|(_, replayed, _)| *replayed).count(), 7);
    assert!(answers.iter().all(|(status, _, body)| *status == StatusCode::OK && body == &answers[0].2));
    assert_eq!((house.left().await, house.calls()), (9 * PRICE, 1));
}

#[tokio::test]
async fn a_credential_for_one_call_says_by_itself_that_a_call_is_the_same() {
    let house = House::new(rich()).await;
    let once = format!("L402 {}", house.attenuated(&["mcp_calls=1"]));
    let paid = [("authorization", &*once)];
    let ask = |arguments| house.ask(ok(), arguments, &paid);
    assert!(!ask(r#"{"a":1}"#).await.headers().contains_key("octroi-replayed"));
    let again = ask(r#"{"a":1}"#).await;
    assert_eq!((again.status(), again.headers().contains_key("octroi-replayed")), (StatusCode::OK, true));
    // For other arguments it is spent: a client that keeps credentials must be able to buy the next.
    assert_ne!(ask(r#"{"a":2}"#).await.status(), StatusCode::OK);
    assert_eq!((house.left().await, house.calls()), (9 * PRICE, 1));
}

#[tokio::test]
async fn answers_are_nobody_elses() {
    let house = House::new(rich()).await;
    let _ = body(&house, ok(), "{}", "k").await;
    // Without a credential, and with one that is not good for the call, the key opens nothing.
    let none = house.ask(ok(), "{}", &[("idempotency-key", "k")]).await;
    assert_ne!(none.status(), StatusCode::OK);
    let narrow = format!("L402 {}", house.attenuated(&["mcp_capabilities=other"]));
    let narrow = house.ask(ok(), "{}", &[("authorization", &narrow), ("idempotency-key", "k")]).await;
    assert_ne!(narrow.status(), StatusCode::OK);
    let gone = tokio::time::timeout(Duration::from_millis(50), house.ask(Script::Silent, "{}", &[])).await;
    assert!(gone.is_err() || house.calls() == 1);
}

#[tokio::test]
async fn a_key_that_is_none_is_refused() {
    let house = House::new(rich()).await;
    for key in ["", "\"\"", &"k".repeat(256)] {
        let (status, _, refused) = body(&house, ok(), "{}", key).await;
        assert_eq!(
            (status, &refused["error"]["data"]["reason"]),
            (StatusCode::BAD_REQUEST, &json!("MALFORMED_REQUEST"))
        );
    }
    assert_eq!(house.calls(), 0);
}

#[tokio::test]
async fn an_answer_too_long_to_keep_is_charged_once_and_said_so() {
    static LONG: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
        let text = "x".repeat(octroi_ledger::DEFAULT_KEPT_BODY);
        format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"text":"{text}"}}}}"#)
    });
    let house = House::new(rich()).await;
    assert_eq!(body(&house, Script::Json(StatusCode::OK, LONG.as_str()), "{}", "k").await.0, StatusCode::OK);
    let (status, _, refused) = body(&house, ok(), "{}", "k").await;
    assert_eq!(
        (status, &refused["error"]["data"]["reason"]),
        (StatusCode::CONFLICT, &json!("ANSWER_NOT_KEPT"))
    );
    assert_eq!((house.left().await, house.calls()), (9 * PRICE, 1));
}

#[tokio::test]
async fn what_is_revoked_is_not_answered_again() {
    for what in [Revocation::MasterKey(1), Revocation::Token(House::new(rich()).await.token_id)] {
        let house = House::new(rich()).await;
        let _ = body(&house, ok(), "{}", "k").await;
        house.ledger.revoke(what, "leaked").await.expect("written");
        let (status, _, refused) = body(&house, ok(), "{}", "k").await;
        let reason = &refused["error"]["data"]["reason"];
        assert_eq!((status, reason), (StatusCode::FORBIDDEN, &json!("TOOL_FORBIDDEN")), "{what:?}");
        assert_eq!(house.calls(), 1);
        house.ledger.restore(what).await.expect("written");
        assert!(body(&house, ok(), "{}", "k").await.1, "{what:?}");
    }
}

#[tokio::test]
async fn a_borrower_is_given_no_answer_that_another_holder_paid_for() {
    let house = House::new(rich()).await;
    let budget =
        |label: &str, more: &str| house.attenuated(&[&format!("mcp_budget_msat=9000:{label}"), more]);
    let holders = [
        house.attenuated(&[]),
        budget("bob", "note=1"),
        budget("carol", "note=1"),
        budget("bob", "mcp_calls=9"),
    ];
    for (place, credential) in holders.iter().enumerate() {
        for again in [false, true] {
            let headers = [("authorization", &*format!("L402 {credential}")), ("idempotency-key", "same")];
            let response = house.ask(ok(), "{}", &headers).await;
            let replayed = response.headers().contains_key("octroi-replayed");
            // The last is Bob's again, however he narrowed it.
            assert_eq!(replayed, again || place == 3, "{place}");
        }
    }
    assert_eq!((house.left().await, house.calls()), (7 * PRICE, 3));
}

#[tokio::test]
async fn a_credential_is_one_however_it_is_spelt() {
    let house = House::new(rich()).await;
    let once = house.attenuated(&["mcp_calls=1"]);
    let (macaroon, preimage) = once.split_once(':').expect("a colon");
    let bytes = STANDARD.decode(macaroon).expect("base64");
    let older = Macaroon::decode(&bytes).expect("a macaroon").encode_v1();
    let spellings = [
        once.clone(),
        format!("{macaroon}:{}", preimage.to_uppercase()),
        format!("{}:{preimage}", URL_SAFE_NO_PAD.encode(&bytes)),
        format!("{}:{preimage}", STANDARD.encode(&older)),
        house.attenuated(&["mcp_calls=1", "note=mine"]),
        house.attenuated(&["mcp_calls=1", &format!("preimage={preimage}")]),
    ];
    for (place, credential) in spellings.iter().enumerate() {
        let response = house.ask(ok(), "{}", &[("authorization", &format!("L402 {credential}"))]).await;
        assert_eq!(response.headers().contains_key("octroi-replayed"), place > 0, "{place}");
    }
    assert_eq!((house.left().await, house.calls()), (9 * PRICE, 1));
}
