//! What a paid call costs when it goes wrong: the table of `docs/payments.md`, row by row, over the layer itself.

use http::StatusCode;
use http_body_util::BodyExt;
use octroi_gate::policy::Rule;

use crate::house::*;

fn failed_calls_cost() -> Plan {
    let plan = Plan::default();
    Plan { rule: Rule { charge_failed: true, ..plan.rule }, ..plan }
}

#[tokio::test]
async fn a_call_is_charged_exactly_when_it_was_answered() {
    let ok = StatusCode::OK;
    for (name, script, charged) in [
        ("a result", Script::Json(ok, ANSWER), true),
        ("a result with isError", Script::Json(ok, FAILED), false),
        ("a JSON-RPC error", Script::Json(ok, ERROR), false),
        ("a reply to another request", Script::Json(ok, FOREIGN), false),
        ("more input wanted", Script::Json(ok, INPUT), false),
        ("garbage", Script::Json(ok, "<html>"), false),
        ("an empty reply", Script::Json(StatusCode::ACCEPTED, ""), false),
        ("a result under a 500", Script::Json(StatusCode::INTERNAL_SERVER_ERROR, ANSWER), false),
        ("the gate's own 401", Script::Json(StatusCode::UNAUTHORIZED, ""), false),
        ("no connection", Script::Refused, false),
        ("a stream with its result", Script::Events(&[PROGRESS, FINAL], false), true),
        (
            "a stream whose result is cut into chunks",
            Script::Events(&[PROGRESS, FINAL_START, FINAL_END], false),
            true,
        ),
        ("a stream that fails", Script::Events(&[PROGRESS, FINAL_FAILED], false), false),
        ("a stream that ends without a result", Script::Events(&[PROGRESS], false), false),
        ("a stream that is cut", Script::Events(&[PROGRESS], true), false),
        ("a stream that is cut after its result", Script::Events(&[FINAL], true), true),
    ] {
        let house = House::new(Plan::default()).await;
        let _ = House::read(house.call(script).await).await;
        assert_eq!(house.left().await, if charged { 0 } else { PRICE }, "{name}");
        assert!(house.ledger.verify().expect("readable").is_sound(), "{name}");
    }
}

#[tokio::test]
async fn a_rule_may_charge_failed_calls_but_never_unanswered_ones() {
    for (script, charged) in [
        (Script::Json(StatusCode::OK, FAILED), true),
        (Script::Json(StatusCode::OK, ERROR), false),
        (Script::Refused, false),
    ] {
        let house = House::new(failed_calls_cost()).await;
        let _ = House::read(house.call(script).await).await;
        assert_eq!(house.left().await, if charged { 0 } else { PRICE });
    }
}

#[tokio::test]
async fn a_caller_that_leaves_pays_only_after_the_first_byte() {
    let house = House::new(Plan::default()).await;
    let call = house.call(Script::Silent);
    // The call is on its way to the upstream, which never answers, when its caller goes away.
    assert!(tokio::time::timeout(std::time::Duration::from_millis(50), call).await.is_err());
    assert_eq!(house.left().await, PRICE, "before the answer");

    let house = House::new(Plan::default()).await;
    drop(house.call(Script::Events(&[PROGRESS, FINAL], false)).await);
    assert_eq!(house.left().await, PRICE, "before the first byte");

    let house = House::new(Plan::default()).await;
    let mut response = house.call(Script::Events(&[PROGRESS, FINAL], false)).await;
    assert!(response.body_mut().frame().await.is_some(), "the first byte");
    drop(response);
    assert_eq!(house.left().await, 0, "after the first byte");

    let house = House::new(Plan::default()).await;
    drop(house.call(Script::Json(StatusCode::OK, ANSWER)).await);
    assert_eq!(house.left().await, 0, "the whole answer was there");
}

#[tokio::test]
async fn the_same_credential_pays_again_after_a_failure_and_only_once_in_all() {
    let house = House::new(Plan::default()).await;
    let _ = House::read(house.call(Script::Json(StatusCode::OK, FAILED)).await).await;
    let response = house.call(Script::Json(StatusCode::OK, ANSWER)).await;
    assert_eq!(response.headers()["octroi-price"], "3000");
    assert_eq!(response.headers()["octroi-balance"], "0");
    assert_eq!(House::read(response).await.expect("a body"), ANSWER, "byte for byte");
    let refused = house.call(Script::Json(StatusCode::OK, ANSWER)).await;
    assert_ne!(refused.status(), StatusCode::OK);
    assert_eq!(house.left().await, 0);
}

#[tokio::test]
async fn a_reply_beyond_the_bound_is_refused_and_free() {
    static LONG: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
        format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"text":"{}"}}}}"#, "x".repeat(REPLY_MAX))
    });
    let house = House::new(Plan::default()).await;
    let response = house.call(Script::Json(StatusCode::OK, LONG.as_str())).await;
    assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
    assert_eq!(house.left().await, PRICE);
}
