//! `octroi token`: prepaid credentials issued by the operator, and what becomes of credentials.

mod look;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use octroi_l402::{Credential, Identifier, Macaroon, Msat, Preimage, Terms};
use octroi_ledger::{Ledger, LedgerConfig, OpenError};
use octroi_server::{RevocationRequest, Revoked, VoucherRequest};
use serde_json::json;
use thiserror::Error;

use super::beside;
use crate::check::EXIT_CONFIG;
use crate::clock::unix_seconds;
use crate::config::{Config, ConfigArgs, ServerConfig};
use crate::wiring::{KeyError, Keys};

/// How long a running gate may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Prepaid credentials.
#[derive(Clone, Debug, Args)]
pub struct TokenArgs {
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum TokenCommand {
    /// Issue a prepaid credential and print it as `macaroon:preimage`.
    Mint(MintArgs),
    /// What a credential is for, and what is left on it.
    Show(ShowArgs),
    /// Take a credential, a principal's accounts, or everything made under a master key back, at once and on every gate.
    Revoke(RevokeArgs),
    /// Give a credential with money left a later end.
    Renew(RenewArgs),
    /// Make the next master key, and say what to write into the configuration.
    RotateKey(RotateArgs),
}

#[derive(Clone, Debug, Args)]
struct ShowArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// A credential (`macaroon:preimage`, or only the macaroon) or a token id; `env:NAME` keeps it off the command line.
    #[arg(long, value_name = "CREDENTIAL")]
    token: String,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Debug, Args)]
struct RevokeArgs {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    what: WhatArgs,
    /// Take the revocation back.
    #[arg(long)]
    undo: bool,
    /// A remark for the operator's lists.
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
}

#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = false)]
struct WhatArgs {
    /// A credential or a token id; `env:NAME` keeps it off the command line.
    #[arg(long, value_name = "CREDENTIAL")]
    token: Option<String>,
    /// A principal, as `octroi ledger accounts` shows it.
    #[arg(long, value_name = "HEX")]
    owner: Option<String>,
    /// A master key, by its number.
    #[arg(long, value_name = "N")]
    master_key: Option<u32>,
}

#[derive(Clone, Debug, Args)]
struct RenewArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The credential, `macaroon:preimage`; `env:NAME` keeps it off the command line.
    #[arg(long, value_name = "CREDENTIAL")]
    token: String,
    /// How long it may be used from now: `90s`, `10m`, `12h`, `1d`.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    ttl: Duration,
    /// Which server of the configuration, where there are several.
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
}

#[derive(Clone, Debug, Args)]
struct RotateArgs {
    #[command(flatten)]
    config: ConfigArgs,
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
    /// How many calls it may make; 0: as many as its money pays for.
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
enum TokenError {
    #[error("{0}")]
    Config(String),
    #[error(transparent)]
    Keys(#[from] KeyError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Read(#[from] octroi_ledger::ReadError),
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
    #[error("this is no credential of this gate")]
    NotOurs,
    #[error("write --token, --owner or --master-key")]
    Nothing,
    #[error("the environment variable {0} is not set")]
    Variable(String),
    #[error("nothing is left on it")]
    Empty,
    #[error("it has been revoked")]
    Revoked,
    #[error("a gate writes to this ledger, and {0}")]
    Gate(#[from] beside::Unanswered),
}

impl TokenError {
    /// Whether the command or the configuration is to be mended.
    const fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Config(_)
                | Self::NoServer(_)
                | Self::SeveralServers
                | Self::NotOurs
                | Self::Nothing
                | Self::Variable(_)
        )
    }
}

/// Runs `octroi token …`.
pub fn run(args: &TokenArgs) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("octroi: {error}");
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(async {
        match &args.command {
            TokenCommand::Mint(args) => mint(args).await,
            TokenCommand::Show(args) => look::show(args),
            TokenCommand::Revoke(args) => revoke(args).await,
            TokenCommand::Renew(args) => look::renew(args),
            TokenCommand::RotateKey(args) => look::rotate_key(args),
        }
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("octroi: {error}");
            if error.is_usage() { ExitCode::from(EXIT_CONFIG) } else { ExitCode::FAILURE }
        }
    }
}

fn load(args: &ConfigArgs) -> Result<(Config, Keys), TokenError> {
    let config = Config::load(args).map_err(|mistakes| TokenError::Config(mistakes.to_string()))?;
    let keys = Keys::load(&config.secrets)?;
    Ok((config, keys))
}

async fn mint(args: &MintArgs) -> Result<(), TokenError> {
    let (config, keys) = load(&args.config)?;
    let server = server(&config, args.server.as_deref())?;
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|_| TokenError::Random)?;
    let preimage = Preimage::from_bytes(secret);
    let token_id = keys.master.generate_token_id().map_err(|_| TokenError::Random)?;
    let identifier = Identifier { payment_hash: preimage.payment_hash(), token_id };
    let expires_at = unix_seconds().saturating_add(args.ttl.as_secs());
    let mut terms = Terms::new(server.service());
    terms.tools = args.tool.clone().map(|tool| vec![tool]);
    terms.valid_until = Some(expires_at);
    terms.calls = (args.calls > 0).then_some(args.calls);
    let macaroon = sign(&config, &keys, &identifier, &terms)?;

    let amount = Msat::new(i64::from(args.sats) * 1000);
    let asked = VoucherRequest {
        token: token_id.to_string(),
        payment_hash: hex::encode(identifier.payment_hash.as_bytes()),
        msat: amount.as_i64(),
        calls: args.calls,
        note: args.note.clone(),
        expires_at,
    };
    book(&config, &keys, &asked).await?;
    let credential = Credential::new(macaroon, preimage).to_text();
    if args.json {
        println!("{}", json!({"credential": credential, "msat": amount.as_i64(), "expires_at": expires_at}));
    } else {
        println!("{credential}");
    }
    Ok(())
}

fn sign(config: &Config, keys: &Keys, identifier: &Identifier, terms: &Terms) -> Result<Vec<u8>, TokenError> {
    let caveats = terms.to_caveats().map_err(|_| TokenError::Name)?;
    let root = keys.master.root_key(&identifier.token_id).ok_or(TokenError::NotOurs)?;
    let location = config.public_url.as_str();
    let macaroon = Macaroon::mint(&root, identifier, location, &caveats).map_err(|_| TokenError::Name)?;
    Ok(macaroon.encode_v2())
}

/// Writes to the ledger: directly, or where a gate is its only writer, through that gate.
async fn book(config: &Config, keys: &Keys, asked: &VoucherRequest) -> Result<(), TokenError> {
    let voucher = asked.voucher(unix_seconds()).ok_or(TokenError::Name)?;
    match Ledger::open(LedgerConfig::at(config.ledger.store.clone())) {
        Ok(ledger) => {
            let credited = ledger.mint_voucher(voucher).await;
            ledger.close().await;
            credited?;
            Ok(())
        }
        Err(OpenError::InUse { .. }) => {
            beside::ask(config, keys, "/ledger/voucher", asked, PATIENCE).await?;
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

async fn revoke(args: &RevokeArgs) -> Result<(), TokenError> {
    let (config, keys) = load(&args.config)?;
    let what = match (&args.what.token, &args.what.owner, args.what.master_key) {
        (Some(token), ..) => Revoked::Token(look::token_id(token)?.to_string()),
        (_, Some(owner), _) => Revoked::Owner(owner.clone()),
        (.., Some(number)) => Revoked::MasterKey(number),
        _ => return Err(TokenError::Nothing),
    };
    let revocation = what.revocation().ok_or(TokenError::NotOurs)?;
    match Ledger::open(LedgerConfig::at(config.ledger.store.clone())) {
        Ok(ledger) => {
            let done = match args.undo {
                true => ledger.restore(revocation).await,
                false => ledger.revoke(revocation, &args.reason).await,
            };
            ledger.close().await;
            done?;
        }
        Err(OpenError::InUse { .. }) => {
            let page = if args.undo { "/ledger/restore" } else { "/ledger/revoke" };
            let asked = RevocationRequest { what, reason: args.reason.clone() };
            beside::ask(&config, &keys, page, &asked, PATIENCE).await?;
        }
        Err(error) => return Err(error.into()),
    }
    println!("{}", if args.undo { "restored" } else { "revoked" });
    Ok(())
}

fn server<'a>(config: &'a Config, name: Option<&str>) -> Result<&'a ServerConfig, TokenError> {
    match (name, config.servers.as_slice()) {
        (Some(name), servers) => servers
            .iter()
            .find(|server| server.service() == name)
            .ok_or_else(|| TokenError::NoServer(name.to_owned())),
        (None, [server]) => Ok(server),
        (None, _) => Err(TokenError::SeveralServers),
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
