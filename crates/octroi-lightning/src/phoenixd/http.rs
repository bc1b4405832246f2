//! Requests to phoenixd: authorised, bounded, and with errors that say whose fault it is.

use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde::de::DeserializeOwned;
use url::Url;

use crate::{NodeError, Password};

/// How long an answer may take, except for a payment.
const TIMEOUT: Duration = Duration::from_secs(15);

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);

/// Most bytes of an answer: a page of payments with their invoices.
const MAX_REPLY: usize = 1024 * 1024;

/// Most bytes of phoenixd's own words in an error.
const MAX_WORDS: usize = 200;

pub(super) struct Http {
    client: Client,
    base: Url,
    password: Password,
}

/// Parameters by name.
pub(super) type Form<'a> = [(&'a str, String)];

impl Http {
    pub(super) fn new(url: &Url, password: Password) -> Result<Self, NodeError> {
        let config = |words: &str| NodeError::Config(format!("phoenixd: {words}"));
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
        let client = Client::builder()
            .connect_timeout(CONNECT)
            // The password goes to phoenixd and nowhere else.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|error| config(&error.to_string()))?;
        Ok(Self { client, base, password })
    }

    /// One call; `form` is the body of a `POST`, and stands behind the question mark of a `GET`.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        form: &Form<'_>,
    ) -> Result<T, NodeError> {
        let found = self.ask(method, path, form, TIMEOUT).await?;
        found.ok_or_else(|| NodeError::BadReply(format!("HTTP 404 for /{path}: is this a phoenixd?")))
    }

    /// A record; `None` when there is none.
    pub(super) async fn find<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, NodeError> {
        self.ask(Method::GET, path, &[], TIMEOUT).await
    }

    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        form: &Form<'_>,
        timeout: Duration,
    ) -> Result<Option<T>, NodeError> {
        let mut url = self.base.join(path).map_err(|error| NodeError::Config(error.to_string()))?;
        let is_get = method == Method::GET;
        if is_get && !form.is_empty() {
            url.query_pairs_mut().extend_pairs(form);
        }
        let request = self.client.request(method, url).basic_auth("", Some(self.password.reveal()));
        let request = if is_get { request } else { request.form(form) };
        let (status, body) = fetch(request.timeout(timeout)).await?;
        match status {
            StatusCode::OK => {
                let parsed = serde_json::from_slice(&body);
                parsed.map(Some).map_err(|error| NodeError::BadReply(format!("/{path}: {error}")))
            }
            StatusCode::NOT_FOUND => Ok(None),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(NodeError::Refused("the password is wrong, or does not allow this".to_owned()))
            }
            StatusCode::GATEWAY_TIMEOUT => Err(NodeError::Timeout),
            status if status.is_client_error() => Err(NodeError::Refused(words(&body))),
            status => Err(NodeError::Unreachable(format!("HTTP {}", status.as_u16()))),
        }
    }
}

async fn fetch(request: RequestBuilder) -> Result<(StatusCode, Vec<u8>), NodeError> {
    let mut response = request.send().await.map_err(|error| failure(&error))?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| failure(&error))? {
        if body.len() + chunk.len() > MAX_REPLY {
            return Err(NodeError::BadReply(format!("more than {MAX_REPLY} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok((status, body))
}

/// Only a connection that was never made is surely without effect; all else may have happened.
fn failure(error: &reqwest::Error) -> NodeError {
    if error.is_connect() { NodeError::Unreachable("no connection".to_owned()) } else { NodeError::Timeout }
}

/// What phoenixd said, short and without control characters.
fn words(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(MAX_WORDS)]);
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}
