//! `octroi check`: reads a configuration and shows what the gate would do, tool by tool.

mod ask;
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
    /// Ask the Lightning node, too: whether it answers, and what its credential allows. Nothing is changed there.
    #[arg(long)]
    pub ask: bool,
}

/// What `--ask` ends with when the node does not answer, or allows too little to sell.
const EXIT_NODE: u8 = 1;

/// Checks; exits with 0 when the gate could start with this configuration, 2 when it could not, and with `--ask` 1 when its
/// Lightning node is of no use.
///
/// The tables go to standard output, mistakes to standard error; with `--json` one object goes to standard output
/// in both cases.
pub fn run(args: &CheckArgs) -> ExitCode {
    let result = Config::load(&args.config);
    let lightning = result.as_ref().ok().and_then(|config| config.lightning.as_ref()).filter(|_| args.ask);
    let answer = lightning.map(ask::node);
    let fit = if answer.as_ref().is_some_and(|answer| answer.fatal) {
        ExitCode::from(EXIT_NODE)
    } else {
        ExitCode::SUCCESS
    };
    let (text, code) = match &result {
        Ok(config) if args.json => {
            let mut object = json::of_config(config);
            if let Some(answer) = &answer {
                object["node"] = answer.json();
            }
            (format!("{object}\n"), fit)
        }
        Ok(config) => (table::of_config(config, answer.as_ref()), fit),
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
