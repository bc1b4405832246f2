//! docs/agents.md, walked by the letter on regtest: what it says to type is typed, and what it prints is done.

use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::harness::peers;
use crate::harness::soon;

/// The blocks of shell under the heading for regtest, without the first, which starts the demo.
fn blocks() -> Vec<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/agents.md");
    let text = std::fs::read_to_string(file).unwrap();
    let part = text.split("### On regtest").nth(1).unwrap().split("\n### ").next().unwrap();
    let blocks: Vec<String> =
        part.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap().to_owned()).collect();
    assert!(blocks[0].contains("demo --keep"), "{blocks:?}");
    blocks[1..].to_vec()
}

/// `octroi demo --keep`, and the lines `NAME=value` that it prints for a shell.
async fn demo() -> (Child, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_octroi"));
    command.args(["demo", "--keep"]).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut demo = command.spawn().unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    let mut said = String::new();
    while !said.contains("PASSWORD=") {
        let line = soon(lines.next_line()).await.unwrap().unwrap_or_else(|| panic!("the demo ended: {said}"));
        let line = line.trim();
        if ["GATE=", "TOKEN=", "WALLET="].iter().any(|name| line.starts_with(name)) {
            said.push_str(line);
            said.push('\n');
        }
    }
    // What else it says nobody reads.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    (demo, said)
}

#[tokio::test(flavor = "multi_thread")]
async fn from_nothing_to_a_paid_call_in_a_desktop_client() {
    let (_demo, variables) = demo().await;
    let folder = tempfile::tempdir().unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_octroi")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let shell = |block: String| {
        let mut shell = Command::new("bash");
        shell.args(["-euc", &format!("{variables}{block}")]).current_dir(folder.path());
        shell.env("PATH", &path).env("HOME", folder.path()).stdin(Stdio::null());
        async move {
            let output = soon(shell.output()).await.unwrap();
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            assert!(output.status.success(), "{block}: {}{}", text(&output.stdout), text(&output.stderr));
            text(&output.stdout)
        }
    };
    let [install, look] = &blocks()[..] else { panic!("two blocks follow the demo") };
    let printed = shell(install.clone()).await;
    // What each client is given starts a server that lists and calls, and knows nothing of this shell.
    let mut commands = Vec::new();
    for block in printed.split("# ").filter_map(|block| block.split_once('\n')) {
        let Ok(settings) = serde_json::from_str::<Value>(block.1) else { continue };
        let servers = settings.get("mcpServers").or_else(|| settings.get("servers")).unwrap();
        let server = servers.as_object().unwrap().values().next().unwrap();
        let words = [&server["command"]].into_iter().chain(server["args"].as_array().unwrap());
        commands.push((block.0.to_owned(), json!(words.collect::<Vec<_>>()).to_string()));
    }
    let clients: Vec<&str> =
        commands.iter().map(|(client, _)| client.split([':', ',']).next().unwrap()).collect();
    assert_eq!(clients, ["Claude Desktop", "Claude Code", "Cursor", "VS Code"], "{printed}");
    for (client, command) in &commands {
        let mut peer = peers::node("ts-v1.mjs");
        peer.args(["--command", command, "--tool", "data_query", "--arguments", r#"{"query": "carts"}"#]);
        peer.current_dir("/").env("HOME", folder.path());
        let report = peers::report(peer).await;
        assert!(report["call"]["result"].to_string().contains("north 41 carts"), "{client}: {report}");
    }
    let purse = shell(look.clone()).await;
    assert!(purse.contains("credentials") || purse.contains("payments"), "{purse}");
}
