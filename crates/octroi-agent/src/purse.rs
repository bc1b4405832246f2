//! The purse: credentials that were paid for, and payments that have no outcome yet.

mod file;

use std::fmt;
use std::path::Path;

use octroi_l402::{MacaroonView, Msat, Offer, PaymentHash, Preimage, challenge::Scheme};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use self::file::PurseFile;
use crate::{Bill, Secret};

/// Most credentials kept; beyond it those that ended first, or were bought first, are given up.
const CREDENTIALS_MAX: usize = 1024;
/// Most payments without an outcome; beyond it nothing more is paid.
const SPENDS_MAX: usize = 64;

/// What went wrong with keeping credentials. The owner's disk, or another process.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PurseError {
    /// The file cannot be read or written.
    #[error("the file cannot be used: {0}")]
    Io(#[from] std::io::Error),
    /// The file is not a purse, or a newer one.
    #[error("the file is not a purse of this version: {0}")]
    Format(String),
    /// Another process has it open.
    #[error("another process uses this purse")]
    Busy,
    /// Too many payments have no outcome yet.
    #[error("{SPENDS_MAX} payments have no outcome yet")]
    TooManyOpen,
}

/// A credential that was bought.
#[derive(Clone, Serialize, Deserialize)]
pub struct Bought {
    /// The server it is for.
    pub endpoint: String,
    /// The tool it is for.
    pub tool: String,
    /// What it was bought with, 64 hex digits.
    pub payment_hash: String,
    /// How many calls it is good for, as far as is known: the server has the last word.
    pub calls_left: u32,
    /// The last second it is good for plus one (unix seconds), where the token says so.
    pub expires_at: Option<u64>,
    scheme: String,
    token: String,
    preimage: Zeroizing<String>,
}

impl Bought {
    /// The value of the header that shows it. Secret.
    #[must_use]
    pub fn authorization(&self) -> Secret {
        Secret::new(format!("{} {}:{}", self.scheme, self.token, *self.preimage))
    }

    pub(crate) fn hash(&self) -> PaymentHash {
        // Only written from a hash; a file that was meddled with names none that is ever used.
        self.payment_hash.parse().unwrap_or(PaymentHash::from_bytes([0; 32]))
    }

    fn is_for(&self, endpoint: &str, tool: &str) -> bool {
        self.endpoint == endpoint && self.tool == tool
    }
}

/// Token and preimage together are worth what was paid for them, so both are left out.
impl fmt::Debug for Bought {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Bought")
            .field("endpoint", &self.endpoint)
            .field("tool", &self.tool)
            .field("payment_hash", &self.payment_hash)
            .field("calls_left", &self.calls_left)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// A payment that was begun and has no outcome.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Spend {
    pub(crate) endpoint: String,
    pub(crate) tool: String,
    pub(crate) payment_hash: String,
    pub(crate) invoice: String,
    pub(crate) amount_msat: i64,
    pub(crate) calls: u32,
    pub(crate) invoice_expires_at: u64,
    scheme: String,
    token: String,
}

impl Spend {
    pub(crate) fn new(endpoint: &str, tool: &str, bill: &Bill) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            tool: tool.to_owned(),
            payment_hash: bill.payment_hash.to_string(),
            invoice: bill.offer.invoice.clone(),
            amount_msat: bill.amount.as_i64(),
            calls: bill.calls,
            invoice_expires_at: bill.expires_at,
            scheme: bill.offer.scheme.name().to_owned(),
            token: bill.offer.token.clone(),
        }
    }

    pub(crate) fn amount(&self) -> Msat {
        Msat::new(self.amount_msat)
    }

    fn bought(self, preimage: &Preimage) -> Bought {
        Bought {
            expires_at: expiry(&self.token),
            calls_left: self.calls,
            endpoint: self.endpoint,
            tool: self.tool,
            payment_hash: self.payment_hash,
            scheme: self.scheme,
            token: self.token,
            preimage: Zeroizing::new(preimage.to_hex()),
        }
    }
}

/// The earliest `…valid_until=` caveat of a macaroon.
fn expiry(token: &str) -> Option<u64> {
    let offer = Offer { scheme: Scheme::L402, token: token.to_owned(), invoice: String::new() };
    let bytes = offer.macaroon().ok()?;
    let view = MacaroonView::decode(&bytes).ok()?;
    let ends = view.caveats().filter_map(|caveat| {
        let (name, value) = std::str::from_utf8(caveat).ok()?.split_once('=')?;
        name.ends_with("valid_until").then(|| value.trim().parse::<u64>().ok()).flatten()
    });
    ends.min()
}

/// Everything a purse holds, as it stands in its file.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Contents {
    bought: Vec<Bought>,
    spends: Vec<Spend>,
}

/// Credentials by endpoint and tool, and payments under way; in memory, or in a file that only its owner can read.
///
/// Share one between agents with an `Arc`. Every change is in the file before the method returns.
pub struct Purse {
    file: Option<PurseFile>,
    contents: Mutex<Contents>,
    /// Held while something is bought, so that calls made at once do not each pay for what one of them is buying.
    turn: tokio::sync::Mutex<()>,
}

impl Default for Purse {
    fn default() -> Self {
        Self::in_memory()
    }
}

impl Purse {
    /// A purse that is forgotten with the process.
    #[must_use]
    pub fn in_memory() -> Self {
        Self { file: None, contents: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }

    /// The purse in the file at `path`, which is made (mode 0600) when something is first put in. Held by this process alone
    /// until the purse is dropped.
    ///
    /// # Errors
    /// [`PurseError`].
    pub fn open(path: &Path) -> Result<Self, PurseError> {
        let file = PurseFile::open(path)?;
        let contents = file.read()?;
        Ok(Self { file: Some(file), contents: Mutex::new(contents), turn: tokio::sync::Mutex::default() })
    }

    /// The credentials in it, oldest first.
    #[must_use]
    pub fn credentials(&self) -> Vec<Bought> {
        self.contents.lock().bought.clone()
    }

    /// Waits for the turn to buy; it ends when the guard is dropped.
    pub(crate) async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// A credential for one call of `tool`, counted off; none of those in `tried`. One that has not ended comes before one that
    /// has: the latter may still be renewed.
    pub(crate) fn take(
        &self,
        endpoint: &str,
        tool: &str,
        tried: &[PaymentHash],
        now: u64,
    ) -> Result<Option<Bought>, PurseError> {
        let fits = |bought: &Bought| {
            bought.is_for(endpoint, tool) && bought.calls_left > 0 && !tried.contains(&bought.hash())
        };
        if !self.contents.lock().bought.iter().any(fits) {
            return Ok(None);
        }
        self.change(|contents| {
            let fit = contents.bought.iter_mut().filter(|bought| fits(bought));
            let best = fit.min_by_key(|bought| bought.expires_at.is_some_and(|at| at <= now))?;
            let taken = best.clone();
            best.calls_left -= 1;
            Some(taken)
        })
    }

    /// The call was not charged: it is there again.
    pub(crate) fn give_back(&self, hash: &PaymentHash) -> Result<(), PurseError> {
        self.with(hash, |bought| bought.calls_left = bought.calls_left.saturating_add(1))
    }

    /// The server says how many calls are left.
    pub(crate) fn learn(&self, hash: &PaymentHash, calls_left: u32) -> Result<(), PurseError> {
        self.with(hash, |bought| bought.calls_left = calls_left)
    }

    /// The token was replaced by one with a later end.
    pub(crate) fn renew(&self, hash: &PaymentHash, macaroon: &str) -> Result<Option<Bought>, PurseError> {
        self.change(|contents| {
            let bought = contents.bought.iter_mut().find(|bought| bought.hash() == *hash)?;
            macaroon.clone_into(&mut bought.token);
            bought.expires_at = expiry(macaroon);
            Some(bought.clone())
        })
    }

    /// The server no longer takes it.
    pub(crate) fn drop_credential(&self, hash: &PaymentHash) -> Result<(), PurseError> {
        self.change(|contents| contents.bought.retain(|bought| bought.hash() != *hash))
    }

    /// Writes down that a payment is about to be made.
    ///
    /// # Errors
    /// [`PurseError`]: then it must not be made.
    pub(crate) fn begin(&self, spend: Spend) -> Result<(), PurseError> {
        let before = self.contents.lock().clone();
        if before.spends.iter().any(|open| open.payment_hash == spend.payment_hash) {
            return Ok(());
        }
        if before.spends.len() >= SPENDS_MAX {
            return Err(PurseError::TooManyOpen);
        }
        self.change(|contents| contents.spends.push(spend))
    }

    /// The payment without an outcome for this tool, if there is one.
    pub(crate) fn open_spend(&self, endpoint: &str, tool: &str) -> Option<Spend> {
        let contents = self.contents.lock();
        contents.spends.iter().find(|open| open.endpoint == endpoint && open.tool == tool).cloned()
    }

    /// The payment was not made, and never will be.
    pub(crate) fn forget(&self, spend: &Spend) -> Result<(), PurseError> {
        self.change(|contents| contents.spends.retain(|open| open.payment_hash != spend.payment_hash))
    }

    /// The payment was made: what it bought.
    pub(crate) fn finish(&self, spend: Spend, preimage: &Preimage) -> Result<Bought, PurseError> {
        self.change(|contents| {
            contents.spends.retain(|open| open.payment_hash != spend.payment_hash);
            let bought = spend.bought(preimage);
            contents.bought.retain(|other| other.payment_hash != bought.payment_hash);
            if contents.bought.len() >= CREDENTIALS_MAX {
                let first = (0..contents.bought.len()).min_by_key(|at| contents.bought[*at].expires_at);
                first.map(|at| contents.bought.remove(at));
            }
            contents.bought.push(bought.clone());
            bought
        })
    }

    fn with(&self, hash: &PaymentHash, edit: impl FnOnce(&mut Bought)) -> Result<(), PurseError> {
        self.change(|contents| contents.bought.iter_mut().find(|bought| bought.hash() == *hash).map(edit))?;
        Ok(())
    }

    /// Changes what is held, on disk first: a change that cannot be written is not made.
    fn change<T>(&self, edit: impl FnOnce(&mut Contents) -> T) -> Result<T, PurseError> {
        let mut held = self.contents.lock();
        let Some(file) = &self.file else { return Ok(edit(&mut held)) };
        let mut next = held.clone();
        let out = edit(&mut next);
        file.write(&next)?;
        *held = next;
        Ok(out)
    }
}

#[cfg(test)]
mod tests;
