//! Calls of Core Lightning's methods, whichever way they go.

use std::path::{Path, PathBuf};
use std::time::Duration;

use octroi_l402::PaymentHash;
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::wire::{InvoiceRecord, Invoices};
use crate::NodeError;
use crate::rest::{Content, Rest, TIMEOUT, words};

/// Most bytes of an answer over the socket.
const REPLY_MAX: usize = 4 * 1024 * 1024;

pub(super) enum Transport {
    Rest(Rest),
    Socket(PathBuf),
}

/// Core Lightning's own refusal.
#[derive(Debug, Deserialize)]
pub(super) struct Failure {
    #[serde(default)]
    pub(super) code: i64,
    #[serde(default)]
    pub(super) message: String,
}

/// No answer, or one that says no.
#[derive(Debug)]
pub(super) enum CallError {
    Node(NodeError),
    Failure(Failure),
}

impl From<NodeError> for CallError {
    fn from(error: NodeError) -> Self {
        Self::Node(error)
    }
}

impl From<CallError> for NodeError {
    fn from(error: CallError) -> Self {
        /// Of runes (`commando`, clnrest): not authorised, not permitted.
        const RUNES: std::ops::RangeInclusive<i64> = 1501..=1502;
        match error {
            CallError::Node(error) => error,
            CallError::Failure(Failure { code, .. }) if RUNES.contains(&code) => {
                Self::Refused("the rune is wrong, or does not allow this".to_owned())
            }
            CallError::Failure(failure) => Self::Refused(words(failure.message.as_bytes())),
        }
    }
}

impl Transport {
    /// Where it leads.
    pub(super) fn place(&self) -> String {
        match self {
            Self::Rest(rest) => rest.base().to_string(),
            Self::Socket(path) => path.display().to_string(),
        }
    }

    /// One call.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        method: &str,
        params: &Value,
        timeout: Duration,
    ) -> Result<T, NodeError> {
        Ok(self.ask(method, params, timeout).await?)
    }

    /// The record of an invoice; `None` when there is none.
    pub(super) async fn invoice(&self, hash: &PaymentHash) -> Result<Option<InvoiceRecord>, NodeError> {
        let asked = json!({"payment_hash": hash.to_string()});
        let found: Invoices = self.call("listinvoices", &asked, TIMEOUT).await?;
        Ok(found.invoices.into_iter().next())
    }

    /// One call, whose refusal the caller understands.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        method: &str,
        params: &Value,
        timeout: Duration,
    ) -> Result<T, CallError> {
        let body = match self {
            Self::Rest(rest) => over_rest(rest, method, params, timeout).await?,
            Self::Socket(path) => {
                let asked = over_socket(path, method, params);
                tokio::time::timeout(timeout, asked).await.map_err(|_| NodeError::Timeout)??
            }
        };
        let parsed = serde_json::from_value(body);
        parsed.map_err(|error| NodeError::BadReply(format!("{method}: {error}")).into())
    }
}

/// clnrest answers 201 (or 200) with the result, anything else with the failure.
async fn over_rest(rest: &Rest, method: &str, params: &Value, timeout: Duration) -> Result<Value, CallError> {
    let reply = rest.send(Method::POST, &format!("v1/{method}"), Content::Json(params), timeout).await?;
    match reply.status {
        StatusCode::OK | StatusCode::CREATED => Ok(reply.parse()?),
        status => match reply.parse::<Failure>() {
            Ok(failure) if failure.code != 0 => Err(CallError::Failure(failure)),
            _ => Err(rest.refusal(status, &reply.body).into()),
        },
    }
}

/// One connection for each call: a JSON-RPC 2.0 request, and an answer that ends with an empty line.
async fn over_socket(path: &Path, method: &str, params: &Value) -> Result<Value, CallError> {
    let unreachable = |error: std::io::Error| NodeError::Unreachable(format!("the socket: {}", error.kind()));
    let mut stream = UnixStream::connect(path).await.map_err(unreachable)?;
    let request = json!({"jsonrpc": "2.0", "id": "octroi", "method": method, "params": params}).to_string();
    // Once it is written it may have happened.
    stream.write_all(request.as_bytes()).await.map_err(|_| NodeError::Timeout)?;
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\n\n") {
        let read = stream.read_buf(&mut bytes).await.map_err(|_| NodeError::Timeout)?;
        if read == 0 {
            return Err(NodeError::Timeout.into());
        }
        if bytes.len() > REPLY_MAX {
            return Err(NodeError::BadReply(format!("more than {REPLY_MAX} bytes")).into());
        }
    }
    answer(&bytes)
}

/// The result in an answer over the socket.
pub(super) fn answer(bytes: &[u8]) -> Result<Value, CallError> {
    #[derive(Deserialize)]
    struct Answer {
        id: Value,
        result: Option<Value>,
        error: Option<Failure>,
    }
    let answer: Answer =
        serde_json::from_slice(bytes).map_err(|error| NodeError::BadReply(error.to_string()))?;
    match answer {
        Answer { id, .. } if id != "octroi" => {
            Err(NodeError::BadReply("an answer to another question".to_owned()).into())
        }
        Answer { error: Some(failure), .. } => Err(CallError::Failure(failure)),
        Answer { result: Some(result), .. } => Ok(result),
        _ => Err(NodeError::BadReply("neither a result nor an error".to_owned()).into()),
    }
}
