//! phoenixd's way of being asked: forms in, JSON out, 404 for what it does not know.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;
use url::Url;

use crate::rest::{Content, Login, Rest, TIMEOUT};
use crate::{NodeError, Password};

pub(super) struct Http(Rest);

/// Parameters by name.
pub(super) type Form<'a> = [(&'a str, String)];

impl Http {
    pub(super) fn new(url: &Url, password: Password) -> Result<Self, NodeError> {
        Ok(Self(Rest::new("phoenixd", url, Login::Basic(password), None)?))
    }

    /// Where it is.
    pub(super) const fn base(&self) -> &Url {
        self.0.base()
    }

    /// Whether a payment without an invoice is refused for want of the invoice, or of the right.
    pub(super) async fn may_pay(&self) -> Result<bool, NodeError> {
        let reply = self.0.send(Method::POST, "payinvoice", Content::Form(&[]), TIMEOUT).await?;
        match reply.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Ok(false),
            status if status.is_client_error() => Ok(true),
            status => Err(self.0.refusal(status, &reply.body)),
        }
    }

    /// Where its websocket is.
    pub(super) fn websocket(&self) -> Result<Url, NodeError> {
        self.0.url("websocket")
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
        let content = if method == Method::GET { Content::Query(form) } else { Content::Form(form) };
        let reply = self.0.send(method, path, content, timeout).await?;
        match reply.status {
            StatusCode::OK => reply.parse().map(Some),
            StatusCode::NOT_FOUND => Ok(None),
            status => Err(self.0.refusal(status, &reply.body)),
        }
    }
}
