//! The bridge is no wall: what a server wants of its client, and tells it, comes through in both eras, to clients of both SDKs.

use octroi_testkit::upstream::sample::Sample;
use serde_json::{Value, json};

use super::{Owner, PLAIN};
use crate::harness::peers::{self, Server};
use crate::harness::{Gate, MODERN, Market, free_policy, soon};

/// A client: its script and its flags; whether it speaks the modern era.
const CLIENTS: [(&str, &[&str], bool); 5] = [
    ("passes.mjs", &["--sdk", "v1", "--mode", "legacy"], false),
    ("passes.mjs", &["--sdk", "v2", "--mode", "legacy"], false),
    ("passes.mjs", &["--sdk", "v2", "--mode", "pin"], true),
    ("passes.py", &["--mode", "legacy"], false),
    ("passes.py", &["--mode", MODERN], true),
];

/// What a client that stands behind the bridge to `gate` has seen.
async fn report(owner: &Owner, gate: &Gate, script: &str, flags: &[&str], trials: &[&str]) -> Value {
    let mut client = if script.ends_with(".py") { peers::python(script) } else { peers::node(script) };
    let command = json!(owner.words(&["connect", &gate.url])).to_string();
    client.args(flags).args(["--command", &command]).args(trials);
    peers::report(client).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_asks_its_client_and_tells_it_what_it_does() {
    let upstream = peers::sibling("octroi-conformance-upstream");
    let upstream = Server::printing_its_url(tokio::process::Command::new(upstream)).await;
    let gate = Gate::serve(&free_policy(&format!("{:?}", upstream.url))).await;
    let owner = Owner::poor();
    for (script, flags, modern) in CLIENTS {
        let asks: &[(&str, &str)] = match modern {
            // A call that is answered with a question, and made again with its answer.
            true => &[
                ("test_input_required_result_elicitation", "Hello, Ada!"),
                ("test_input_required_result_sampling", "The model said"),
                ("test_input_required_result_list_roots", "file:///tmp/here"),
                ("test_input_required_result_multi_round", "Both rounds are done."),
                ("test_logging_tool", "Logged"),
                ("test_tool_with_progress", "Done."),
            ],
            // Requests of the server's own while the call runs.
            false => &[
                ("test_elicitation", "ada@example.test"),
                ("test_sampling", "about carts"),
                ("test_list_roots", "file:///tmp/here"),
                ("test_tool_with_logging", "Logged three times."),
                ("test_tool_with_progress", "Done."),
            ],
        };
        let trials: Vec<&str> = asks.iter().flat_map(|(tool, _)| ["--ask", *tool]).collect();
        let seen = report(&owner, &gate, script, flags, &trials).await;
        for (tool, says) in asks {
            let said = seen["said"][tool].as_str().unwrap_or_default();
            assert!(said.contains(says), "{script} {flags:?} {tool}: {seen}");
        }
        // A person is told who asks: it is not the bridge.
        let form = |question: &str| format!("{} asks: {question}", gate.url.strip_suffix("/mcp").unwrap());
        let (asked, logged): (Vec<String>, &[&str]) = match modern {
            true => (
                vec![
                    form("Your name?"),
                    "Which city is the capital of France?".to_owned(),
                    "roots".to_owned(),
                    form("First: your name?"),
                    form("Second: your colour?"),
                ],
                &["asked for"],
            ),
            false => (
                vec![form("Who?"), "carts".to_owned(), "roots".to_owned()],
                &["Tool execution started", "Tool processing data", "Tool execution completed"],
            ),
        };
        assert_eq!(
            (&seen["asked"], &seen["logged"]),
            (&json!(asked), &json!(logged)),
            "{script} {flags:?}: {seen}"
        );
        // One of the SDKs tells of the rounds of a call, too.
        let progress = seen["progress"].as_array().unwrap().iter();
        let progress: Vec<f64> = progress.filter_map(Value::as_f64).collect();
        assert!(progress.ends_with(&[0.0, 50.0, 100.0]), "{script} {flags:?}: {seen}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_gives_up_and_hears_of_changes() {
    let sample = Sample::start().await.unwrap();
    let gate = Gate::serve(&free_policy(&format!("{:?}", sample.url()))).await;
    let owner = Owner::poor();
    for (script, flags, _) in CLIENTS {
        let before = sample.tally().cancelled;
        let trials = ["--cancel", "slow_report", "--change", "announce"];
        let seen = report(&owner, &gate, script, flags, &trials).await;
        assert_eq!(seen["cancelled"], "given up", "{script} {flags:?}: {seen}");
        // The server hears of it, and stops.
        soon(sample.until(|tally| tally.cancelled > before)).await;
        assert!(seen["changes"].as_u64().is_some_and(|changes| changes >= 1), "{script} {flags:?}: {seen}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_is_asked_through_the_client_before_money_goes() {
    let market = Market::open(&[]).await;
    let owner = Owner::of(&market, &format!("{PLAIN}ask_above_sats = 1\n")).await;
    let mut received = 0;
    for (script, flags, _) in CLIENTS {
        let seen = report(&owner, &market.gate, script, flags, &["--ask", "data_query"]).await;
        let said = seen["said"]["data_query"].as_str().unwrap_or_default();
        assert!(said.contains("north 41 carts"), "{script} {flags:?}: {seen}");
        let asked = seen["asked"][0].as_str().unwrap_or_default();
        assert!(asked.starts_with("Octroi: Pay 1.7 sats to http://127.0.0.1"), "{script} {flags:?}: {seen}");
        assert_eq!(seen["asked"].as_array().map(Vec::len), Some(1), "{script} {flags:?}: {seen}");
        received += 1700;
        assert_eq!(market.gate.ledger().await["received_msat"], received, "{script} {flags:?}");
    }
}
