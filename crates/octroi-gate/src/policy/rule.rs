//! What one call needs and costs.

use super::Standing;
use crate::limit::Rate;
use crate::price::Price;

/// What the policy demands of a call before it is forwarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Nobody may call it (and it is hidden from `tools/list`).
    pub forbidden: bool,
    /// An access token is needed.
    pub requires_identity: bool,
    /// Scopes the token must carry, all of them.
    pub scopes: Vec<String>,
    /// What one call costs; `None` is free.
    pub price: Option<Price>,
    /// How many calls a day each caller has for nothing before they cost something.
    pub free_per_day: u32,
    /// Roles, groups and organisations the caller must have.
    pub standing: Standing,
    /// Whether a proof of work may stand in for the price.
    pub work_accepted: bool,
    /// How often one caller may call it.
    pub rate: Option<Rate>,
    /// Whether a result with `isError: true` is charged all the same. Off: the payer gets the money back as credit.
    pub charge_failed: bool,
    /// What is sold, where the call has a price.
    pub selling: Selling,
}

/// What is sold with a call that has a price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selling {
    /// Whether a credential is good for one call only.
    pub single_use: bool,
    /// Whether a credential is good for the arguments only that it was asked for with.
    pub bind_arguments: bool,
    /// Whether a credential that was asked for with an access token may be shown without it, for exactly that call: many
    /// clients drop their token when they pay.
    pub vouch: bool,
    /// Whether an access token alone pays from what its caller's earlier payments left.
    pub credit: bool,
}

impl Selling {
    /// Credentials for as many calls as were paid for, a call without a token for those that need one, and credit.
    pub const DEFAULT: Self = Self { single_use: false, bind_arguments: false, vouch: true, credit: true };
}

impl Default for Selling {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// [`Rule::FREE`], for those that need it to stay.
pub(crate) static OPEN: Rule = Rule::FREE;

impl Rule {
    /// Open to everybody and free of charge.
    pub const FREE: Self = Self {
        forbidden: false,
        requires_identity: false,
        scopes: Vec::new(),
        standing: Standing::ANYTHING,
        price: None,
        free_per_day: 0,
        work_accepted: false,
        rate: None,
        charge_failed: false,
        selling: Selling::DEFAULT,
    };

    /// Closed to everybody.
    pub fn forbidden() -> Self {
        Self { forbidden: true, ..Self::FREE }
    }

    /// Whether nobody can pass without an access token.
    pub fn asks_who(&self) -> bool {
        self.requires_identity || !self.scopes.is_empty() || !self.standing.is_anything()
    }

    /// Open to anybody with a valid access token, free of charge.
    pub fn identified() -> Self {
        Self { requires_identity: true, ..Self::FREE }
    }
}
