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
