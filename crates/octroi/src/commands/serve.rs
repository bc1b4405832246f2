//! `octroi serve`: the gate.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use octroi_server::stdio_front::{self, FrontSettings};
use serde_json::json;

use crate::check::EXIT_CONFIG;
use crate::config::{Config, ConfigArgs};
use crate::logging;
use crate::wiring::{Gate, StartError};

/// The exit code when the gate cannot start although its configuration is sound.
const EXIT_START: u8 = 3;

/// The bounds of the one client on standard input.
const FRONT: FrontSettings = FrontSettings {
    max_message_bytes: 4 * 1024 * 1024,
    max_in_flight: 256,
    drain: Duration::from_secs(10),
    reconnect_min: Duration::from_millis(200),
    reconnect_max: Duration::from_secs(10),
};

/// Run the gate.
#[derive(Clone, Debug, Args)]
pub struct ServeArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print one JSON object per event on standard output.
    #[arg(long, conflicts_with = "stdio")]
    json: bool,
    /// Speak MCP on standard input and output instead of listening on an address.
    #[arg(long)]
    stdio: bool,
}

/// Runs the gate until it is told to stop (interrupt, or SIGTERM).
pub fn run(args: &ServeArgs) -> ExitCode {
    let config = match Config::load(&args.config) {
        Ok(config) => config,
        Err(mistakes) => {
            eprintln!("{mistakes}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    logging::start(&config.log);
    for note in config.notes() {
        tracing::warn!("{note}");
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("octroi: {error}");
            return ExitCode::from(EXIT_START);
        }
    };
    match runtime.block_on(serve(config, args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("octroi: {error}");
            ExitCode::from(EXIT_START)
        }
    }
}

async fn serve(config: Config, args: &ServeArgs) -> Result<(), StartError> {
    let gate = Gate::start(config, !args.stdio).await?;
    if args.stdio {
        return over_stdio(gate).await;
    }
    announce(&gate, args.json).await;
    gate.serve(stop_signal()).await;
    if args.json {
        println!("{}", json!({"event": "stopped"}));
    }
    Ok(())
}

/// One process, one client: the only server of the configuration, on standard input and output.
async fn over_stdio(gate: Gate) -> Result<(), StartError> {
    let Some(endpoint) = gate.endpoints.first().filter(|_| gate.endpoints.len() == 1) else {
        return Err(StartError::Value("--stdio serves one MCP server: configure exactly one".to_owned()));
    };
    let service = endpoint.service.clone().without_http();
    let front = stdio_front::serve(service, tokio::io::stdin(), tokio::io::stdout(), FRONT);
    tokio::select! {
        ended = front => if let Err(error) = ended { tracing::warn!(%error, "standard input or output broke") },
        () = stop_signal() => {}
    }
    gate.close().await;
    Ok(())
}

async fn announce(gate: &Gate, json: bool) {
    let (Some(address), Some(admin)) = (gate.address(), gate.admin_address()) else { return };
    let gates: Vec<String> =
        gate.endpoints.iter().map(|endpoint| format!("http://{address}{}", endpoint.path)).collect();
    if json {
        let node = match &gate.node {
            Some(node) => node.describe().await,
            None => serde_json::Value::Null,
        };
        let ready = json!({
            "event": "ready",
            "gate": gates.first(),
            "gates": gates,
            "admin": format!("http://{admin}"),
            "lightning": node,
        });
        println!("{ready}");
        return;
    }
    for gate in &gates {
        println!("octroi serves {gate}");
    }
    println!("operator's pages: http://{admin}/health /metrics /ledger");
}

/// Resolves on an interrupt from the terminal or on SIGTERM.
pub(crate) async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let interrupted = tokio::signal::ctrl_c();
    match signal(SignalKind::terminate()) {
        Ok(mut terminated) => {
            tokio::select! {
                _ = interrupted => {}
                _ = terminated.recv() => {}
            }
        }
        Err(_) => {
            let _ = interrupted.await;
        }
    }
}
