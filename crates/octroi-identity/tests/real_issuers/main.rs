//! Other people's identity providers, as `cargo xtask test` installs them: their tokens, keys and answers.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod browser;
mod glewlwyd;
mod oidc_provider;
mod process;

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since the Unix epoch.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}
