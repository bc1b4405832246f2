//! The check of a token, from text to caller.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::cache::{self, TokenCache, TokenHash};
use crate::desk::Desk;
use crate::revocation::Revocations;
use crate::terms::Terms;
use crate::token::{self, claims};
use crate::{
    Binding, Caller, DpopVerifier, IdentityConfig, InvalidToken, ProofError, SetupError, ShownProof,
    TokenError, TooManyRevocations,
};

/// Verifies access tokens for one protected resource.
pub struct Verifier {
    /// One for each issuer or asked endpoint; the provider's first. Never empty.
    desks: Vec<Desk>,
    required_scopes: Arc<[String]>,
    token_cache_seconds: u64,
    cache: TokenCache<Caller>,
    /// Moves when a key has left an issuer's set, and when something is revoked: what was remembered before is dead.
    epoch: Arc<AtomicU64>,
    /// The epoch when the cache was last emptied.
    cleared: AtomicU64,
    revoked: Revocations,
}

impl Verifier {
    /// Checks the configuration and builds the verifier. No connection is made: an issuer that is down keeps
    /// nobody from starting. Keys are fetched when first needed, or by [`Self::warm`].
    ///
    /// # Errors
    /// When the configuration would accept tokens that are not meant for this resource, or cannot work.
    pub async fn connect(config: IdentityConfig) -> Result<Self, SetupError> {
        let config = config.checked()?;
        let epoch = Arc::new(AtomicU64::new(0));
        let trusted = config.trusted_issuers.iter().map(|trusted| Terms::of_trusted(trusted, &config));
        let desks = std::iter::once(Terms::of_provider(&config))
            .chain(trusted)
            .map(|terms| Desk::new(terms, &config, Arc::clone(&epoch)))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            desks,
            required_scopes: config.required_scopes.into(),
            token_cache_seconds: config.token_cache_seconds,
            cache: TokenCache::new(config.token_cache_entries),
            epoch,
            cleared: AtomicU64::new(0),
            revoked: Revocations::default(),
        })
    }

    /// The caller of a bearer token verified before, while it is certain to be still good: until its `exp` or
    /// `token_cache_seconds` after the check, while no key has left the issuer's set and nothing was revoked. Neither
    /// waits nor allocates. `now` is in seconds since the Unix epoch.
    #[must_use]
    pub fn cached(&self, token: &str, now: u64) -> Option<Arc<Caller>> {
        self.remembered(token, now).filter(|caller| caller.binding.is_none())
    }

    /// Checks a bearer token in full and remembers it for [`Self::cached`]. `now` is in seconds since the Unix epoch.
    ///
    /// The order: form and header, signature (or the issuer's word), issuer, kind, audience and client, time, subject,
    /// delegation, revocation, scopes. A token that is bound to a sender's key is refused.
    ///
    /// # Errors
    /// [`TokenError`] says whose fault it is; nothing in it repeats the token.
    pub async fn verify(&self, token: &str, now: u64) -> Result<Arc<Caller>, TokenError> {
        let caller = self.judged(token, now).await?;
        if caller.binding.is_some() {
            return Err(InvalidToken::SenderConstrained.into());
        }
        Ok(caller)
    }

    /// Checks a token shown with the `DPoP` scheme (RFC 9449 §7.1): the proof by itself, the token, that one is bound to
    /// the other's key, and that the proof was not shown before. Tokens seen before are taken from the cache; proofs
    /// are always checked. `now` is in seconds since the Unix epoch.
    ///
    /// # Errors
    /// As [`Self::verify`]; [`TokenError::Proof`] when the proof is wrong, and [`InvalidToken::NotSenderConstrained`]
    /// when the token is a plain bearer token.
    pub async fn verify_dpop(
        &self,
        dpop: &DpopVerifier,
        token: &str,
        shown: &ShownProof<'_>,
        now: u64,
    ) -> Result<Arc<Caller>, TokenError> {
        let proof = dpop.check(shown, token, now)?;
        let caller = match self.remembered(token, now) {
            Some(caller) => caller,
            None => self.judged(token, now).await?,
        };
        match &caller.binding {
            None => return Err(InvalidToken::NotSenderConstrained.into()),
            Some(Binding::Jkt(thumbprint)) if *thumbprint == proof.thumbprint() => {}
            Some(Binding::Jkt(_) | Binding::Unknown) => return Err(InvalidToken::OtherKey.into()),
        }
        // Last, so that only holders of good tokens can fill the memory of proofs.
        dpop.spend(proof, now).map_err(|error| match error {
            ProofError::TooMany => TokenError::from(crate::Unverifiable::TooManyProofs),
            other => other.into(),
        })?;
        Ok(caller)
    }

    /// Fetches the issuers' keys if none are held, so that the first call need not wait.
    ///
    /// # Errors
    /// [`TokenError::Unverifiable`] when some cannot be had; the next [`Self::verify`] tries again.
    pub async fn warm(&self, now: u64) -> Result<(), TokenError> {
        for desk in &self.desks {
            desk.warm(now).await?;
        }
        Ok(())
    }

    /// Revokes one token at this gate, by its SHA-256 ([`Self::token_hash`]), for a day. Every token remembered is
    /// checked anew. `now` is in seconds since the Unix epoch.
    ///
    /// # Errors
    /// When too many revocations stand already.
    pub fn revoke_token(&self, hash: [u8; 32], now: u64) -> Result<(), TooManyRevocations> {
        self.revoked.token(hash, now)?;
        self.forget_all();
        Ok(())
    }

    /// Revokes everything a subject holds at this gate: tokens issued until now, or without saying when, for a day.
    /// Every token remembered is checked anew. `now` is in seconds since the Unix epoch.
    ///
    /// # Errors
    /// When too many revocations stand already.
    pub fn revoke_subject(&self, issuer: &str, subject: &str, now: u64) -> Result<(), TooManyRevocations> {
        self.revoked.subject(Caller::principal_of(issuer, subject), now)?;
        self.forget_all();
        Ok(())
    }

    /// Forgets every verdict: each token is checked anew, and opaque ones with their issuer.
    pub fn forget_all(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
        self.desks.iter().for_each(Desk::forget_all);
        self.cache.clear();
    }

    /// The hash that names a token in [`Self::revoke_token`]: SHA-256 of its text.
    #[must_use]
    pub fn token_hash(token: &str) -> [u8; 32] {
        cache::hash(token)
    }

    /// The provider's issuers, for `authorization_servers` of the resource's metadata. Trusted issuers of workloads are
    /// none: nobody signs in there.
    #[must_use]
    pub fn issuers(&self) -> Vec<String> {
        self.desks.first().map(|desk| desk.terms().provider.issuers.clone()).unwrap_or_default()
    }

    /// The scopes every token must have, for challenges and `scopes_supported`.
    #[must_use]
    pub fn required_scopes(&self) -> &[String] {
        &self.required_scopes
    }

    fn remembered(&self, token: &str, now: u64) -> Option<Arc<Caller>> {
        // A longer one was never accepted, and hashing it would cost more than refusing it.
        if token.len() > IdentityConfig::MAX_TOKEN_BYTES {
            return None;
        }
        self.cache.get(&cache::hash(token), now, self.epoch.load(Ordering::Acquire))
    }

    /// The caller of a token, bound to a key or not.
    async fn judged(&self, token: &str, now: u64) -> Result<Arc<Caller>, TokenError> {
        if token.is_empty() {
            return Err(TokenError::Missing);
        }
        if token.len() > IdentityConfig::MAX_TOKEN_BYTES {
            return Err(InvalidToken::TooLong.into());
        }
        let desk = self.desk(token)?;
        let hash = cache::hash(token);
        let (claims, epoch) = desk.vouched(token, &hash, now).await?;
        let caller = claims::judge(claims, desk.terms(), now)?;
        self.revoked.check(&hash, &caller)?;
        if !caller.scopes.has_all(&self.required_scopes) {
            return Err(TokenError::InsufficientScope { required: Arc::clone(&self.required_scopes) });
        }
        let caller = Arc::new(caller);
        let trusted_for = desk.terms().provider.answer_seconds().unwrap_or(self.token_cache_seconds);
        let until = caller.expires_at.min(now.saturating_add(trusted_for));
        self.remember(hash, &caller, until, epoch, now);
        Ok(caller)
    }

    /// The desk for a token: the one whose issuer it names, else the first that asks an issuer about every token. With
    /// one desk there is no choice.
    fn desk(&self, token: &str) -> Result<&Desk, InvalidToken> {
        if let [only] = &self.desks[..] {
            return Ok(only);
        }
        let asks = || self.desks.iter().find(|desk| desk.asks());
        match token::claims_unverified(token) {
            Ok(claims) => {
                let named = self.desks.iter().find(|desk| !desk.asks() && desk.is_named_by(&claims));
                named.or_else(asks).ok_or(InvalidToken::Issuer)
            }
            Err(malformed) => asks().ok_or(malformed),
        }
    }

    fn remember(&self, hash: TokenHash, caller: &Arc<Caller>, until: u64, epoch: u64, now: u64) {
        // Entries of older epochs are dead already; this gives their memory back.
        if self.cleared.fetch_max(epoch, Ordering::Relaxed) < epoch {
            self.cache.clear();
        }
        if now < until {
            self.cache.insert(hash, Arc::clone(caller), until, epoch);
        }
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let terms: Vec<&Terms> = self.desks.iter().map(Desk::terms).collect();
        f.debug_struct("Verifier").field("terms", &terms).finish_non_exhaustive()
    }
}
