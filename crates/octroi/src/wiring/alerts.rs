//! What happens to the Lightning node's alerts: they are posted, and a program is started.

use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use octroi_gate::invoices::{Alert, AlertNews};
use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::json;
use sha2::Sha256;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use url::Url;

use super::StartError;
use crate::clock::unix_seconds;
use crate::config::{AlertsConfig, Secret};

/// How long one attempt of a webhook may take.
const WEBHOOK_WAIT: Duration = Duration::from_secs(10);
/// The waits between attempts, in seconds; after the last one the news is given up.
const WEBHOOK_PAUSES_SECS: [u64; 5] = [1, 2, 4, 8, 16];
/// Most news waiting to be posted; more are only logged.
const WAITING_MAX: usize = 64;
/// The header that the signature stands in: `t=<Unix seconds>,v1=<64 hexadecimal digits>`.
const SIGNATURE: &str = "octroi-signature";
/// How long the operator's program may take; then it is ended.
const COMMAND_WAIT: Duration = Duration::from_secs(600);
/// The program is not started again before this has passed: opening channels takes time.
const COMMAND_PAUSE: Duration = Duration::from_secs(600);

/// Most bytes of the program's own words that stand in the log; the rest is read and dropped.
const SAID_MAX: usize = 2048;
/// How long its words are waited for after its end: something that it left running may hold its output open.
const SAID_WAIT: Duration = Duration::from_secs(1);

/// Carries alerts to where the operator wants them.
pub(super) struct Watch {
    posts: Option<mpsc::Sender<AlertNews>>,
    on_low_inbound: Vec<String>,
    started: Option<Instant>,
}

impl Watch {
    /// Needs the runtime: posting is a task of its own, which a webhook that hangs holds up alone.
    pub(super) fn new(config: &AlertsConfig) -> Result<Self, StartError> {
        let posts = match &config.webhook {
            None => None,
            Some(webhook) => {
                let (posts, waiting) = mpsc::channel(WAITING_MAX);
                tokio::spawn(Poster::new(webhook, config.webhook_secret.as_ref())?.carry(waiting));
                Some(posts)
            }
        };
        Ok(Self { posts, on_low_inbound: config.on_low_inbound.clone(), started: None })
    }

    /// Until there are no more.
    pub(super) async fn carry(mut self, mut alerts: mpsc::Receiver<AlertNews>) {
        // The last word about the room to receive, while there is too little.
        let mut low: Option<String> = None;
        loop {
            match tokio::time::timeout(COMMAND_PAUSE, alerts.recv()).await {
                Ok(None) => return,
                Ok(Some(news)) => {
                    if news.alert == Alert::LowInbound {
                        low = news.raised.then(|| news.text.clone());
                    }
                    if let Some(posts) = &self.posts
                        && posts.try_send(news).is_err()
                    {
                        tracing::warn!("too many alerts wait for the webhook; this one is not posted");
                    }
                }
                Err(_) => {}
            }
            if let Some(text) = &low {
                self.start_program(text);
            }
        }
    }

    /// `None` when it is not started: there is none, it was started lately, or it cannot be.
    fn start_program(&mut self, text: &str) -> Option<JoinHandle<()>> {
        let (program, arguments) = self.on_low_inbound.split_first()?;
        if self.started.is_some_and(|at| at.elapsed() < COMMAND_PAUSE) {
            return None;
        }
        self.started = Some(Instant::now());
        match command(program, arguments, text).spawn() {
            Ok(child) => Some(tokio::spawn(attend(child, tokio::time::sleep(COMMAND_WAIT)))),
            Err(error) => {
                tracing::warn!(%error, "the program for more room to receive could not be started");
                None
            }
        }
    }
}

/// Without a shell, and without the gate's environment beyond the paths a program needs.
fn command(program: &str, arguments: &[String], text: &str) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for name in ["PATH", "HOME", "USER", "LANG"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.env("OCTROI_ALERT", Alert::LowInbound.as_str()).env("OCTROI_ALERT_TEXT", text);
    // With whatever it starts, so that all of it can be ended.
    command.process_group(0).kill_on_drop(true);
    command
}

/// Waits for the program's end, and says how it was. When the time is over it is ended, with whatever it started.
async fn attend(mut child: Child, time: impl Future<Output = ()>) {
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let words = Arc::<Mutex<Vec<u8>>>::default();
    let mut readers = JoinSet::new();
    if let Some(out) = child.stdout.take() {
        readers.spawn(keep(out, Arc::clone(&words)));
    }
    if let Some(err) = child.stderr.take() {
        readers.spawn(keep(err, Arc::clone(&words)));
    }
    let ended = tokio::select! {
        ended = child.wait() => Some(ended),
        () = time => None,
    };
    if let (None, Some(group)) = (&ended, group) {
        // It may have ended in this moment.
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = tokio::time::timeout(SAID_WAIT, async { while readers.join_next().await.is_some() {} }).await;
    readers.abort_all();
    let said = String::from_utf8_lossy(&words.lock()).replace(char::is_control, " ");
    match ended {
        Some(Ok(status)) if status.success() => {
            tracing::info!(said, "the program for more room to receive has ended");
        }
        Some(Ok(status)) => tracing::warn!(%status, said, "the program for more room to receive has failed"),
        Some(Err(error)) => tracing::warn!(%error, said, "the program for more room to receive was lost"),
        None => tracing::warn!(said, "the program for more room to receive took too long; it was ended"),
    }
}

/// Reads to the end, and keeps the first of it.
async fn keep(mut from: impl AsyncRead + Unpin, words: Arc<Mutex<Vec<u8>>>) {
    let mut buffer = [0; 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let mut words = words.lock();
        let room = SAID_MAX - words.len().min(SAID_MAX);
        words.extend_from_slice(&buffer[..read.min(room)]);
    }
}

/// Posts news, one after the other, each until it was taken or given up.
struct Poster {
    client: reqwest::Client,
    webhook: Url,
    secret: Option<Secret>,
}

impl Poster {
    fn new(webhook: &Url, secret: Option<&Secret>) -> Result<Self, StartError> {
        let client = reqwest::Client::builder()
            .timeout(WEBHOOK_WAIT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| StartError::Value(format!("[lightning.alerts] webhook: {error}")))?;
        Ok(Self { client, webhook: webhook.clone(), secret: secret.cloned() })
    }

    async fn carry(self, mut waiting: mpsc::Receiver<AlertNews>) {
        while let Some(news) = waiting.recv().await {
            let body = json!({"alert": news.alert.as_str(), "raised": news.raised, "text": news.text});
            self.deliver(&body.to_string()).await;
        }
    }

    async fn deliver(&self, body: &str) {
        let mut pauses = WEBHOOK_PAUSES_SECS.into_iter().map(Duration::from_secs);
        loop {
            let Err(error) = self.post(body).await else { return };
            // Without the address: it may hold a secret.
            let error = error.without_url();
            let Some(pause) = pauses.next() else {
                tracing::warn!(%error, "an alert could not be posted; it is given up");
                return;
            };
            tracing::warn!(%error, ?pause, "an alert could not be posted; it will be tried again");
            tokio::time::sleep(pause).await;
        }
    }

    async fn post(&self, body: &str) -> reqwest::Result<()> {
        let mut request = self.client.post(self.webhook.clone()).header("content-type", "application/json");
        if let Some(secret) = &self.secret {
            request = request.header(SIGNATURE, signature(secret, unix_seconds(), body));
        }
        request.body(body.to_owned()).send().await?.error_for_status().map(drop)
    }
}

/// HMAC-SHA256 over the time, a dot and the body, so that neither can be changed nor used again much later.
fn signature(secret: &Secret, now: u64, body: &str) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(secret.reveal().as_bytes()).map(|mut mac| {
        mac.update(format!("{now}.{body}").as_bytes());
        hex::encode(mac.finalize().into_bytes())
    });
    // Any length of key will do, so there is always one.
    format!("t={now},v1={}", mac.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn a_signature_is_what_openssl_makes() {
        // printf '1700000000.{}' | openssl dgst -sha256 -hmac secret
        let signed = signature(&Secret::new("secret"), 1_700_000_000, "{}");
        assert_eq!(signed, format!("t=1700000000,v1={}", openssl()));
        assert_ne!(signed, signature(&Secret::new("other"), 1_700_000_000, "{}"));
    }

    fn openssl() -> &'static str {
        "b8569b78799ff9e3cbff0fc2d63a33a2b57f3282abd07c37ae5e8e7d79a5f163"
    }

    /// Answers with these statuses, and gives what was posted.
    async fn server(statuses: &'static [&'static str]) -> (Url, tokio::task::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/hook", listener.local_addr().unwrap())).unwrap();
        let posted = tokio::spawn(async move {
            let mut posted = Vec::new();
            for status in statuses {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut text = String::new();
                while !text.ends_with('}') {
                    let mut buffer = [0; 1024];
                    let read = stream.read(&mut buffer).await.unwrap();
                    text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
                }
                posted.push(text);
                let answer = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            posted
        });
        (url, posted)
    }

    fn words(folder: &std::path::Path, script: &str) -> Vec<String> {
        ["sh", "-c", &format!("cd '{}'; {script}", folder.display())].map(str::to_owned).to_vec()
    }

    #[tokio::test]
    async fn the_program_is_started_once_with_little_around_it() {
        let folder = tempfile::tempdir().unwrap();
        let on_low_inbound = words(folder.path(), "env > env; yes | head -c 1000000; exit 3");
        let mut watch = Watch { posts: None, on_low_inbound, started: None };
        watch.start_program("1 of 2").unwrap().await.unwrap();
        assert!(watch.start_program("1 of 2").is_none(), "not again so soon");
        let env = std::fs::read_to_string(folder.path().join("env")).unwrap();
        assert!(
            env.contains("OCTROI_ALERT=low_inbound\n") && env.contains("OCTROI_ALERT_TEXT=1 of 2\n"),
            "{env}"
        );
        let known = [
            "PATH",
            "HOME",
            "USER",
            "LANG",
            "PWD",
            "OLDPWD",
            "SHLVL",
            "_",
            "OCTROI_ALERT",
            "OCTROI_ALERT_TEXT",
        ];
        let names = env.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name);
        assert_eq!(names.filter(|name| !known.contains(name)).collect::<Vec<_>>(), Vec::<&str>::new());
        watch.started = Instant::now().checked_sub(COMMAND_PAUSE);
        watch.start_program("").unwrap().await.unwrap();
        watch.on_low_inbound = vec!["/nowhere/at-all".to_owned()];
        watch.started = None;
        assert!(watch.start_program("").is_none());
    }

    #[tokio::test]
    async fn a_program_that_does_not_end_is_ended_with_what_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let told = folder.path().join("child");
        let words = words(folder.path(), "sleep 1000 & echo $! > new; mv new child; wait");
        let child = command(&words[0], &words[1..], "").spawn().unwrap();
        let begun = async {
            while !told.exists() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        attend(child, begun).await;
        let child = std::fs::read_to_string(&told).unwrap();
        let stat = std::path::Path::new("/proc").join(child.trim()).join("stat");
        // One that is dead and not yet reaped is none.
        let gone = async {
            while std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), gone).await.expect("what it started should be gone");
    }

    #[tokio::test]
    async fn little_is_kept_of_what_is_said() {
        let words = Arc::<Mutex<Vec<u8>>>::default();
        keep(&vec![b'x'; 10 * SAID_MAX][..], Arc::clone(&words)).await;
        keep(&b"more"[..], Arc::clone(&words)).await;
        assert_eq!(words.lock().len(), SAID_MAX);
    }

    #[tokio::test]
    async fn news_are_signed_and_posted_until_they_are_taken() {
        let (url, posted) = server(&["503 Busy", "200 OK"]).await;
        let config = AlertsConfig {
            slow: Duration::ZERO,
            low_inbound_sat: None,
            look_every: Duration::ZERO,
            webhook: Some(url),
            webhook_secret: Some(Secret::new("hunter2")),
            on_low_inbound: Vec::new(),
        };
        let (sender, alerts) = mpsc::channel(1);
        let watch = tokio::spawn(Watch::new(&config).unwrap().carry(alerts));
        let news = AlertNews { alert: Alert::NodeDown, raised: true, text: "gone".to_owned() };
        sender.send(news).await.unwrap();
        let posted = posted.await.unwrap();
        for request in &posted {
            let (head, body) = request.split_once("\r\n\r\n").unwrap();
            assert_eq!(body, r#"{"alert":"node_down","raised":true,"text":"gone"}"#);
            let shown = head.lines().find_map(|line| line.strip_prefix("octroi-signature: ")).unwrap();
            let at = shown.strip_prefix("t=").and_then(|rest| rest.split_once(',')).unwrap().0;
            assert_eq!(shown, signature(&Secret::new("hunter2"), at.parse().unwrap(), body));
            assert!(!head.contains("hunter2"));
        }
        drop(sender);
        watch.await.unwrap();
    }
}
