//! The check of a token, from text to caller.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::cache::TokenCache;
use crate::keys::KeyStore;
use crate::token::{UnverifiedToken, claims};
use crate::{Caller, IdentityConfig, SetupError, TokenError};

/// Verifies access tokens for one protected resource.
pub struct Verifier {
    config: IdentityConfig,
    required_scopes: Arc<[String]>,
    keys: Arc<KeyStore>,
    cache: TokenCache,
    /// The keys' generation when the cache was last emptied.
    cleared: AtomicU64,
}

impl Verifier {
    /// Checks the configuration and builds the verifier. No connection is made: an issuer that is down keeps
    /// nobody from starting. Keys are fetched when first needed, or by [`Self::warm`].
    ///
    /// # Errors
    /// When the configuration would accept tokens that are not meant for this resource, or cannot work.
    pub async fn connect(config: IdentityConfig) -> Result<Self, SetupError> {
        let config = config.checked()?;
        Ok(Self {
            required_scopes: config.required_scopes.clone().into(),
            keys: Arc::new(KeyStore::new(&config)?),
            cache: TokenCache::new(config.token_cache_entries),
            cleared: AtomicU64::new(0),
            config,
        })
    }

    /// The caller of a token verified before, while it is certain to be still good: until its `exp` or
    /// `token_cache_seconds` after the check, and while no key has left the issuer's set. Neither waits nor
    /// allocates. `now` is in seconds since the Unix epoch.
    #[must_use]
    pub fn cached(&self, token: &str, now: u64) -> Option<Arc<Caller>> {
        // A longer one was never accepted, and hashing it would cost more than refusing it.
        if token.len() > IdentityConfig::MAX_TOKEN_BYTES {
            return None;
        }
        self.cache.get(token, now, self.keys.generation())
    }

    /// Checks a token in full and remembers it for [`Self::cached`]. `now` is in seconds since the Unix epoch.
    ///
    /// The order: form and header, signature, issuer, kind, audience and client, time, subject, scopes.
    ///
    /// # Errors
    /// [`TokenError`] says whose fault it is; nothing in it repeats the token.
    pub async fn verify(&self, token: &str, now: u64) -> Result<Arc<Caller>, TokenError> {
        if token.is_empty() {
            return Err(TokenError::Missing);
        }
        let unverified = UnverifiedToken::parse(token, &self.config.provider)?;
        let generation = self.keys.check(&unverified, now).await?;
        let caller = claims::judge(unverified.claims()?, &self.config, now)?;
        if !caller.scopes.has_all(&self.required_scopes) {
            return Err(TokenError::InsufficientScope { required: Arc::clone(&self.required_scopes) });
        }
        let caller = Arc::new(caller);
        self.remember(token, &caller, generation, now);
        Ok(caller)
    }

    /// Fetches the issuer's keys if none are held, so that the first call need not wait.
    ///
    /// # Errors
    /// [`TokenError::Unverifiable`] when they cannot be had; the next [`Self::verify`] tries again.
    pub async fn warm(&self, now: u64) -> Result<(), TokenError> {
        self.keys.warm(now).await
    }

    /// The accepted issuers, for `authorization_servers` of the resource's metadata.
    #[must_use]
    pub fn issuers(&self) -> Vec<String> {
        self.config.provider.issuers.clone()
    }

    /// The scopes every token must have, for challenges and `scopes_supported`.
    #[must_use]
    pub fn required_scopes(&self) -> &[String] {
        &self.required_scopes
    }

    fn remember(&self, token: &str, caller: &Arc<Caller>, generation: u64, now: u64) {
        // Entries of older generations are dead already; this gives their memory back.
        if self.cleared.fetch_max(generation, Ordering::Relaxed) < generation {
            self.cache.clear();
        }
        let until = caller.expires_at.min(now.saturating_add(self.config.token_cache_seconds));
        if now < until {
            self.cache.insert(token, Arc::clone(caller), until, generation);
        }
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("config", &self.config).finish_non_exhaustive()
    }
}
