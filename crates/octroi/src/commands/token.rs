//! `octroi token`: prepaid credentials issued by the operator.

use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use octroi_l402::{Credential, Identifier, Macaroon, Msat, Preimage, Terms};
use octroi_ledger::{Credited, Ledger, LedgerConfig, Voucher};
use serde_json::json;
use thiserror::Error;

use crate::check::EXIT_CONFIG;
use crate::config::{Config, ConfigArgs, ServerConfig};
use crate::wiring::{KeyError, Keys};

/// Prepaid credentials.
#[derive(Clone, Debug, Args)]
pub struct TokenArgs {
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum TokenCommand {
    /// Issue a prepaid credential and print it as `macaroon:preimage`. The gate must not be running on the same ledger.
    Mint(MintArgs),
}

#[derive(Clone, Debug, Args)]
struct MintArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// What it is worth, in satoshis.
    #[arg(long, value_name = "N")]
    sats: u32,
    /// How long it may be used: `90s`, `10m`, `12h`, `1d`.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    ttl: Duration,
    /// The only tool it is good for.
    #[arg(long, value_name = "NAME")]
    tool: Option<String>,
    /// How many calls it is meant for; for the operator's lists.
    #[arg(long, value_name = "N", default_value_t = 0)]
    calls: u32,
    /// Which server of the configuration, where there are several.
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
    /// A remark for the operator's lists.
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Error)]
enum MintError {
    #[error("{0}")]
    Config(String),
    #[error(transparent)]
    Keys(#[from] KeyError),
    #[error(transparent)]
    Open(#[from] octroi_ledger::OpenError),
    #[error(transparent)]
    Ledger(#[from] octroi_ledger::LedgerError),
    #[error("no server is called {0}")]
    NoServer(String),
    #[error("the configuration has several servers: name one with --server")]
    SeveralServers,
    #[error("the tool's name cannot stand in a credential")]
    Name,
    #[error("the operating system gives no randomness")]
    Random,
}

/// Runs `octroi token …`.
pub fn run(args: &TokenArgs) -> ExitCode {
    let TokenCommand::Mint(args) = &args.command;
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("octroi: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(mint(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("octroi: {error}");
            let usage =
                matches!(error, MintError::Config(_) | MintError::NoServer(_) | MintError::SeveralServers);
            if usage { ExitCode::from(EXIT_CONFIG) } else { ExitCode::FAILURE }
        }
    }
}

async fn mint(args: &MintArgs) -> Result<(), MintError> {
    let config = Config::load(&args.config).map_err(|mistakes| MintError::Config(mistakes.to_string()))?;
    let server = server(&config, args.server.as_deref())?;
    let keys = Keys::load(&config.secrets)?;
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|_| MintError::Random)?;
    let preimage = Preimage::from_bytes(secret);
    let token_id = keys.master.generate_token_id().map_err(|_| MintError::Random)?;
    let identifier = Identifier { payment_hash: preimage.payment_hash(), token_id };
    let created_at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    let expires_at = created_at.saturating_add(args.ttl.as_secs());

    let mut terms = Terms::new(server.service());
    terms.tools = args.tool.clone().map(|tool| vec![tool]);
    terms.valid_until = Some(expires_at);
    let caveats = terms.to_caveats().map_err(|_| MintError::Name)?;
    let root = keys.master.root_key(&token_id).ok_or(MintError::Random)?;
    let location = config.public_url.as_str();
    let macaroon = Macaroon::mint(&root, &identifier, location, &caveats).map_err(|_| MintError::Name)?;

    let amount = Msat::new(i64::from(args.sats) * 1000);
    let ledger = Ledger::open(LedgerConfig::at(config.ledger.store.clone()))?;
    let voucher = Voucher {
        token_id,
        payment_hash: identifier.payment_hash,
        owner: None,
        amount,
        calls: args.calls,
        note: args.note.clone(),
        created_at,
        expires_at,
    };
    let credited = ledger.mint_voucher(voucher).await;
    ledger.close().await;
    debug_assert!(matches!(credited, Ok(Credited::New { .. }) | Err(_)), "a fresh hash is new");
    credited?;
    let credential = Credential::new(macaroon.encode_v2(), preimage).to_text();
    if args.json {
        println!("{}", json!({"credential": credential, "msat": amount.as_i64(), "expires_at": expires_at}));
    } else {
        println!("{credential}");
    }
    Ok(())
}

fn server<'a>(config: &'a Config, name: Option<&str>) -> Result<&'a ServerConfig, MintError> {
    match (name, config.servers.as_slice()) {
        (Some(name), servers) => servers
            .iter()
            .find(|server| server.service() == name)
            .ok_or_else(|| MintError::NoServer(name.to_owned())),
        (None, [server]) => Ok(server),
        (None, _) => Err(MintError::SeveralServers),
    }
}

/// A number and a unit: `s`, `m`, `h` or `d`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "write a number and a unit: 90s, 10m, 12h, 1d".to_owned();
    let (number, unit) = text.split_at(text.len() - text.chars().last().map_or(0, char::len_utf8));
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(seconds).filter(|seconds| *seconds > 0).map(Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        assert_eq!(duration("1d"), Ok(Duration::from_secs(86_400)));
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        for wrong in ["", "1", "d", "0s", "1y", "-1d", "99999999999999999999d", "1é"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
