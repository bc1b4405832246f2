//! What bounds spending beside the balance: what a holder lent, what the operator allows, what is free.

use http::StatusCode;
use octroi_gate::policy::Rule;
use octroi_gate::{Budget, Budgets};
use octroi_l402::Msat;

use crate::house::*;

fn ok() -> Script {
    Script::Json(StatusCode::OK, ANSWER)
}

fn rich() -> Plan {
    Plan { msat: 10 * PRICE, ..Plan::default() }
}

/// Calls with a credential until it is refused; how many went through, and why not more.
async fn spend(house: &House, credential: &str) -> (usize, String) {
    let paid = [("authorization", &*format!("L402 {credential}"))];
    for calls in 0..20 {
        let response = house.ask(ok(), "{}", &paid).await;
        if response.status() != StatusCode::OK {
            let text = String::from_utf8_lossy(&House::read(response).await.expect("a body")).into_owned();
            return (calls, text);
        }
    }
    (20, String::new())
}

#[tokio::test]
async fn a_lent_credential_spends_its_budget_and_no_more() {
    let house = House::new(rich()).await;
    let bob = house.attenuated(&["mcp_budget_msat=7000:bob"]);
    let (calls, why) = spend(&house, &bob).await;
    assert_eq!(calls, 2);
    assert!(why.contains("the budget `bob` of this credential has 1000 left"), "{why}");
    // What is appended does not make another budget of it.
    let again = house.attenuated(&["mcp_budget_msat=7000:bob", "mcp_valid_until=9999999999", "note=again"]);
    assert_eq!(spend(&house, &again).await.0, 0);
    // Somebody else's budget is another one, and the owner has what is left.
    let carol = house.attenuated(&["mcp_budget_calls=3:carol"]);
    assert_eq!(spend(&house, &carol).await.0, 3);
    assert_eq!(spend(&house, &house.attenuated(&[])).await.0, 5);
    assert!(house.ledger.verify().expect("readable").is_sound());
}

#[tokio::test]
async fn a_credential_that_was_lent_until_some_time_is_not_renewed_after_it() {
    let mut plan = rich();
    plan.terms.valid_until = Some(2_000_000_000_000);
    let house = House::new(plan).await;
    let body = async |caveats: &[&str]| {
        let shown = format!("L402 {}", house.attenuated(caveats));
        let response = house.ask(ok(), "{}", &[("authorization", &shown)]).await;
        let read = House::read(response).await.expect("a body");
        serde_json::from_slice::<serde_json::Value>(&read).expect("JSON")
    };
    // The end that its owner wrote into it is meant, whatever else a borrower appends.
    let ends: [&[&str]; 3] = [
        &["mcp_valid_until=1"],
        &["mcp_valid_until=1", "mcp_valid_until=2000000000000"],
        &["mcp_budget_msat=9000:bob", "mcp_valid_until=1", "mcp_valid_until=1"],
    ];
    for caveats in ends {
        let refused = body(caveats).await;
        let why = refused["error"]["message"].as_str().expect("why");
        assert!(why.contains("the credential was lent until 1;"), "{refused}");
        assert!(refused["error"]["data"]["renewed"].is_null(), "{refused}");
    }
    assert!(body(&["mcp_valid_until=2000000000001"]).await["result"].is_object());
    assert_eq!(house.left().await, 9 * PRICE);

    // The owner's own is renewed when its time is over.
    let mut plan = rich();
    plan.terms.valid_until = Some(1);
    let house = House::new(plan).await;
    let shown = format!("L402 {}", house.attenuated(&[]));
    let response = house.ask(ok(), "{}", &[("authorization", &shown)]).await;
    let read = House::read(response).await.expect("a body");
    let refused: serde_json::Value = serde_json::from_slice(&read).expect("JSON");
    assert!(refused["error"]["data"]["renewed"]["macaroon"].is_string(), "{refused}");
}

#[tokio::test]
async fn a_borrower_who_has_used_everything_up_slows_nobody_but_himself() {
    let mut plan = Plan { msat: 1_000 * PRICE, ..Plan::default() };
    plan.terms.valid_until = Some(2_000_000_000_000);
    let house = House::new(plan).await;
    for caveats in [&["mcp_budget_msat=0:bob"][..], &["mcp_calls=0"], &["mcp_valid_until=1"]] {
        let lent = format!("L402 {}", house.attenuated(caveats));
        for _ in 0..200 {
            assert_ne!(house.ask(ok(), "{}", &[("authorization", &lent)]).await.status(), StatusCode::OK);
        }
        assert_eq!(spend(&house, &house.attenuated(&[])).await.0, 20, "{caveats:?}");
    }
}

#[tokio::test]
async fn a_failed_call_gives_a_budget_back() {
    let house = House::new(rich()).await;
    let bob = house.attenuated(&["mcp_budget_calls=1:bob"]);
    let paid = [("authorization", &*format!("L402 {bob}"))];
    let _ = House::read(house.ask(Script::Json(StatusCode::OK, FAILED), "{}", &paid).await).await;
    assert_eq!(spend(&house, &bob).await.0, 1);
}

#[tokio::test]
async fn a_credential_for_some_calls_makes_no_more() {
    let house = House::new(rich()).await;
    assert_eq!(spend(&house, &house.attenuated(&["mcp_calls=4"])).await.0, 4);
    let (calls, why) = spend(&house, &house.attenuated(&["mcp_calls=4"])).await;
    assert_eq!(calls, 0);
    assert!(why.contains("used up"), "{why}");
}

#[tokio::test]
async fn the_operators_budget_says_when_it_starts_over() {
    let day = Budget { day: Some(Msat::new(2 * PRICE)), ..Budget::default() };
    let budgets = Budgets { per_credential: day, per_caller: Budget::default() };
    let house = House::new(Plan { till: TillPlan { budgets, ..TillPlan::default() }, ..rich() }).await;
    assert_eq!(spend(&house, &house.attenuated(&[])).await.0, 2);
    let refused = house.call(ok()).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    let wait: u64 = refused.headers()["retry-after"].to_str().expect("text").parse().expect("seconds");
    assert!((1..=86_400).contains(&wait), "{wait}");
    assert!(!refused.headers().contains_key("www-authenticate"), "no payment mends it");
    assert_eq!(House::reason(refused).await, "BUDGET_EXCEEDED");
}

#[tokio::test]
async fn some_calls_a_day_are_free_and_then_they_cost() {
    let plan = rich();
    let rule = Rule { free_per_day: 2, ..plan.rule };
    let house = House::new(Plan { rule, ..plan }).await;
    for _ in 0..2 {
        let response = house.ask(ok(), "{}", &[]).await;
        assert_eq!(
            (response.status(), &response.headers()["octroi-price"]),
            (StatusCode::OK, &"0".parse().expect("a value"))
        );
        let _ = House::read(response).await;
    }
    assert_ne!(house.ask(ok(), "{}", &[]).await.status(), StatusCode::OK, "the third one costs");
    assert_eq!(house.call(ok()).await.headers()["octroi-price"], "3000");
    assert_eq!(house.left().await, 9 * PRICE);
    assert!(house.ledger.verify().expect("readable").is_sound());
}

#[tokio::test]
async fn a_free_call_that_fails_is_not_counted() {
    let plan = rich();
    let rule = Rule { free_per_day: 1, ..plan.rule };
    let house = House::new(Plan { rule, ..plan }).await;
    for script in [Script::Json(StatusCode::OK, FAILED), Script::Refused, ok()] {
        let _ = House::read(house.ask(script, "{}", &[]).await).await;
    }
    assert_eq!(house.calls(), 3);
    assert_ne!(house.ask(ok(), "{}", &[]).await.status(), StatusCode::OK);
}
