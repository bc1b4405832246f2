//! One request and its answer, as they went over the wire.

use std::time::Duration;

use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use crate::Secret;

/// What is shown as payment.
#[derive(Clone, Debug, Default)]
pub enum Proof {
    /// Nothing.
    #[default]
    None,
    /// `L402 <macaroon>:<preimage>`: sent in `Authorization`, or, beside an access token, in `Payment-Authorization`.
    Payment(Secret),
    /// The value of `X-PoW-Solution`.
    Work(String),
}

/// A request with exactly the credentials it names.
#[derive(Clone, Debug)]
pub struct Request {
    /// The JSON-RPC method.
    pub method: String,
    /// Its parameters, an object. What the protocol asks for in `_meta` is added.
    pub params: Value,
    /// The access token; `None` sends none, whatever the agent has.
    pub token: Option<Secret>,
    /// What is shown as payment.
    pub proof: Proof,
    /// How many calls a challenge should be for (`Octroi-Calls`); 1 leaves the header out.
    pub calls: u32,
}

impl Request {
    /// A request without credentials.
    #[must_use]
    pub fn new(method: impl Into<String>, params: Value) -> Self {
        Self { method: method.into(), params, token: None, proof: Proof::None, calls: 1 }
    }

    /// A `tools/call` without credentials.
    #[must_use]
    pub fn call(tool: &str, arguments: &Value) -> Self {
        Self::new("tools/call", json!({"name": tool, "arguments": arguments}))
    }

    /// With an access token.
    #[must_use]
    pub fn with_token(mut self, token: Option<Secret>) -> Self {
        self.token = token;
        self
    }

    /// With a proof of payment or of work.
    #[must_use]
    pub fn with_proof(mut self, proof: Proof) -> Self {
        self.proof = proof;
        self
    }

    /// Asking for so many calls at once.
    #[must_use]
    pub fn buying(mut self, calls: u32) -> Self {
        self.calls = calls;
        self
    }
}

/// A request and its answer.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The headers that were sent, credentials cut short: for showing.
    pub request_headers: Vec<(String, String)>,
    /// The message that was sent.
    pub request_body: Value,
    /// The HTTP status.
    pub status: u16,
    /// The answer's headers.
    pub headers: HeaderMap,
    /// The answer's body; of an event stream, the last event's data.
    pub body: Vec<u8>,
    /// The JSON-RPC reply to the request, where there is one.
    pub reply: Option<Value>,
    /// What came before the reply in an event stream: progress and log messages.
    pub notifications: Vec<Value>,
    /// From the first byte sent to the last byte read.
    pub elapsed: Duration,
}

impl Exchange {
    /// A header of the answer, where it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// `result` of the reply.
    #[must_use]
    pub fn result(&self) -> Option<&Value> {
        self.reply.as_ref()?.get("result")
    }

    /// `error` of the reply.
    #[must_use]
    pub fn error(&self) -> Option<&Value> {
        self.reply.as_ref()?.get("error")
    }

    /// What the call cost: msat, or calls where it was paid with work.
    #[must_use]
    pub fn price(&self) -> Option<i64> {
        self.header("octroi-price")?.parse().ok()
    }

    /// What is left on the account that paid, in the same unit.
    #[must_use]
    pub fn balance(&self) -> Option<i64> {
        self.header("octroi-balance")?.parse().ok()
    }

    /// Every `WWW-Authenticate` line, one below the other.
    pub(crate) fn challenges(&self) -> String {
        let lines = self.headers.get_all(reqwest::header::WWW_AUTHENTICATE).iter();
        lines.filter_map(|line| line.to_str().ok()).collect::<Vec<_>>().join("\n")
    }
}
