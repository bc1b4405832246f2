//! RFC 7662.

use reqwest::StatusCode;
use serde_json::{Map, Value, json};
use tokio::sync::OnceCell;
use url::Url;
use zeroize::Zeroizing;

use super::{NoAnswer, object, url};
use crate::client_auth::ClientAuth;
use crate::http::Fetcher;
use crate::keys::discovery;
use crate::{Introspection, InvalidToken, SetupError};

pub(crate) struct Questions {
    issuer: String,
    /// From the configuration, or from the issuer's metadata once that was read.
    endpoint: OnceCell<Url>,
    auth: ClientAuth,
    cache_seconds: u64,
}

impl Questions {
    pub(super) fn new(issuer: &str, settings: &Introspection) -> Result<Self, SetupError> {
        settings.auth.check()?;
        let endpoint = settings.endpoint.as_deref().map(url).transpose()?;
        Ok(Self {
            issuer: issuer.to_owned(),
            endpoint: OnceCell::new_with(endpoint),
            auth: settings.auth.clone(),
            cache_seconds: settings.cache_seconds,
        })
    }

    pub(super) async fn ask(
        &self,
        fetcher: &Fetcher,
        token: &str,
        now: u64,
    ) -> Result<Map<String, Value>, NoAnswer> {
        let found = || discovery::endpoint("introspection_endpoint", &self.issuer, fetcher);
        let endpoint = self.endpoint.get_or_try_init(found).await.map_err(NoAnswer::silent)?;
        let form = vec![
            ("token", Zeroizing::new(token.to_owned())),
            ("token_type_hint", Zeroizing::new("access_token".to_owned())),
        ];
        let request = fetcher.request(reqwest::Method::POST, endpoint)?;
        let request = self.auth.complete(request, form, now).map_err(NoAnswer::silent)?;
        let answer = fetcher.answer(request).await?;
        if answer.status != StatusCode::OK {
            return Err(NoAnswer::status(&answer));
        }
        self.claims(object(&answer)?, now)
    }

    /// The answer as claims. What it leaves out because the gate knows it already is put in.
    fn claims(&self, mut answer: Map<String, Value>, now: u64) -> Result<Map<String, Value>, NoAnswer> {
        match answer.remove("active") {
            Some(Value::Bool(true)) => {}
            Some(Value::Bool(false)) => return Err(NoAnswer::Refused(InvalidToken::Inactive)),
            _ => return Err(NoAnswer::silent("the answer does not say whether the token is active")),
        }
        let kind = answer.get("token_type").and_then(Value::as_str).unwrap_or("bearer").to_ascii_lowercase();
        if kind == "dpop" && !answer.contains_key("cnf") {
            // Bound to a key that the issuer does not tell.
            answer.insert("cnf".to_owned(), json!({}));
        } else if !matches!(kind.as_str(), "bearer" | "dpop" | "access_token") {
            // A refresh token, say, which is active, too (RFC 7662 §2.2).
            return Err(NoAnswer::Refused(InvalidToken::Type));
        }
        answer.entry("iss").or_insert_with(|| json!(self.issuer));
        answer.entry("exp").or_insert_with(|| json!(now.saturating_add(self.cache_seconds)));
        Ok(answer)
    }
}
