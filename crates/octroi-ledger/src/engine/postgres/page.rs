//! What a batch of calls reads, decides and changes, between its two round trips. No I/O.

use std::collections::{BTreeMap, HashMap, HashSet};

use octroi_l402::TokenId;

use crate::account::{AccountRef, MAX_AMOUNT};
use crate::engine::codes::AccountKind;
use crate::engine::{AccountState, EndRow, HoldRow, NOBODY};
use crate::error::{HoldRefused, LedgerError};
use crate::limit::CounterKey;
use crate::revocation::master_key;
use crate::{CallEnd, Unit};

/// An account, locked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Locked {
    pub(super) state: AccountState,
    pub(super) revoked: bool,
}

/// What a batch found and what it does.
#[derive(Debug, Default)]
pub(super) struct Page {
    by_id: HashMap<i64, Locked>,
    by_token: HashMap<TokenId, i64>,
    /// Accounts of owners that could bear one hold or another when they were looked for, oldest first.
    owned: HashMap<[u8; 32], Vec<i64>>,
    counters: HashMap<CounterKey, i64>,
    /// Master keys that are revoked.
    pub(super) dead_keys: HashSet<u32>,
    /// Holds that were open, and are being ended: their account.
    pub(super) open: HashMap<[u8; 16], i64>,
    /// By account: what is added to its balance and to what it holds. In the order in which rows are locked.
    pub(super) changes: BTreeMap<i64, (i64, i64)>,
    /// By counter: what is added to it, and the account it belongs to where it never starts over.
    pub(super) counted: BTreeMap<CounterKey, (i64, i64)>,
}

impl Page {
    pub(super) fn found(&mut self, account: Locked) {
        let id = account.state.id.0;
        self.by_token.insert(account.state.token, id);
        if let Some(owner) = account.state.owner {
            let owned = self.owned.entry(owner).or_default();
            if let Err(place) = owned.binary_search(&id) {
                owned.insert(place, id);
            }
        }
        self.by_id.insert(id, account);
    }

    pub(super) fn counter(&mut self, key: CounterKey, used: i64) {
        self.counters.insert(key, used);
    }

    /// Decides a hold at `now` (Unix seconds): the account that bears it, and what that has left.
    pub(super) fn hold(&mut self, row: &HoldRow, now: u64) -> Result<(i64, i64), HoldRefused> {
        if !(0..=MAX_AMOUNT).contains(&row.amount) {
            return Err(HoldRefused::Amount);
        }
        for (place, taken) in row.taken.iter().enumerate() {
            taken.fits(place, self.counters.get(&taken.key).copied().unwrap_or(0))?;
        }
        let account = match row.payer {
            AccountRef::Token(token) => {
                let id = *self.by_token.get(&token).ok_or(HoldRefused::Unknown)?;
                self.bears(id, row, now)?;
                id
            }
            AccountRef::Owner(owner) => self.bearer(&owner, row, now)?,
            AccountRef::Nobody if row.amount == 0 => NOBODY.0,
            AccountRef::Nobody => return Err(HoldRefused::Amount),
        };
        let left = match self.by_id.get_mut(&account) {
            Some(locked) => {
                locked.state.held += row.amount;
                locked.state.balance - locked.state.held
            }
            None => 0,
        };
        self.change(account, 0, row.amount);
        for taken in &row.taken {
            *self.counters.entry(taken.key).or_default() += taken.take;
            self.count(taken.key, taken.take, account);
        }
        Ok((account, left))
    }

    fn bears(&self, id: i64, row: &HoldRow, now: u64) -> Result<(), HoldRefused> {
        let Some(Locked { state, revoked }) = self.by_id.get(&id) else { return Err(HoldRefused::Unknown) };
        let available = state.balance - state.held;
        if *revoked || self.dead_keys.contains(&master_key(&state.token)) {
            Err(HoldRefused::Revoked)
        } else if state.unit != row.unit {
            Err(HoldRefused::OtherUnit(state.unit))
        } else if row.unit == Unit::Call && now >= state.expires_at {
            Err(HoldRefused::Expired)
        } else if available < row.amount {
            Err(HoldRefused::Insufficient { available })
        } else {
            Ok(())
        }
    }

    /// The oldest account of `owner` that bears the hold alone.
    fn bearer(&self, owner: &[u8; 32], row: &HoldRow, now: u64) -> Result<i64, HoldRefused> {
        let (mut most, mut other) = (None, HoldRefused::Unknown);
        for id in self.owned.get(owner).into_iter().flatten() {
            match self.bears(*id, row, now) {
                Ok(()) => return Ok(*id),
                Err(HoldRefused::Insufficient { available: 0 }) => {}
                Err(HoldRefused::Insufficient { available }) => most = most.max(Some(available)),
                Err(why) => other = why,
            }
        }
        Err(most.map_or(other, |available| HoldRefused::Insufficient { available }))
    }

    /// Ends a hold; the account it was on, or `None` where it has ended before.
    pub(super) fn end(&mut self, row: &EndRow<'_>) -> Option<i64> {
        let account = self.open.remove(&row.hold.id.to_bytes())?;
        if let Some(locked) = self.by_id.get_mut(&account) {
            locked.state.held -= row.hold.amount;
            locked.state.balance -= row.captured;
        }
        self.change(account, -row.captured, -row.hold.amount);
        for taken in &row.hold.taken {
            let back = taken.given_back(row.hold.amount, row.captured, row.end);
            *self.counters.entry(taken.key).or_default() -= back;
            self.count(taken.key, -back, account);
        }
        Some(account)
    }

    fn count(&mut self, key: CounterKey, amount: i64, account: i64) {
        let belongs_to = if key.is_lasting() { account } else { NOBODY.0 };
        self.counted.entry(key).or_insert((0, belongs_to)).0 += amount;
    }

    /// Notes what is to be added to an account.
    pub(super) fn change(&mut self, account: i64, balance: i64, held: i64) {
        if account != NOBODY.0 && (balance, held) != (0, 0) {
            let change = self.changes.entry(account).or_default();
            *change = (change.0.saturating_add(balance), change.1.saturating_add(held));
        }
    }
}

/// What a call's end earns, and where.
pub(super) fn earning(row: &EndRow<'_>) -> Option<AccountKind> {
    (row.captured > 0 && row.end == CallEnd::Captured).then(|| AccountKind::earning(row.hold.unit))
}

/// Where nothing of a batch of one was written because of what it says.
pub(super) const REFUSED: LedgerError = LedgerError::Refused;
