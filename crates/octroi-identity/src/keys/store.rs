//! The keys that are held, and when they are fetched again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use tokio::sync::Mutex;
use url::Url;

use super::discovery;
use super::fetch::Fetcher;
use super::jwk::{Answer, KeySet};
use crate::token::UnverifiedToken;
use crate::{IdentityConfig, InvalidToken, KeySource, SetupError, TokenError, Unverifiable};

/// An issuer's keys. One fetch runs at a time and everybody who needs it waits for the same one; callers
/// cannot cause fetches more often than `keys_min_refresh_seconds`.
///
/// Time is what callers say it is, in seconds since the Unix epoch, so that every rule can be tested.
pub(crate) struct KeyStore {
    fetcher: Fetcher,
    issuer: String,
    source: KeySource,
    fresh_seconds: u64,
    stale_seconds: u64,
    min_refresh_seconds: u64,
    held: ArcSwapOption<Held>,
    /// Counts the times a key has left the set.
    generation: AtomicU64,
    /// Counts the fetches that have ended, whichever way.
    ended: AtomicU64,
    flight: Mutex<Option<Attempt>>,
}

/// Keys and the time they were fetched.
struct Held {
    keys: KeySet,
    fetched_at: u64,
    generation: u64,
}

/// The last fetch.
#[derive(Clone, Copy)]
struct Attempt {
    at: u64,
    succeeded: bool,
}

impl KeyStore {
    pub(crate) fn new(config: &IdentityConfig) -> Result<Self, SetupError> {
        Ok(Self {
            fetcher: Fetcher::new(config)?,
            issuer: config.provider.issuers.first().cloned().ok_or(SetupError::NoIssuer)?,
            source: config.provider.keys.clone(),
            fresh_seconds: config.keys_fresh_seconds,
            stale_seconds: config.keys_stale_seconds,
            min_refresh_seconds: config.keys_min_refresh_seconds,
            held: ArcSwapOption::empty(),
            generation: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            flight: Mutex::new(None),
        })
    }

    /// Changes whenever a key has left the set: what an older generation accepted must be checked again.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Checks a token's signature, fetching keys when none are held, when they are no longer fresh, or when
    /// the token names one that is not among them. Gives the generation of the keys that accepted it.
    pub(crate) async fn check(
        self: &Arc<Self>,
        token: &UnverifiedToken<'_>,
        now: u64,
    ) -> Result<u64, TokenError> {
        let mut held = self.current(now).await?;
        let mut answer = held.keys.check(token);
        if answer == Answer::Unknown {
            let last = self.refresh(now).await;
            held = self.usable(now).ok_or(Unverifiable::IssuerUnavailable)?;
            answer = held.keys.check(token);
            if answer == Answer::Unknown && !last.succeeded {
                return Err(Unverifiable::IssuerUnavailable.into());
            }
        }
        match answer {
            Answer::Good => Ok(held.generation),
            Answer::Bad(why) => Err(why.into()),
            Answer::Unknown => Err(InvalidToken::UnknownKey.into()),
        }
    }

    /// Makes sure that keys are held.
    pub(crate) async fn warm(self: &Arc<Self>, now: u64) -> Result<(), TokenError> {
        self.current(now).await?;
        Ok(())
    }

    /// Keys as fresh as can be had: fetched again once they are no longer fresh, used stale for a bounded
    /// time while that fails.
    async fn current(self: &Arc<Self>, now: u64) -> Result<Arc<Held>, Unverifiable> {
        if let Some(held) = self.held.load_full().filter(|held| held.age(now) < self.fresh_seconds) {
            return Ok(held);
        }
        self.refresh(now).await;
        self.usable(now).ok_or(Unverifiable::IssuerUnavailable)
    }

    fn usable(&self, now: u64) -> Option<Arc<Held>> {
        self.held.load_full().filter(|held| held.age(now) < self.stale_seconds)
    }

    /// Fetches the keys once, unless a fetch ended while this one waited for its turn or the last one was too
    /// short a time ago. Gives the outcome of the last fetch.
    async fn refresh(self: &Arc<Self>, now: u64) -> Attempt {
        let ended = self.ended.load(Ordering::Acquire);
        let store = Arc::clone(self);
        // A task of its own: a caller that hangs up must not stop the fetch others wait for.
        let fetch = tokio::spawn(async move {
            let mut flight = store.flight.lock().await;
            if let Some(last) = *flight {
                let just_now = now.abs_diff(last.at) < store.min_refresh_seconds;
                if just_now || store.ended.load(Ordering::Acquire) != ended {
                    return last;
                }
            }
            let succeeded = store.fetch(now).await;
            let attempt = Attempt { at: now, succeeded };
            *flight = Some(attempt);
            store.ended.fetch_add(1, Ordering::Release);
            attempt
        });
        // The task neither panics nor is cancelled; were it so, the issuer counts as unavailable.
        fetch.await.unwrap_or(Attempt { at: now, succeeded: false })
    }

    /// One fetch, discovery included. Keeps the keys held when it fails.
    async fn fetch(&self, now: u64) -> bool {
        let keys = match self.fetch_keys().await {
            Ok(keys) => keys,
            Err(reason) => {
                tracing::warn!(issuer = %self.issuer, %reason, "the issuer's keys could not be fetched");
                return false;
            }
        };
        if keys.len() == 0 {
            tracing::warn!(issuer = %self.issuer, "the issuer publishes no usable key: every token is refused");
        }
        let lost = self.held.load().as_ref().is_some_and(|held| held.keys.lost_a_key(&keys));
        if lost {
            tracing::info!(issuer = %self.issuer, "a key has left the issuer's set: remembered tokens are checked again");
        }
        let generation = self.generation() + u64::from(lost);
        self.held.store(Some(Arc::new(Held { keys, fetched_at: now, generation })));
        self.generation.store(generation, Ordering::Release);
        true
    }

    async fn fetch_keys(&self) -> Result<KeySet, String> {
        let uri = match &self.source {
            KeySource::Discovery => {
                discovery::jwks_uri(&self.issuer, &self.fetcher).await.map_err(|error| error.to_string())?
            }
            KeySource::Jwks(uri) => Url::parse(uri).map_err(|error| error.to_string())?,
        };
        let document = self.fetcher.get(&uri).await.map_err(|error| error.to_string())?;
        KeySet::parse(&document).map_err(|error| error.to_string())
    }
}

impl Held {
    fn age(&self, now: u64) -> u64 {
        // Either way: a clock set back must not make keys immortal.
        now.abs_diff(self.fetched_at)
    }
}
