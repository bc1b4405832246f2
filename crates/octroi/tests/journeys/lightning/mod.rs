//! The node behind a running gate: its commands, its outages, its room to receive, and floods of callers.

mod asking;
mod closing;
mod commands;
mod flood;
mod kills;
mod liquidity;
mod outage;
mod passphrase;
mod program;

use std::time::Duration;

use octroi_testkit::nodes::Payer;
use serde_json::{Value, json};

use crate::harness::money::free_port;
use crate::harness::{Ask, Caller, Gate, soon};

/// How often what should come is looked for.
const LOOK: Duration = Duration::from_millis(50);

/// What the gate sells here: one tool, for money alone.
const SELLING: &str = r#"
[mcp_server.auth.payment]
pricing = { data_query = { msats = 1700 } }
"#;

/// A gate with an embedded node on the payer's chain, with more lines for its `[lightning]`.
fn embedded(payer: &Payer, upstream: &str, lines: &str, rest: &str) -> String {
    format!(
        "listen = \"127.0.0.1:{}\"\n[lightning]\nbackend = \"embedded\"\nnetwork = \"regtest\"\nchain = \"{}\"\n\
         listen = [\"127.0.0.1:{}\"]\ntrusted_peers = [\"{}\"]\n{lines}\n[mcp_server]\nupstream = \"{upstream}\"\n{rest}",
        free_port(),
        payer.chain.url(),
        free_port(),
        payer.id(),
    )
}

fn query(caller: &Caller) -> Ask {
    caller.call("data_query", json!({"query": "carts"}))
}

/// Waits until something is so.
async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    soon(async {
        while !is_so().await {
            tokio::time::sleep(LOOK).await;
        }
    })
    .await;
}

/// What a command that must work prints.
async fn done(gate: &Gate, command: &str, more: &[&str]) -> Value {
    let (code, said) = gate.launch().lightning(command, more).await;
    assert_eq!(code, 0, "{command}: {said}");
    said
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}
