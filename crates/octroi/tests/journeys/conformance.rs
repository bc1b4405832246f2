//! The MCP project's own suite, server mode: what passes against a server passes against the gate in front of it.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use tokio::process::Command;

use crate::harness::peers::{self, Server};
use crate::harness::{Gate, PATIENCE, free_policy};

/// The requirement sets run, each a revision of the protocol frozen by the suite.
const REQUIREMENTS: [&str; 2] = ["2025-11-25", "2026-07-28"];

/// How often each check ended how: scenario and check to status and count.
type Checks = BTreeMap<(String, String), BTreeMap<String, usize>>;

#[tokio::test(flavor = "multi_thread")]
async fn the_gate_changes_no_check_of_the_conformance_suite() {
    let upstream = Command::new(peers::sibling("octroi-conformance-upstream"));
    let upstream = Server::printing_its_url(upstream).await;
    let gate = Gate::serve(&free_policy(&format!("{:?}", upstream.url))).await;
    for revision in REQUIREMENTS {
        // Not beside each other: the upstream's resource subscriptions and task states are one per process.
        let direct = run(&upstream.url, revision).await;
        let gated = run(&gate.url, revision).await;
        println!(
            "requirements {revision}: {} checks pass direct, {} through the gate",
            passed(&direct),
            passed(&gated)
        );
        assert!(passed(&direct) > 0, "the suite checked nothing");
        for (check, statuses) in &direct {
            assert_eq!(gated.get(check), Some(statuses), "{revision}: {check:?} through the gate");
        }
        assert_eq!(direct.len(), gated.len(), "{revision}: the gate brought checks of its own");
        assert_eq!(failures(&gated), Vec::<&(String, String)>::new(), "{revision}");
    }
}

fn passed(checks: &Checks) -> usize {
    checks.values().filter_map(|statuses| statuses.get("SUCCESS")).sum()
}

fn failures(checks: &Checks) -> Vec<&(String, String)> {
    checks.iter().filter(|(_, statuses)| statuses.contains_key("FAILURE")).map(|(check, _)| check).collect()
}

/// Runs the suite against a server and reads what it wrote.
async fn run(url: &str, revision: &str) -> Checks {
    let results = tempfile::tempdir().unwrap();
    let mut suite = peers::node("node_modules/@modelcontextprotocol/conformance/dist/index.js");
    suite.args(["server", "--url", url, "--requirements", revision, "-o"]).arg(results.path());
    let ended =
        tokio::time::timeout(10 * PATIENCE, suite.output()).await.expect("the suite does not end").unwrap();
    let checks = read(results.path());
    assert!(!checks.is_empty(), "{}", String::from_utf8_lossy(&ended.stderr));
    checks
}

/// The suite writes a folder `server-SCENARIO-TIME` for each scenario, with its checks in `checks.json`.
fn read(results: &Path) -> Checks {
    let mut checks = Checks::new();
    for folder in std::fs::read_dir(results).unwrap() {
        let folder = folder.unwrap();
        let name = folder.file_name().into_string().unwrap();
        let scenario = name.find("-20").map_or(name.as_str(), |time| &name[..time]);
        let text = std::fs::read_to_string(folder.path().join("checks.json")).unwrap();
        let read: Vec<Value> = serde_json::from_str(&text).unwrap();
        for check in read {
            let text = |key: &str| check[key].as_str().unwrap_or_default().to_owned();
            let statuses = checks.entry((scenario.to_owned(), text("id"))).or_default();
            *statuses.entry(text("status")).or_default() += 1;
        }
    }
    checks
}
