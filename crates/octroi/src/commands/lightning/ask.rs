//! Looking at the node: the gate is asked while it runs, and the node itself when it does not.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use octroi_l402::Msat;
use octroi_lightning::InvoiceRequest;
use octroi_server::lightning_pages;
use serde_json::{Value, json};

use super::{LightningCommand, LookError};
use crate::config::{Config, LightningConfig};
use crate::wiring::Node;

/// How long the gate may take to answer.
const PATIENCE: Duration = Duration::from_secs(40);

/// Where the pages of a gate on this machine are.
pub(super) fn pages(config: &Config) -> SocketAddr {
    let mut address = config.admin.listen.unwrap_or(config.listen);
    if address.ip().is_unspecified() {
        address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    address
}

pub(super) async fn ask(
    config: &Config,
    lightning: &LightningConfig,
    command: &LightningCommand,
) -> Result<Value, LookError> {
    match ask_gate(config, command).await {
        Ok(Some(answer)) => Ok(answer),
        Ok(None) => ask_node(lightning, command).await,
        Err(error) => Err(error),
    }
}

/// `None` when no gate runs.
async fn ask_gate(config: &Config, command: &LightningCommand) -> Result<Option<Value>, LookError> {
    let base = format!("http://{}/lightning", pages(config));
    let failed = |error: reqwest::Error| LookError::Gate(error.to_string());
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().map_err(failed)?;
    let request = match command {
        LightningCommand::Invoice { sats, description, expiry, .. } => client.post(format!("{base}/invoice")).json(
            &json!({"msat": i64::from(*sats) * 1000, "description": description, "expiry_seconds": expiry}),
        ),
        LightningCommand::Address(_) => client.post(format!("{base}/address")),
        _ => client.get(base),
    };
    let response = match request.send().await {
        Ok(response) => response,
        Err(error) if error.is_connect() => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let status = response.status();
    let answer: Value = response.json().await.map_err(failed)?;
    if status.is_success() {
        return Ok(Some(answer));
    }
    Err(LookError::Gate(answer["error"].as_str().unwrap_or(status.as_str()).to_owned()))
}

async fn ask_node(lightning: &LightningConfig, command: &LightningCommand) -> Result<Value, LookError> {
    let node = Node::start(lightning).await?;
    let answer = answer(&node, command).await;
    node.stop().await;
    answer
}

async fn answer(node: &Node, command: &LightningCommand) -> Result<Value, LookError> {
    let handle = node.handle();
    match command {
        LightningCommand::Invoice { sats, description, expiry, .. } => {
            let request = InvoiceRequest {
                amount: Msat::new(i64::from(*sats) * 1000),
                description: description.clone(),
                expiry: Duration::from_secs(*expiry),
                preimage: None,
            };
            Ok(lightning_pages::of_invoice(&handle.create_invoice(request).await?))
        }
        LightningCommand::Address(_) => Ok(json!({"address": handle.new_address().await?})),
        _ => {
            let (answer, unknown) = lightning_pages::of_node(handle.as_ref()).await;
            unknown.map_or(Ok(answer), |error| Err(error.into()))
        }
    }
}
