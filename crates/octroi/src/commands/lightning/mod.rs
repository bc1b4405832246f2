//! `octroi lightning`: the node the gate is paid through. Asks the gate while it runs, and the node itself when it does not; what
//! costs money is asked of a running gate only, under the operator's seal.

mod ask;
#[cfg(feature = "lightning-embedded")]
mod folder;
mod show;
mod spend;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use octroi_lightning::NodeError;
use serde_json::{Value, json};
use thiserror::Error;

use crate::check::EXIT_CONFIG;
use crate::config::{Config, ConfigArgs, LightningConfig};
use crate::wiring::{KeyError, StartError};
use spend::{Close, Open, Pay, Withdraw};

/// How long an invoice may be paid, unless told otherwise, in seconds.
const EXPIRY_SECONDS: u64 = 3600;

/// It was not done, and nothing was spent.
const EXIT_FAILED: u8 = 1;
/// Nobody said yes.
const EXIT_NOT_CONFIRMED: u8 = 5;
/// No gate answers.
const EXIT_NETWORK: u8 = 6;
/// It is not known whether money was spent.
const EXIT_MONEY: u8 = 7;

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
    /// Pay an invoice from the node.
    Pay(Pay),
    /// Open a channel from the embedded node's coins.
    OpenChannel(Open),
    /// Close a channel of the embedded node.
    CloseChannel(Close),
    /// Send coins of the embedded node's wallet to an address.
    Withdraw(Withdraw),
    /// Make the embedded node's keys under its passphrase, and show their 24 words this once.
    Init {
        #[command(flatten)]
        look: Look,
        /// Read the words of a node that was there before from standard input, and make the keys from them.
        #[arg(long)]
        words: bool,
    },
    /// Put the embedded node's keys under another passphrase, read from standard input, while the gate is stopped.
    Passphrase(Look),
    /// Copy the embedded node's keys and channels into a new folder, while the gate is stopped.
    Backup {
        #[command(flatten)]
        look: Look,
        /// The folder to make.
        to: PathBuf,
    },
    /// Put such a copy in the place of the embedded node, when the node it was made from has not run since and never will.
    Restore {
        #[command(flatten)]
        look: Look,
        /// The copy.
        from: PathBuf,
    },
}

impl LightningCommand {
    const fn look(&self) -> &Look {
        match self {
            Self::Status(look) | Self::Channels(look) | Self::Address(look) | Self::Passphrase(look) => look,
            Self::Pay(Pay { look, .. })
            | Self::OpenChannel(Open { look, .. })
            | Self::CloseChannel(Close { look, .. })
            | Self::Withdraw(Withdraw { look, .. })
            | Self::Invoice { look, .. }
            | Self::Init { look, .. }
            | Self::Backup { look, .. }
            | Self::Restore { look, .. } => look,
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
    #[error(transparent)]
    Keys(#[from] KeyError),
    #[error("the gate answered: {0}")]
    Gate(String),
    /// Something was asked of a gate, and it may have done it.
    #[error("{0}; whether it was done is not known: look at `octroi lightning status` before doing it again")]
    Lost(String),
    #[error("no gate answers at {0}: start it; what costs money is done by a running gate only")]
    NoGate(String),
    #[error("not done: answer yes, or give --yes")]
    NotConfirmed,
    #[error("only an embedded node is kept here; another one has its own way")]
    NotEmbedded,
    #[cfg(feature = "lightning-embedded")]
    #[error(
        "give the new passphrase on standard input, from a program or a file: typed here it would be seen"
    )]
    Typed,
    #[error("{0}")]
    System(#[from] std::io::Error),
}

impl LookError {
    const fn exit_code(&self) -> u8 {
        match self {
            Self::NoNode => EXIT_CONFIG,
            Self::NotConfirmed => EXIT_NOT_CONFIRMED,
            Self::NoGate(_) => EXIT_NETWORK,
            Self::Lost(_) => EXIT_MONEY,
            _ => EXIT_FAILED,
        }
    }
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
            answer(&config, lightning, &args.command).await
        })
    });
    match done {
        Ok(answer) if look.json => println!("{answer}"),
        Ok(answer) => show::print(&args.command, &answer),
        Err(error) => {
            let code = error.exit_code();
            if look.json {
                println!("{}", json!({"error": {"exit": code, "message": error.to_string()}}));
            } else {
                eprintln!("octroi: {error}");
            }
            return ExitCode::from(code);
        }
    }
    ExitCode::SUCCESS
}

async fn answer(
    config: &Config,
    lightning: &LightningConfig,
    command: &LightningCommand,
) -> Result<Value, LookError> {
    match command {
        LightningCommand::Pay(pay) => spend::pay(config, pay).await,
        LightningCommand::OpenChannel(open) => spend::open(config, open).await,
        LightningCommand::CloseChannel(close) => spend::close(config, close).await,
        LightningCommand::Withdraw(withdraw) => spend::withdraw(config, withdraw).await,
        #[cfg(feature = "lightning-embedded")]
        LightningCommand::Init { words, .. } => folder::init(lightning, *words).await,
        #[cfg(feature = "lightning-embedded")]
        LightningCommand::Passphrase(_) => folder::passphrase(lightning).await,
        #[cfg(feature = "lightning-embedded")]
        LightningCommand::Backup { to, .. } => folder::backup(lightning, to),
        #[cfg(feature = "lightning-embedded")]
        LightningCommand::Restore { from, .. } => folder::restore(lightning, from),
        #[cfg(not(feature = "lightning-embedded"))]
        LightningCommand::Init { .. }
        | LightningCommand::Passphrase(_)
        | LightningCommand::Backup { .. }
        | LightningCommand::Restore { .. } => Err(LookError::NotEmbedded),
        command => ask::ask(config, lightning, command).await,
    }
}
