//! Equi-X, a kind of puzzle that only some builds know: an agent that knows it solves it, another one says what it cannot.

use serde_json::{Value, json};

use super::{Owner, call};

#[cfg(not(feature = "equix"))]
use super::hostile::{Rogue, puzzle, text};
#[cfg(feature = "equix")]
use {crate::harness::Gate, octroi_testkit::upstream::sample::Sample};

/// A gate without a node: only work opens what has a price.
#[cfg(feature = "equix")]
fn config(sample: &Sample) -> String {
    format!(
        r#"
listen = "127.0.0.1:0"
[mcp_server]
upstream = "{}"
[mcp_server.auth.payment]
pow_enabled = true
pow_difficulty = 18
pow_kind = "equix"
pow_calls = 3
pricing = {{ data_query = {{ sats = 1 }} }}
"#,
        sample.url()
    )
}

#[cfg(feature = "equix")]
#[tokio::test(flavor = "multi_thread")]
async fn equix_is_met_and_solved() {
    let sample = Sample::start().await.unwrap();
    let gate = Gate::serve(&config(&sample)).await;
    let owner = Owner::poor();
    let words =
        ["call", gate.url.as_str(), "data_query", "--arg", "query=carts", "--no-sign-in", "--work", "20"];
    let (code, out, err) = owner.run(&words).await;
    assert!(code == 0 && out.contains("north 41 carts") && err.contains("computed 18 bits"), "{out}{err}");
    // The tool is in use: the bridge's solution buys three calls, and two of them need none.
    let mut bridge = owner.connect(&gate.url, &["--work", "20"]);
    bridge.initialize(json!({})).await;
    for id in 1..=3 {
        let reply = bridge.ask(&call(id, "data_query", json!({"query": "carts"}))).await;
        assert!(reply.to_string().contains("north 41 carts"), "{reply}");
    }
    let kept: Value = owner.purse().await["credentials"].clone();
    assert_eq!((&kept[0]["worked"], &kept[0]["calls_left"]), (&json!(true), &json!(0)), "{kept}");
    assert_eq!(sample.calls_of("data_query"), 4);
}

#[cfg(not(feature = "equix"))]
#[tokio::test(flavor = "multi_thread")]
async fn equix_is_named_by_builds_that_do_not_know_it() {
    let owner = Owner::poor();
    let rogue = Rogue::start().await;
    *rogue.given.lock().unwrap() = puzzle(|puzzle| puzzle["algorithm"] = json!("equix"));
    let says = r#"or a puzzle of the kind "equix", which this build cannot solve"#;
    let words = ["call", rogue.url.as_str(), "unknown puzzle", "--no-sign-in", "--legacy", "--work", "20"];
    let (code, _, err) = owner.run(&words).await;
    assert!(code == 4 && err.contains(says), "{err}");
    let mut bridge = owner.connect(&rogue.url, &["--work", "20"]);
    bridge.initialize(json!({})).await;
    let reply: Value = bridge.ask(&call(1, "unknown puzzle", json!({}))).await;
    assert!(reply["result"]["isError"] == true && text(&reply).contains(says), "{reply}");
}
