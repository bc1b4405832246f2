//! Accounts: what they count, how they are named, what is left on them.

use std::fmt;

use octroi_l402::TokenId;
use serde::Serialize;

/// Most of any unit one operation may move: all the bitcoin there will ever be, in millisatoshi. Four such amounts fit an
/// `i64`, so sums overflow only where something is badly wrong, and then it is an error.
pub const MAX_AMOUNT: i64 = 21_000_000 * 100_000_000 * 1_000;

/// What an account counts. Units never mix: every transaction moves one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Millisatoshi.
    Msat,
    /// Calls, bought with work.
    Call,
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Msat => "msat",
            Self::Call => "calls",
        })
    }
}

/// Whose money is to be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AccountRef {
    /// The account of one credential.
    Token(TokenId),
    /// The oldest account of this principal that can bear the hold alone.
    Owner([u8; 32]),
    /// Nobody: a call that costs nothing and is counted all the same, by its limits and in the list of calls. The amount is 0.
    Nobody,
}

/// What is on the account of one credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Balance {
    /// What the account counts.
    pub unit: Unit,
    /// What can be held now, in `unit`.
    pub available: i64,
    /// What open holds keep, in `unit`.
    pub held: i64,
    /// The principal the account belongs to.
    pub owner: Option<[u8; 32]>,
    /// When its credential ends, in Unix seconds. Only work is lost then.
    pub expires_at: u64,
}
