//! The `octroi` command as a library: configuration, commands, wiring. The binary only calls [`main`].

pub mod check;
pub mod config;

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
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Check(args) => check::run(&args),
    }
}
