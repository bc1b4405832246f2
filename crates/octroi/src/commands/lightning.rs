//! `octroi lightning`: the node the gate is paid through. Asks the gate while it runs, and the node itself when it does not.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use octroi_l402::Msat;
use octroi_lightning::{InvoiceRequest, NodeError};
use serde_json::{Value, json};
use thiserror::Error;

use crate::check::EXIT_CONFIG;
use crate::config::{Config, ConfigArgs, LightningConfig};
use crate::wiring::{Node, StartError};

/// How long the gate may take to answer.
const PATIENCE: Duration = Duration::from_secs(40);
/// How long an invoice may be paid, unless told otherwise, in seconds.
const EXPIRY_SECONDS: u64 = 3600;

/// The Lightning node.
#[derive(Debug, Args)]
pub struct LightningArgs {
    #[command(subcommand)]
    command: LightningCommand,
}

#[derive(Debug, Args)]
struct Look {
    /// The configuration and what overrides it.
    #[command(flatten)]
    config: ConfigArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum LightningCommand {
    /// Who the node is, what it can carry, and what is wrong with it.
    Status(Look),
    /// Its channels.
    Channels(Look),
    /// Make an invoice of your own. What is paid for it is nobody's in the ledger.
    Invoice {
        #[command(flatten)]
        look: Look,
        /// How much, in satoshis.
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
        sats: u32,
        /// What for.
        #[arg(long, default_value = "")]
        description: String,
        /// How long it can be paid, in seconds.
        #[arg(long, default_value_t = EXPIRY_SECONDS)]
        expiry: u64,
    },
    /// A new on-chain address of the embedded node.
    Address(Look),
    /// Copy the embedded node's keys and channels into a new folder, while the gate is stopped.
    Backup {
        #[command(flatten)]
        look: Look,
        /// The folder to make.
        to: PathBuf,
    },
}

impl LightningCommand {
    const fn look(&self) -> &Look {
        match self {
            Self::Status(look) | Self::Channels(look) | Self::Address(look) => look,
            Self::Invoice { look, .. } | Self::Backup { look, .. } => look,
        }
    }
}

#[derive(Debug, Error)]
enum LookError {
    #[error("no [lightning] section is configured")]
    NoNode,
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error("the gate answered: {0}")]
    Gate(String),
    #[error("only an embedded node is backed up here; another one has its own way")]
    NotEmbedded,
    #[error("{0}")]
    System(#[from] std::io::Error),
}

/// Runs `octroi lightning …`.
pub fn run(args: &LightningArgs) -> ExitCode {
    let look = args.command.look();
    let config = match Config::load(&look.config) {
        Ok(config) => config,
        Err(mistakes) => {
            eprintln!("{mistakes}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    let done = tokio::runtime::Runtime::new().map_err(LookError::from).and_then(|runtime| {
        runtime.block_on(async {
            let lightning = config.lightning.as_ref().ok_or(LookError::NoNode)?;
            match &args.command {
                LightningCommand::Backup { to, .. } => backup(lightning, to),
                command => ask(&config, lightning, command).await,
            }
        })
    });
    match done {
        Ok(answer) if look.json => println!("{answer}"),
        Ok(answer) => print(&args.command, &answer),
        Err(error) => {
            eprintln!("octroi: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

async fn ask(
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
    let address = config.admin.listen.unwrap_or(config.listen);
    let base = format!("http://{address}/lightning");
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
            let made = handle.create_invoice(request).await?;
            Ok(json!({
                "invoice": made.bolt11,
                "payment_hash": made.payment_hash.to_string(),
                "amount_msat": made.amount.as_i64(),
                "expires_at": made.expires_at,
            }))
        }
        LightningCommand::Address(_) => Ok(json!({"address": handle.new_address().await?})),
        _ => {
            let info = handle.info().await?;
            let balances = handle.balances().await.ok();
            let channels = handle.channels().await?;
            Ok(json!({
                "backend": handle.backend(),
                "can": handle.capabilities().to_string(),
                "custodial": handle.capabilities().custodial,
                "up": true,
                "outbound_msat": balances.map(|balances| balances.outbound.as_i64()),
                "inbound_msat": balances.and_then(|balances| balances.inbound).map(Msat::as_i64),
                "onchain_sat": balances.map(|balances| balances.onchain_sat),
                "node": {
                    "id": info.id,
                    "alias": info.alias,
                    "network": info.network,
                    "block_height": info.block_height,
                    "synced": info.synced,
                    "channels": info.channels,
                    "usable_channels": info.usable_channels,
                },
                "channels": channels.iter().map(|channel| json!({
                    "id": channel.id,
                    "peer": channel.peer,
                    "capacity_sat": channel.capacity_sat,
                    "outbound_msat": channel.outbound.as_i64(),
                    "inbound_msat": channel.inbound.as_i64(),
                    "usable": channel.usable,
                })).collect::<Vec<_>>(),
            }))
        }
    }
}

#[cfg(feature = "lightning-embedded")]
fn backup(lightning: &LightningConfig, to: &std::path::Path) -> Result<Value, LookError> {
    let crate::config::LightningBackend::Embedded(node) = &lightning.backend else {
        return Err(LookError::NotEmbedded);
    };
    octroi_lightning::embedded::backup(&node.storage_dir, to)?;
    Ok(json!({"backup": to.display().to_string()}))
}

#[cfg(not(feature = "lightning-embedded"))]
fn backup(_: &LightningConfig, _: &std::path::Path) -> Result<Value, LookError> {
    Err(LookError::NotEmbedded)
}

fn print(command: &LightningCommand, answer: &Value) {
    let text = |value: &Value| match value {
        Value::Null => "not known".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let row = |name: &str, value: &Value| println!("{name:<14} {}", text(value));
    match command {
        LightningCommand::Status(_) => {
            row("backend", &answer["backend"]);
            row("can", &answer["can"]);
            for name in ["id", "alias", "network", "block_height", "synced", "channels", "usable_channels"] {
                row(name, &answer["node"][name]);
            }
            for name in ["up", "inbound_msat", "outbound_msat", "onchain_sat"] {
                row(name, &answer[name]);
            }
            let alerts = answer["alerts"].as_object().into_iter().flatten();
            for (name, _) in alerts.filter(|(_, on)| **on == Value::Bool(true)) {
                println!("ALERT          {name}");
            }
            if let Some(error) = answer["error"].as_str() {
                println!("ERROR          {error}");
            }
        }
        LightningCommand::Channels(_) => {
            println!(
                "{:<66} {:>12} {:>16} {:>16} usable",
                "peer", "sats", "can send msat", "can receive msat"
            );
            for channel in answer["channels"].as_array().into_iter().flatten() {
                println!(
                    "{:<66} {:>12} {:>16} {:>16} {}",
                    text(&channel["peer"]),
                    text(&channel["capacity_sat"]),
                    text(&channel["outbound_msat"]),
                    text(&channel["inbound_msat"]),
                    text(&channel["usable"]),
                );
            }
        }
        LightningCommand::Invoice { .. } => println!("{}", text(&answer["invoice"])),
        LightningCommand::Address(_) => println!("{}", text(&answer["address"])),
        LightningCommand::Backup { .. } => {
            println!(
                "copied to {}; never start a node from it while this one may still run",
                text(&answer["backup"])
            );
        }
    }
}
