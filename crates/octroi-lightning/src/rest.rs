//! Requests to a node's HTTP API: authorised, bounded, and with errors that say whose fault it is.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use crate::{NodeError, Password, tls};

/// How long an answer may take, except for a payment.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(15);

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);

/// Most bytes of an answer: a page of payments with their invoices.
const MAX_REPLY: usize = 4 * 1024 * 1024;

/// Most bytes of a node's own words in an error.
const MAX_WORDS: usize = 200;

/// How a node knows the gate.
pub(crate) enum Login<'a> {
    /// Basic, with an empty user (phoenixd).
    Basic(Password),
    /// A header of its own: the name, and the value.
    Header(&'static str, &'a Password),
    /// Nobody is asked.
    Nobody,
}

/// A client of one API.
pub(crate) struct Rest {
    client: Client,
    base: Url,
    basic: Option<Password>,
    /// The API's name, for errors.
    name: &'static str,
}

/// What a request carries.
pub(crate) enum Content<'a> {
    Nothing,
    Query(&'a [(&'a str, String)]),
    Form(&'a [(&'a str, String)]),
    Json(&'a Value),
}

/// An answer that came whole.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) body: Vec<u8>,
}

impl Rest {
    /// Nothing is sent yet. `pem` is the certificate to accept; without one, the public authorities are trusted.
    ///
    /// # Errors
    /// [`NodeError::Config`].
    pub(crate) fn new(
        name: &'static str,
        url: &Url,
        login: Login<'_>,
        pem: Option<&str>,
    ) -> Result<Self, NodeError> {
        let config = |words: &str| NodeError::Config(format!("{name}: {words}"));
        if !matches!(url.scheme(), "http" | "https") || url.cannot_be_a_base() {
            return Err(config("the URL must begin with http:// or https://"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(config("the password is a setting of its own, not part of the URL"));
        }
        let mut base = url.clone();
        base.set_query(None);
        base.set_fragment(None);
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", url.path()));
        }
        let mut headers = HeaderMap::new();
        let mut basic = None;
        match login {
            Login::Basic(password) => basic = Some(password),
            Login::Header(header, secret) => {
                let mut value = HeaderValue::from_str(secret.reveal())
                    .map_err(|_| config("the credential holds characters that no header can"))?;
                value.set_sensitive(true);
                headers.insert(HeaderName::from_static(header), value);
            }
            Login::Nobody => {}
        }
        let mut builder = Client::builder()
            .connect_timeout(CONNECT)
            .default_headers(headers)
            // The credential goes to the node and nowhere else.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy();
        if let Some(pem) = pem {
            builder = builder.tls_backend_preconfigured(tls::pinned(pem)?);
        }
        let client = builder.build().map_err(|error| config(&error.to_string()))?;
        Ok(Self { client, base, basic, name })
    }

    /// One call; the answer as it came, whatever its status.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        content: Content<'_>,
        timeout: Duration,
    ) -> Result<Reply, NodeError> {
        let request = self.request(method, path, content)?.timeout(timeout);
        let mut response = request.send().await.map_err(|error| failure(&error))?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| failure(&error))? {
            if body.len() + chunk.len() > MAX_REPLY {
                return Err(NodeError::BadReply(format!("more than {MAX_REPLY} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Reply { status, body })
    }

    /// An answer without an end, of which only the head has come.
    pub(crate) async fn open(&self, path: &str, content: Content<'_>) -> Result<Response, NodeError> {
        let sent = self.request(Method::GET, path, content)?.send();
        let response = tokio::time::timeout(TIMEOUT, sent)
            .await
            .map_err(|_| NodeError::Timeout)?
            .map_err(|e| failure(&e))?;
        match response.status() {
            StatusCode::OK => Ok(response),
            status => Err(self.refusal(status, b"")),
        }
    }

    /// Where the API is.
    pub(crate) const fn base(&self) -> &Url {
        &self.base
    }

    /// Where a path of the API is.
    pub(crate) fn url(&self, path: &str) -> Result<Url, NodeError> {
        self.base.join(path).map_err(|error| NodeError::Config(error.to_string()))
    }

    fn request(&self, method: Method, path: &str, content: Content<'_>) -> Result<RequestBuilder, NodeError> {
        let mut url = self.url(path)?;
        if let Content::Query(pairs) = content {
            url.query_pairs_mut().extend_pairs(pairs);
        }
        let mut request = self.client.request(method, url);
        if let Some(password) = &self.basic {
            request = request.basic_auth("", Some(password.reveal()));
        }
        Ok(match content {
            Content::Form(pairs) => request.form(pairs),
            Content::Json(value) => request.json(value),
            Content::Nothing | Content::Query(_) => request,
        })
    }

    /// What an answer that is no success means.
    pub(crate) fn refusal(&self, status: StatusCode, body: &[u8]) -> NodeError {
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                NodeError::Refused("the credential is wrong, or does not allow this".to_owned())
            }
            StatusCode::NOT_FOUND => NodeError::BadReply(format!("HTTP 404: is this {}?", self.name)),
            StatusCode::GATEWAY_TIMEOUT => NodeError::Timeout,
            status if status.is_client_error() => NodeError::Refused(words(body)),
            status => NodeError::Unreachable(format!("HTTP {}", status.as_u16())),
        }
    }
}

impl Reply {
    /// The body as JSON.
    pub(crate) fn parse<T: DeserializeOwned>(&self) -> Result<T, NodeError> {
        serde_json::from_slice(&self.body).map_err(|error| NodeError::BadReply(error.to_string()))
    }
}

/// Only a connection that was never made is surely without effect; all else may have happened.
pub(crate) fn failure(error: &reqwest::Error) -> NodeError {
    match error {
        _ if !error.is_connect() => NodeError::Timeout,
        _ if is_stranger(error) => {
            NodeError::Unreachable("its TLS certificate is not the one that is trusted".to_owned())
        }
        _ => NodeError::Unreachable("no connection".to_owned()),
    }
}

/// Whether the other end could not show that it is who it should be.
fn is_stranger(error: &reqwest::Error) -> bool {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(rustls::Error::InvalidCertificate(_)) = error.downcast_ref() {
            return true;
        }
        // An I/O error does not name what it holds as its source.
        next = match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(held) => Some(held),
            None => error.source(),
        };
    }
    false
}

/// The records of a list. One that cannot be read is passed over: it would stand in the way of all the others, and of what comes
/// after it.
pub(crate) fn readable<T: DeserializeOwned>(values: Vec<Value>) -> Vec<T> {
    let read = values.into_iter().filter_map(|value| match serde_json::from_value(value) {
        Ok(record) => Some(record),
        Err(error) => {
            tracing::warn!(%error, "a node lists a payment that makes no sense; it is passed over");
            None
        }
    });
    read.collect()
}

/// What a node said, short and without control characters.
pub(crate) fn words(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(MAX_WORDS)]);
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}
