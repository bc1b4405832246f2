//! The page that solves a puzzle, in a real Chromium.

use std::process::Stdio;
use std::time::Duration;

use octroi_testkit::upstream::sample::Sample;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::harness::{Caller, Gate, soon};

/// What `cargo xtask test` says when no Chromium can be had.
const NONE: &str = "none";

/// A browser without a window, driven by WebDriver (W3C).
struct Browser {
    session: String,
    http: reqwest::Client,
    _driver: Child,
}

impl Browser {
    /// `None` where `cargo xtask test` could not install one, which it has said loudly.
    async fn open() -> Option<Self> {
        let path = std::env::var("OCTROI_TEST_CHROMEDRIVER").unwrap_or_else(|_| {
            panic!("OCTROI_TEST_CHROMEDRIVER is not set: run `cargo xtask test`");
        });
        if path == NONE {
            eprintln!("NOTE: no Chromium here: the page was NOT tried in a browser");
            return None;
        }
        let mut driver = Command::new(path);
        let mut driver = driver
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let mut port = None;
        soon(async {
            while port.is_none() {
                let line = lines.next_line().await.unwrap().expect("chromedriver ended");
                port = line
                    .split_once("successfully on port ")
                    .map(|(_, port)| port.trim_end_matches('.').to_owned());
            }
        })
        .await;
        let root = format!("http://127.0.0.1:{}", port.unwrap());
        let http = reqwest::Client::builder().timeout(Duration::from_secs(60)).build().unwrap();
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:loggingPrefs": {"browser": "ALL"},
            "goog:chromeOptions": {"args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]},
        }}});
        let opened: Value =
            http.post(format!("{root}/session")).json(&wanted).send().await.unwrap().json().await.unwrap();
        let id = opened["value"]["sessionId"].as_str().unwrap_or_else(|| panic!("{opened}"));
        Some(Self { session: format!("{root}/session/{id}"), http, _driver: driver })
    }

    async fn tell(&self, what: &str, body: Value) -> Value {
        let reply = self.http.post(format!("{}/{what}", self.session)).json(&body).send().await.unwrap();
        let answer: Value = reply.json().await.unwrap();
        assert!(answer["value"]["error"].is_null(), "{what}: {answer}");
        answer["value"].clone()
    }

    async fn script(&self, text: &str) -> Value {
        self.tell("execute/sync", json!({"script": text, "args": []})).await
    }

    /// Which directive of the page's policy stops this.
    async fn blocked(&self, script: &str) -> Value {
        let text = format!(
            "const done = arguments[0]; \
             document.addEventListener('securitypolicyviolation', (event) => done(event.effectiveDirective), {{once: true}}); \
             {script}"
        );
        self.tell("execute/async", json!({"script": text, "args": []})).await
    }

    async fn close(self) {
        let _ = self.http.delete(&self.session).send().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_solves_a_puzzle_in_a_browser() {
    let Some(browser) = Browser::open().await else { return };
    for kind in ["sha256", "sha256x16"] {
        let sample = Sample::start().await.unwrap();
        let config = format!(
            r#"
listen = "127.0.0.1:0"
[mcp_server]
upstream = "{}"
[mcp_server.auth.payment]
pow_enabled = true
pow_difficulty = 16
pow_kind = "{kind}"
pricing = {{ data_query = {{ sats = 1 }} }}
"#,
            sample.url()
        );
        let gate = Gate::serve(&config).await;
        browser.tell("url", json!({"url": gate.url.replace("/mcp", "/pow")})).await;
        assert_eq!(browser.script("return location.pathname").await, "/mcp/pow");
        browser.script("document.getElementById('solve').click()").await;
        let mut token = String::new();
        soon(async {
            while token.is_empty() {
                let seen = browser
                    .script("return [document.getElementById('token').value, document.getElementById('state').textContent]")
                    .await;
                let state = seen[1].as_str().unwrap_or_default();
                assert!(!state.starts_with("That did not work"), "{kind}: {state}");
                token = seen[0].as_str().unwrap_or_default().to_owned();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        gate.secrets.add(&token);
        Caller::of(&gate).call("data_query", json!({"query": "carts"})).paid(&token).send().await.worked();
        // Nothing was blocked by the page's own policy, and nothing else went wrong.
        let log = browser.tell("se/log", json!({"type": "browser"})).await;
        assert_eq!(log, json!([]), "{kind}");
        // And the policy holds: no script in the page, no other server.
        let inline = "const script = document.createElement('script'); script.textContent = '1'; document.head.append(script)";
        assert_eq!(browser.blocked(inline).await, "script-src-elem");
        assert_eq!(browser.blocked("fetch('http://127.0.0.1:9/').catch(() => {})").await, "connect-src");
        let _ = browser.tell("se/log", json!({"type": "browser"})).await;
    }
    browser.close().await;
}
