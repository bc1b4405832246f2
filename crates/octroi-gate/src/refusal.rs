//! A refusal, and how it is said: over HTTP to callers that read statuses, in band to those that only see results.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use octroi_mcp::era::Era;
use octroi_mcp::json as raw_json;
use octroi_mcp::message::Id;
use octroi_mcp::reply;
use serde_json::{Map, Value, json};

use crate::reason::Reason;

/// `_meta` key of a tool result that carries a payment challenge in band.
pub const PAYMENT_REQUIRED_KEY: &str = "dev.octroi/payment-required";

/// `_meta` key of a tool result that says in band what is wrong with who calls.
pub const IDENTITY_REQUIRED_KEY: &str = "dev.octroi/identity-required";

/// `_meta` key of the challenges of a 401 or 403, as ChatGPT reads them: an array of `WWW-Authenticate` values.
pub const WWW_AUTHENTICATE_KEY: &str = "mcp/www_authenticate";

/// How a refusal reaches the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// HTTP status and a JSON-RPC error body.
    Http,
    /// HTTP 200 with a tool result that a model can read (`tools/call`), or a JSON-RPC error (everything else).
    InBand {
        /// Whether the call was `tools/call`, whose result has a place for errors.
        tool_result: bool,
    },
}

/// How each kind of refusal reaches one caller; all others are said over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forms {
    /// Refusals about money.
    pub payment: Form,
    /// Refusals about who calls.
    pub identity: Form,
}

impl Forms {
    /// Everything over HTTP.
    pub const HTTP: Self = Self { payment: Form::Http, identity: Form::Http };
}

/// Why a call was not forwarded, with everything the caller needs to do better.
#[derive(Debug)]
pub struct Refusal {
    /// The stable reason.
    pub reason: Reason,
    /// What the caller reads: says what is wrong and what to do, never a secret.
    pub message: String,
    /// More members of `error.data`, beside `reason`.
    pub data: Map<String, Value>,
    /// Status, where MCP fixes another one than the reason's.
    status: StatusCode,
    /// JSON-RPC code, where MCP fixes another one than the reason's.
    code: i64,
    challenges: Vec<HeaderValue>,
    nonce: Option<Box<HeaderValue>>,
    retry_after_seconds: Option<u64>,
}

impl Refusal {
    /// A refusal with the reason's own status and code.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            data: Map::new(),
            status: reason.status(),
            code: reason.json_rpc_code(),
            challenges: Vec::new(),
            nonce: None,
            retry_after_seconds: None,
        }
    }

    /// A message that MCP itself calls wrong, with the status and code that MCP fixes for it.
    pub fn malformed(status: StatusCode, code: i64, message: impl Into<String>) -> Self {
        Self { status, code, ..Self::new(Reason::MalformedRequest, message) }
    }

    /// Adds a member to `error.data`.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.data.insert(key.to_owned(), value.into());
        self
    }

    /// Adds the members of a raw JSON object to `error.data`.
    pub(crate) fn extend_data(&mut self, raw: Option<Vec<u8>>) {
        if let Some(Ok(Value::Object(more))) = raw.as_deref().map(serde_json::from_slice) {
            self.data.extend(more);
        }
    }

    /// Adds a `WWW-Authenticate` line. A value that no header can hold is left out.
    #[must_use]
    pub fn challenging(mut self, value: &str) -> Self {
        self.challenges.extend(HeaderValue::from_str(value));
        self
    }

    /// Sets `DPoP-Nonce` (RFC 9449 §9).
    #[must_use]
    pub fn with_nonce(mut self, nonce: Option<&str>) -> Self {
        self.nonce = nonce.and_then(|nonce| HeaderValue::from_str(nonce).ok()).map(Box::new);
        self
    }

    /// Sets `Retry-After`.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_seconds = Some(seconds);
        self
    }

    /// What [`Refusal::retry_after`] set.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.retry_after_seconds
    }

    /// The HTTP status this refusal has when it is said over HTTP.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The reply to the caller. `id` is the request's, where it could be read.
    pub fn into_response(self, id: Option<Id<'_>>, era: Era, forms: Forms) -> Response<Bytes> {
        let form = match self.reason {
            reason if reason.is_payment() => forms.payment,
            reason if reason.is_identity() => forms.identity,
            _ => Form::Http,
        };
        match form {
            Form::InBand { tool_result } => self.in_band(id, era, tool_result),
            Form::Http => self.over_http(id),
        }
    }

    fn over_http(self, id: Option<Id<'_>>) -> Response<Bytes> {
        let body = reply::error(id, self.code, &self.message, Some(self.data_bytes().as_slice()));
        let mut response = json_response(self.status, body);
        let headers = response.headers_mut();
        for challenge in self.challenges {
            headers.append(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(nonce) = self.nonce {
            headers.insert(HeaderName::from_static("dpop-nonce"), *nonce);
        }
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    /// No `WWW-Authenticate` here: some paying clients pay whatever challenge they see, also on a 200.
    fn in_band(self, id: Option<Id<'_>>, era: Era, tool_result: bool) -> Response<Bytes> {
        let data = self.data_bytes();
        let body = match id {
            Some(id) if tool_result => {
                let meta = self.in_band_meta(&data);
                reply::tool_error(id, &self.message, Some(&meta), era)
            }
            _ => reply::error(id, self.code, &self.message, Some(&data)),
        };
        json_response(StatusCode::OK, body)
    }

    /// `_meta` of a tool result: what went wrong and, where it is about who calls, the challenge that a 401 would carry.
    fn in_band_meta(&self, data: &[u8]) -> Vec<u8> {
        if self.reason.is_payment() {
            return wrap(PAYMENT_REQUIRED_KEY, data);
        }
        let meta = wrap(IDENTITY_REQUIRED_KEY, data);
        let challenges: Vec<&str> = self.challenges.iter().flat_map(HeaderValue::to_str).collect();
        if challenges.is_empty() {
            return meta;
        }
        raw_json::with_member(&meta, WWW_AUTHENTICATE_KEY, json!(challenges).to_string().as_bytes())
    }

    fn data_bytes(&self) -> Vec<u8> {
        let mut data = Map::new();
        data.insert("reason".to_owned(), json!(self.reason.code()));
        data.extend(self.data.clone());
        Value::Object(data).to_string().into_bytes()
    }
}

fn wrap(key: &str, raw_value: &[u8]) -> Vec<u8> {
    let mut out = format!("{{{}:", Value::from(key)).into_bytes();
    out.extend_from_slice(raw_value);
    out.push(b'}');
    out
}

fn json_response(status: StatusCode, body: Vec<u8>) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
