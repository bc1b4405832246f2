//! The agent's side: the real binary as the bridge, the wallet and the shell's commands, paying real regtest invoices.

mod bridge;
mod docs;
mod door;
mod equix;
mod given_up;
mod hostile;
mod kills;
mod owner;
mod passes;
mod shell;
mod signin;
mod terminal;
mod wallets;

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use octroi_lightning::Password;
use octroi_testkit::nodes::StoreDir;
use octroi_testkit::wallet_api::{self, WalletApi};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};

use crate::harness::{Market, soon};

const PASSWORD: &str = "the wallet's password";

/// Pays one call at a time, and computes nothing.
pub(crate) const PLAIN: &str = "work_seconds = 0\nprefetch = false\nbundle_max = 1\n";

/// Somebody who owns a purse, a policy and a wallet.
pub(crate) struct Owner {
    folder: StoreDir,
    /// Closed when it is dropped.
    wallet: Option<WalletApi>,
}

impl Owner {
    /// The owner of the market's paying node, with this policy.
    pub(crate) async fn of(market: &Market, policy: &str) -> Self {
        let mut owner = Self::poor();
        owner.rule(policy);
        owner.open_wallet(market).await;
        owner
    }

    /// Opens the wallet, somewhere else than before.
    pub(crate) async fn open_wallet(&mut self, market: &Market) {
        let node = Arc::clone(&market.payer.node);
        let wallet = wallet_api::serve(node, &Password::new(PASSWORD)).await.unwrap();
        let password = PASSWORD.replace(' ', "%20");
        let address = wallet.url.replace("http://", &format!("phoenixd+http://:{password}@"));
        std::fs::write(self.file("wallet"), address).unwrap();
        self.wallet = Some(wallet);
    }

    /// The owner of the wallet that a `[lightning]` section describes.
    pub(crate) fn with_wallet(section: &str, policy: &str) -> Self {
        let owner = Self::poor();
        owner.rule(policy);
        let file = owner.file("wallet.toml");
        std::fs::write(&file, section).unwrap();
        std::fs::write(owner.file("wallet"), format!("config:{}", file.display())).unwrap();
        owner
    }

    /// Somebody with a purse and no money.
    pub(crate) fn poor() -> Self {
        let owner = Self { folder: StoreDir::temporary().unwrap(), wallet: None };
        owner.rule(PLAIN);
        owner
    }

    /// Sets the policy.
    pub(crate) fn rule(&self, policy: &str) {
        std::fs::write(self.file("policy.toml"), policy).unwrap();
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The flags that name the purse, the policy and the wallet.
    pub(crate) fn flags(&self) -> Vec<String> {
        let path = |name: &str| self.file(name).to_str().unwrap().to_owned();
        let mut flags =
            vec!["--purse".to_owned(), path("purse.db"), "--policy".to_owned(), path("policy.toml")];
        if self.file("wallet").exists() {
            flags.extend(["--wallet".to_owned(), format!("file:{}", path("wallet"))]);
        }
        flags
    }

    /// `octroi` with these words and the owner's flags.
    pub(crate) fn words(&self, words: &[&str]) -> Vec<String> {
        let program = env!("CARGO_BIN_EXE_octroi").to_owned();
        [program].into_iter().chain(words.iter().map(|word| (*word).to_owned())).chain(self.flags()).collect()
    }

    /// Runs `octroi` to its end: exit code, standard output, standard error.
    pub(crate) async fn run(&self, words: &[&str]) -> (i32, String, String) {
        let words = self.words(words);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).current_dir(self.folder.path()).stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
    }

    /// The purse, as a program sees it.
    pub(crate) async fn purse(&self) -> Value {
        let (code, out, err) = self.run(&["purse", "--json", "--last", "1000"]).await;
        assert_eq!(code, 0, "{err}");
        serde_json::from_str(&out).unwrap()
    }

    /// Starts the bridge to a server.
    pub(crate) fn connect(&self, url: &str, more: &[&str]) -> Program {
        Program::start(&self.words(&[&["connect", url], more].concat()), &[])
    }
}

/// A program that speaks MCP on its standard input and output; killed when dropped.
pub(crate) struct Program {
    child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Program {
    pub(crate) fn start(words: &[String], environment: &[(&str, String)]) -> Self {
        let mut command = tokio::process::Command::new(&words[0]);
        command.args(&words[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        for (name, value) in environment {
            command.env(name, value);
        }
        let mut child = command.spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, input, lines: BufReader::new(output).lines() }
    }

    /// Ends it as a power cut would.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Tells it to stop, and waits until it has.
    pub(crate) async fn stop(mut self) {
        let id = self.child.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed())).unwrap();
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        soon(self.child.wait()).await.unwrap();
    }

    pub(crate) async fn tell(&mut self, message: &Value) {
        self.input.write_all(format!("{message}\n").as_bytes()).await.unwrap();
        self.input.flush().await.unwrap();
    }

    /// The next message.
    pub(crate) async fn next(&mut self) -> Value {
        let line = soon(self.lines.next_line()).await.unwrap().expect("the program ended");
        serde_json::from_str(&line).unwrap()
    }

    /// Asks, and waits for the reply; what comes before it is passed over.
    pub(crate) async fn ask(&mut self, message: &Value) -> Value {
        self.tell(message).await;
        loop {
            let said = self.next().await;
            if said["id"] == message["id"] && said.get("method").is_none() {
                return said;
            }
        }
    }

    /// Opens a session of the legacy era.
    pub(crate) async fn initialize(&mut self, capabilities: Value) -> Value {
        let params = json!({"protocolVersion": "2025-11-25", "capabilities": capabilities,
                            "clientInfo": {"name": "journey", "version": "1"}});
        let reply = self
            .ask(&json!({"jsonrpc": "2.0", "id": "hello", "method": "initialize", "params": params}))
            .await;
        self.tell(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await;
        reply
    }
}

/// A `tools/call` of the legacy era.
pub(crate) fn call(id: u64, tool: &str, arguments: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": tool, "arguments": arguments}})
}

/// A request of the modern era.
pub(crate) fn modern(id: u64, method: &str, mut params: Value, capabilities: Value) -> Value {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": capabilities,
    });
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}
