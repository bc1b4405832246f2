//! The `octroi` command as a library: configuration, commands, wiring. The binary only calls [`main`].

pub mod check;
mod clock;
pub mod commands;
pub mod config;
#[cfg(feature = "demo")]
mod demo;
mod logging;
pub mod wiring;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The gate in front of MCP servers that knows who calls and what each call costs.
#[derive(Debug, Parser)]
#[command(name = "octroi", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read a configuration and show what the gate would do.
    Check(check::CheckArgs),
    /// Call a tool on a gated MCP server, and pay for it within a budget.
    Call(Box<commands::call::CallArgs>),
    /// Speak MCP on standard input and output for a server elsewhere, and pay for its calls.
    Connect(Box<commands::connect::ConnectArgs>),
    /// See the whole journey: a paid, identified MCP call, with real Lightning on a private chain.
    #[cfg(feature = "demo")]
    Demo(demo::DemoArgs),
    /// Fetch a URL, and pay for it within limits.
    Fetch(Box<commands::fetch::FetchArgs>),
    /// Tell a running gate whom to let in no longer.
    Identity(Box<commands::identity::IdentityArgs>),
    /// Look at the ledger.
    Ledger(commands::ledger::LedgerArgs),
    /// The Lightning node the gate is paid through.
    Lightning(Box<commands::lightning::LightningArgs>),
    /// Proof of work: solve a puzzle.
    Pow(commands::pow::PowArgs),
    /// Look at what agents bought and spent.
    Purse(Box<commands::purse::PurseArgs>),
    /// Receipts of paid calls.
    Receipt(commands::receipt::ReceiptArgs),
    /// Run the gate.
    Serve(commands::serve::ServeArgs),
    /// Prepaid credentials issued by the operator.
    Token(Box<commands::token::TokenArgs>),
    /// List a server's tools with their prices.
    Tools(Box<commands::tools::ToolsArgs>),
    /// The wallet that agents pay from; also as an MCP server.
    Wallet(Box<commands::wallet::WalletArgs>),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    // One cryptographic backend for the whole process. The Lightning node's libraries compile another one in, and rustls
    // refuses to guess; an error means that a provider is installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match Cli::parse().command {
        Command::Check(args) => check::run(&args),
        Command::Call(args) => commands::call::run(&args),
        Command::Connect(args) => commands::connect::run(&args),
        #[cfg(feature = "demo")]
        Command::Demo(args) => demo::run(&args),
        Command::Fetch(args) => commands::fetch::run(&args),
        Command::Identity(args) => commands::identity::run(&args),
        Command::Ledger(args) => commands::ledger::run(&args),
        Command::Lightning(args) => commands::lightning::run(&args),
        Command::Pow(args) => commands::pow::run(&args),
        Command::Purse(args) => commands::purse::run(&args),
        Command::Receipt(args) => commands::receipt::run(&args),
        Command::Serve(args) => commands::serve::run(&args),
        Command::Token(args) => commands::token::run(&args),
        Command::Tools(args) => commands::tools::run(&args),
        Command::Wallet(args) => commands::wallet::run(&args),
    }
}
