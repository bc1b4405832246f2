//! `octroi connect`: a remote MCP server as a local program, for clients that know nothing of money.

mod front;
mod install;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use octroi_agent::{AgentError, Bridge, HttpClient, Link};
use tokio::sync::mpsc;
use url::Url;

use super::agent::{IdentityArgs, PayerArgs, WhenToAsk, finish};
use crate::config::{LogConfig, LogFormat};
use crate::logging;

pub(super) use front::{OWN_QUEUE, over_stdio};

/// Speak MCP on standard input and output for a server elsewhere, and sign in and pay for its calls.
///
/// A desktop client starts this as one of its servers; `--install` prints what to write into its settings. Exits with 0 when the
/// client goes away, and 2 when the arguments, the purse, the policy or the wallet cannot be used.
#[derive(Clone, Debug, Args)]
pub struct ConnectArgs {
    /// The MCP endpoint, such as https://gate.example.com/mcp.
    url: Url,
    #[command(flatten)]
    identity: IdentityArgs,
    #[command(flatten)]
    payer: PayerArgs,
    /// Print what Claude Desktop, Claude Code, Cursor and VS Code need to start this, and do nothing else.
    #[arg(long)]
    install: bool,
    /// The name under which clients show it; the server's host unless given.
    #[arg(long, requires = "install")]
    name: Option<String>,
    /// What is logged on standard error, as `RUST_LOG` is written.
    #[arg(long, default_value = "warn", env = "OCTROI_LOG", value_name = "FILTER")]
    log: String,
}

/// Runs the bridge until its client goes away.
pub fn run(args: &ConnectArgs) -> ExitCode {
    if args.install {
        print!("{}", install::blocks(&args.url, args.name.as_deref(), std::env::args_os()));
        if let Some((url, document)) = args.identity.metadata() {
            println!("# The client's metadata, to be served at {url}\n{document:#}");
        }
        return ExitCode::SUCCESS;
    }
    logging::start(&LogConfig { format: LogFormat::Text, level: args.log.clone() });
    finish(false, connect(args))
}

async fn connect(args: &ConnectArgs) -> Result<ExitCode, AgentError> {
    if !matches!(args.url.scheme(), "http" | "https") || args.url.password().is_some() {
        return Err(AgentError::Config(
            "an address begins with http:// or https:// and holds no password".to_owned(),
        ));
    }
    // Standard input belongs to the client: its owner is asked through it and not on the terminal.
    let funds = args.payer.open(None, None).await?;
    settle_open(&funds.payer).await;
    let identity = args.identity.identity(&args.url, funds.payer.purse(), WhenToAsk::Always)?;
    let (own, owned) = mpsc::channel(OWN_QUEUE);
    let link = Arc::new(Link::new(own));
    let http = HttpClient::new()?;
    let bridge = Bridge::new(http, &args.url, Arc::clone(&funds.payer), identity, Some(Arc::clone(&link)))?;
    let shown = bridge.clone();
    over_stdio(bridge, link, owned, move |message| shown.attributed(message)).await;
    funds.close().await;
    Ok(ExitCode::SUCCESS)
}

/// What an earlier process left without an outcome is looked up in the background, so that the client need not wait.
async fn settle_open(payer: &Arc<octroi_agent::Payer>) {
    if payer.wallet().is_none() {
        return;
    }
    let payer = Arc::clone(payer);
    tokio::spawn(async move {
        match payer.settle_open().await {
            Ok(0) => {}
            Ok(open) => tracing::warn!(open, "payments have no outcome yet"),
            Err(error) => tracing::warn!(%error, "payments without an outcome could not be looked up"),
        }
    });
}
