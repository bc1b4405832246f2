//! Other people's clients see through the gate what they see without it: the same tools, the same answers, the same
//! protocol version, over either transport of the server behind it.

use octroi_testkit::upstream::sample::Sample;
use rmcp::model::{CallToolRequestParams, ProtocolVersion};
use rmcp::service::{ClientLifecycleMode, ClientServiceExt};
use rmcp::transport::StreamableHttpClientTransport;
use serde_json::{Value, json};

use crate::harness::peers::{self, Server};
use crate::harness::{Gate, MODERN, free_policy, soon};

/// A client: its script, and how it is told to settle the protocol's version.
const CLIENTS: [(&str, &[&str]); 7] = [
    ("ts-v1.mjs", &[]),
    ("ts-v2.mjs", &["--mode", "legacy"]),
    ("ts-v2.mjs", &["--mode", "auto"]),
    ("ts-v2.mjs", &["--mode", "pin"]),
    ("python_client.py", &["--mode", "legacy"]),
    ("python_client.py", &["--mode", "auto"]),
    ("python_client.py", &["--mode", MODERN]),
];

/// A tool to call, with its arguments as JSON and what the answer must say.
struct Trial {
    tool: &'static str,
    arguments: Value,
    says: &'static str,
}

impl Trial {
    /// The tool of the npm server.
    fn echo() -> Self {
        Self {
            tool: "echo",
            arguments: json!({"message": "through the gate"}),
            says: "Echo: through the gate",
        }
    }

    /// The tool of the sample server.
    fn query() -> Self {
        Self { tool: "data_query", arguments: json!({"query": "carts"}), says: "carts: north 41 carts" }
    }
}

/// What a client reports of a server.
async fn report(script: &str, options: &[&str], url: &str, trial: &Trial) -> Value {
    let mut client = if script.ends_with(".py") { peers::python(script) } else { peers::node(script) };
    client.arg(url).args(options).args(["--tool", trial.tool, "--arguments", &trial.arguments.to_string()]);
    peers::report(client).await
}

/// Lets every client see the server direct and through each gate; `speaks_modern` says whether the stateless revision works.
async fn all_see_the_same(direct: &str, gates: &[&Gate], trial: &Trial, speaks_modern: bool) {
    let pinned = |options: &[&str]| options.contains(&"pin") || options.contains(&MODERN);
    for (script, options) in CLIENTS.into_iter().filter(|(_, options)| speaks_modern || !pinned(options)) {
        let bare = report(script, options, direct, trial).await;
        assert!(
            bare["call"]["result"].to_string().contains(trial.says),
            "{script} {options:?} direct: {bare}"
        );
        for gate in gates {
            let gated = report(script, options, &gate.url, trial).await;
            assert_eq!(gated, bare, "{script} {options:?} through the gate");
        }
    }
    for lifecycle in lifecycles(speaks_modern) {
        let bare = with_rmcp(direct, lifecycle.clone(), trial).await;
        assert!(bare["call"].to_string().contains(trial.says), "rmcp {lifecycle:?} direct: {bare}");
        for gate in gates {
            assert_eq!(with_rmcp(&gate.url, lifecycle.clone(), trial).await, bare, "rmcp {lifecycle:?}");
        }
    }
}

fn lifecycles(speaks_modern: bool) -> Vec<ClientLifecycleMode> {
    let preferred_versions = vec![ProtocolVersion::V_2026_07_28];
    let mut modes = vec![ClientLifecycleMode::Initialize];
    if speaks_modern {
        modes.push(ClientLifecycleMode::Discover { preferred_versions: preferred_versions.clone() });
    }
    modes.push(ClientLifecycleMode::Auto { preferred_versions, legacy_version: None });
    modes
}

/// The Rust SDK's client: lists and calls.
async fn with_rmcp(url: &str, lifecycle: ClientLifecycleMode, trial: &Trial) -> Value {
    let transport = StreamableHttpClientTransport::from_uri(url);
    let client = soon(().serve_with_lifecycle(transport, lifecycle)).await.unwrap();
    let tools = soon(client.list_all_tools()).await.unwrap();
    let arguments = trial.arguments.as_object().unwrap().clone();
    let call = CallToolRequestParams::new(trial.tool).with_arguments(arguments);
    let call = soon(client.call_tool(call)).await.unwrap();
    let _ = soon(client.cancel()).await;
    json!({"tools": tools, "call": call})
}

/// The `upstream` of a configuration that starts a program.
pub(crate) fn stdio(command: &[&str]) -> String {
    format!("{{ command = {command:?} }}")
}

/// The command of the npm server over stdio.
pub(crate) fn everything() -> String {
    let program = peers::folder().join("node_modules/@modelcontextprotocol/server-everything/dist/index.js");
    let node = peers::node("");
    let node = node.as_std().get_program().to_str().unwrap().to_owned();
    stdio(&[&node, program.to_str().unwrap(), "stdio"])
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_reach_the_npm_server_over_http_and_stdio() {
    let server = Server::everything().await;
    let over_http = Gate::serve(&free_policy(&format!("{:?}", server.url))).await;
    let over_stdio = Gate::serve(&free_policy(&everything())).await;
    all_see_the_same(&server.url, &[&over_http, &over_stdio], &Trial::echo(), false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_both_eras_reach_a_server_of_both_over_http_and_stdio() {
    let sample = Sample::start().await.unwrap();
    let over_http = Gate::serve(&free_policy(&format!("{:?}", sample.url()))).await;
    let program = peers::sibling("octroi-sample-server");
    let over_stdio = Gate::serve(&free_policy(&stdio(&[program.to_str().unwrap(), "--stdio"]))).await;
    all_see_the_same(&sample.url(), &[&over_http, &over_stdio], &Trial::query(), true).await;
}
