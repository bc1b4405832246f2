//! Asking a running gate, which is the only writer of its ledger.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use octroi_server::SEAL_HEADER;
use serde::Serialize;

use super::{TokenError, now};
use crate::config::Config;
use crate::wiring::Keys;

/// How long the gate may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends `asked` to one of the operator's pages, sealed with the gate's own key.
pub(super) async fn ask(
    config: &Config,
    keys: &Keys,
    page: &str,
    asked: &impl Serialize,
) -> Result<(), TokenError> {
    let mut address = config.admin.listen.unwrap_or(config.listen);
    if address.ip().is_unspecified() {
        address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    let failed = |why: String| TokenError::Gate(address.to_string(), why);
    let body = serde_json::to_vec(asked).map_err(|error| failed(error.to_string()))?;
    let seal = keys.operator.seal(page, &body, now());
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build();
    let reply = client
        .map_err(|error| failed(error.to_string()))?
        .post(format!("http://{address}{page}"))
        .header(SEAL_HEADER, seal)
        .header("content-type", "application/json")
        .body(body)
        .send()
        .await
        .map_err(|error| failed(error.to_string()))?;
    if reply.status().is_success() {
        return Ok(());
    }
    let status = reply.status();
    let said = reply.text().await.unwrap_or_default();
    Err(failed(format!("{status}: {}", said.trim())))
}
