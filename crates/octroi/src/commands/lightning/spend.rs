//! What costs the node money: asked of a running gate, sealed with the gate's own key, once a person has said yes.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use http::StatusCode;
use octroi_l402::Msat;
use octroi_lightning::bolt11;
use octroi_server::{CloseRequest, OpenRequest, PayRequest, RequestId, SEAL_HEADER, WithdrawRequest};
use serde::Serialize;
use serde_json::Value;

use super::ask::pages;
use super::{Look, LookError};
use crate::clock::unix_seconds;
use crate::config::Config;
use crate::wiring::Keys;

/// How long the gate may take beyond what a payment is waited for.
const PATIENCE: Duration = Duration::from_secs(70);
/// Most bytes of what a gate said that are shown.
const SAID_MAX: usize = 1000;

#[derive(Debug, Args)]
pub(super) struct Pay {
    #[command(flatten)]
    pub(super) look: Look,
    /// The invoice (BOLT 11).
    invoice: String,
    /// The most for routing, in satoshis; without it one percent of the amount, and at least 5.
    #[arg(long, value_name = "SATS")]
    fee_max: Option<u32>,
    /// How long an outcome is waited for, in seconds.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout: u64,
    #[command(flatten)]
    consent: Consent,
}

#[derive(Debug, Args)]
pub(super) struct Open {
    #[command(flatten)]
    pub(super) look: Look,
    /// The peer: its node id, @, its address and port.
    #[arg(value_name = "ID@ADDRESS:PORT", value_parser = peer)]
    peer: (String, SocketAddr),
    /// How much of the wallet goes into the channel, in satoshis.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    sats: u64,
    #[command(flatten)]
    consent: Consent,
}

#[derive(Debug, Args)]
pub(super) struct Close {
    #[command(flatten)]
    pub(super) look: Look,
    /// The channel's id, as `octroi lightning channels` shows it.
    channel: String,
    /// Without the peer: it costs more, and the money comes back after some hundred blocks.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    consent: Consent,
}

#[derive(Debug, Args)]
pub(super) struct Withdraw {
    #[command(flatten)]
    pub(super) look: Look,
    /// Where to.
    address: String,
    /// How much, in satoshis.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..), required_unless_present = "all")]
    sats: Option<u64>,
    /// Everything but what is kept for closing channels.
    #[arg(long, conflicts_with = "sats")]
    all: bool,
    /// For miners, in satoshis for each virtual byte; without it what the source of blocks thinks.
    #[arg(long, value_name = "SATS", value_parser = clap::value_parser!(u64).range(1..))]
    sat_per_vbyte: Option<u64>,
    #[command(flatten)]
    consent: Consent,
}

#[derive(Debug, Args)]
struct Consent {
    /// Do it without asking.
    #[arg(long)]
    yes: bool,
}

fn peer(text: &str) -> Result<(String, SocketAddr), String> {
    let (id, address) = text.split_once('@').ok_or("write the node's id, @, its address and port")?;
    let address = address.parse().map_err(|_| "not an address and port: write 203.0.113.7:9735")?;
    Ok((id.to_owned(), address))
}

pub(super) async fn pay(config: &Config, pay: &Pay) -> Result<Value, LookError> {
    let invoice = bolt11::decode(&pay.invoice).map_err(|error| LookError::Gate(error.to_string()))?;
    let amount = invoice.amount.unwrap_or(Msat::ZERO);
    let fee_max_msat = match pay.fee_max {
        Some(sats) => i64::from(sats) * 1000,
        None => (amount.as_i64() / 100).max(5000),
    };
    pay.consent
        .given(&format!("Pay {} msat, and at most {fee_max_msat} msat for routing", amount.as_i64()))?;
    let request = PayRequest {
        request: fresh()?,
        invoice: pay.invoice.clone(),
        fee_max_msat,
        timeout_seconds: pay.timeout,
    };
    send(config, "/lightning/pay", &request, Duration::from_secs(pay.timeout)).await
}

pub(super) async fn open(config: &Config, open: &Open) -> Result<Value, LookError> {
    let (peer, address) = open.peer.clone();
    open.consent.given(&format!("Open a channel of {} sats with {peer}", open.sats))?;
    let request = OpenRequest { request: fresh()?, peer, address, sats: open.sats };
    send(config, "/lightning/open-channel", &request, Duration::ZERO).await
}

pub(super) async fn close(config: &Config, close: &Close) -> Result<Value, LookError> {
    let how = if close.force { "Force-close" } else { "Close" };
    close.consent.given(&format!("{how} channel {}", close.channel))?;
    let request = CloseRequest { request: fresh()?, channel: close.channel.clone(), force: close.force };
    send(config, "/lightning/close-channel", &request, Duration::ZERO).await
}

pub(super) async fn withdraw(config: &Config, withdraw: &Withdraw) -> Result<Value, LookError> {
    let amount = withdraw.sats.map_or_else(|| "everything".to_owned(), |sats| format!("{sats} sats"));
    withdraw.consent.given(&format!("Send {amount} to {}", withdraw.address))?;
    let request = WithdrawRequest {
        request: fresh()?,
        address: withdraw.address.clone(),
        sats: withdraw.sats,
        sat_per_vbyte: withdraw.sat_per_vbyte,
    };
    send(config, "/lightning/withdraw", &request, Duration::ZERO).await
}

impl Consent {
    /// Asks at the terminal, where nothing was said on the command line.
    fn given(&self, question: &str) -> Result<(), LookError> {
        if self.yes {
            return Ok(());
        }
        let (stdin, mut stderr) = (std::io::stdin(), std::io::stderr());
        if !stdin.is_terminal() || !stderr.is_terminal() {
            return Err(LookError::NotConfirmed);
        }
        write!(stderr, "{question}? [y/N] ").and_then(|()| stderr.flush())?;
        let mut line = String::new();
        stdin.read_line(&mut line)?;
        match line.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => Ok(()),
            _ => Err(LookError::NotConfirmed),
        }
    }
}

/// Tells this request from any other.
fn fresh() -> Result<RequestId, LookError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    Ok(hex::encode(bytes))
}

async fn send(
    config: &Config,
    page: &str,
    asked: &impl Serialize,
    waits: Duration,
) -> Result<Value, LookError> {
    let keys = Keys::load(&config.secrets)?;
    let address = pages(config);
    let body = serde_json::to_vec(asked).map_err(|error| LookError::Gate(error.to_string()))?;
    let now = unix_seconds();
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE + waits).build();
    let sent = client
        .map_err(|error| LookError::Gate(error.to_string()))?
        .post(format!("http://{address}{page}"))
        .header(SEAL_HEADER, keys.operator.seal(page, &body, now))
        .header("content-type", "application/json")
        .body(body)
        .send()
        .await;
    let reply = sent.map_err(|error| {
        if error.is_connect() {
            LookError::NoGate(address.to_string())
        } else {
            LookError::Lost(error.to_string())
        }
    })?;
    let status = reply.status();
    let said = reply.text().await.map_err(|error| LookError::Lost(error.to_string()))?;
    let answer = serde_json::from_str::<Value>(&said).unwrap_or(Value::Null);
    if status.is_success() && answer.is_object() {
        return Ok(answer);
    }
    let why =
        answer["error"].as_str().unwrap_or_else(|| said.trim()).chars().take(SAID_MAX).collect::<String>();
    Err(match status {
        StatusCode::GATEWAY_TIMEOUT | StatusCode::SERVICE_UNAVAILABLE => LookError::Lost(why),
        _ if status.is_success() => LookError::Lost(why),
        _ => LookError::Gate(why),
    })
}
