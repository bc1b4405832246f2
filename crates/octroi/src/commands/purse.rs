//! `octroi purse`: what was bought, what is left of it, and what was spent.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use octroi_agent::{AgentError, Bought, Payer, Plain, Receipt, Secret, SpendState, Totals};
use serde_json::{Value, json};
use url::Url;

use super::agent::{PayerArgs, finish, sats, secret};
use crate::clock::unix_seconds;

/// How long payments without an outcome are looked up again and again.
const SETTLE_WAIT: Duration = Duration::from_secs(15);
/// Between two looks.
const SETTLE_PAUSE: Duration = Duration::from_millis(500);

/// Look at the purse: credentials, balances, spending, receipts.
#[derive(Clone, Debug, Args)]
pub struct PurseArgs {
    #[command(flatten)]
    payer: PayerArgs,
    /// How many payments to show.
    #[arg(long, value_name = "N", default_value_t = 10)]
    last: u32,
    /// Print one JSON object.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Option<PurseCommand>,
}

#[derive(Clone, Debug, Subcommand)]
enum PurseCommand {
    /// Throw credentials away: those of one endpoint, or all.
    Forget {
        /// The endpoint, as `octroi purse` shows it.
        endpoint: Option<String>,
        /// All credentials, of every endpoint.
        #[arg(long, required_unless_present = "endpoint", conflicts_with = "endpoint")]
        all: bool,
    },
    /// Put a credential in that somebody gave you, such as a voucher of the server's owner.
    Add {
        /// The endpoint that takes it.
        endpoint: Url,
        /// The tool to use it for.
        tool: String,
        /// `<macaroon>:<preimage>`, or env:NAME or file:PATH where it stands.
        #[arg(value_parser = secret)]
        credential: Secret,
    },
    /// Forget the tokens of an endpoint.
    SignOut {
        /// The endpoint.
        endpoint: Url,
    },
    /// Ask the wallet what became of payments that have no outcome.
    Settle,
}

/// Shows the purse, or changes it.
pub fn run(args: &PurseArgs) -> ExitCode {
    finish(args.json, async {
        match &args.command {
            None => show(args)?,
            Some(PurseCommand::Forget { endpoint, .. }) => {
                let gone = args.payer.purse()?.forget_credentials(endpoint.as_deref())?;
                tell(args.json, "forgotten", json!(gone));
            }
            Some(PurseCommand::Add { endpoint, tool, credential }) => {
                let added = args.payer.purse()?.add(endpoint.as_str(), tool, credential, unix_seconds())?;
                tell(args.json, "added", json!(added));
            }
            Some(PurseCommand::SignOut { endpoint }) => {
                let was = args.payer.purse()?.forget_session(endpoint.as_str())?;
                tell(args.json, "signed_out", json!(was));
            }
            Some(PurseCommand::Settle) => {
                let funds = args.payer.open(None, None).await?;
                let open = settle(&funds.payer).await;
                funds.close().await;
                tell(args.json, "open", json!(open?));
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// Looks open payments up, again and again for a while: a node that was just started hears of them from its peers.
async fn settle(payer: &Payer) -> Result<usize, AgentError> {
    let started = Instant::now();
    loop {
        let open = payer.settle_open().await?;
        if open == 0 || started.elapsed() > SETTLE_WAIT {
            return Ok(open);
        }
        tokio::time::sleep(SETTLE_PAUSE).await;
    }
}

fn tell(json: bool, name: &str, value: Value) {
    if json {
        println!("{}", json!({ name: value }));
    } else {
        println!("{}: {value}", name.replace('_', " "));
    }
}

fn show(args: &PurseArgs) -> Result<(), AgentError> {
    let purse = args.payer.purse()?;
    let now = unix_seconds();
    let (credentials, totals) = (purse.credentials()?, purse.totals(None, now)?);
    let (receipts, signed_in) = (purse.receipts(args.last)?, purse.signed_in()?);
    if args.json {
        println!("{}", purse_json(&credentials, totals, &receipts, &signed_in));
        return Ok(());
    }
    print!("{}", text(&credentials, totals, &receipts, &signed_in, now));
    Ok(())
}

fn purse_json(credentials: &[Bought], totals: Totals, receipts: &[Receipt], signed_in: &[String]) -> Value {
    let credentials = credentials.iter().map(|bought| {
        json!({
            "endpoint": bought.endpoint,
            "tool": bought.tool,
            "payment_hash": bought.payment_hash,
            "calls_left": bought.calls_left,
            "expires_at": bought.expires_at,
            "worked": bought.worked,
        })
    });
    json!({
        "credentials": credentials.collect::<Vec<_>>(),
        "spent": totals_json(totals),
        "receipts": receipts.iter().map(receipt_json).collect::<Vec<_>>(),
        "signed_in": signed_in,
    })
}

fn totals_json(totals: Totals) -> Value {
    json!({
        "hour_msat": totals.hour.as_i64(),
        "day_msat": totals.day.as_i64(),
        "all_msat": totals.all.as_i64(),
    })
}

fn receipt_json(receipt: &Receipt) -> Value {
    json!({
        "payment_hash": receipt.payment_hash,
        "server": receipt.server,
        "tool": receipt.tool,
        "description": receipt.description,
        "amount_msat": receipt.amount.as_i64(),
        "cost_msat": receipt.cost.as_i64(),
        "calls": receipt.calls,
        "state": state(receipt.state),
        "at": receipt.at,
    })
}

const fn state(state: SpendState) -> &'static str {
    match state {
        SpendState::Open => "open",
        SpendState::Paid => "paid",
        SpendState::Failed => "failed",
    }
}

fn text(
    credentials: &[Bought],
    totals: Totals,
    receipts: &[Receipt],
    signed_in: &[String],
    now: u64,
) -> String {
    let mut out = format!(
        "spent: {} in the last hour, {} in the last day, {} in all\n",
        sats(totals.hour.as_i64()),
        sats(totals.day.as_i64()),
        sats(totals.all.as_i64())
    );
    let mut section = |title: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            out.push_str(&format!("\n{title}\n"));
            lines.iter().for_each(|line| out.push_str(&format!("  {line}\n")));
        }
    };
    let credential = |bought: &Bought| {
        let left =
            bought.calls_left.map_or_else(|| "uncounted".to_owned(), |left| format!("{left} call(s) left"));
        let ends = match bought.expires_at {
            Some(at) if at <= now && bought.worked => ", expired".to_owned(),
            Some(at) if at <= now => ", expired (renewed when it is used)".to_owned(),
            Some(at) => format!(", for {} s", at - now),
            None => String::new(),
        };
        let worked = if bought.worked { ", worked for" } else { "" };
        format!("{} {}: {left}{worked}{ends}", bought.endpoint, Plain(&bought.tool))
    };
    section("credentials", credentials.iter().map(credential).collect());
    let receipt = |receipt: &Receipt| {
        let whom = if receipt.server.is_empty() { "an invoice" } else { &receipt.server };
        let age = now.saturating_sub(receipt.at);
        let (what, cost) = (state(receipt.state), sats(receipt.cost.as_i64()));
        let mut line =
            format!("{age} s ago: {what} {cost} to {whom} for {} x {}", receipt.calls, Plain(&receipt.tool));
        if !receipt.description.is_empty() {
            line.push_str(&format!(" (\"{}\")", Plain(&receipt.description)));
        }
        line
    };
    section("payments, newest first", receipts.iter().map(receipt).collect());
    section("signed in", signed_in.to_vec());
    out
}
