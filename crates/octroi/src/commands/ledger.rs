//! `octroi ledger`: what an operator looks up. Reads beside a running gate.

mod bill;
mod reconcile;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use octroi_ledger::{
    DEFAULT_LEASE, DEFAULT_TIMEOUT, Ledger, MAX_ROWS, OpenError, ReadError, Reader, Report, Store,
};
use serde::Serialize;
use serde_json::json;
use thiserror::Error;

/// The exit code when a promise is broken.
const EXIT_BROKEN: u8 = 4;
/// Rows shown unless told otherwise.
const ROWS: u32 = 20;

/// Look at the ledger.
#[derive(Clone, Debug, Args)]
pub struct LedgerArgs {
    #[command(subcommand)]
    command: LedgerCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum LedgerCommand {
    /// Revenue, credit, and what is under way.
    Report(FileArgs),
    /// Check every promise of the ledger; exits with 4 if one is broken.
    Verify(FileArgs),
    /// Compare the ledger with the Lightning node and with itself; exits with 4 if something differs.
    Reconcile(Box<reconcile::ReconcileArgs>),
    /// Charges that another ledger has refused for good.
    Bill(Box<bill::BillArgs>),
    /// The newest calls that have ended.
    Calls(RowArgs),
    /// The newest accounts.
    Accounts(RowArgs),
    /// What is revoked.
    Revocations(FileArgs),
    /// Everything that ever moved, oldest first: one JSON object per line.
    Export(FileArgs),
    /// Copy a ledger in SQLite into a new file, also beside a running gate.
    Backup(BackupArgs),
    /// Bring the schema forward, or make it, as a gate does when it starts.
    Migrate(FileArgs),
}

#[derive(Clone, Debug, Args)]
struct BackupArgs {
    /// The new file.
    to: PathBuf,
    #[command(flatten)]
    file: FileArgs,
}

#[derive(Clone, Debug, Args)]
struct FileArgs {
    /// The ledger: a SQLite file, a URL as in [ledger] url, or env:NAME for one that holds a password.
    #[arg(value_name = "LEDGER", default_value = "octroi.db")]
    ledger: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Debug, Args)]
struct RowArgs {
    #[command(flatten)]
    file: FileArgs,
    /// How many rows.
    #[arg(long, default_value_t = ROWS)]
    limit: u32,
}

#[derive(Debug, Error)]
enum LookError {
    #[error("the environment variable {0} is not set")]
    Variable(String),
    #[error("cannot write: {0}")]
    Write(#[from] std::io::Error),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Runs `octroi ledger …`.
pub fn run(args: &LedgerArgs) -> ExitCode {
    let looked = match &args.command {
        LedgerCommand::Reconcile(args) => return reconcile::run(args),
        LedgerCommand::Bill(args) => return bill::run(args),
        LedgerCommand::Report(file) => report(file),
        LedgerCommand::Verify(file) => verify(file),
        LedgerCommand::Calls(rows) => calls(rows),
        LedgerCommand::Accounts(rows) => accounts(rows),
        LedgerCommand::Revocations(file) => revocations(file),
        LedgerCommand::Export(file) => export(file),
        LedgerCommand::Backup(args) => backup(args),
        LedgerCommand::Migrate(file) => migrate(file),
    };
    looked.unwrap_or_else(|error| {
        eprintln!("octroi: {error}");
        ExitCode::FAILURE
    })
}

/// A URL, or what a variable holds, or else the path of a file.
fn store(args: &FileArgs) -> Result<Store, LookError> {
    let held;
    let mut text = args.ledger.as_str();
    if let Some(name) = text.strip_prefix("env:") {
        held = std::env::var(name).map_err(|_| LookError::Variable(name.to_owned()))?;
        text = &held;
    }
    if !text.contains("://") {
        return Ok(Store::sqlite(text));
    }
    Ok(Store::parse(text, DEFAULT_TIMEOUT, DEFAULT_LEASE).map_err(OpenError::Url)?)
}

fn open(args: &FileArgs) -> Result<Reader, LookError> {
    Ok(Ledger::open_read_only(&store(args)?)?)
}

fn print_json(value: &impl Serialize) {
    println!("{}", json!(value));
}

fn report(args: &FileArgs) -> Result<ExitCode, LookError> {
    let report = open(args)?.report()?;
    if args.json {
        print_json(&report);
    } else {
        print_report(&report);
    }
    Ok(ExitCode::SUCCESS)
}

fn print_report(report: &Report) {
    println!(
        "{:<14} {:<28} {:>16} {:>10} {:>10} {:>10}",
        "service", "tool", "msat", "by work", "charged", "given back"
    );
    for row in &report.revenue {
        println!(
            "{:<14} {:<28} {:>16} {:>10} {:>10} {:>10}",
            row.service, row.tool, row.msat, row.work_calls, row.captured, row.voided
        );
    }
    println!();
    println!("arrived over Lightning  {} msat", report.received_msat);
    println!("given as vouchers       {} msat", report.vouchers_msat);
    println!("owed to payers          {} msat, {} calls", report.credit_msat, report.credit_calls);
    println!("nobody's                {} msat", report.suspense_msat);
    println!("calls under way         {}", report.open_holds);
    println!("unpaid quotes           {}", report.unpaid_quotes);
}

fn verify(args: &FileArgs) -> Result<ExitCode, LookError> {
    let verification = open(args)?.verify()?;
    if args.json {
        print_json(&verification);
    } else {
        println!(
            "{} transactions, {} calls, {} accounts checked",
            verification.transactions, verification.calls, verification.accounts
        );
        for violation in &verification.violations {
            println!("BROKEN {}: {}", violation.promise, violation.detail);
        }
        if verification.is_sound() {
            println!("every promise holds");
        }
    }
    Ok(if verification.is_sound() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_BROKEN) })
}

fn calls(args: &RowArgs) -> Result<ExitCode, LookError> {
    let rows = open(&args.file)?.calls(args.limit)?;
    if args.file.json {
        print_json(&rows);
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "{:<34} {:<14} {:<28} {:>12} {:>12} {:<8}",
        "call", "service", "tool", "held", "charged", "unit"
    );
    for row in rows {
        println!(
            "{:<34} {:<14} {:<28} {:>12} {:>12} {:<8}",
            row.id, row.service, row.tool, row.held, row.captured, row.unit
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn accounts(args: &RowArgs) -> Result<ExitCode, LookError> {
    let rows = open(&args.file)?.accounts(args.limit)?;
    if args.file.json {
        print_json(&rows);
        return Ok(ExitCode::SUCCESS);
    }
    println!("{:<66} {:>14} {:>12} {:<6} {:>12}", "credential", "balance", "held", "unit", "ends");
    for row in rows {
        println!(
            "{:<66} {:>14} {:>12} {:<6} {:>12}",
            row.token, row.balance, row.held, row.unit, row.expires_at
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn revocations(args: &FileArgs) -> Result<ExitCode, LookError> {
    let rows = open(args)?.revocations()?;
    if args.json {
        print_json(&rows);
        return Ok(ExitCode::SUCCESS);
    }
    println!("{:<12} {:<66} {:>12} reason", "kind", "subject", "since");
    for row in rows {
        println!("{:<12} {:<66} {:>12} {}", row.kind, row.subject, row.at, row.reason);
    }
    Ok(ExitCode::SUCCESS)
}

fn export(args: &FileArgs) -> Result<ExitCode, LookError> {
    let reader = open(args)?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut last: Option<String> = None;
    loop {
        let rows = reader.journal(last.as_deref(), MAX_ROWS)?;
        for row in &rows {
            writeln!(out, "{}", json!(row))?;
        }
        match rows.last() {
            Some(row) => last = Some(row.id.clone()),
            None => break,
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn backup(args: &BackupArgs) -> Result<ExitCode, LookError> {
    open(&args.file)?.backup(&args.to)?;
    Ok(ExitCode::SUCCESS)
}

fn migrate(args: &FileArgs) -> Result<ExitCode, LookError> {
    let (found, now) = Ledger::migrate(&store(args)?)?;
    if args.json {
        print_json(&json!({"from": found, "to": now}));
    } else if found == now {
        println!("the ledger has schema {now}; there is nothing to do");
    } else {
        println!("the ledger had schema {found} and has schema {now} now");
    }
    Ok(ExitCode::SUCCESS)
}
