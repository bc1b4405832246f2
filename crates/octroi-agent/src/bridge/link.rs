//! Asking a legacy client's owner: with a request of our own among the server's messages (MCP 2025-11-25 client/elicitation).

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::rand;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use super::consent::{agrees, form};
use crate::{Approver, Question};

/// How long the owner may take to answer.
const OWNER_WAIT: Duration = Duration::from_secs(300);
/// What the ids of our own requests begin with. What follows cannot be guessed: a server that asked something harmless under the
/// same id would get the answer counted for ours.
const PREFIX: &str = "octroi-ask-";

/// Sees every message of one client, and puts requests of its own among those of the server.
pub struct Link {
    out: mpsc::Sender<Vec<u8>>,
    can_ask: AtomicBool,
    waiting: Mutex<HashMap<String, oneshot::Sender<Value>>>,
}

impl Link {
    /// A link whose requests go to `out`, one message each, without a line end.
    #[must_use]
    pub fn new(out: mpsc::Sender<Vec<u8>>) -> Self {
        Self { out, can_ask: AtomicBool::new(false), waiting: Mutex::default() }
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
        let mut id = [0; 16];
        if rand::fill(&mut id).is_err() {
            return false;
        }
        let mut asked = Asked { link: self, id: format!("{PREFIX}{}", hex::encode(id)), open: true };
        let (sender, answer) = oneshot::channel();
        self.waiting.lock().insert(asked.id.clone(), sender);
        let request = json!({"jsonrpc": "2.0", "id": asked.id, "method": "elicitation/create", "params": form(question, false)});
        if self.out.send(request.to_string().into_bytes()).await.is_err() {
            return false;
        }
        let Ok(answer) = tokio::time::timeout(OWNER_WAIT, answer).await else { return false };
        asked.open = false;
        answer.is_ok_and(|answer| agrees(&answer))
    }
}

/// A question that the client was sent. Where nobody waits for its answer any more it is taken back.
struct Asked<'a> {
    link: &'a Link,
    id: String,
    /// It has no answer.
    open: bool,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.link.waiting.lock().remove(&self.id);
        if self.open {
            let params = json!({"requestId": self.id, "reason": "the call was given up"});
            let cancelled = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params});
            // A client that reads nothing need not be told.
            let _ = self.link.out.try_send(cancelled.to_string().into_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use octroi_l402::Msat;

    use super::*;

    fn question() -> Question {
        Question {
            server: "http://s".to_owned(),
            tool: "dear".to_owned(),
            amount: Msat::new(5_000),
            calls: 1,
            description: "x".to_owned(),
        }
    }

    const HELLO: &[u8] = br#"{"id":1,"method":"initialize","params":{"capabilities":{"elicitation":{}}}}"#;

    #[tokio::test]
    async fn a_question_that_nobody_waits_for_is_taken_back() {
        let (out, mut lines) = mpsc::channel(1);
        let link = Arc::new(Link::new(out));
        link.sees(HELLO);
        let mut ids = Vec::new();
        for _ in 0..2 {
            let asking = Arc::clone(&link);
            let call = tokio::spawn(async move { asking.approve(&question()).await });
            let asked: Value = serde_json::from_slice(&lines.recv().await.unwrap()).unwrap();
            call.abort();
            let taken_back: Value = serde_json::from_slice(&lines.recv().await.unwrap()).unwrap();
            assert_eq!(
                (&taken_back["method"], &taken_back["params"]["requestId"]),
                (&json!("notifications/cancelled"), &asked["id"])
            );
            assert!(link.waiting.lock().is_empty());
            let late = json!({"id": asked["id"], "result": {"action": "accept", "content": {"pay": true}}});
            assert!(!link.sees(late.to_string().as_bytes()));
            ids.push(asked["id"].as_str().unwrap().to_owned());
        }
        // Thirty-two digits that no server guesses.
        assert!(ids[0] != ids[1] && ids.iter().all(|id| id.len() == PREFIX.len() + 32), "{ids:?}");
    }

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
            let answer = tokio::spawn(async move { asking.approve(&question()).await });
            let asked: Value = serde_json::from_slice(&lines.recv().await.unwrap()).unwrap();
            assert_eq!(asked["method"], "elicitation/create");
            let id = asked["id"].as_str().unwrap();
            assert!(!link.sees(format!(r#"{{"jsonrpc":"2.0","id":"{PREFIX}77",{result}}}"#).as_bytes()));
            assert!(link.sees(format!(r#"{{"jsonrpc":"2.0","id":"{id}",{result}}}"#).as_bytes()));
            assert_eq!(answer.await.unwrap(), expected, "{result}");
        }
    }
}
