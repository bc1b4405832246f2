//! `octroi wallet`: the wallet that the agents of this user pay from.

use std::borrow::Cow;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use octroi_agent::{AgentError, HttpClient, Link, PlainLines, WalletServer};
use octroi_l402::Msat;
use octroi_lightning::{InvoiceRequest, LightningNode, NodeError, PayError, bolt11};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::agent::{Funds, PayerArgs, finish, paid_json, progress, sats};
use super::connect::{OWN_QUEUE, over_stdio};
use crate::config::{LogConfig, LogFormat};
use crate::logging;

/// The wallet: balance, pay, invoice, decode; or all of it as an MCP server.
#[derive(Clone, Debug, Args)]
pub struct WalletArgs {
    #[command(flatten)]
    payer: PayerArgs,
    /// Print one JSON object.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: WalletCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum WalletCommand {
    /// What can be sent and received.
    Balance,
    /// Pay an invoice, within the policy.
    Pay {
        /// The invoice (BOLT 11).
        invoice: String,
    },
    /// Make an invoice.
    Invoice {
        /// How much to ask for, in satoshis.
        #[arg(value_parser = clap::value_parser!(u32).range(1..))]
        sats: u32,
        /// What the payer's wallet shows.
        #[arg(long, default_value = "")]
        description: String,
        /// How long it can be paid.
        #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
        expiry: u64,
    },
    /// Read an invoice without paying it.
    Decode {
        /// The invoice (BOLT 11).
        invoice: String,
    },
    /// Be an MCP server on standard input and output: balance, pay_invoice, fetch, decode_invoice, list_spending.
    Serve,
}

/// Does what is asked of the wallet. Exit codes as of `call`.
pub fn run(args: &WalletArgs) -> ExitCode {
    finish(args.json, async {
        if let WalletCommand::Decode { invoice } = &args.command {
            return print(args.json, &decoded(invoice)?);
        }
        if matches!(args.command, WalletCommand::Serve) {
            logging::start(&LogConfig { format: LogFormat::Text, level: "warn".to_owned() });
            return serve(&args.payer).await;
        }
        let funds = args.payer.open(Some(progress()), None).await?;
        let done = act(&args.command, &funds).await;
        funds.close().await;
        print(args.json, &done?)
    })
}

async fn act(command: &WalletCommand, funds: &Funds) -> Result<Value, AgentError> {
    let wallet = funds.payer.wallet().ok_or_else(|| {
        AgentError::Config("there is no wallet; name one with --wallet or OCTROI_WALLET".to_owned())
    })?;
    match command {
        WalletCommand::Balance => balance(wallet).await,
        WalletCommand::Pay { invoice } => {
            let (paid, preimage) = funds.payer.pay_invoice(invoice).await?;
            let mut json = paid_json(&paid);
            json["preimage"] = json!(preimage.to_hex());
            Ok(json)
        }
        WalletCommand::Invoice { sats, description, expiry } => {
            let amount = Msat::new(i64::from(*sats) * 1000);
            let expiry = Duration::from_secs(*expiry);
            let request = InvoiceRequest { amount, description: description.clone(), expiry, preimage: None };
            let invoice = wallet.create_invoice(request).await.map_err(failed)?;
            Ok(json!({
                "invoice": invoice.bolt11,
                "payment_hash": invoice.payment_hash.to_string(),
                "amount_msat": invoice.amount.as_i64(),
                "expires_at": invoice.expires_at,
            }))
        }
        WalletCommand::Decode { invoice } => decoded(invoice),
        WalletCommand::Serve => Ok(Value::Null),
    }
}

async fn balance(wallet: &Arc<dyn LightningNode>) -> Result<Value, AgentError> {
    let balances = wallet.balances().await.map_err(failed)?;
    let info = wallet.info().await.map_err(failed)?;
    Ok(json!({
        "outbound_msat": balances.outbound.as_i64(),
        "inbound_msat": balances.inbound.map(Msat::as_i64),
        "onchain_sat": balances.onchain_sat,
        "backend": wallet.backend(),
        "network": info.network,
        "node": info.id,
    }))
}

fn decoded(invoice: &str) -> Result<Value, AgentError> {
    let read = bolt11::decode(invoice).map_err(octroi_agent::BillError::Invoice)?;
    Ok(json!({
        "payment_hash": read.payment_hash.to_string(),
        "amount_msat": read.amount.map(Msat::as_i64),
        "description": read.description,
        "created_at": read.created_at,
        "expires_at": read.expires_at,
        "network": read.network,
        "payee": read.payee,
    }))
}

fn failed(error: NodeError) -> AgentError {
    AgentError::Pay(PayError::Node(error))
}

/// One line for each member; satoshis for a person.
fn print(as_json: bool, value: &Value) -> Result<ExitCode, AgentError> {
    if as_json {
        println!("{value}");
        return Ok(ExitCode::SUCCESS);
    }
    for (name, value) in value.as_object().into_iter().flatten() {
        match (name.strip_suffix("_msat"), value.as_i64(), value.as_str()) {
            (Some(name), Some(msat), _) => println!("{name}: {}", sats(msat)),
            (_, _, Some(text)) => println!("{name}: {}", PlainLines(text)),
            _ => println!("{name}: {value}"),
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn serve(args: &PayerArgs) -> Result<ExitCode, AgentError> {
    let funds = args.open(None, None).await?;
    let (own, owned) = mpsc::channel(OWN_QUEUE);
    let link = Arc::new(Link::new(own));
    let server = WalletServer::new(Arc::clone(&funds.payer), HttpClient::new()?, Arc::clone(&link));
    // Every question is its own: no server stands behind it.
    over_stdio(server, link, owned, |message| Cow::Borrowed(message)).await;
    funds.close().await;
    Ok(ExitCode::SUCCESS)
}
