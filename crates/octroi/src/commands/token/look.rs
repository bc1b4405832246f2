//! What needs no writer: showing, renewing, making keys.

use std::path::PathBuf;

use octroi_l402::macaroon::MacaroonView;
use octroi_l402::{Credential, TokenId, authenticate};
use octroi_ledger::Ledger;
use serde_json::json;

use super::{RenewArgs, RotateArgs, ShowArgs, TokenError, load, server, sign};
use crate::clock::unix_seconds;
use crate::config::MasterKeySource;
use crate::wiring::create_key;

/// The text itself, or what a variable holds.
fn given(text: &str) -> Result<String, TokenError> {
    match text.strip_prefix("env:") {
        Some(name) => std::env::var(name).map_err(|_| TokenError::Variable(name.to_owned())),
        None => Ok(text.to_owned()),
    }
}

/// The token id in a credential, a macaroon or itself.
pub(super) fn token_id(text: &str) -> Result<TokenId, TokenError> {
    let text = given(text)?;
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    // Of a macaroon alone the preimage is not known, and here not needed.
    let bare = || Credential::parse(&format!("{}:{}", text.trim(), "00".repeat(32)));
    let credential = Credential::parse(&text).or_else(|_| bare()).map_err(|_| TokenError::NotOurs)?;
    let view = MacaroonView::decode(credential.macaroon()).map_err(|_| TokenError::NotOurs)?;
    Ok(view.l402_identifier().map_err(|_| TokenError::NotOurs)?.token_id)
}

/// What is on the account of a credential.
pub(super) fn show(args: &ShowArgs) -> Result<(), TokenError> {
    let (config, _) = load(&args.config)?;
    let id = token_id(&args.token)?;
    let reader = Ledger::open_read_only(&config.ledger.store)?;
    let account = reader.account(&id)?;
    let owner = account.as_ref().and_then(|account| account.owner.clone());
    let number = u32::from_str_radix(id.to_string().get(..8).unwrap_or_default(), 16).unwrap_or_default();
    let touches = |kind: &str, subject: &str| match kind {
        "token" => subject == id.to_string(),
        "owner" => owner.as_deref() == Some(subject),
        _ => subject == number.to_string(),
    };
    let revoked = reader.revocations()?.iter().any(|row| touches(row.kind, &row.subject));
    if args.json {
        println!(
            "{}",
            json!({"token": id.to_string(), "master_key": number, "account": account, "revoked": revoked})
        );
        return Ok(());
    }
    println!("token       {id}");
    println!("master key  {number}");
    match account {
        None => println!("account     nothing was ever credited"),
        Some(account) => {
            println!("balance     {} {}", account.balance, account.unit);
            println!("held        {} {}", account.held, account.unit);
            println!("owner       {}", account.owner.as_deref().unwrap_or("the bearer"));
            println!("ends        {} (Unix seconds)", account.expires_at);
        }
    }
    println!("revoked     {}", if revoked { "yes" } else { "no" });
    Ok(())
}

/// The same credential with a later end, where money is left on it.
pub(super) fn renew(args: &RenewArgs) -> Result<(), TokenError> {
    let (config, keys) = load(&args.config)?;
    let server = server(&config, args.server.as_deref())?;
    let credential = Credential::parse(&given(&args.token)?).map_err(|_| TokenError::NotOurs)?;
    let verified =
        authenticate(&credential, &keys.master, server.service()).map_err(|_| TokenError::NotOurs)?;
    let reader = Ledger::open_read_only(&config.ledger.store)?;
    let account = reader.account(&verified.token_id)?.ok_or(TokenError::Empty)?;
    if account.unit != octroi_ledger::Unit::Msat || account.balance == 0 {
        return Err(TokenError::Empty);
    }
    let id = verified.token_id.to_string();
    if reader.revocations()?.iter().any(|row| row.kind == "token" && row.subject == id) {
        return Err(TokenError::Revoked);
    }
    let terms = verified.terms.renewed(unix_seconds().saturating_add(args.ttl.as_secs()));
    let macaroon = sign(&config, &keys, &verified.identifier, &terms)?;
    println!("{}", Credential::new(macaroon, credential.preimage().clone()).to_text());
    Ok(())
}

/// The next master key in a file of its own. The running gate goes on with the old one until it is told.
pub(super) fn rotate_key(args: &RotateArgs) -> Result<(), TokenError> {
    let (config, _) = load(&args.config)?;
    let number = config.secrets.master_key_number;
    let next = number.checked_add(1).ok_or(TokenError::Nothing)?;
    let (file, old) = match &config.secrets.master_key {
        MasterKeySource::File(path) => {
            (PathBuf::from(format!("{}.{next}", path.display())), format!("file:{}", path.display()))
        }
        MasterKeySource::Given(_) => {
            (PathBuf::from(format!("octroi.key.{next}")), "what master_key says now".to_owned())
        }
    };
    create_key(&file)?;
    println!(
        "# The new key is in {}. Write this into the configuration of every gate, then restart them.",
        file.display()
    );
    println!("# When the last credential of the old key has ended, drop it from previous_keys.");
    println!("[secrets]");
    println!("master_key = \"file:{}\"", file.display());
    println!("master_key_number = {next}");
    let mut previous: Vec<String> =
        config.secrets.previous_keys.iter().map(|(number, _)| format!("{number} = \"as before\"")).collect();
    previous.push(format!("{number} = \"{old}\""));
    println!("previous_keys = {{ {} }}", previous.join(", "));
    Ok(())
}
