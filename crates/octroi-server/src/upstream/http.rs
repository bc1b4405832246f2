//! An MCP server behind Streamable HTTP: the same bytes, to one address, over kept connections.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version,
    header::{
        ACCEPT, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, PROXY_AUTHENTICATE, TE, TRAILER,
        TRANSFER_ENCODING, UPGRADE,
    },
};
use http_body::Body;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, Error, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use tower::Service;
use url::Url;

use super::{SettingsError, UpstreamBody, UpstreamError, UpstreamFuture};

/// Longest response head, and the most that is read at once, in bytes.
const HEAD_MAX: usize = 64 * 1024;

/// What a client that has no wishes of its own accepts (MCP basic/transports).
const ACCEPT_POST: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");
const ACCEPT_GET: HeaderValue = HeaderValue::from_static("text/event-stream");

/// Headers that belong to one connection only (RFC 9110 §7.6.1).
const HOP_BY_HOP: [HeaderName; 8] = [
    CONNECTION,
    TRANSFER_ENCODING,
    UPGRADE,
    TE,
    TRAILER,
    PROXY_AUTHENTICATE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Where an HTTP upstream is and how long it is waited for.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// The endpoint, `http` or `https`, without credentials.
    pub url: Url,
    /// Until it accepts the connection.
    pub connect_timeout: Duration,
    /// From the request to the head of the answer. A GET waits for `stream_idle_timeout` instead: servers may keep that
    /// head until the first event.
    pub first_byte_timeout: Duration,
    /// Between two pieces of a JSON answer.
    pub idle_timeout: Duration,
    /// Between two pieces of an event stream, keep-alive comments included; silence is legal there, so this is long.
    pub stream_idle_timeout: Duration,
    /// Longest JSON answer, in bytes. Event streams have no end; their events are bounded by who reads them.
    pub max_response_bytes: usize,
    /// Most unused connections kept open.
    pub pool_max_idle: usize,
    /// How long an unused connection is kept.
    pub pool_idle_timeout: Duration,
}

/// A Streamable HTTP server. Clones share their connections.
#[derive(Clone)]
pub struct HttpUpstream(Arc<Target>);

/// What is the same for every request.
struct Target {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    uri: Uri,
    host: HeaderValue,
    first_byte_timeout: Duration,
    idle_timeout: Duration,
    stream_idle_timeout: Duration,
    max_response_bytes: u64,
}

impl HttpUpstream {
    /// An upstream that connects when it is first called.
    ///
    /// # Errors
    /// [`SettingsError::Url`] or [`SettingsError::Credentials`].
    pub fn new(settings: &HttpSettings) -> Result<Self, SettingsError> {
        let url = &settings.url;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(SettingsError::Credentials);
        }
        if !matches!(url.scheme(), "http" | "https") {
            return Err(SettingsError::Url);
        }
        let uri: Uri = url.as_str().parse().map_err(|_| SettingsError::Url)?;
        let authority = uri.authority().ok_or(SettingsError::Url)?;
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| SettingsError::Url)?;
        let target = Target {
            client: client(settings)?,
            uri,
            host,
            first_byte_timeout: settings.first_byte_timeout,
            idle_timeout: settings.idle_timeout,
            stream_idle_timeout: settings.stream_idle_timeout,
            max_response_bytes: settings.max_response_bytes as u64,
        };
        Ok(Self(Arc::new(target)))
    }
}

impl std::fmt::Debug for HttpUpstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpUpstream").field("uri", &self.0.uri).finish_non_exhaustive()
    }
}

impl Service<Request<Full<Bytes>>> for HttpUpstream {
    type Response = Response<UpstreamBody>;
    type Error = UpstreamError;
    type Future = UpstreamFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), UpstreamError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Full<Bytes>>) -> UpstreamFuture {
        let target = Arc::clone(&self.0);
        target.address(&mut request);
        let streams = request.method() == Method::GET;
        let answer = target.client.request(request);
        Box::pin(async move {
            let after = if streams { target.stream_idle_timeout } else { target.first_byte_timeout };
            match tokio::time::timeout(after, answer).await {
                Ok(answer) => target.answered(answer),
                Err(_) => Err(UpstreamError::FirstByteTimeout { after }),
            }
        })
    }
}

impl Target {
    /// Turns a request to the gate into one to the upstream.
    fn address(&self, request: &mut Request<Full<Bytes>>) {
        *request.uri_mut() = self.uri.clone();
        // The caller's own version and connection (an HTTP/2 one, say) end at the gate.
        *request.version_mut() = Version::HTTP_11;
        request.extensions_mut().clear();
        let accept = match *request.method() {
            Method::POST => Some(ACCEPT_POST),
            Method::GET => Some(ACCEPT_GET),
            _ => None,
        };
        let headers = request.headers_mut();
        strip_hop_by_hop(headers);
        // The length is that of the judged bytes, which hyper knows.
        headers.remove(CONTENT_LENGTH);
        headers.insert(HOST, self.host.clone());
        if let Some(accept) = accept {
            headers.entry(ACCEPT).or_insert(accept);
        }
    }

    fn answered(
        &self,
        answer: Result<Response<Incoming>, Error>,
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        let (mut head, incoming) = answer.map_err(failed)?.into_parts();
        if head.status.is_redirection() && head.status != StatusCode::NOT_MODIFIED {
            return Err(UpstreamError::Redirect { status: head.status });
        }
        strip_hop_by_hop(&mut head.headers);
        let body = if is_event_stream(&head.headers) {
            UpstreamBody::incoming(incoming, self.stream_idle_timeout, u64::MAX)
        } else {
            let max = self.max_response_bytes;
            if incoming.size_hint().lower() > max {
                return Err(UpstreamError::TooLarge { max: usize::try_from(max).unwrap_or(usize::MAX) });
            }
            UpstreamBody::incoming(incoming, self.idle_timeout, max)
        };
        Ok(Response::from_parts(head, body))
    }
}

fn client(
    settings: &HttpSettings,
) -> Result<Client<HttpsConnector<HttpConnector>, Full<Bytes>>, SettingsError> {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(settings.connect_timeout));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let connector = HttpsConnectorBuilder::new()
        .with_provider_and_webpki_roots(provider)
        .map_err(|_| SettingsError::Url)?
        .https_or_http()
        .enable_http1()
        .wrap_connector(connector);
    Ok(Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(settings.pool_idle_timeout)
        .pool_max_idle_per_host(settings.pool_max_idle)
        .http1_max_buf_size(HEAD_MAX)
        // `Host` is written by us, once.
        .set_host(false)
        .build(connector))
}

fn failed(error: Error) -> UpstreamError {
    if error.is_connect() {
        UpstreamError::Connect(error.into())
    } else {
        UpstreamError::Broken(error.into())
    }
}

fn strip_hop_by_hop(headers: &mut HeaderMap) {
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

/// Whether a body is a stream of server-sent events.
pub(crate) fn is_event_stream(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let essence = value.split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
}

#[cfg(test)]
mod tests;
