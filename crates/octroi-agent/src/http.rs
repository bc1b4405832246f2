//! Requests over HTTP: no redirects to other hosts, bounded bodies and waits.

use std::time::{Duration, Instant};

use octroi_mcp::sse::Parser;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Response, redirect};
use serde_json::Value;
use url::Url;

use crate::{AgentError, Exchange, Secret};

/// Most bytes of an answer that are read, whether in one piece or as a stream of events.
pub(crate) const REPLY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How long a connection may take to be made.
pub(crate) const CONNECT_WAIT: Duration = Duration::from_secs(10);
/// How long the server may be silent.
const SILENCE_WAIT: Duration = Duration::from_secs(120);
/// How long a whole answer may take.
const ANSWER_WAIT: Duration = Duration::from_secs(600);
/// How long a refusal may take to be read, once it has begun, and what is asked beside a call to be answered: neither has to be
/// worked for.
pub(crate) const REFUSAL_WAIT: Duration = Duration::from_secs(30);
/// The same for a document, a token or a credential.
const DOCUMENT_WAIT: Duration = Duration::from_secs(30);
/// How often one request may be sent on, within the host it was meant for.
const REDIRECTS_MAX: usize = 3;
/// How much of a credential is shown.
const SHOWN: usize = 16;

pub(crate) struct Http {
    client: Client,
}

/// A message to be posted.
pub(crate) struct Message {
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Value,
}

impl Http {
    pub(crate) fn new() -> Result<Self, AgentError> {
        let client = Client::builder()
            .connect_timeout(CONNECT_WAIT)
            .read_timeout(SILENCE_WAIT)
            .timeout(ANSWER_WAIT)
            .redirect(redirect::Policy::custom(stay_at_home))
            .build()
            .map_err(|error| AgentError::Config(format!("TLS: {error}")))?;
        Ok(Self { client })
    }

    /// Posts a JSON-RPC message and reads until the reply to its `id`.
    pub(crate) async fn post(&self, endpoint: &Url, message: Message) -> Result<Exchange, AgentError> {
        let started = Instant::now();
        let id = message.body.get("id").cloned();
        let mut request = self
            .client
            .post(endpoint.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json, text/event-stream")
            .body(message.body.to_string());
        let mut shown = Vec::with_capacity(message.headers.len());
        for (name, value) in message.headers {
            shown.push((name.to_string(), show(&name, &value)));
            request = request.header(name, value);
        }
        let response = request.send().await.map_err(failed)?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        if response.status().is_redirection() {
            return Err(AgentError::Redirected { to: destination(&headers) });
        }
        let answer = if status == 200 && is_event_stream(&headers) {
            read_events(response, id.as_ref()).await?
        } else {
            let reading = read_whole(response, REPLY_BYTES_MAX);
            let body = match status {
                200..300 => reading.await?,
                _ => tokio::time::timeout(REFUSAL_WAIT, reading).await.map_err(|_| AgentError::Timeout)??,
            };
            let reply = serde_json::from_slice(&body).ok().filter(|reply| answers(reply, id.as_ref()));
            Answer { body, reply, notifications: Vec::new() }
        };
        Ok(Exchange {
            request_headers: shown,
            request_body: message.body,
            status,
            headers,
            body: answer.body,
            reply: answer.reply,
            notifications: answer.notifications,
            elapsed: started.elapsed(),
        })
    }

    /// Posts a form (RFC 6749 §4), with HTTP Basic credentials where there are some; status and body of the answer.
    pub(crate) async fn post_form(
        &self,
        url: &Url,
        form: &[(&str, &str)],
        basic: Option<(&str, &str)>,
        bytes_max: usize,
    ) -> Result<(u16, Vec<u8>), AgentError> {
        let request = self.client.post(url.clone()).timeout(DOCUMENT_WAIT);
        let mut request = request.header(ACCEPT, "application/json").form(form);
        if let Some((id, secret)) = basic {
            request = request.basic_auth(id, Some(secret));
        }
        let response = request.send().await.map_err(failed)?;
        let status = response.status().as_u16();
        Ok((status, read_whole(response, bytes_max).await?))
    }

    /// Posts a JSON document, as whom `token` says; status and body of the answer.
    pub(crate) async fn post_json(
        &self,
        url: &Url,
        token: Option<&Secret>,
        document: &Value,
        bytes_max: usize,
    ) -> Result<(u16, Vec<u8>), AgentError> {
        let request = self.client.post(url.clone()).timeout(DOCUMENT_WAIT);
        let mut request = request.header(ACCEPT, "application/json").json(document);
        if let Some(token) = token {
            request = request.bearer_auth(token.reveal());
        }
        let response = request.send().await.map_err(failed)?;
        let status = response.status().as_u16();
        Ok((status, read_whole(response, bytes_max).await?))
    }

    /// Status and body of a document.
    pub(crate) async fn get(&self, url: &Url, bytes_max: usize) -> Result<(u16, Vec<u8>), AgentError> {
        let request = self.client.get(url.clone()).timeout(DOCUMENT_WAIT);
        let response = request.send().await.map_err(failed)?;
        let status = response.status().as_u16();
        Ok((status, read_whole(response, bytes_max).await?))
    }
}

struct Answer {
    body: Vec<u8>,
    reply: Option<Value>,
    notifications: Vec<Value>,
}

/// A credential is for the host it was given to, and a message is posted: only a redirect that keeps both is followed
/// (RFC 9110 §15.4.8, §15.4.9).
pub(crate) fn stay_at_home(attempt: redirect::Attempt<'_>) -> redirect::Action {
    let at_home = attempt.previous().first().is_some_and(|first| first.origin() == attempt.url().origin());
    let keeps_method = matches!(attempt.status().as_u16(), 307 | 308);
    if at_home && keeps_method && attempt.previous().len() <= REDIRECTS_MAX {
        attempt.follow()
    } else {
        attempt.stop()
    }
}

/// Where a redirect leads, without what may be secret in it.
fn destination(headers: &HeaderMap) -> String {
    let location = headers.get(reqwest::header::LOCATION).and_then(|value| value.to_str().ok());
    let location = location.unwrap_or("nowhere");
    location.split(['?', '#']).next().unwrap_or_default().chars().take(200).collect()
}

/// The innermost cause says what happened; the address may hold a secret and is left out.
pub(crate) fn failed(error: reqwest::Error) -> AgentError {
    if error.is_timeout() {
        return AgentError::Timeout;
    }
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    AgentError::Network(cause.to_string())
}

async fn read_whole(mut response: Response, bytes_max: usize) -> Result<Vec<u8>, AgentError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if body.len() + chunk.len() > bytes_max {
            return Err(AgentError::TooLong { max: bytes_max });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Reads events until the reply to `id`; what comes before it is for the same request (MCP basic/transports).
async fn read_events(mut response: Response, id: Option<&Value>) -> Result<Answer, AgentError> {
    let mut parser = Parser::new(REPLY_BYTES_MAX);
    let (mut notifications, mut read) = (Vec::new(), 0);
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        read += chunk.len();
        let too_long = || AgentError::TooLong { max: REPLY_BYTES_MAX };
        if read > REPLY_BYTES_MAX {
            return Err(too_long());
        }
        for frame in parser.push(&chunk).map_err(|_| too_long())? {
            let Some(body) = frame.data else { continue };
            let Ok(message) = serde_json::from_slice::<Value>(&body) else { continue };
            if answers(&message, id) {
                return Ok(Answer { body, reply: Some(message), notifications });
            }
            notifications.push(message);
        }
    }
    Err(AgentError::BadReply("the event stream ended without a reply".to_owned()))
}

/// A reply to `id`, or an error of a server that could not read it (JSON-RPC 2.0 §5).
fn answers(message: &Value, id: Option<&Value>) -> bool {
    let is_error = message.get("error").is_some();
    match message.get("id") {
        Some(Value::Null) | None => is_error,
        theirs => (is_error || message.get("result").is_some()) && theirs == id,
    }
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    value.get(..17).is_some_and(|start| start.eq_ignore_ascii_case(b"text/event-stream"))
}

/// A header for showing: of a credential only its beginning.
fn show(name: &HeaderName, value: &HeaderValue) -> String {
    let text = value.to_str().unwrap_or("…");
    match name.as_str() {
        "authorization" | "payment-authorization" => format!("{}…", text.get(..SHOWN).unwrap_or_default()),
        "x-pow-solution" | "mcp-session-id" => format!("{}…", text.get(..SHOWN).unwrap_or(text)),
        _ => text.to_owned(),
    }
}
