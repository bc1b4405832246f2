//! Asking the issuer about a token that says nothing itself.

mod github;
mod google;
mod introspection;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use serde_json::{Map, Value};

use crate::cache::TokenHash;
use crate::flights::{Flights, TooManyFlights};
use crate::http::{Answer, FetchError, Fetcher};
use crate::token::json;
use crate::{GitHubApp, GoogleEndpoints, Introspection, InvalidToken, SetupError, TokenError, Unverifiable};

/// How long a token the issuer does not know is refused without asking again, seconds.
const REFUSED_SECONDS: u64 = 5;
/// How many such tokens are remembered.
const MAX_REFUSED: usize = 4096;

/// Asks one issuer. One question runs at a time for the same token, and everybody who shows it waits for that one.
///
/// What the issuer says of good tokens is remembered by the verifier, not here.
pub(crate) struct Asker {
    questions: Questions,
    fetcher: Fetcher,
    epoch: Arc<AtomicU64>,
    refused: Mutex<HashMap<TokenHash, u64>>,
    flights: Flights<Outcome>,
}

/// Claims as if a token had carried them, and the epoch the question was asked in.
type Outcome = Result<(Map<String, Value>, u64), TokenError>;

/// What an issuer is asked.
pub(crate) enum Questions {
    Introspection(introspection::Questions),
    Google(google::Questions),
    GitHub(github::Questions),
}

/// Why there is no answer that counts.
enum NoAnswer {
    /// The token is not good.
    Refused(InvalidToken),
    /// The issuer was not reached, or said something else than an answer. The text is for the log.
    Silent(String),
}

impl Questions {
    pub(crate) fn introspection(issuer: &str, settings: &Introspection) -> Result<Self, SetupError> {
        introspection::Questions::new(issuer, settings).map(Self::Introspection)
    }

    pub(crate) fn google(issuer: &str, endpoints: &GoogleEndpoints) -> Result<Self, SetupError> {
        google::Questions::new(issuer, endpoints).map(Self::Google)
    }

    pub(crate) fn github(issuer: &str, app: &GitHubApp) -> Result<Self, SetupError> {
        github::Questions::new(issuer, app).map(Self::GitHub)
    }
}

impl Asker {
    pub(crate) fn new(questions: Questions, fetcher: Fetcher, epoch: Arc<AtomicU64>) -> Self {
        Self { questions, fetcher, epoch, refused: Mutex::default(), flights: Flights::default() }
    }

    /// What the issuer says of a token: claims as if the token had carried them, not judged yet.
    pub(crate) async fn ask(&self, token: &str, hash: &TokenHash, now: u64) -> Outcome {
        if self.refused.lock().get(hash).is_some_and(|until| now < *until) {
            return Err(InvalidToken::Inactive.into());
        }
        let asked = self.flights.share(*hash, || self.asked(token, now)).await;
        let outcome = asked.unwrap_or_else(|TooManyFlights| Err(Unverifiable::IssuerSilent.into()));
        if outcome == Err(InvalidToken::Inactive.into()) {
            self.remember_refused(*hash, now);
        }
        outcome
    }

    /// Forgets which tokens were refused.
    pub(crate) fn forget_all(&self) {
        self.refused.lock().clear();
    }

    async fn asked(&self, token: &str, now: u64) -> Outcome {
        let epoch = self.epoch.load(Ordering::Acquire);
        let answer = match &self.questions {
            Questions::Introspection(questions) => questions.ask(&self.fetcher, token, now).await,
            Questions::Google(questions) => questions.ask(&self.fetcher, token).await,
            Questions::GitHub(questions) => questions.ask(&self.fetcher, token, now).await,
        };
        match answer {
            Ok(claims) => Ok((claims, epoch)),
            Err(NoAnswer::Refused(why)) => Err(why.into()),
            Err(NoAnswer::Silent(reason)) => {
                tracing::warn!(%reason, "the issuer could not be asked about a token");
                Err(Unverifiable::IssuerSilent.into())
            }
        }
    }

    fn remember_refused(&self, hash: TokenHash, now: u64) {
        let mut refused = self.refused.lock();
        if refused.len() >= MAX_REFUSED {
            refused.retain(|_, until| now < *until);
        }
        if refused.len() < MAX_REFUSED {
            refused.insert(hash, now.saturating_add(REFUSED_SECONDS));
        }
    }
}

impl From<FetchError> for NoAnswer {
    fn from(error: FetchError) -> Self {
        Self::Silent(error.to_string())
    }
}

impl NoAnswer {
    fn silent(reason: impl ToString) -> Self {
        Self::Silent(reason.to_string())
    }

    fn status(answer: &Answer) -> Self {
        Self::Silent(format!("status {}", answer.status))
    }
}

/// The JSON object of an answer.
fn object(answer: &Answer) -> Result<Map<String, Value>, NoAnswer> {
    json::object(&answer.body).map_err(|_| NoAnswer::silent("the answer is no JSON object"))
}

/// A URL of a configuration that was checked.
fn url(text: &str) -> Result<url::Url, SetupError> {
    url::Url::parse(text).map_err(|_| SetupError::NotAUrl { url: text.to_owned() })
}
