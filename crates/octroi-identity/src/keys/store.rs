//! The keys that are held, and when they are fetched again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use tokio::sync::Mutex;
use url::Url;

use super::discovery;
use super::jwk::{Answer, KeySet};
use crate::http::Fetcher;
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
    /// Counts the times a key has left the set of an issuer of this verifier; moved after the new keys are in place.
    epoch: Arc<AtomicU64>,
    /// Counts the fetches that have ended, whichever way.
    ended: AtomicU64,
    flight: Mutex<Option<Attempt>>,
}

/// Keys and the time they were fetched.
struct Held {
    keys: KeySet,
    fetched_at: u64,
}

/// The last fetch.
#[derive(Clone, Copy)]
struct Attempt {
    at: u64,
    succeeded: bool,
}

impl KeyStore {
    pub(crate) fn new(
        issuer: &str,
        source: &KeySource,
        config: &IdentityConfig,
        fetcher: Fetcher,
        epoch: Arc<AtomicU64>,
    ) -> Result<Self, SetupError> {
        let held = match source {
            KeySource::Discovery | KeySource::Jwks(_) => None,
            KeySource::Fixed(text) => {
                let keys = KeySet::parse(text.as_bytes()).ok().filter(|keys| keys.len() > 0);
                let keys = keys.ok_or_else(|| SetupError::KeySet { issuer: issuer.to_owned() })?;
                Some(Arc::new(Held { keys, fetched_at: 0 }))
            }
        };
        Ok(Self {
            fetcher,
            issuer: issuer.to_owned(),
            source: source.clone(),
            fresh_seconds: config.keys_fresh_seconds,
            stale_seconds: config.keys_stale_seconds,
            min_refresh_seconds: config.keys_min_refresh_seconds,
            held: ArcSwapOption::new(held),
            epoch,
            ended: AtomicU64::new(0),
            flight: Mutex::new(None),
        })
    }

    /// Checks a token's signature, fetching keys when none are held, when they are no longer fresh, or when
    /// the token names one that is not among them. Gives the epoch whose keys accepted it.
    pub(crate) async fn check(
        self: &Arc<Self>,
        token: &UnverifiedToken<'_>,
        now: u64,
    ) -> Result<u64, TokenError> {
        let held = self.current(now).await?;
        // Before the keys are read: were one to leave now, the token's entry in the cache is dead from the start.
        let mut epoch = self.epoch.load(Ordering::Acquire);
        let held = self.held.load_full().unwrap_or(held);
        let mut answer = held.keys.check(token);
        if answer == Answer::Unknown {
            let last = self.refresh(now).await;
            epoch = self.epoch.load(Ordering::Acquire);
            let held = self.usable(now).ok_or(Unverifiable::IssuerUnavailable)?;
            answer = held.keys.check(token);
            if answer == Answer::Unknown && !last.succeeded {
                return Err(Unverifiable::IssuerUnavailable.into());
            }
        }
        match answer {
            Answer::Good => Ok(epoch),
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
        if let Some(held) = self.held.load_full().filter(|held| self.age(held, now) < self.fresh_seconds) {
            return Ok(held);
        }
        self.refresh(now).await;
        self.usable(now).ok_or(Unverifiable::IssuerUnavailable)
    }

    /// How old the keys are, seconds. Keys given by the operator do not age.
    fn age(&self, held: &Held, now: u64) -> u64 {
        match self.source {
            KeySource::Fixed(_) => 0,
            // Either way: a clock set back must not make keys immortal.
            KeySource::Discovery | KeySource::Jwks(_) => now.abs_diff(held.fetched_at),
        }
    }

    fn usable(&self, now: u64) -> Option<Arc<Held>> {
        self.held.load_full().filter(|held| self.age(held, now) < self.stale_seconds)
    }

    /// Fetches the keys once, unless a fetch ended while this one waited for its turn or the last one was too
    /// short a time ago. Gives the outcome of the last fetch.
    async fn refresh(self: &Arc<Self>, now: u64) -> Attempt {
        if matches!(self.source, KeySource::Fixed(_)) {
            return Attempt { at: now, succeeded: true };
        }
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
        self.held.store(Some(Arc::new(Held { keys, fetched_at: now })));
        self.epoch.fetch_add(u64::from(lost), Ordering::Release);
        true
    }

    async fn fetch_keys(&self) -> Result<KeySet, String> {
        let uri = match &self.source {
            KeySource::Discovery => discovery::endpoint("jwks_uri", &self.issuer, &self.fetcher)
                .await
                .map_err(|error| error.to_string())?,
            KeySource::Jwks(uri) => Url::parse(uri).map_err(|error| error.to_string())?,
            KeySource::Fixed(text) => {
                return KeySet::parse(text.as_bytes()).map_err(|error| error.to_string());
            }
        };
        let document = self.fetcher.get(&uri).await.map_err(|error| error.to_string())?;
        KeySet::parse(&document).map_err(|error| error.to_string())
    }
}
