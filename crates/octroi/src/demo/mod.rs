//! `octroi demo`: the whole journey on one laptop, with real Lightning payments on a private chain.
//!
//! Everything the gate stands between is started here ([`world`]), an agent walks the journey step by step
//! ([`journey`]), and each step is checked against what it announced and shown ([`show`]).

mod journey;
mod show;
mod world;

use std::process::ExitCode;

use clap::Args;

use crate::commands::serve::stop_signal;
use crate::config::{LogConfig, LogFormat};
use crate::logging;
use show::Show;
use world::World;

/// See the whole journey: a paid, identified MCP call, with real Lightning on a private chain.
#[derive(Clone, Debug, Args)]
pub(crate) struct DemoArgs {
    /// Leave everything running afterwards, to be tried by hand; ends with an interrupt.
    #[arg(long)]
    keep: bool,
    /// Print one JSON object per event on standard output.
    #[arg(long)]
    json: bool,
}

/// Runs the demo. Fails if any step differs from what it announced.
pub(crate) fn run(args: &DemoArgs) -> ExitCode {
    logging::start(&LogConfig { format: LogFormat::Text, level: "warn".to_owned() });
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("octroi demo: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(demo(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("octroi demo: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn demo(args: &DemoArgs) -> Result<(), Box<dyn std::error::Error>> {
    let show = Show::new(args.json, args.keep);
    show.beginning();
    let world = World::start().await?;
    show.ready(&world);
    let walked = journey::walk(&world, &show).await;
    let ended = match walked {
        Ok(()) => {
            show.end(&world);
            if args.keep {
                stop_signal().await;
            }
            Ok(())
        }
        Err(error) => Err(error.into()),
    };
    world.stop().await;
    ended
}
