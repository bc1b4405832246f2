//! Asking a legacy client's owner: with a request of our own among the server's messages (MCP 2025-11-25 client/elicitation).

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use super::consent::{agrees, form};
use crate::{Approver, Question};

/// How long the owner may take to answer.
const OWNER_WAIT: Duration = Duration::from_secs(300);
/// What the ids of our own requests begin with.
const PREFIX: &str = "octroi-ask-";

/// Sees every message of one client, and puts requests of its own among those of the server.
pub struct Link {
    out: mpsc::Sender<Vec<u8>>,
    can_ask: AtomicBool,
    next: AtomicU64,
    waiting: Mutex<HashMap<String, oneshot::Sender<Value>>>,
}

impl Link {
    /// A link whose requests go to `out`, one message each, without a line end.
    #[must_use]
    pub fn new(out: mpsc::Sender<Vec<u8>>) -> Self {
        Self { out, can_ask: AtomicBool::new(false), next: AtomicU64::new(1), waiting: Mutex::default() }
    }

    /// Looks at a message of the client; whether it is the answer to a request of ours, and so not for the server.
    pub fn sees(&self, message: &[u8]) -> bool {
        let has = |text: &str| memchr::memmem::find(message, text.as_bytes()).is_some();
        if has("\"initialize\"")
            && let Ok(hello) = serde_json::from_slice::<Value>(message)
            && hello.get("method").and_then(Value::as_str) == Some("initialize")
        {
            let elicitation = hello.pointer("/params/capabilities/elicitation").and_then(Value::as_object);
            // `{}` means forms only.
            let can = elicitation.is_some_and(|can| can.is_empty() || can.contains_key("form"));
            self.can_ask.store(can, Ordering::Release);
        }
        if !has(PREFIX) {
            return false;
        }
        let Ok(mut answer) = serde_json::from_slice::<Value>(message) else { return false };
        if answer.get("method").is_some() {
            return false;
        }
        let waiting = answer.get("id").and_then(Value::as_str).and_then(|id| self.waiting.lock().remove(id));
        let Some(waiting) = waiting else { return false };
        // Who asked may have given up.
        let _ = waiting.send(answer.get_mut("result").map(Value::take).unwrap_or_default());
        true
    }

    pub(super) fn can_ask(&self) -> bool {
        self.can_ask.load(Ordering::Acquire)
    }
}

#[async_trait]
impl Approver for Link {
    async fn approve(&self, question: &Question) -> bool {
        if !self.can_ask() {
            return false;
        }
        let id = format!("{PREFIX}{}", self.next.fetch_add(1, Ordering::Relaxed));
        let (sender, answer) = oneshot::channel();
        self.waiting.lock().insert(id.clone(), sender);
        let request = json!({"jsonrpc": "2.0", "id": id, "method": "elicitation/create", "params": form(question, false)});
        let asked = self.out.send(request.to_string().into_bytes()).await.is_ok();
        let answer = match asked {
            true => tokio::time::timeout(OWNER_WAIT, answer).await.ok().and_then(Result::ok),
            false => None,
        };
        self.waiting.lock().remove(&id);
        answer.is_some_and(|answer| agrees(&answer))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use octroi_l402::Msat;

    use super::*;

    #[tokio::test]
    async fn the_owner_is_asked_among_the_servers_messages() {
        let (out, mut lines) = mpsc::channel(1);
        let link = Arc::new(Link::new(out));
        let hello =
            |can: &str| format!(r#"{{"id":1,"method":"initialize","params":{{"capabilities":{can}}}}}"#);
        for (can, expected) in
            [("{}", false), (r#"{"elicitation":{"url":{}}}"#, false), (r#"{"elicitation":{}}"#, true)]
        {
            assert!(!link.sees(hello(can).as_bytes()));
            assert_eq!(link.can_ask(), expected, "{can}");
        }
        for (result, expected) in [
            (r#""result":{"action":"accept","content":{"pay":true}}"#, true),
            (r#""result":{"action":"accept","content":{}}"#, false),
            (r#""result":{"action":"cancel"}"#, false),
            (r#""error":{"code":-1,"message":"no"}"#, false),
        ] {
            let asking = Arc::clone(&link);
            let question = Question {
                server: "http://s".to_owned(),
                tool: "dear".to_owned(),
                amount: Msat::new(5_000),
                calls: 1,
                description: "x".to_owned(),
            };
            let answer = tokio::spawn(async move { asking.approve(&question).await });
            let asked: Value = serde_json::from_slice(&lines.recv().await.unwrap()).unwrap();
            assert_eq!(asked["method"], "elicitation/create");
            let id = asked["id"].as_str().unwrap();
            assert!(!link.sees(format!(r#"{{"jsonrpc":"2.0","id":"{PREFIX}77",{result}}}"#).as_bytes()));
            assert!(link.sees(format!(r#"{{"jsonrpc":"2.0","id":"{id}",{result}}}"#).as_bytes()));
            assert_eq!(answer.await.unwrap(), expected, "{result}");
        }
    }
}
