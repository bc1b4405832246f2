//! Questions about tokens that say nothing themselves: RFC 7662, and as Google and GitHub answer them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json};

use super::endpoints::{Form, basic_credentials};
use super::token::token_id;
use super::{Endpoint, Issuer, State};

impl Issuer {
    /// A new opaque token, of which nothing is known yet.
    #[must_use]
    pub fn opaque_token(&self) -> String {
        format!("opaque-{}", URL_SAFE_NO_PAD.encode(token_id()))
    }

    /// What the endpoint says of a token from now on: the whole JSON answer. `null` makes the token unknown.
    pub fn set_answer(&self, endpoint: Endpoint, token: &str, answer: Value) {
        let mut answers = self.state.answers.lock();
        let about = (endpoint, token.to_owned());
        if answer.is_null() {
            answers.remove(&about);
        } else {
            answers.insert(about, answer);
        }
    }

    /// Where an endpoint is. For [`Endpoint::GitHubToken`] the address of the API.
    #[must_use]
    pub fn endpoint(&self, endpoint: Endpoint) -> String {
        match endpoint {
            Endpoint::Introspection => self.state.endpoint("introspect"),
            Endpoint::TokenInfo => self.state.endpoint("tokeninfo"),
            Endpoint::UserInfo => self.state.endpoint("userinfo"),
            Endpoint::Token => self.state.endpoint("token"),
            Endpoint::Jwks => self.state.endpoint("jwks"),
            Endpoint::GitHubToken
            | Endpoint::AuthorizationServerMetadata
            | Endpoint::OpenidConfiguration
            | Endpoint::OpenidConfigurationBelow => self.state.url.trim_end_matches('/').to_owned(),
        }
    }
}

impl State {
    /// The answer of an endpoint that is asked about a token.
    pub(super) fn answer(&self, endpoint: Endpoint, parts: &Parts, body: &[u8]) -> (StatusCode, Value) {
        let authorization = parts.headers.get(header::AUTHORIZATION);
        match (endpoint, &parts.method) {
            (Endpoint::Introspection, &Method::POST) => self.introspected(authorization, body),
            (Endpoint::TokenInfo, _) => {
                let query = Form::read(parts.uri.query().unwrap_or_default().as_bytes());
                let token = query.one("access_token").ok().flatten();
                let unknown = json!({ "error": "invalid_token", "error_description": "Invalid Value" });
                token
                    .and_then(|token| self.known(endpoint, token))
                    .map_or((StatusCode::BAD_REQUEST, unknown), |answer| (StatusCode::OK, answer))
            }
            (Endpoint::UserInfo, _) => {
                let token = authorization
                    .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer ").map(str::to_owned));
                token
                    .and_then(|token| self.known(endpoint, &token))
                    .map_or((StatusCode::UNAUTHORIZED, Value::Null), |answer| (StatusCode::OK, answer))
            }
            (Endpoint::GitHubToken, &Method::POST) => self.checked(authorization, parts.uri.path(), body),
            _ => (StatusCode::METHOD_NOT_ALLOWED, Value::Null),
        }
    }

    /// RFC 7662 §2: the one who asks must say who it is.
    fn introspected(&self, authorization: Option<&HeaderValue>, body: &[u8]) -> (StatusCode, Value) {
        let form = Form::read(body);
        if self.authenticated(authorization, &form).is_err() {
            return (StatusCode::UNAUTHORIZED, json!({ "error": "invalid_client" }));
        }
        match form.one("token") {
            Ok(Some(token)) => {
                let unknown = || json!({ "active": false });
                (StatusCode::OK, self.known(Endpoint::Introspection, token).unwrap_or_else(unknown))
            }
            _ => (StatusCode::BAD_REQUEST, json!({ "error": "invalid_request" })),
        }
    }

    /// `POST /applications/{client_id}/token`: 404 unless the token was given to this very app, which must prove who it
    /// is.
    fn checked(&self, authorization: Option<&HeaderValue>, path: &str, body: &[u8]) -> (StatusCode, Value) {
        let shown = authorization.and_then(basic_credentials);
        let app = path.rsplit('/').nth(1).unwrap_or_default();
        let clients = self.clients.lock();
        let proves = shown.is_some_and(|(id, secret)| {
            id == app && clients.get(&id).is_some_and(|client| client.secret == secret)
        });
        drop(clients);
        if !proves {
            return (StatusCode::UNAUTHORIZED, json!({ "message": "Bad credentials" }));
        }
        let asked: Value = serde_json::from_slice(body).unwrap_or_default();
        let Some(token) = asked["access_token"].as_str() else {
            return (StatusCode::UNPROCESSABLE_ENTITY, json!({ "message": "Invalid request." }));
        };
        match self.known(Endpoint::GitHubToken, token).filter(|answer| answer["app"]["client_id"] == app) {
            Some(answer) => (StatusCode::OK, answer),
            None => (StatusCode::NOT_FOUND, json!({ "message": "Not Found" })),
        }
    }

    fn known(&self, endpoint: Endpoint, token: &str) -> Option<Value> {
        self.answers.lock().get(&(endpoint, token.to_owned())).cloned()
    }
}
