//! Asking a modern client's owner: with an `input_required` result, and the same call again with the answer (MCP 2026-07-28
//! patterns/mrtr).

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use aws_lc_rs::{digest, rand};
use bytes::Bytes;
use http::Response;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use super::json_reply;
use crate::layer::PaidBody;
use crate::{Approver, Question};

/// How long a question stays open.
const OPEN_FOR: Duration = Duration::from_secs(900);
/// Most questions open at once; the oldest is given up.
const OPEN_MAX: usize = 64;
/// The key under which the answer comes back.
const KEY: &str = "dev.octroi/pay";
/// What our own `requestState` begins with.
const PREFIX: &str = "octroi-pay-";
/// `_meta` key of what the client can do.
const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

/// The questions that are open.
#[derive(Default)]
pub(crate) struct Consent {
    open: Mutex<HashMap<String, Open>>,
}

/// A question that was asked.
struct Open {
    since: Instant,
    /// Of the method and everything that is asked for.
    about: Vec<u8>,
    amount_msat: i64,
    /// What the call itself carried, to be put back.
    state: Option<Value>,
    responses: Option<Value>,
}

/// Allows what was granted; what was not is remembered, to be asked.
pub(crate) struct Deferred {
    granted_msat: AtomicI64,
    asked: Mutex<Option<Question>>,
}

impl Deferred {
    pub(crate) fn new(granted_msat: i64) -> Self {
        Self { granted_msat: AtomicI64::new(granted_msat), asked: Mutex::new(None) }
    }

    pub(crate) fn question(&self) -> Option<Question> {
        self.asked.lock().take()
    }
}

#[async_trait]
impl Approver for Deferred {
    async fn approve(&self, question: &Question) -> bool {
        // A grant is for one payment.
        if self.granted_msat.swap(0, Ordering::AcqRel) >= question.amount.as_i64() {
            return true;
        }
        *self.asked.lock() = Some(question.clone());
        false
    }
}

impl Consent {
    /// The message without our own question's answer, and how many msat that answer grants for it.
    pub(crate) fn take_answer(&self, body: Bytes) -> (Bytes, i64) {
        if memchr::memmem::find(&body, PREFIX.as_bytes()).is_none() {
            return (body, 0);
        }
        self.answered(&body).unwrap_or((body, 0))
    }

    fn answered(&self, body: &Bytes) -> Option<(Bytes, i64)> {
        let mut message: Value = serde_json::from_slice(body).ok()?;
        let state = message.pointer("/params/requestState")?.as_str()?.strip_prefix(PREFIX)?.to_owned();
        let about = about(&message)?;
        let open = self.open.lock().remove(&state)?;
        let params = message.get_mut("params")?.as_object_mut()?;
        let answer = params.remove("inputResponses").unwrap_or_default();
        params.remove("requestState");
        params.extend(open.state.map(|state| ("requestState".to_owned(), state)));
        params.extend(open.responses.map(|responses| ("inputResponses".to_owned(), responses)));
        let answer = answer.get(KEY).cloned().unwrap_or_default();
        let same = open.about == about && open.since.elapsed() < OPEN_FOR;
        let granted = if same && agrees(&answer) { open.amount_msat } else { 0 };
        Some((Bytes::from(message.to_string()), granted))
    }

    /// Whether a `requestState` is that of a question of ours without an answer. Nobody but the client that was asked knows it.
    pub(crate) fn is_open(&self, state: &str) -> bool {
        state.strip_prefix(PREFIX).is_some_and(|id| self.open.lock().contains_key(id))
    }

    /// The reply that asks, if the client can be asked.
    pub(crate) fn ask<R>(&self, body: &Bytes, question: &Question) -> Option<Response<PaidBody<R>>> {
        let message: Value = serde_json::from_slice(body).ok()?;
        let params = message.get("params")?;
        let can = params.get("_meta")?.get(CAPABILITIES)?.get("elicitation")?.as_object()?;
        // `{}` means forms only (MCP 2025-11-25 client/elicitation).
        if !can.is_empty() && !can.contains_key("form") {
            return None;
        }
        let mut id = [0; 16];
        rand::fill(&mut id).ok()?;
        let id = hex::encode(id);
        let open = Open {
            since: Instant::now(),
            about: about(&message)?,
            amount_msat: question.amount.as_i64(),
            state: params.get("requestState").cloned(),
            responses: params.get("inputResponses").cloned(),
        };
        self.put(id.clone(), open);
        let asked = json!({"method": "elicitation/create", "params": form(question, true)});
        Some(json_reply(&json!({
            "jsonrpc": "2.0",
            "id": message.get("id"),
            "result": {
                "resultType": "input_required",
                "inputRequests": {KEY: asked},
                "requestState": format!("{PREFIX}{id}"),
            },
        })))
    }

    fn put(&self, id: String, question: Open) {
        let mut open = self.open.lock();
        open.retain(|_, open| open.since.elapsed() < OPEN_FOR);
        if open.len() >= OPEN_MAX {
            let oldest = open.iter().min_by_key(|(_, open)| open.since).map(|(id, _)| id.clone());
            oldest.map(|id| open.remove(&id));
        }
        open.insert(id, question);
    }
}

/// A form with one question. What it begins with no question of a server's does: there, who asks comes first.
pub(super) fn form(question: &Question, modern: bool) -> Value {
    let mut form = json!({
        "message": format!("Octroi: {question}?"),
        "requestedSchema": {
            "type": "object",
            "properties": {"pay": {"type": "boolean", "title": "Pay", "description": "Whether to pay this."}},
            "required": ["pay"],
        },
    });
    if modern {
        form["mode"] = json!("form");
    }
    form
}

/// Whether an answered form says yes.
pub(super) fn agrees(answer: &Value) -> bool {
    answer.get("action").and_then(Value::as_str) == Some("accept")
        && answer.pointer("/content/pay") == Some(&Value::Bool(true))
}

/// A digest of what is asked for, whatever was answered meanwhile.
fn about(message: &Value) -> Option<Vec<u8>> {
    let params = message.get("params")?.as_object()?;
    let skipped = ["_meta", "inputResponses", "requestState"];
    let asked: Map<String, Value> = params
        .iter()
        .filter(|(name, _)| !skipped.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let text = json!([message.get("method"), asked]).to_string();
    Some(digest::digest(&digest::SHA256, text.as_bytes()).as_ref().to_vec())
}

#[cfg(test)]
mod tests {
    use octroi_l402::Msat;

    use super::*;

    fn call(arguments: &Value, more: Value) -> Bytes {
        let mut params =
            json!({"name": "dear", "arguments": arguments, "_meta": {CAPABILITIES: {"elicitation": {}}}});
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Bytes::from(json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).to_string())
    }

    fn question() -> Question {
        let (server, tool) = ("http://s".to_owned(), "dear".to_owned());
        Question { server, tool, amount: Msat::new(5_000), calls: 1, description: String::new() }
    }

    async fn state(consent: &Consent, body: &Bytes) -> String {
        use http_body_util::BodyExt as _;
        let reply: Response<PaidBody<http_body_util::Full<Bytes>>> = consent.ask(body, &question()).unwrap();
        let reply = reply.into_body().collect().await.unwrap().to_bytes();
        let reply: Value = serde_json::from_slice(&reply).unwrap();
        assert_eq!(
            reply["result"]["inputRequests"][KEY]["params"]["message"],
            "Octroi: Pay 5 sats to http://s for 1 call(s) of dear?"
        );
        reply["result"]["requestState"].as_str().unwrap().to_owned()
    }

    #[tokio::test]
    async fn a_yes_is_for_one_payment_of_this_very_call() {
        let consent = Consent::default();
        let yes = json!({KEY: {"action": "accept", "content": {"pay": true}}});
        let earlier = json!({"requestState": "the server's own", "inputResponses": {"x": {}}});
        let asked = call(&json!({"a": 1}), earlier.clone());
        let once = state(&consent, &asked).await;
        assert!(consent.is_open(&once) && !consent.is_open("octroi-pay-"));
        let again = call(&json!({"a": 1}), json!({"requestState": &once, "inputResponses": yes}));
        let (body, granted) = consent.take_answer(again.clone());
        assert_eq!(granted, 5_000);
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            (&body["params"]["requestState"], &body["params"]["inputResponses"]),
            (&earlier["requestState"], &earlier["inputResponses"])
        );
        assert_eq!(consent.take_answer(again).1, 0, "answered already");
        assert!(!consent.is_open(&once));
        for (arguments, answer) in [
            (json!({"a": 2}), yes.clone()),
            (json!({"a": 1}), json!({KEY: {"action": "decline"}})),
            (json!({"a": 1}), json!({KEY: {"action": "accept", "content": {"pay": false}}})),
            (json!({"a": 1}), json!({})),
        ] {
            let state = state(&consent, &asked).await;
            let other = call(&arguments, json!({"requestState": state, "inputResponses": answer}));
            assert_eq!(consent.take_answer(other).1, 0);
        }
        let deferred = Deferred::new(5_000);
        assert!(deferred.approve(&question()).await && !deferred.approve(&question()).await);
        assert_eq!(deferred.question(), Some(question()));
    }
}
