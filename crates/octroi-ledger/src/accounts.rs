//! The accounts in memory: who can bear a hold is decided here.
//!
//! An account is what the disk says (`balance`, `held`) and what has been decided since but is not on disk yet (`unwritten`).
//! An account with operations under way is never evicted, so that one which is not here has none, and the disk knows all of it.

use std::collections::{HashMap, VecDeque};

use octroi_l402::TokenId;

use crate::account::{AccountRef, Balance, MAX_AMOUNT, Unit};
use crate::engine::{AccountId, AccountState, NOBODY, OWNER_ACCOUNTS, OWNER_BEARERS};
use crate::error::HoldRefused;
use crate::revocation::Revoked;

/// The cache of accounts and owners.
#[derive(Debug)]
pub(crate) struct Accounts {
    by_id: HashMap<AccountId, Account>,
    by_token: HashMap<TokenId, AccountId>,
    owners: HashMap<[u8; 32], Owner>,
    /// Accounts and owners in the order in which they may be dropped; those used since they came get a second chance.
    clock: VecDeque<AccountId>,
    owner_clock: VecDeque<[u8; 32]>,
    capacity: usize,
}

#[derive(Debug)]
struct Account {
    token: TokenId,
    owner: Option<[u8; 32]>,
    unit: Unit,
    balance: i64,
    held: i64,
    unwritten: i64,
    /// Holds that have not ended on disk.
    open: usize,
    used: bool,
    expires_at: u64,
}

impl Account {
    const fn available(&self) -> i64 {
        self.balance - self.held + self.unwritten
    }

    const fn is_spent(&self) -> bool {
        self.available() == 0 && self.open == 0
    }

    fn bears(&self, unit: Unit, amount: i64, now: u64) -> Result<(), HoldRefused> {
        if self.unit != unit {
            return Err(HoldRefused::OtherUnit(self.unit));
        }
        if unit == Unit::Call && now >= self.expires_at {
            return Err(HoldRefused::Expired);
        }
        if self.available() < amount {
            return Err(HoldRefused::Insufficient { available: self.available() });
        }
        Ok(())
    }
}

/// Accounts of a principal that are in memory and were not found spent, oldest first.
#[derive(Debug)]
struct Owner {
    accounts: Vec<AccountId>,
    /// Whether there may be more on disk.
    more: bool,
    used: bool,
}

impl Accounts {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            by_id: HashMap::new(),
            by_token: HashMap::new(),
            owners: HashMap::new(),
            clock: VecDeque::new(),
            owner_clock: VecDeque::new(),
            capacity,
        }
    }

    /// Takes `amount` from what is available; says from which account, and what it has left. `loaded`: what is on disk for
    /// this hold has just been loaded.
    pub(crate) fn take(
        &mut self,
        from: AccountRef,
        (unit, amount): (Unit, i64),
        now: u64,
        loaded: bool,
        revoked: &Revoked,
    ) -> Result<(AccountId, i64), HoldRefused> {
        if !(0..=MAX_AMOUNT).contains(&amount) {
            return Err(HoldRefused::Amount);
        }
        let id = match from {
            AccountRef::Token(token) => *self.by_token.get(&token).ok_or(HoldRefused::NeedsLoad)?,
            AccountRef::Owner(owner) => self.bearer(&owner, (unit, amount), now, loaded, revoked)?,
            AccountRef::Nobody if amount == 0 => return Ok((NOBODY, 0)),
            AccountRef::Nobody => return Err(HoldRefused::Amount),
        };
        let account = self.by_id.get_mut(&id).ok_or(HoldRefused::NeedsLoad)?;
        account.used = true;
        if revoked.covers(&account.token, account.owner) {
            return Err(HoldRefused::Revoked);
        }
        account.bears(unit, amount, now)?;
        account.unwritten -= amount;
        account.open += 1;
        Ok((id, account.available()))
    }

    /// The oldest account of `owner` that bears the hold alone.
    fn bearer(
        &mut self,
        owner: &[u8; 32],
        (unit, amount): (Unit, i64),
        now: u64,
        loaded: bool,
        revoked: &Revoked,
    ) -> Result<AccountId, HoldRefused> {
        let known = self.owners.get_mut(owner).ok_or(HoldRefused::NeedsLoad)?;
        known.used = true;
        known.accounts.retain(|id| self.by_id.get(id).is_some_and(|account| !account.is_spent()));
        let (mut most, mut other) = (None, HoldRefused::Unknown);
        for id in &known.accounts {
            let Some(account) = self.by_id.get(id) else { continue };
            match account.bears(unit, amount, now) {
                Ok(()) if revoked.covers(&account.token, account.owner) => other = HoldRefused::Revoked,
                Ok(()) => return Ok(*id),
                Err(HoldRefused::Insufficient { available: 0 }) => {}
                Err(HoldRefused::Insufficient { available }) => most = most.max(Some(available)),
                Err(why) => other = why,
            }
        }
        let refused = most.map_or(other, |available| HoldRefused::Insufficient { available });
        if known.more && !loaded { Err(HoldRefused::NeedsLoad) } else { Err(refused) }
    }

    /// A hold that is ending gives `amount` back to what is available. Negative: it does not after all.
    pub(crate) fn give_back(&mut self, id: AccountId, amount: i64) {
        let Some(account) = self.by_id.get_mut(&id) else { return };
        account.unwritten += amount;
        if let Some(owner) = account.owner {
            self.add_to_owner(owner, id);
        }
    }

    /// A hold has come on disk.
    pub(crate) fn hold_written(&mut self, id: AccountId, amount: i64) {
        if let Some(account) = self.by_id.get_mut(&id) {
            account.held += amount;
            account.unwritten += amount;
        }
    }

    /// The end of a hold has come on disk.
    pub(crate) fn end_written(&mut self, id: AccountId, held: i64, captured: i64) {
        if let Some(account) = self.by_id.get_mut(&id) {
            account.held -= held;
            account.balance -= captured;
            account.unwritten -= held - captured;
            account.open = account.open.saturating_sub(1);
        }
    }

    /// A hold that never came on disk is over.
    pub(crate) fn hold_over(&mut self, id: AccountId) {
        if let Some(account) = self.by_id.get_mut(&id) {
            account.open = account.open.saturating_sub(1);
        }
    }

    /// `amount` was credited, after which the disk says `state`.
    pub(crate) fn credited(&mut self, state: &AccountState, amount: i64) -> i64 {
        let balance = match self.by_id.get_mut(&state.id) {
            Some(account) => {
                account.balance += amount;
                account.expires_at = state.expires_at;
                account.balance
            }
            None => {
                self.insert(state);
                state.balance
            }
        };
        if let Some(owner) = state.owner {
            self.add_to_owner(owner, state.id);
        }
        balance
    }

    fn add_to_owner(&mut self, owner: [u8; 32], id: AccountId) {
        let Some(known) = self.owners.get_mut(&owner) else { return };
        if let Err(place) = known.accounts.binary_search(&id) {
            known.accounts.insert(place, id);
        }
        if known.accounts.len() > OWNER_ACCOUNTS + OWNER_BEARERS {
            known.accounts.pop();
            known.more = true;
        }
    }

    /// Keeps what was loaded for `request`; what is here already knows better than the disk.
    pub(crate) fn loaded(&mut self, request: AccountRef, states: &[AccountState]) -> Vec<Balance> {
        for state in states {
            if !self.by_id.contains_key(&state.id) {
                self.insert(state);
            }
        }
        if let AccountRef::Owner(owner) = request {
            self.know_owner(owner, states);
        }
        states.iter().filter_map(|state| self.by_id.get(&state.id)).map(balance_of).collect()
    }

    fn know_owner(&mut self, owner: [u8; 32], states: &[AccountState]) {
        let mut accounts: Vec<AccountId> = states.iter().map(|state| state.id).collect();
        // Of accounts with calls under way, memory knows more than the disk.
        let known = self.owners.get(&owner).map_or(&[][..], |known| &known.accounts);
        accounts
            .extend(known.iter().filter(|id| self.by_id.get(id).is_some_and(|account| !account.is_spent())));
        accounts.sort_unstable();
        accounts.dedup();
        accounts.retain(|id| self.by_id.contains_key(id));
        let more = states.len() >= OWNER_ACCOUNTS;
        if self.owners.insert(owner, Owner { accounts, more, used: true }).is_none() {
            self.owner_clock.push_back(owner);
        }
        self.evict_owners();
    }

    /// Sets an account right after the disk refused what memory had allowed.
    pub(crate) fn correct(&mut self, state: &AccountState) {
        if let Some(account) = self.by_id.get_mut(&state.id) {
            account.balance = state.balance;
            account.held = state.held;
        }
    }

    pub(crate) fn balance(&mut self, token: &TokenId) -> Option<Balance> {
        let account = self.by_id.get_mut(self.by_token.get(token)?)?;
        account.used = true;
        Some(balance_of(account))
    }

    pub(crate) fn token(&self, id: AccountId) -> Option<TokenId> {
        self.by_id.get(&id).map(|account| account.token)
    }

    fn insert(&mut self, state: &AccountState) {
        let account = Account {
            token: state.token,
            owner: state.owner,
            unit: state.unit,
            balance: state.balance,
            held: state.held,
            unwritten: 0,
            open: 0,
            used: true,
            expires_at: state.expires_at,
        };
        self.by_token.insert(state.token, state.id);
        self.by_id.insert(state.id, account);
        self.clock.push_back(state.id);
        self.evict();
    }

    /// Drops the accounts not used for longest, at most one round of the clock.
    fn evict(&mut self) {
        let mut looks = self.clock.len();
        while self.by_id.len() > self.capacity && looks > 0 {
            looks -= 1;
            let Some(id) = self.clock.pop_front() else { return };
            let Some(account) = self.by_id.get_mut(&id) else { continue };
            if account.used || account.open > 0 {
                account.used = false;
                self.clock.push_back(id);
                continue;
            }
            let (token, owner) = (account.token, account.owner);
            self.by_id.remove(&id);
            self.by_token.remove(&token);
            if let Some(known) = owner.and_then(|owner| self.owners.get_mut(&owner)) {
                known.more = true;
            }
        }
    }

    fn evict_owners(&mut self) {
        let mut looks = self.owner_clock.len();
        while self.owners.len() > self.capacity && looks > 0 {
            looks -= 1;
            let Some(owner) = self.owner_clock.pop_front() else { return };
            match self.owners.get_mut(&owner) {
                Some(known) if known.used => {
                    known.used = false;
                    self.owner_clock.push_back(owner);
                }
                _ => {
                    self.owners.remove(&owner);
                }
            }
        }
    }
}

fn balance_of(account: &Account) -> Balance {
    Balance {
        unit: account.unit,
        available: account.available(),
        held: account.balance - account.available(),
        owner: account.owner,
        expires_at: account.expires_at,
    }
}
