//! The check of a token, from text to caller.

use std::sync::Arc;

use crate::{Caller, IdentityConfig, SetupError, TokenError, Unverifiable};

/// Verifies access tokens for one protected resource.
pub struct Verifier {
    config: IdentityConfig,
}

impl Verifier {
    /// Checks the configuration and builds the verifier. No connection is made: an issuer that is down keeps
    /// nobody from starting. Keys are fetched when first needed, or by [`Self::warm`].
    ///
    /// # Errors
    /// When the configuration would accept tokens that are not meant for this resource, or cannot work.
    #[expect(clippy::unused_async, reason = "filled in next")]
    pub async fn connect(config: IdentityConfig) -> Result<Self, SetupError> {
        Ok(Self { config })
    }

    /// The caller of a token verified before, while it is certain to be still good: until its `exp` or
    /// `token_cache_seconds` after the check, and while no key has left the issuer's set. Neither waits nor
    /// allocates. `now` is in seconds since the Unix epoch.
    #[must_use]
    pub fn cached(&self, _token: &str, _now: u64) -> Option<Arc<Caller>> {
        None
    }

    /// Checks a token in full and remembers it for [`Self::cached`]. `now` is in seconds since the Unix epoch.
    ///
    /// # Errors
    /// [`TokenError`] says whose fault it is; nothing in it repeats the token.
    #[expect(clippy::unused_async, reason = "filled in next")]
    pub async fn verify(&self, _token: &str, _now: u64) -> Result<Arc<Caller>, TokenError> {
        Err(Unverifiable::IssuerUnavailable.into())
    }

    /// Fetches the issuer's keys if none are held, so that the first call need not wait.
    ///
    /// # Errors
    /// [`TokenError::Unverifiable`] when they cannot be had; the next [`Self::verify`] tries again.
    #[expect(clippy::unused_async, reason = "filled in next")]
    pub async fn warm(&self, _now: u64) -> Result<(), TokenError> {
        Ok(())
    }

    /// The accepted issuers, for `authorization_servers` of the resource's metadata.
    #[must_use]
    pub fn issuers(&self) -> Vec<String> {
        self.config.provider.issuers.clone()
    }
}
