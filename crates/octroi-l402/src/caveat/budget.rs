//! Sub-budgets: how much of a token's account one of the tokens made from it may spend.
//!
//! A holder who lends an attenuated token gives it a budget of its own, under a label: `mcp_budget_msat=5000:bob`. The gate
//! counts under the account and the label, durably, so that whatever is appended later, and however often the token is renewed,
//! the same budget is meant. Two tokens that are to have a budget each need two labels.

use super::TermsError;

/// Most different budgets one token may carry.
pub const MAX_BUDGETS: usize = 4;
/// Longest label, in bytes.
const LABEL_MAX: usize = 64;

/// What a budget counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Counted {
    /// Calls.
    Calls,
    /// What they cost, in millisatoshi.
    Msat,
}

/// A part of an account's money that a token may spend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Which of the account's budgets: letters, digits, `-`, `_`, `.`; 1 to 64 bytes.
    pub label: String,
    /// What it counts.
    pub counted: Counted,
    /// The most there may be, in all the time the account exists.
    pub most: i64,
}

impl Counted {
    pub(super) const fn condition(self) -> &'static str {
        match self {
            Self::Calls => "budget_calls",
            Self::Msat => "budget_msat",
        }
    }
}

impl Budget {
    /// The caveat's value.
    pub(super) fn value(&self) -> String {
        format!("{}:{}", self.most, self.label)
    }

    /// Whether it can be written and read again.
    pub(super) fn is_writable(&self) -> bool {
        self.most >= 0 && is_label(self.label.as_bytes())
    }
}

/// Adds a budget to those that are there: of two under one label the smaller counts.
pub(super) fn add(budgets: &mut Vec<Budget>, counted: Counted, value: &[u8]) -> Result<(), TermsError> {
    let at = value.iter().position(|byte| *byte == b':').ok_or(TermsError::Malformed)?;
    let most: i64 = super::number(&value[..at])?;
    let label = &value[at + 1..];
    if !is_label(label) {
        return Err(TermsError::Malformed);
    }
    let same = |budget: &&mut Budget| budget.counted == counted && budget.label.as_bytes() == label;
    if let Some(held) = budgets.iter_mut().find(same) {
        held.most = held.most.min(most);
        return Ok(());
    }
    if budgets.len() == MAX_BUDGETS {
        return Err(TermsError::Malformed);
    }
    let label = str::from_utf8(label).map_err(|_| TermsError::Malformed)?.to_owned();
    budgets.push(Budget { label, counted, most });
    Ok(())
}

fn is_label(label: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=LABEL_MAX).contains(&label.len()) && label.iter().all(plain)
}
