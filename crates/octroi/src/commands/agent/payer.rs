//! Who pays: the flags, and what comes of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use octroi_agent::{
    AgentError, Approver, Budget, KeySource, Observer, Payer, Policy, Purse, PurseError, Secret, WorkPolicy,
};
use octroi_l402::Msat;

use super::person::Terminal;
use super::places;
use super::wallet::{Wallet, WalletAddress};

/// Holds a purse's key as 64 hex digits.
const KEY_VARIABLE: &str = "OCTROI_PURSE_KEY";
/// Holds the passphrase of a purse.
const PASSPHRASE_VARIABLE: &str = "OCTROI_PURSE_PASSPHRASE";

/// What pays, and within which limits.
#[derive(Clone, Debug, Args)]
pub(crate) struct PayerArgs {
    /// What pays: phoenixd+http://:PASSWORD@HOST:PORT, nostr+walletconnect://…, config:FILE with a [lightning] section, or env:NAME or file:PATH where one
    /// of these stands.
    #[arg(long, global = true, env = "OCTROI_WALLET", hide_env_values = true, value_parser = WalletAddress::read)]
    wallet: Option<WalletAddress>,
    /// Where credentials and receipts are kept, for every agent of this user; `none` keeps nothing.
    #[arg(long, global = true, env = "OCTROI_PURSE", value_name = "FILE")]
    purse: Option<PathBuf>,
    /// The owner's rules; octroi/policy.toml in the folder for settings unless given.
    #[arg(long, global = true, env = "OCTROI_POLICY", value_name = "FILE")]
    policy: Option<PathBuf>,
    /// The most satoshis that this command may give away, routing fees included.
    #[arg(long, global = true, value_name = "N")]
    max_sats: Option<u32>,
    /// Solve puzzles of up to so many bits instead of paying; 0 solves none.
    #[arg(long, global = true, value_name = "BITS")]
    work: Option<f64>,
}

/// A payer, and the wallet behind it.
pub(in super::super) struct Funds {
    pub(in super::super) payer: Arc<Payer>,
    wallet: Option<Wallet>,
}

impl PayerArgs {
    /// The same, giving away at most so many satoshis where nothing is said.
    pub(in super::super) fn with_most(&self, sats: u32) -> Self {
        Self { max_sats: Some(self.max_sats.unwrap_or(sats)), ..self.clone() }
    }

    /// The same for what costs nothing.
    pub(in super::super) fn without_wallet(&self) -> Self {
        Self { wallet: None, ..self.clone() }
    }

    /// The purse that these flags name.
    pub(in super::super) fn purse(&self) -> Result<Arc<Purse>, AgentError> {
        let path = match &self.purse {
            Some(path) if path == Path::new("none") => return Ok(Arc::new(Purse::in_memory()?)),
            Some(path) => path.clone(),
            None => places::purse().ok_or_else(|| {
                AgentError::Config("there is no folder for a purse; name one with --purse".to_owned())
            })?,
        };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            make_private(folder).map_err(PurseError::Io)?;
        }
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty()).map(Secret::new);
        let key = match (set(KEY_VARIABLE), set(PASSPHRASE_VARIABLE)) {
            (Some(key), _) => KeySource::Hex(key),
            (None, Some(words)) => KeySource::Passphrase(words),
            (None, None) => KeySource::beside(&path),
        };
        Ok(Arc::new(Purse::open_with(&path, &key)?))
    }

    /// The owner's rules. Where no file has them, the flags are the owner's word, within cautious limits for hours and days.
    fn policy(&self) -> Result<Policy, AgentError> {
        let file = self.policy.clone().or_else(|| places::policy().filter(|path| path.exists()));
        let Some(path) = file else {
            let mut policy = Policy::cautious();
            if let Some(most) = self.max_sats.and_then(|sats| Msat::from_sat(sats.into())) {
                policy.per_call = Some(most);
                policy.ask_above = Some(most);
                policy.per_hour = policy.per_hour.max(Some(most));
                policy.per_day = policy.per_day.max(Some(most));
            }
            return Ok(policy);
        };
        let cannot =
            |error: &dyn std::fmt::Display| AgentError::Config(format!("{}: {error}", path.display()));
        let text = std::fs::read_to_string(&path).map_err(|error| cannot(&error))?;
        Policy::read(&text).map_err(|error| cannot(&error))
    }

    /// Opens the purse and the wallet. Payments above the policy's limit are asked about on the terminal, unless somebody else is
    /// asked.
    pub(in super::super) async fn open(
        &self,
        observer: Option<Observer>,
        approver: Option<Arc<dyn Approver>>,
    ) -> Result<Funds, AgentError> {
        let most = self.max_sats.map_or(i64::MAX, |sats| i64::from(sats) * 1000);
        let mut builder = Payer::builder()
            .purse(self.purse()?)
            .policy(self.policy()?)
            .budget(Budget { per_call_msat: most, total_msat: most });
        if let Some(bits) = self.work {
            builder = builder.work(if bits > 0.0 { WorkPolicy::UpTo(bits) } else { WorkPolicy::Never });
        }
        if let Some(observer) = observer {
            builder = builder.observer(observer);
        }
        if let Some(approver) = approver.or_else(Terminal::here) {
            builder = builder.approver(approver);
        }
        let wallet = match &self.wallet {
            Some(address) => Some(address.open().await?),
            None => None,
        };
        if let Some(wallet) = &wallet {
            builder = builder.wallet(Arc::clone(&wallet.node));
        }
        Ok(Funds { payer: builder.build(), wallet })
    }
}

impl Funds {
    /// Stops a node that runs in this process.
    pub(in super::super) async fn close(self) {
        if let Some(wallet) = self.wallet {
            wallet.close().await;
        }
    }
}

#[cfg(unix)]
fn make_private(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn make_private(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)
}
