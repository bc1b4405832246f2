//! `octroi check`: reads a configuration and shows what the gate would do, tool by tool.

use std::process::ExitCode;

use clap::Args;

use crate::config::{Config, ConfigArgs};

/// What `octroi check` is asked.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The configuration and what overrides it.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Print one JSON object instead of tables.
    #[arg(long)]
    pub json: bool,
}

/// Checks; exits with 0 when the gate could start with this configuration, 2 when it could not.
pub fn run(args: &CheckArgs) -> ExitCode {
    match Config::load(&args.config) {
        Ok(_) => ExitCode::SUCCESS,
        Err(mistakes) => {
            eprintln!("{mistakes}");
            ExitCode::from(2)
        }
    }
}
