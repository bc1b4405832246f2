//! What bounds a hold beside the balance: what a holder lent, what the operator allows a day, what is free.

use std::net::IpAddr;

use octroi_l402::{Counted, Msat, Terms, TokenId};
use octroi_ledger::{AccountRef, Counts, Limit, Window};
use sha2::{Digest, Sha256};
use smallvec::SmallVec;

use super::{Problem, Sale};
use crate::gate::network_of;
use crate::reason::Reason;
use crate::refusal::Refusal;

/// Most that may be spent in a minute, an hour and a day (UTC); `None`: no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// In one minute.
    pub minute: Option<Msat>,
    /// In one hour.
    pub hour: Option<Msat>,
    /// In one day.
    pub day: Option<Msat>,
}

/// The operator's bounds on spending.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budgets {
    /// For the account of each credential.
    pub per_credential: Budget,
    /// For each identified caller, over all its credentials and its credit.
    pub per_caller: Budget,
}

/// What a limit is there for, which decides what its refusal says.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Purpose {
    /// The holder of a credential lent no more.
    Lent(String),
    /// The credential was sold for so many calls.
    Sold,
    /// The operator lets nobody spend more.
    Operator,
}

/// The limits of one hold, and what each is there for.
#[derive(Default)]
pub(super) struct Bounds {
    limits: SmallVec<[Limit; 4]>,
    purposes: SmallVec<[Purpose; 4]>,
}

impl Budget {
    fn windows(&self) -> impl Iterator<Item = (Window, Msat)> {
        let all = [(Window::Minute, self.minute), (Window::Hour, self.hour), (Window::Day, self.day)];
        all.into_iter().filter_map(|(window, most)| Some((window, most?)))
    }
}

impl Bounds {
    /// Everything that bounds a hold of money or work on `account` under a credential's terms.
    pub(super) fn of(
        budgets: &Budgets,
        sale: &Sale<'_>,
        account: &AccountRef,
        terms: Option<&Terms>,
    ) -> Self {
        let mut bounds = Self::default();
        if let (AccountRef::Token(token), Some(terms)) = (account, terms) {
            bounds.lent(token, terms);
        }
        if let AccountRef::Token(token) = account {
            let key = key(b"credential budget", &[token.as_bytes()]);
            bounds.spend(key, &budgets.per_credential);
        }
        if let Some(owner) = &sale.owner {
            let key = key(b"caller budget", &[sale.service.as_bytes(), owner]);
            bounds.spend(key, &budgets.per_caller);
        }
        bounds
    }

    fn lent(&mut self, token: &TokenId, terms: &Terms) {
        if let Some(calls) = terms.calls {
            let key = key(b"calls sold", &[token.as_bytes()]);
            let (window, counts, most) = (Window::Always, Counts::Calls, i64::from(calls));
            self.add(Limit { key, window, counts, most }, Purpose::Sold);
        }
        for budget in &terms.budgets {
            let key = key(b"lent", &[token.as_bytes(), budget.label.as_bytes()]);
            let counts = match budget.counted {
                Counted::Calls => Counts::Calls,
                Counted::Msat => Counts::Amount,
            };
            let limit = Limit { key, window: Window::Always, counts, most: budget.most };
            self.add(limit, Purpose::Lent(budget.label.clone()));
        }
    }

    fn spend(&mut self, key: [u8; 32], budget: &Budget) {
        for (window, most) in budget.windows() {
            let limit = Limit { key, window, counts: Counts::Amount, most: most.as_i64() };
            self.add(limit, Purpose::Operator);
        }
    }

    fn add(&mut self, limit: Limit, purpose: Purpose) {
        self.limits.push(limit);
        self.purposes.push(purpose);
    }

    pub(super) fn limits(&self) -> &[Limit] {
        &self.limits
    }

    /// What to say where the limit at `place` has only `left` until the Unix second `until`.
    pub(super) fn refuse(&self, place: usize, left: i64, until: u64, now: u64) -> Problem {
        match self.purposes.get(place) {
            Some(Purpose::Lent(label)) => {
                let text = format!("the budget `{label}` of this credential has {left} left");
                Problem::new(Reason::CredentialSpent, text).lent()
            }
            // A holder may have appended it, too.
            Some(Purpose::Sold) => {
                Problem::new(Reason::CredentialSpent, "the calls of this credential are used up").lent()
            }
            Some(Purpose::Operator) | None => {
                let wait = until.saturating_sub(now).max(1);
                let text = format!(
                    "the budget the operator allows has {left} msat left; it starts over in {wait} s"
                );
                let refusal = Refusal::new(Reason::BudgetExceeded, text).retry_after(wait);
                Problem::Fatal(Box::new(refusal.with("left_msat", left)))
            }
        }
    }
}

/// The limit on a caller's free calls of one tool a day.
pub(super) fn free_calls(sale: &Sale<'_>) -> Limit {
    let subject = sale.subject.as_bytes();
    let who = match sale.owner {
        Some(owner) => key(b"free to a caller", &[sale.service.as_bytes(), subject, &owner]),
        None => {
            let network = sale.peer.map(network_of).map(|network| match network {
                IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
                IpAddr::V6(address) => address.octets(),
            });
            key(b"free to a network", &[sale.service.as_bytes(), subject, &network.unwrap_or_default()])
        }
    };
    Limit { key: who, window: Window::Day, counts: Counts::Calls, most: i64::from(sale.rule.free_per_day) }
}

/// A key that no other purpose and no other parts have.
pub(super) fn key(purpose: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(b"octroi v1\0");
    for part in std::iter::once(&purpose).chain(parts) {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}
