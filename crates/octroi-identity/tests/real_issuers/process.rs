//! Programs that serve while a test runs.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// How long a program may take to do what it is asked.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What a variable of `cargo xtask test` names.
pub(crate) fn place(variable: &str) -> PathBuf {
    let value = std::env::var_os(variable);
    value.unwrap_or_else(|| panic!("{variable} is not set: run `cargo xtask test`")).into()
}

/// A program that prints where it is, and is ended when this is dropped.
pub(crate) struct Server {
    pub(crate) url: String,
    child: Child,
}

impl Server {
    /// Starts Node.js on a script of `tests/peers`.
    pub(crate) async fn node(script: &str) -> Self {
        let mut command = Command::new(place("OCTROI_TEST_NODE"));
        command.arg(place("OCTROI_TEST_PEERS").join(script));
        Self::start(command).await
    }

    /// Starts Python on a script of `tests/peers`.
    pub(crate) async fn python(script: &str, argument: &Path, variables: [(&str, String); 2]) -> Self {
        let mut command = Command::new(place("OCTROI_TEST_PYTHON"));
        command.arg(place("OCTROI_TEST_PEERS").join(script)).arg(argument).envs(variables);
        Self::start(command).await
    }

    async fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await;
        let url = line.expect("the program is silent").unwrap().expect("the program ended");
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { url, child }
    }

    /// Ends it at once, as a crash would.
    pub(crate) async fn crash(&mut self) {
        self.child.kill().await.unwrap();
    }
}
