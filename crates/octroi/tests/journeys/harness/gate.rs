//! The gate as a process: the real binary on a configuration, with its log kept and searched for credentials.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use octroi_testkit::nodes::StoreDir;
use serde_json::Value;

use super::PATIENCE;

/// How often a page is looked at while something is waited for.
const LOOK: Duration = Duration::from_millis(20);

/// What the gate says of its own doings; its libraries only what matters.
const LOG: &str = "log.level=info,octroi=trace";

/// Texts shorter than this are no credentials: they would be found in a log by chance.
const SECRET_CHARS_MIN: usize = 24;

/// Every credential that was sent to a gate or that it gave out. None of them may ever stand in its log.
#[derive(Clone, Default)]
pub(crate) struct Secrets(Arc<Mutex<BTreeSet<String>>>);

impl Secrets {
    /// Remembers every part of `text` that is long enough to be a credential.
    pub(crate) fn add(&self, text: &str) {
        let is_secret = |part: &&str| part.len() >= SECRET_CHARS_MIN;
        let parts = text.split([' ', '\t', ',', ':', '"', '=', ';']).filter(is_secret).map(str::to_owned);
        self.0.lock().unwrap().extend(parts);
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().cloned().collect()
    }
}

/// What a gate is started with, so that it can be started again on the same ledger.
#[derive(Clone)]
pub(crate) struct Launch {
    folder: Arc<StoreDir>,
    file: PathBuf,
    args: Vec<String>,
    secrets: Secrets,
}

impl Launch {
    /// A configuration in a new folder, where the ledger, the key and the node's store will be too.
    pub(crate) fn new(config: &str, args: &[&str]) -> Self {
        let folder = StoreDir::temporary().unwrap();
        let file = folder.path().join("octroi.toml");
        std::fs::write(&file, config).unwrap();
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        Self { folder: Arc::new(folder), file, args, secrets: Secrets::default() }
    }

    /// The same with more arguments.
    pub(crate) fn with(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(|arg| (*arg).to_owned()));
        self
    }

    /// The same with a configuration file that lies elsewhere.
    pub(crate) fn of_file(file: &Path, args: &[&str]) -> Self {
        Self { file: file.to_owned(), ..Self::new("", args) }
    }

    /// `octroi serve` on this configuration, its log on standard error.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_octroi"));
        command.arg("serve").arg(&self.file).args(["--set", LOG]).args(&self.args);
        command.current_dir(self.folder.path());
        command
    }

    /// Another command of `octroi`, with this configuration as its last argument unless it names its own files.
    pub(crate) fn octroi(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_octroi"));
        command.args(words).current_dir(self.folder.path());
        if words.len() < 3 {
            command.arg(&self.file);
        }
        command
    }

    /// `octroi lightning …` on this configuration: how it ended, and the JSON it printed.
    pub(crate) async fn lightning(&self, command: &str, more: &[&str]) -> (i32, Value) {
        let mut program = Command::new(env!("CARGO_BIN_EXE_octroi"));
        program.args(["lightning", command]).arg(&self.file).args(more).arg("--json");
        program.current_dir(self.folder.path()).stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || program.output()).await.unwrap().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let said = serde_json::from_str(&text)
            .unwrap_or_else(|_| panic!("no JSON: {text}{}", String::from_utf8_lossy(&output.stderr)));
        (output.status.code().unwrap_or(-1), said)
    }

    /// Where it runs.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the gate and waits until it is ready.
    pub(crate) async fn start(self) -> Gate {
        tokio::task::spawn_blocking(move || Gate::start(self)).await.unwrap()
    }
}

/// A running gate. When it is dropped it is killed, and its log is searched for the credentials it was shown.
pub(crate) struct Gate {
    /// Its (first) MCP endpoint.
    pub(crate) url: String,
    /// The root of the operator's pages.
    pub(crate) admin: String,
    /// The event it announced itself with.
    pub(crate) ready: Value,
    /// What must not stand in its log.
    pub(crate) secrets: Secrets,
    launch: Launch,
    child: Child,
    log: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Gate {
    /// Starts a gate on a configuration of its own.
    pub(crate) async fn serve(config: &str) -> Self {
        Launch::new(config, &[]).start().await
    }

    fn start(launch: Launch) -> Self {
        let mut command = launch.command();
        command.arg("--json").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the octroi binary");
        let log = Arc::new(Mutex::new(String::new()));
        let (first, firsts) = mpsc::channel();
        let readers = vec![
            keep(child.stderr.take().unwrap(), Arc::clone(&log), None),
            keep(child.stdout.take().unwrap(), Arc::clone(&log), Some(first)),
        ];
        let ready = firsts.recv_timeout(PATIENCE).ok().and_then(|line| serde_json::from_str(&line).ok());
        let Some(ready): Option<Value> = ready else {
            let _ = child.kill();
            panic!("the gate did not become ready; its log:\n{}", log.lock().unwrap());
        };
        assert_eq!(ready["event"], "ready", "{ready}");
        let text = |key: &str| ready[key].as_str().unwrap_or_default().to_owned();
        let (url, admin) = (text("gate"), text("admin"));
        let secrets = launch.secrets.clone();
        Self { url, admin, ready, secrets, launch, child, log, readers }
    }

    /// Ends the process as a power cut would (`kill -9`), leaving its files.
    pub(crate) fn kill(mut self) -> Launch {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.launch.clone()
    }

    /// Ends the process as an operator does, and waits for its end.
    pub(crate) fn stop(mut self) -> Launch {
        let asked = Command::new("kill").args(["-TERM", &self.id().to_string()]).status().unwrap();
        assert!(asked.success() && self.child.wait().unwrap().success());
        self.launch.clone()
    }

    /// What it was started with.
    pub(crate) fn launch(&self) -> Launch {
        self.launch.clone()
    }

    /// Its metrics, as text.
    pub(crate) async fn metrics(&self) -> String {
        reqwest::get(format!("{}/metrics", self.admin)).await.unwrap().text().await.unwrap()
    }

    /// Waits until its node's end of a channel carries payments: the other end knows a moment earlier.
    pub(crate) async fn channel_usable(&self) {
        super::soon(async {
            loop {
                let reply = reqwest::get(format!("{}/lightning", self.admin)).await.unwrap();
                let page: Value = reply.json().await.unwrap();
                if page["node"]["usable_channels"].as_u64().is_some_and(|usable| usable > 0) {
                    return;
                }
                tokio::time::sleep(LOOK).await;
            }
        })
        .await;
    }

    /// The id of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The ledger's report, from the operator's page.
    pub(crate) async fn ledger(&self) -> Value {
        let reply = reqwest::get(format!("{}/ledger", self.admin)).await.unwrap();
        assert_eq!(reply.status(), 200);
        reply.json().await.unwrap()
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        let log = self.log();
        if std::thread::panicking() {
            let tail: Vec<&str> = log.lines().rev().take(60).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            eprintln!("the end of the gate's log:\n{}", tail.join("\n"));
            return;
        }
        let leaked = self.secrets.all().into_iter().find(|secret| log.contains(secret.as_str()));
        let line = leaked.as_ref().and_then(|secret| log.lines().find(|line| line.contains(secret.as_str())));
        assert!(line.is_none(), "a credential stands in the gate's log: {line:?}");
    }
}

/// Appends what comes to the log; the first line goes to `first` too.
fn keep(
    from: impl Read + Send + 'static,
    log: Arc<Mutex<String>>,
    first: Option<mpsc::Sender<String>>,
) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut first = first;
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if let Some(first) = first.take() {
                let _ = first.send(line.clone());
            }
            let mut log = log.lock().unwrap();
            log.push_str(&line);
            log.push('\n');
        }
    })
}
