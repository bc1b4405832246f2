//! `octroi check`: reads a configuration and shows what the gate would do, tool by tool.

mod json;
mod price;
mod table;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Args;

use crate::config::{Config, ConfigArgs};

/// What a configuration with mistakes ends with, for every command that reads one.
pub const EXIT_CONFIG: u8 = 2;

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
///
/// The tables go to standard output, mistakes to standard error; with `--json` one object goes to standard output
/// in both cases.
pub fn run(args: &CheckArgs) -> ExitCode {
    let result = Config::load(&args.config);
    let (text, code) = match &result {
        Ok(config) if args.json => (format!("{}\n", json::of_config(config)), ExitCode::SUCCESS),
        Ok(config) => (table::of_config(config), ExitCode::SUCCESS),
        Err(mistakes) if args.json => {
            (format!("{}\n", json::of_mistakes(mistakes)), ExitCode::from(EXIT_CONFIG))
        }
        Err(mistakes) => {
            eprintln!("{mistakes}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    // A reader that went away (`| head`) has seen enough.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    code
}

#[cfg(test)]
mod tests;
