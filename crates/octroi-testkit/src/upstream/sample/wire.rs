//! One JSON-RPC request as the sample server sees it, and what it may answer.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::state::{Received, RunningKey};

/// Key of the protocol version in a modern request's `_meta`.
pub(super) const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// The stateless revision served.
pub(super) const MODERN: &str = "2026-07-28";
/// The session revisions served, newest first.
pub(super) const LEGACY: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

/// Which of the protocol's two ways of speaking a request uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Era {
    Legacy,
    Modern,
}

/// A request that awaits an answer.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) era: Era,
    pub(super) id: Value,
    pub(super) method: String,
    pub(super) params: Map<String, Value>,
    pub(super) session: Option<String>,
    pub(super) received: Received,
}

impl Call {
    /// A string parameter, empty when absent.
    pub(super) fn text(&self, name: &str) -> &str {
        self.params.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// An argument of the tool called.
    pub(super) fn argument(&self, name: &str) -> Option<&Value> {
        self.params.get("arguments")?.get(name)
    }

    pub(super) fn progress_token(&self) -> Option<&Value> {
        self.params.get("_meta")?.get("progressToken")
    }

    pub(super) fn running_key(&self) -> RunningKey {
        (self.session.clone(), self.id.to_string())
    }
}

/// A body that is one JSON-RPC message.
#[derive(Debug)]
pub(super) enum Message {
    /// Has a method and an id.
    Request { id: Value, method: String, params: Map<String, Value> },
    /// Has a method and no id.
    Notification { method: String, params: Map<String, Value> },
    /// Has an id and no method: the client answers the server.
    Response,
}

impl Message {
    /// Reads one message; batches are refused, as every revision served but one refuses them.
    pub(super) fn read(body: &Bytes) -> Result<Self, Refusal> {
        let parsed: Value = serde_json::from_slice(body)
            .map_err(|_| Refusal::new(-32700, "the body is not JSON").status(400))?;
        let Value::Object(mut fields) = parsed else {
            return Err(Refusal::new(-32600, "the body is not one JSON-RPC message").status(400));
        };
        let id = fields.remove("id");
        let method = match fields.remove("method") {
            Some(Value::String(method)) => method,
            None if id.is_some() => return Ok(Self::Response),
            _ => return Err(Refusal::new(-32600, "no method").status(400)),
        };
        let params = match fields.remove("params") {
            Some(Value::Object(params)) => params,
            None => Map::new(),
            Some(_) => return Err(Refusal::new(-32602, "params must be an object")),
        };
        Ok(match id {
            Some(id @ (Value::String(_) | Value::Number(_))) => Self::Request { id, method, params },
            Some(_) => return Err(Refusal::new(-32600, "the id must be a string or a number").status(400)),
            None => Self::Notification { method, params },
        })
    }
}

/// A JSON-RPC error and the HTTP status it travels under.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    code: i64,
    message: String,
    data: Option<Value>,
}

impl Refusal {
    pub(super) fn new(code: i64, message: impl Into<String>) -> Self {
        Self { status: 200, code, message: message.into(), data: None }
    }

    pub(super) fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    pub(super) fn data(mut self, data: Value) -> Self {
        self.data = Some(data);
        self
    }

    /// The error response to the request `id` (null when it could not be read).
    pub(super) fn response(&self, id: &Value) -> Value {
        let mut error = json!({"code": self.code, "message": self.message});
        if let Some(data) = &self.data {
            error["data"] = data.clone();
        }
        json!({"jsonrpc": "2.0", "id": id, "error": error})
    }
}

/// The success response to the request `id`.
pub(super) fn success(id: &Value, result: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "result": result})
}
