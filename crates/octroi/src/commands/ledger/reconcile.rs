//! `octroi ledger reconcile`: the books against the node. Asks the gate while it runs, and does it itself when it does not.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use octroi_gate::reconcile::{Acted, FindingKind, ReconcileError, Reconciliation, Scope, act, examine};
use octroi_ledger::{Ledger, LedgerConfig, LedgerError, OpenError, ReadError};
use octroi_server::{ReconcileReply, ReconcileRequest};
use serde_json::json;
use thiserror::Error;

use super::super::beside::{self, Unanswered};
use super::EXIT_BROKEN;
use crate::check::EXIT_CONFIG;
use crate::clock::unix_seconds;
use crate::config::{Config, ConfigArgs};
use crate::wiring::{KeyError, Keys, Node, StartError, scope};

/// How long a running gate may take: it may ask its node about many invoices.
const PATIENCE: Duration = Duration::from_secs(600);
const DAY_SECONDS: u64 = 86_400;

#[derive(Clone, Debug, Args)]
pub(super) struct ReconcileArgs {
    /// The configuration and what overrides it.
    #[command(flatten)]
    config: ConfigArgs,
    /// Book what is missing, and accept what is odd but credited by the rule.
    #[arg(long)]
    apply: bool,
    /// How many days to look back; otherwise as many as [ledger.reconcile] days says.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=36_600))]
    days: Option<u64>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Error)]
enum LookError {
    #[error(transparent)]
    Keys(#[from] KeyError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Write(#[from] LedgerError),
    #[error(transparent)]
    Node(#[from] StartError),
    #[error(transparent)]
    Reconcile(#[from] ReconcileError),
    #[error(transparent)]
    Gate(#[from] Unanswered),
    #[error("the gate's answer cannot be read: {0}")]
    Answer(#[from] serde_json::Error),
    #[error("{0}")]
    System(#[from] std::io::Error),
}

/// Runs `octroi ledger reconcile`.
pub(super) fn run(args: &ReconcileArgs) -> ExitCode {
    let config = match Config::load(&args.config) {
        Ok(config) => config,
        Err(mistakes) => {
            eprintln!("{mistakes}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    let looked = tokio::runtime::Runtime::new()
        .map_err(LookError::from)
        .and_then(|runtime| runtime.block_on(reconcile(&config, args)));
    match looked {
        Ok(reply) => {
            if args.json {
                println!("{}", json!(reply));
            } else {
                print(&reply, args.apply);
            }
            if reply.books.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_BROKEN) }
        }
        Err(error) => {
            eprintln!("octroi: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn reconcile(config: &Config, args: &ReconcileArgs) -> Result<ReconcileReply, LookError> {
    let keys = Keys::load(&config.secrets)?;
    let since = args.days.map(|days| unix_seconds().saturating_sub(days * DAY_SECONDS));
    let asked = ReconcileRequest { since, apply: args.apply };
    match beside::ask(config, &keys, "/ledger/reconcile", &asked, PATIENCE).await {
        Ok(said) => Ok(serde_json::from_str(&said)?),
        Err(error) if error.is_absent => alone(config, asked).await,
        Err(error) => Err(error.into()),
    }
}

/// Where no gate runs. Looking opens nothing for writing.
async fn alone(config: &Config, asked: ReconcileRequest) -> Result<ReconcileReply, LookError> {
    let settings = &config.ledger.reconcile;
    let since = asked.since.unwrap_or_else(|| unix_seconds().saturating_sub(settings.reach.as_secs()));
    let scope = scope(settings, since, unix_seconds());
    let node = match &config.lightning {
        Some(lightning) => Some(Node::start(lightning).await?),
        None => None,
    };
    let looked = look(config, node.as_ref(), scope, asked.apply).await;
    if let Some(node) = &node {
        node.stop().await;
    }
    let (books, acted) = looked?;
    Ok(ReconcileReply { books, acted })
}

async fn look(
    config: &Config,
    node: Option<&Node>,
    scope: Scope,
    apply: bool,
) -> Result<(Reconciliation, Acted), LookError> {
    let handle = node.map(Node::handle);
    let reader = || Ledger::open_read_only(&config.ledger.store);
    let found = examine(reader()?, handle.as_deref(), scope).await?;
    if !apply || !found.findings.iter().any(|finding| finding.kind.is_settled_by_acting()) {
        return Ok((found, Acted::default()));
    }
    let ledger = Ledger::open(LedgerConfig::at(config.ledger.store.clone()))?;
    let acted = act(&ledger, &found).await;
    ledger.close().await;
    Ok((examine(reader()?, handle.as_deref(), scope).await?, acted?))
}

fn print(reply: &ReconcileReply, applied: bool) {
    let ReconcileReply { books, acted } = reply;
    println!(
        "{} payments of the ledger, {} invoices asked about, {} payments listed by {}",
        books.payments,
        books.asked,
        books.listed,
        books.node.as_deref().unwrap_or("no node")
    );
    if books.not_asked > 0 {
        println!("{} invoices were not asked about: raise [ledger.reconcile] lookups_max", books.not_asked);
    }
    if applied {
        println!(
            "booked {} payments of {} msat, accepted {}",
            acted.credited, acted.credited_msat, acted.accepted
        );
    }
    if books.is_empty() {
        println!("everything agrees");
        return;
    }
    println!();
    println!("{:<15} {:<64} {:>14} {:>14}  what", "kind", "payment, hold or call", "msat", "expected");
    let amount = |msat: Option<i64>| msat.map(|msat| msat.to_string()).unwrap_or_default();
    for one in &books.findings {
        let (msat, expected) = (amount(one.msat), amount(one.expected_msat));
        println!("{:<15} {:<64} {msat:>14} {expected:>14}  {}", one.kind, one.subject, one.detail);
    }
    if books.more > 0 {
        println!("and {} more", books.more);
    }
    let settled = |kind: &&FindingKind| kind.is_settled_by_acting() && books.count(**kind) > 0;
    if FindingKind::ALL.iter().any(|kind| settled(&kind)) {
        println!();
        println!(
            "octroi ledger reconcile --apply books what is not_credited and accepts what is overpaid, underpaid, late or unasked"
        );
    }
    if books.count(FindingKind::BillRefused) > 0 {
        println!();
        println!(
            "octroi ledger bill retry tells what is bill_refused once more, after what was wrong is mended"
        );
    }
}
