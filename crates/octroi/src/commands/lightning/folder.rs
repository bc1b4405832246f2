//! The embedded node's folder: making it, copying it, and putting a copy back. No node may run on it.

use std::io::{IsTerminal, Read};
use std::path::Path;

use octroi_lightning::{NodeError, Password, embedded};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::LookError;
use crate::config::{EmbeddedNode, LightningBackend, LightningConfig};
use crate::wiring::passphrase;

/// Most bytes of words that are read: 24 of eight letters.
const WORDS_MAX: u64 = 1024;

/// Most bytes of a new passphrase that are read.
const PASSPHRASE_MAX: u64 = 4096;

fn node(lightning: &LightningConfig) -> Result<&EmbeddedNode, LookError> {
    match &lightning.backend {
        LightningBackend::Embedded(node) => Ok(node),
        _ => Err(LookError::NotEmbedded),
    }
}

pub(super) async fn init(lightning: &LightningConfig, words: bool) -> Result<Value, LookError> {
    let node = node(lightning)?;
    let Some(passphrase) = passphrase::of(node).await? else {
        let why = "set [lightning] passphrase or passphrase_command first: the keys are kept under it";
        return Err(NodeError::Config(why.to_owned()).into());
    };
    let given = if words {
        let mut text = Zeroizing::new(String::new());
        std::io::stdin().take(WORDS_MAX).read_to_string(&mut text)?;
        let plain = text.split_whitespace().collect::<Vec<_>>().join(" ");
        Some(Password::new(plain.to_lowercase()))
    } else {
        None
    };
    let made = embedded::init(&node.storage_dir, &passphrase, given.as_ref())?;
    let shown = if words { Value::Null } else { Value::String(made.reveal().to_owned()) };
    Ok(json!({"storage_dir": node.storage_dir.display().to_string(), "words": shown}))
}

/// The passphrase of now is the configuration's; the new one is the first line of standard input.
pub(super) async fn passphrase(lightning: &LightningConfig) -> Result<Value, LookError> {
    let node = node(lightning)?;
    let Some(from) = passphrase::of(node).await? else {
        let why = "[lightning] names no passphrase: a node is encrypted when it is started with one";
        return Err(NodeError::Config(why.to_owned()).into());
    };
    if std::io::stdin().is_terminal() {
        return Err(LookError::Typed);
    }
    let mut text = Zeroizing::new(String::new());
    std::io::stdin().take(PASSPHRASE_MAX).read_to_string(&mut text)?;
    let to = Password::new(text.lines().next().unwrap_or_default());
    embedded::change_passphrase(&node.storage_dir, &from, &to)?;
    Ok(json!({"changed": node.storage_dir.display().to_string()}))
}

pub(super) fn backup(lightning: &LightningConfig, to: &Path) -> Result<Value, LookError> {
    embedded::backup(&node(lightning)?.storage_dir, to)?;
    Ok(json!({"backup": to.display().to_string()}))
}

pub(super) fn restore(lightning: &LightningConfig, from: &Path) -> Result<Value, LookError> {
    let node = node(lightning)?;
    embedded::restore(from, &node.storage_dir)?;
    Ok(json!({"restored": node.storage_dir.display().to_string()}))
}
