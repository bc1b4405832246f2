//! A wrapper for the HTTP client of rmcp's transport, so that an agent built on the Rust SDK pays by adding one line.
//!
//! ```no_run
//! use octroi_agent::{Payer, rmcp::PayingClient};
//! use rmcp::transport::StreamableHttpClientTransport;
//! use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
//!
//! # fn transport(payer: std::sync::Arc<Payer>, client: reqwest::Client) {
//! let config = StreamableHttpClientTransportConfig::with_uri("https://gate.example.com/mcp");
//! let transport = StreamableHttpClientTransport::with_client(PayingClient::new(client, payer), config);
//! # drop(transport);
//! # }
//! ```
//!
//! It reads what a gate says in the message itself; a server that asks for payment only in an HTTP header is for
//! [`crate::PayLayer`].

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use futures_util::stream::BoxStream;
use http::{HeaderName, HeaderValue};
use rmcp::model::ClientJsonRpcMessage;
use rmcp::transport::streamable_http_client::{
    SseError, StreamableHttpClient, StreamableHttpError, StreamableHttpPostResponse,
};
use serde_json::Value;
use sse_stream::Sse;
use url::Url;

use crate::session::{self, ACCEPT_AUTHENTICATE, CALLS};
use crate::visit::{ATTEMPTS_MAX, Ending, Subject, Visit};
use crate::{AgentError, Bought, Payer, PaymentRequired};

/// What rmcp bounds an event to where its transport does not say, in bytes.
const EVENT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// An HTTP client of rmcp's that pays.
#[derive(Clone)]
pub struct PayingClient<C> {
    client: C,
    payer: Arc<Payer>,
}

impl<C> PayingClient<C> {
    /// `client` with a payer over it; clones share the payer.
    pub fn new(client: C, payer: Arc<Payer>) -> Self {
        Self { client, payer }
    }
}

type Headers = HashMap<HeaderName, HeaderValue>;

impl<C: StreamableHttpClient + Sync> StreamableHttpClient for PayingClient<C> {
    type Error = C::Error;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session_id: Option<Arc<str>>,
        auth_header: Option<String>,
        custom_headers: Headers,
    ) -> Result<StreamableHttpPostResponse, StreamableHttpError<C::Error>> {
        let most = EVENT_BYTES_MAX;
        let sent = self.post_message_with_max_sse_event_size(
            uri,
            message,
            session_id,
            auth_header,
            custom_headers,
            most,
        );
        sent.await
    }

    async fn post_message_with_max_sse_event_size(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session_id: Option<Arc<str>>,
        auth_header: Option<String>,
        custom_headers: Headers,
        max_sse_event_size: usize,
    ) -> Result<StreamableHttpPostResponse, StreamableHttpError<C::Error>> {
        let post = |headers| {
            let (uri, session, auth) = (Arc::clone(&uri), session_id.clone(), auth_header.clone());
            let message = message.clone();
            self.client.post_message_with_max_sse_event_size(
                uri,
                message,
                session,
                auth,
                headers,
                max_sse_event_size,
            )
        };
        let Some(subject) = subject(&uri, &message) else { return post(custom_headers).await };
        let mut visit = Visit::begin(Arc::clone(&self.payer), subject, None, None).map_err(own)?;
        for _ in 0..ATTEMPTS_MAX {
            let asking = visit.asking().map_err(own)?;
            let headers = show(custom_headers.clone(), &mut visit, asking).map_err(own)?;
            let answered = post(headers).await?;
            let reply = match &answered {
                StreamableHttpPostResponse::Json(reply, _) => serde_json::to_value(reply).unwrap_or_default(),
                _ => Value::Null,
            };
            let Some(required) = PaymentRequired::read_parts(200, "", Some(&reply)) else {
                let failed = reply.get("error").is_some()
                    || reply.pointer("/result/isError") == Some(&Value::Bool(true));
                let ending = if failed { Ending::Failed } else { Ending::Served };
                visit.end(ending, None, None).map_err(own)?;
                return Ok(answered);
            };
            if let Err(error) = visit.answer(&required, asking).await {
                tracing::warn!(%error, "a call was not paid for");
                return Ok(answered);
            }
        }
        Err(own(AgentError::BadReply(format!("no end after {ATTEMPTS_MAX} requests"))))
    }

    async fn delete_session(
        &self,
        uri: Arc<str>,
        session_id: Arc<str>,
        auth_header: Option<String>,
        custom_headers: Headers,
    ) -> Result<(), StreamableHttpError<C::Error>> {
        self.client.delete_session(uri, session_id, auth_header, custom_headers).await
    }

    async fn get_stream(
        &self,
        uri: Arc<str>,
        session_id: Option<Arc<str>>,
        last_event_id: Option<String>,
        auth_header: Option<String>,
        custom_headers: Headers,
    ) -> Result<BoxStream<'static, Result<Sse, SseError>>, StreamableHttpError<C::Error>> {
        self.client.get_stream(uri, session_id, last_event_id, auth_header, custom_headers).await
    }

    async fn get_stream_with_max_sse_event_size(
        &self,
        uri: Arc<str>,
        session_id: Option<Arc<str>>,
        last_event_id: Option<String>,
        auth_header: Option<String>,
        custom_headers: Headers,
        max_sse_event_size: usize,
    ) -> Result<BoxStream<'static, Result<Sse, SseError>>, StreamableHttpError<C::Error>> {
        let stream = self.client.get_stream_with_max_sse_event_size(
            uri,
            session_id,
            last_event_id,
            auth_header,
            custom_headers,
            max_sse_event_size,
        );
        stream.await
    }
}

/// What a message would buy: only calls, reads and prompts have a price.
fn subject(uri: &str, message: &ClientJsonRpcMessage) -> Option<Subject> {
    let endpoint = Url::parse(uri).ok()?;
    let message = serde_json::to_value(message).ok()?;
    let text = |name: &str| message.pointer(name).and_then(Value::as_str);
    let tool = Subject::tool(text("/method")?, text("/params/name"), text("/params/uri"))?;
    let place = endpoint.to_string();
    Some(Subject { endpoint, place, tool })
}

/// `Authorization` is rmcp's own, so that payments go beside it.
fn show(mut headers: Headers, visit: &mut Visit, asking: u32) -> Result<Headers, AgentError> {
    headers.insert(ACCEPT_AUTHENTICATE, HeaderValue::from_static("L402"));
    if asking > 1 {
        headers.insert(CALLS, HeaderValue::from(asking));
    }
    let proof = visit.proof();
    let foreign = visit.credential().filter(|bought| bought.calls_left.is_none());
    let macaroon = foreign.and_then(Bought::macaroon_hex);
    headers.extend(session::proof_header(&proof, macaroon.as_ref(), true)?);
    Ok(headers)
}

fn own<E: std::error::Error + Send + Sync>(error: AgentError) -> StreamableHttpError<E> {
    StreamableHttpError::Io(io::Error::other(error))
}
