//! What happens to the Lightning node's alerts: they are posted, and a program is started.

use std::process::Stdio;
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use octroi_gate::invoices::{Alert, AlertNews};
use serde_json::json;
use sha2::Sha256;
use tokio::process::Command;
use tokio::sync::mpsc;
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

    /// Without a shell, and without the gate's environment beyond the paths a program needs.
    fn start_program(&mut self, text: &str) {
        let Some((program, arguments)) = self.on_low_inbound.split_first() else { return };
        if self.started.is_some_and(|at| at.elapsed() < COMMAND_PAUSE) {
            return;
        }
        self.started = Some(Instant::now());
        let mut command = Command::new(program);
        command.args(arguments).env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        for name in ["PATH", "HOME", "USER", "LANG"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
            .env("OCTROI_ALERT", Alert::LowInbound.as_str())
            .env("OCTROI_ALERT_TEXT", text)
            .kill_on_drop(true);
        match command.spawn() {
            Ok(mut child) => {
                tokio::spawn(async move {
                    match tokio::time::timeout(COMMAND_WAIT, child.wait()).await {
                        Ok(Ok(status)) => {
                            tracing::info!(%status, "the program for more room to receive has ended")
                        }
                        Ok(Err(error)) => {
                            tracing::warn!(%error, "the program for more room to receive was lost")
                        }
                        Err(_) => {
                            tracing::warn!("the program for more room to receive took too long; it was ended")
                        }
                    }
                });
            }
            Err(error) => tracing::warn!(%error, "the program for more room to receive could not be started"),
        }
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
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
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
