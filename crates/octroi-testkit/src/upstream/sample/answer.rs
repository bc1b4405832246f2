//! From a request to its answer, in either era, whatever the transport.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::AbortHandle;

use super::catalog;
use super::state::{RunningKey, State};
use super::tools;
use super::wire::{Call, Era, LEGACY, Refusal, success};

/// Messages a request may have waiting for its transport.
const QUEUE: usize = 64;

/// A request under way. Its messages come in order, the response last; none comes after it was stopped.
pub(super) struct Exchange {
    pub(super) messages: Receiver<Outgoing>,
    task: AbortHandle,
    stops_with_caller: bool,
}

/// A message to the client, with the HTTP status it would have as the only one.
pub(super) struct Outgoing {
    pub(super) message: Value,
    pub(super) status: u16,
    pub(super) last: bool,
}

impl Drop for Exchange {
    /// MCP 2026-07-28 basic/transports: disconnect is cancellation; in the revisions before, it is not.
    fn drop(&mut self) {
        if self.stops_with_caller {
            self.task.abort();
        }
    }
}

/// Counts a request as finished or, when its task was stopped before, as cancelled.
struct Running {
    state: Arc<State>,
    key: RunningKey,
    finished: bool,
}

impl Running {
    fn finish(mut self) {
        self.finished = true;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.state.ended(&self.key);
        self.state.count(|tally| if self.finished { tally.finished += 1 } else { tally.cancelled += 1 });
    }
}

/// Starts answering.
pub(super) fn start(state: &Arc<State>, call: Call) -> Exchange {
    let (out, messages) = mpsc::channel(QUEUE);
    let key = call.running_key();
    let stops_with_caller = call.era == Era::Modern;
    let running = Running { state: Arc::clone(state), key: key.clone(), finished: false };
    let (begin, begun) = tokio::sync::oneshot::channel::<()>();
    let task = tokio::spawn(async move {
        // Registered first, so that a cancellation finds it and a quick end does not leave it registered.
        let _ = begun.await;
        respond(&running.state, &call, &out).await;
        running.finish();
    })
    .abort_handle();
    state.running(key, task.clone());
    let _ = begin.send(());
    Exchange { messages, task, stops_with_caller }
}

async fn respond(state: &State, call: &Call, out: &Sender<Outgoing>) {
    let (notices, mut noticed) = mpsc::channel(1);
    let forward = async {
        while let Some(message) = noticed.recv().await {
            let _ = out.send(Outgoing { message, status: 200, last: false }).await;
        }
    };
    let work = async {
        let result = answer(state, call, &notices).await;
        drop(notices);
        result
    };
    let (result, ()) = tokio::join!(work, forward);
    let (message, status) = match result {
        Ok(result) => (success(&call.id, result), 200),
        Err(refusal) => (refusal.response(&call.id), refusal.status),
    };
    let _ = out.send(Outgoing { message, status, last: true }).await;
}

async fn answer(state: &State, call: &Call, notices: &Sender<Value>) -> Result<Value, Refusal> {
    match call.era {
        Era::Legacy => legacy(state, call, notices).await,
        Era::Modern => modern(state, call, notices).await,
    }
}

async fn legacy(state: &State, call: &Call, notices: &Sender<Value>) -> Result<Value, Refusal> {
    match call.method.as_str() {
        "initialize" => Ok(initialize(call)),
        "ping" => Ok(json!({})),
        _ => match shared(state, call, notices).await {
            Some(answered) => answered,
            None => Err(Refusal::new(-32601, format!("no method {}", call.method))),
        },
    }
}

/// Version negotiation: the client's when it is served, else the newest (MCP 2025-11-25 basic/lifecycle).
fn initialize(call: &Call) -> Value {
    let asked = call.text("protocolVersion");
    let version = LEGACY.into_iter().find(|known| *known == asked).unwrap_or(LEGACY[0]);
    json!({
        "protocolVersion": version,
        "capabilities": catalog::capabilities(),
        "serverInfo": catalog::server_info(),
    })
}

async fn modern(state: &State, call: &Call, notices: &Sender<Value>) -> Result<Value, Refusal> {
    let cached = matches!(
        call.method.as_str(),
        "server/discover"
            | "tools/list"
            | "prompts/list"
            | "resources/list"
            | "resources/templates/list"
            | "resources/read"
    );
    let result = match call.method.as_str() {
        "server/discover" => catalog::discover(),
        "subscriptions/listen" => listen(state, call, notices).await,
        _ => match shared(state, call, notices).await {
            Some(answered) => answered?,
            None => return Err(Refusal::new(-32601, format!("no method {}", call.method)).status(404)),
        },
    };
    Ok(catalog::complete_result(result, cached))
}

/// What both eras have; `None` when it is not among it.
async fn shared(state: &State, call: &Call, notices: &Sender<Value>) -> Option<Result<Value, Refusal>> {
    Some(match call.method.as_str() {
        "tools/list" => Ok(catalog::tools()),
        "tools/call" => tools::call(state, call, notices).await,
        "resources/list" => Ok(catalog::resources()),
        "resources/templates/list" => Ok(json!({"resourceTemplates": []})),
        "resources/read" => catalog::read_resource(call),
        "prompts/list" => Ok(catalog::prompts()),
        "prompts/get" => catalog::get_prompt(call),
        "completion/complete" => Ok(catalog::complete(call)),
        _ => return None,
    })
}

/// `subscriptions/listen`: acknowledges, then tells changes until told to end (MCP 2026-07-28 patterns/subscriptions).
async fn listen(state: &State, call: &Call, notices: &Sender<Value>) -> Value {
    let mut reader = state.changes.reader();
    let filter = call.params.get("notifications");
    let wanted = |key: &str| filter.and_then(|filter| filter.get(key)).and_then(Value::as_bool) == Some(true);
    let honoured: serde_json::Map<String, Value> =
        ["toolsListChanged", "promptsListChanged", "resourcesListChanged"]
            .into_iter()
            .filter(|key| wanted(key))
            .map(|key| (key.to_owned(), json!(true)))
            .collect();
    let meta = json!({"io.modelcontextprotocol/subscriptionId": call.id});
    let acknowledged = json!({
        "jsonrpc": "2.0",
        "method": "notifications/subscriptions/acknowledged",
        "params": {"_meta": meta, "notifications": honoured},
    });
    let _ = notices.send(acknowledged).await;
    state.count(|tally| tally.subscriptions += 1);
    while let Some(change) = reader.next().await {
        if wanted(change.filter_key()) {
            let _ = notices.send(change.for_subscription(&call.id)).await;
        }
    }
    json!({"_meta": meta})
}
