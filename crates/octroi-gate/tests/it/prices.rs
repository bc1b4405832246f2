//! What a call costs: by its arguments, by what it used, as it was promised.

use std::sync::Arc;

use http::StatusCode;
use octroi_gate::policy::Rule;
use octroi_gate::price::{Formula, Held, Meter, Metered, Pointer, Price};
use octroi_l402::{Msat, Terms};

use crate::house::*;

const USED: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[],"_meta":{"tokens":700}}}"#;
const USED_STREAM: &str =
    "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"content\":[],\"_meta\":{\"tokens\":700}}}\n\n";

fn metered(counts: Metered) -> Plan {
    let meter = Meter { base: Msat::new(100), rate: Msat::new(2), per: 1, counts };
    let price = Price { meter: Some(meter), ..Price::fixed(Msat::new(PRICE)) };
    Plan { rule: Rule { price: Some(price), ..Rule::FREE }, ..Plan::default() }
}

fn formula(source: &str) -> Rule {
    let formula = Arc::new(Formula::compile(source).expect("a formula"));
    let held = Held::Formula { formula, least: Msat::ZERO, most: Msat::new(PRICE) };
    Rule { price: Some(Price { held, ..Price::fixed(Msat::new(PRICE)) }), ..Rule::FREE }
}

#[tokio::test]
async fn of_what_is_held_the_call_is_charged_what_it_used() {
    let said = || Metered::Said(Pointer::parse("/_meta/tokens").expect("a pointer"));
    let ok = StatusCode::OK;
    for (name, counts, script, charged) in [
        ("tokens", said(), Script::Json(ok, USED), 1500),
        ("tokens of a stream", said(), Script::Events(&[PROGRESS, USED_STREAM], false), 1500),
        ("the server says nothing", said(), Script::Json(ok, ANSWER), 100),
        ("the tool failed", said(), Script::Json(ok, FAILED), 0),
        ("the stream broke", said(), Script::Events(&[PROGRESS], true), 0),
        ("bytes", Metered::Bytes, Script::Json(ok, ANSWER), 100 + 2 * ANSWER.len() as i64),
        (
            "bytes of a stream",
            Metered::Bytes,
            Script::Events(&[PROGRESS, FINAL], false),
            100 + 2 * (PROGRESS.len() + FINAL.len()) as i64,
        ),
        ("no time at all", Metered::Seconds, Script::Json(ok, ANSWER), 100),
    ] {
        let house = House::new(metered(counts)).await;
        let _ = House::read(house.call(script).await).await;
        let took = PRICE - house.left().await;
        // Even a call that takes no time takes some.
        let slack = if name == "no time at all" { PRICE } else { 0 };
        assert!((charged..=charged + slack).contains(&took), "{name}: {took}");
        assert!(house.ledger.verify().expect("readable").is_sound(), "{name}");
    }
}

#[tokio::test]
async fn who_leaves_a_metered_stream_pays_for_what_was_held_or_sent() {
    use http_body_util::BodyExt;
    let said = Metered::Said(Pointer::parse("/_meta/tokens").expect("a pointer"));
    for (counts, charged) in [(said, PRICE), (Metered::Bytes, 100 + 2 * PROGRESS.len() as i64)] {
        let house = House::new(metered(counts)).await;
        let mut response = house.call(Script::Events(&[PROGRESS, USED_STREAM], false)).await;
        assert!(response.body_mut().frame().await.is_some(), "the first byte");
        drop(response);
        assert_eq!(PRICE - house.left().await, charged);
    }
}

#[tokio::test]
async fn the_reply_says_what_was_charged() {
    let said = Metered::Said(Pointer::parse("/_meta/tokens").expect("a pointer"));
    let house = House::new(metered(said)).await;
    let response = house.call(Script::Json(StatusCode::OK, USED)).await;
    assert_eq!(
        (&response.headers()["octroi-price"], &response.headers()["octroi-balance"]),
        (&"1500".parse().expect("a value"), &"1500".parse().expect("a value"))
    );
}

#[tokio::test]
async fn a_price_follows_from_the_arguments() {
    let house = House::new(Plan { rule: formula("args.n * 1000"), ..Plan::default() }).await;
    let paid = [("authorization", &*format!("L402 {}", house.attenuated(&[])))];
    let ask = |arguments| house.ask(Script::Json(StatusCode::OK, ANSWER), arguments, &paid);
    let free = ask(r#"{"n":0}"#).await;
    assert_eq!(free.status(), StatusCode::OK);
    assert!(!free.headers().contains_key("octroi-price"), "this call is free");
    let refused = ask(r#"{"n":-1}"#).await;
    assert_eq!(
        (refused.status(), &*House::reason(refused).await),
        (StatusCode::BAD_REQUEST, "INVALID_ARGUMENTS")
    );
    assert_eq!(House::reason(ask("{}").await).await, "INVALID_ARGUMENTS");
    assert_eq!(house.calls(), 1, "what has no price is not forwarded");
    assert_eq!(ask(r#"{"n":2}"#).await.headers()["octroi-price"], "2000");
    assert_eq!(house.left().await, 1000);
    assert_eq!(ask(r#"{"n":2}"#).await.status(), StatusCode::SERVICE_UNAVAILABLE, "no node sells more");
    assert_eq!(ask(r#"{"n":1}"#).await.headers()["octroi-price"], "1000");
}

#[tokio::test]
async fn a_promised_price_is_kept_when_the_price_rises() {
    let mut terms = Terms::new("mcp");
    terms.price = Some(Msat::new(1000));
    terms.tools = Some(vec!["paid".to_owned()]);
    let house = House::new(Plan { terms: terms.clone(), ..Plan::default() }).await;
    let ok = || Script::Json(StatusCode::OK, ANSWER);
    for left in [2000, 1000, 0] {
        assert_eq!(house.call(ok()).await.headers()["octroi-price"], "1000");
        assert_eq!(house.left().await, left);
    }
    // Should it have fallen, the price of the day is charged.
    let mut house = House::new(Plan { terms, ..Plan::default() }).await;
    house.repriced(Rule { price: Some(Price::fixed(Msat::new(400))), ..Rule::FREE });
    assert_eq!(house.call(ok()).await.headers()["octroi-price"], "400");
}

#[tokio::test]
async fn a_promise_for_some_arguments_is_none_for_others() {
    let mut terms = Terms::new("mcp");
    terms.price = Some(Msat::new(1000));
    terms.price_for = Some(octroi_mcp::digest::arguments_digest(Some(br#"{"n":2}"#)));
    terms.tools = Some(vec!["paid".to_owned()]);
    let house = House::new(Plan { terms, rule: formula("args.n * 1000"), ..Plan::default() }).await;
    let paid = [("authorization", &*format!("L402 {}", house.attenuated(&[])))];
    let ask = |arguments| house.ask(Script::Json(StatusCode::OK, ANSWER), arguments, &paid);
    assert_eq!(ask(r#"{ "n" : 2 }"#).await.headers()["octroi-price"], "1000");
    assert_eq!(ask(r#"{"n":2.0}"#).await.headers()["octroi-price"], "2000");
}
