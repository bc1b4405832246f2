//! `octroi ledger bill`: charges that another ledger has refused for good. Seen, told once more, or let be.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use octroi_ledger::{Ledger, LedgerConfig, MAX_ROWS, OpenError};
use octroi_server::{BillError, BillFate, BillReply, BillRequest, settle_bills};
use thiserror::Error;

use super::super::beside::{self, Unanswered};
use super::{EXIT_BROKEN, FileArgs, open, print_json};
use crate::check::EXIT_CONFIG;
use crate::config::{Config, ConfigArgs};
use crate::wiring::{KeyError, Keys};

/// How long a running gate may take: it writes each of them.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Clone, Debug, Args)]
pub(super) struct BillArgs {
    #[command(subcommand)]
    command: BillCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum BillCommand {
    /// What was refused, and why.
    List(FileArgs),
    /// Tell it once more, after what was wrong is mended.
    Retry(RetryArgs),
    /// Name it no more: the other ledger has it, or shall not have it.
    Accept(AcceptArgs),
}

#[derive(Clone, Debug, Args)]
struct RetryArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Every charge that the other ledger surely does not have.
    #[arg(long, required_unless_present = "call")]
    all: bool,
    /// One charge, by its call's id; may be repeated.
    #[arg(long, value_name = "ID", conflicts_with = "all")]
    call: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Debug, Args)]
struct AcceptArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// One charge, by its call's id; may be repeated.
    #[arg(long, value_name = "ID", required = true)]
    call: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Error)]
enum ActError {
    #[error("{0}")]
    Config(String),
    #[error(transparent)]
    Keys(#[from] KeyError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Bill(#[from] BillError),
    #[error(transparent)]
    Gate(#[from] Unanswered),
    #[error("the gate's answer cannot be read: {0}")]
    Answer(#[from] serde_json::Error),
    #[error("{0}")]
    System(#[from] std::io::Error),
}

/// Runs `octroi ledger bill …`.
pub(super) fn run(args: &BillArgs) -> ExitCode {
    let (config, fate, calls, json) = match &args.command {
        BillCommand::List(file) => return list(file),
        BillCommand::Retry(args) => {
            (&args.config, BillFate::Retry, (!args.all).then(|| args.call.clone()), args.json)
        }
        BillCommand::Accept(args) => (&args.config, BillFate::Accept, Some(args.call.clone()), args.json),
    };
    match act(config, &BillRequest { fate, calls }) {
        Ok(reply) => {
            if json {
                print_json(&reply);
            } else {
                print(fate, &reply);
            }
            if reply.unknown.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_BROKEN) }
        }
        Err(error) => {
            eprintln!("octroi: {error}");
            match error {
                ActError::Config(_) => ExitCode::from(EXIT_CONFIG),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

fn list(args: &FileArgs) -> ExitCode {
    let listed = open(args).and_then(|reader| Ok(reader.refused_bills(MAX_ROWS)?));
    let rows = match listed {
        Ok(rows) => rows,
        Err(error) => {
            eprintln!("octroi: {error}");
            return ExitCode::FAILURE;
        }
    };
    if args.json {
        print_json(&rows);
        return ExitCode::SUCCESS;
    }
    println!("{:<34} {:<24} {:<28} {:>12}  why", "call", "customer", "tool", "msat");
    for row in rows {
        println!("{:<34} {:<24} {:<28} {:>12}  {}", row.id, row.customer, row.tool, row.msat, row.why);
    }
    ExitCode::SUCCESS
}

/// Writes to the ledger: directly, or where a gate is its only writer, through that gate.
fn act(config: &ConfigArgs, asked: &BillRequest) -> Result<BillReply, ActError> {
    let config = Config::load(config).map_err(|mistakes| ActError::Config(mistakes.to_string()))?;
    tokio::runtime::Runtime::new()?.block_on(async {
        match Ledger::open(LedgerConfig::at(config.ledger.store.clone())) {
            Ok(ledger) => {
                let done = settle_bills(&ledger, asked).await;
                ledger.close().await;
                Ok(done?)
            }
            Err(OpenError::InUse { .. }) => {
                let keys = Keys::load(&config.secrets)?;
                let said = beside::ask(&config, &keys, "/ledger/bills", asked, PATIENCE).await?;
                Ok(serde_json::from_str(&said)?)
            }
            Err(error) => Err(error.into()),
        }
    })
}

fn print(fate: BillFate, reply: &BillReply) {
    let what = match fate {
        BillFate::Retry => "told once more",
        BillFate::Accept => "let be",
    };
    println!("{} charges are {what}", reply.done.len());
    for call in &reply.doubtful {
        println!("{call} may have been taken: look at the meter's events, then name it with --call");
    }
    for call in &reply.unknown {
        println!("{call} is not among the refused charges");
    }
}
