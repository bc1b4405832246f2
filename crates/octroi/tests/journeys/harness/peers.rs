//! Other people's programs, as `cargo xtask test` installs them.

use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

use super::PATIENCE;

/// What a variable of `cargo xtask test` names.
fn place(variable: &str) -> PathBuf {
    let value = std::env::var_os(variable);
    value.unwrap_or_else(|| panic!("{variable} is not set: run `cargo xtask test`")).into()
}

/// The folder with the scripts of `tests/peers` and their `node_modules`.
pub(crate) fn folder() -> PathBuf {
    place("OCTROI_TEST_PEERS")
}

/// Node.js on a program of the folder.
pub(crate) fn node(program: &str) -> Command {
    let mut command = Command::new(place("OCTROI_TEST_NODE"));
    command.arg(folder().join(program)).kill_on_drop(true);
    command
}

/// Python on a script of the folder.
pub(crate) fn python(script: &str) -> Command {
    let mut command = Command::new(place("OCTROI_TEST_PYTHON"));
    command.arg(folder().join(script)).kill_on_drop(true);
    command
}

/// A program that was built beside the gate's.
pub(crate) fn sibling(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_BIN_EXE_octroi")).with_file_name(name);
    assert!(path.exists(), "{} is not built: run `cargo xtask test`", path.display());
    path
}

/// Runs a client to its end and reads the one JSON line it prints last.
pub(crate) async fn report(mut command: Command) -> Value {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let shown = format!("{:?}", command.as_std());
    let run = tokio::time::timeout(2 * PATIENCE, command.output()).await;
    let output = run.unwrap_or_else(|_| panic!("{shown} did not end")).unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().last().and_then(|line| serde_json::from_str(line).ok());
    line.unwrap_or_else(|| {
        panic!("{shown} printed no report: {text}{}", String::from_utf8_lossy(&output.stderr))
    })
}

/// Asks a program one thing on its standard input, and reads the JSON line it prints.
pub(crate) async fn asked(mut command: Command, ask: &Value) -> Value {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(ask.to_string().as_bytes()).await.unwrap();
    let run = tokio::time::timeout(PATIENCE, child.wait_with_output()).await;
    let output = run.unwrap_or_else(|_| panic!("{command:?} did not end")).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{command:?} printed no answer: {said}"))
}

/// A server of its own process, ended when this is dropped.
pub(crate) struct Server {
    pub(crate) url: String,
    _child: Child,
}

impl Server {
    /// Starts a program that prints its URL as its first line.
    pub(crate) async fn printing_its_url(mut command: Command) -> Self {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await;
        let url = line.expect("the server is silent").unwrap().expect("the server ended");
        Self { url, _child: child }
    }

    /// The npm `server-everything` over HTTP, on a port of its own.
    pub(crate) async fn everything() -> Self {
        let port = super::money::free_port();
        let mut command = node("node_modules/@modelcontextprotocol/server-everything/dist/index.js");
        command.arg("streamableHttp").env("PORT", port.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let listening = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if line.contains(&port.to_string()) {
                    return;
                }
            }
            panic!("server-everything ended");
        };
        tokio::time::timeout(PATIENCE, listening).await.expect("server-everything does not listen");
        // Its log goes on; a full pipe would stop it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { url: format!("http://127.0.0.1:{port}/mcp"), _child: child }
    }
}
