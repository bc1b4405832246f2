//! Event streams: every event as it comes, and what becomes of the work when its caller goes away.

use octroi_testkit::upstream::sample::{Change, Sample};
use serde_json::{Value, json};

use crate::clients::stdio;
use crate::harness::{Caller, Events, Gate, free_policy, peers, soon};

/// A pause that no test waits for: the event before it must arrive without the one behind it.
const NEVER_MS: u64 = 60_000;

async fn before(sample: &Sample) -> (Gate, Caller) {
    let gate = Gate::serve(&free_policy(&format!("{:?}", sample.url()))).await;
    let caller = Caller::of(&gate);
    (gate, caller)
}

fn progress_of(event: &Option<Value>) -> &Value {
    let event = event.as_ref().expect("the stream ended");
    assert_eq!(event["method"], "notifications/progress", "{event}");
    &event["params"]["progress"]
}

fn report(steps: u64, delay_ms: u64) -> Value {
    json!({"name": "slow_report", "arguments": {"steps": steps, "delay_ms": delay_ms}, "_meta": {"progressToken": "p"}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_modern_caller_that_goes_away_stops_the_work() {
    let sample = Sample::start().await.unwrap();
    let (_gate, caller) = before(&sample).await;
    let call = caller
        .call("slow_report", json!({"steps": 2, "delay_ms": NEVER_MS}))
        .meta("progressToken", json!("p"));
    let mut events = Events::of(call.open().await);
    assert_eq!(progress_of(&events.next().await), 1);
    drop(events);
    let tally = soon(sample.until(|tally| tally.cancelled == 1)).await;
    assert_eq!(tally.finished, 0, "{tally:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_legacy_caller_that_goes_away_stops_nothing() {
    let sample = Sample::start().await.unwrap();
    let (_gate, caller) = before(&sample).await;
    let session = caller.initialize().await;
    let finished = sample.tally().finished;
    let call = caller.ask_in(&session, "tools/call", report(5, 50));
    let mut events = Events::of(call.open().await);
    assert_eq!(progress_of(&events.next().await), 1);
    drop(events);
    let tally = soon(sample.until(|tally| tally.finished + tally.cancelled > finished)).await;
    assert_eq!((tally.finished, tally.cancelled), (finished + 1, 0), "{tally:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_lives_from_initialize_to_delete() {
    let sample = Sample::start().await.unwrap();
    let (_gate, caller) = before(&sample).await;
    let session = caller.initialize().await;
    let bodiless = |method: &str| {
        let request =
            caller.http.request(method.parse().unwrap(), &caller.url).header("mcp-session-id", &session);
        let request = request.header("accept", "text/event-stream");
        async { request.send().await.unwrap() }
    };
    let mut stream = Events::of(bodiless("GET").await);
    soon(sample.until(|tally| tally.streams == 1)).await;
    sample.announce(Change::Prompts);
    assert_eq!(stream.next().await.unwrap()["method"], "notifications/prompts/list_changed");

    // Cancelled by a message, which is how this era does it.
    let call = caller.ask_in(&session, "tools/call", report(2, NEVER_MS));
    let id = call.body["id"].clone();
    let mut events = Events::of(call.open().await);
    assert_eq!(progress_of(&events.next().await), 1);
    let cancelled =
        caller.ask_in(&session, "notifications/cancelled", json!({"requestId": id})).notification();
    assert_eq!(cancelled.send().await.status, 202);
    soon(sample.until(|tally| tally.cancelled == 1)).await;
    assert_eq!(events.next().await, None, "an answer to a cancelled call");

    assert_eq!(bodiless("DELETE").await.status(), 200);
    assert_eq!(sample.tally().sessions_ended, 1);
    assert_eq!(stream.next().await, None, "the stream outlived its session");
    assert_eq!(caller.ask_in(&session, "ping", json!({})).send().await.status, 404);
    assert_eq!(bodiless("GET").await.status(), 404);
}

fn listen(caller: &Caller) -> crate::harness::Ask {
    caller.ask("subscriptions/listen", json!({"notifications": {"toolsListChanged": true}}))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_over_http_tells_changes_as_they_come() {
    let sample = Sample::start().await.unwrap();
    let (_gate, caller) = before(&sample).await;
    let ask = listen(&caller);
    let mut events = Events::of(ask.open().await);
    let first = events.next().await.unwrap();
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged", "{first}");
    for _ in 0..3 {
        sample.announce(Change::Prompts);
        sample.announce(Change::Tools);
        let change = events.next().await.unwrap();
        assert_eq!(change["method"], "notifications/tools/list_changed", "{change}");
        assert_eq!(
            change["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], ask.body["id"],
            "{change}"
        );
    }
    // Another one ends well; this one's caller goes away.
    let mut other = Events::of(listen(&caller).open().await);
    other.next().await.unwrap();
    drop(events);
    soon(sample.until(|tally| tally.cancelled == 1)).await;
    sample.end_subscriptions();
    assert_eq!(other.next().await.unwrap()["result"]["resultType"], "complete");
    assert_eq!(other.next().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_over_stdio_tells_changes_as_they_come() {
    let program = peers::sibling("octroi-sample-server");
    let gate = Gate::serve(&free_policy(&stdio(&[program.to_str().unwrap(), "--stdio"]))).await;
    let caller = Caller::of(&gate);
    let ask = listen(&caller);
    let mut events = Events::of(ask.open().await);
    let first = events.next().await.unwrap();
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged", "{first}");
    for _ in 0..3 {
        caller.call("announce", json!({"list": "prompts"})).send().await.worked();
        caller.call("announce", json!({"list": "tools"})).send().await.worked();
        let change = events.next().await.unwrap();
        assert_eq!(change["method"], "notifications/tools/list_changed", "{change}");
        assert_eq!(
            change["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], ask.body["id"],
            "{change}"
        );
    }
    let call = caller
        .call("slow_report", json!({"steps": 2, "delay_ms": NEVER_MS}))
        .meta("progressToken", json!("p"));
    let mut report = Events::of(call.open().await);
    assert_eq!(progress_of(&report.next().await), 1);
}
