//! The operator's phoenixd, over its HTTP API.

use url::Url;

use crate::{NodeError, Password};

/// A client of a phoenixd.
#[derive(Debug)]
pub struct Phoenixd {
    base: Url,
    password: Password,
}

impl Phoenixd {
    /// A client of the phoenixd at `url` (usually `http://127.0.0.1:9740`). Nothing is sent yet.
    ///
    /// # Errors
    /// [`NodeError::Config`] when `url` is not `http` or `https`.
    pub fn new(url: Url, password: Password) -> Result<Self, NodeError> {
        Ok(Self { base: url, password })
    }
}
