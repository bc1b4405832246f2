//! Asking a running gate, which is the only writer of its ledger.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use octroi_server::SEAL_HEADER;
use serde::Serialize;
use thiserror::Error;

use crate::clock::unix_seconds;
use crate::config::Config;
use crate::wiring::Keys;

/// A running gate did not do what it was asked, or none runs.
#[derive(Debug, Error)]
#[error("the gate at {address} does not answer: {why}")]
pub(super) struct Unanswered {
    address: String,
    why: String,
    /// Nobody listens there.
    pub(super) is_absent: bool,
}

/// Sends `asked` to one of the operator's pages, sealed with the gate's own key; what it says.
///
/// # Errors
/// [`Unanswered`].
pub(super) async fn ask(
    config: &Config,
    keys: &Keys,
    page: &str,
    asked: &impl Serialize,
    patience: Duration,
) -> Result<String, Unanswered> {
    let mut address = config.admin.listen.unwrap_or(config.listen);
    if address.ip().is_unspecified() {
        address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    let failed = |why: String| Unanswered { address: address.to_string(), why, is_absent: false };
    let body = serde_json::to_vec(asked).map_err(|error| failed(error.to_string()))?;
    let seal = keys.operator.seal(page, &body, unix_seconds());
    let client = reqwest::Client::builder().no_proxy().timeout(patience).build();
    let sent = client
        .map_err(|error| failed(error.to_string()))?
        .post(format!("http://{address}{page}"))
        .header(SEAL_HEADER, seal)
        .header("content-type", "application/json")
        .body(body)
        .send()
        .await;
    let reply =
        sent.map_err(|error| Unanswered { is_absent: error.is_connect(), ..failed(error.to_string()) })?;
    let status = reply.status();
    let said = reply.text().await.unwrap_or_default();
    if status.is_success() { Ok(said) } else { Err(failed(format!("{status}: {}", said.trim()))) }
}
