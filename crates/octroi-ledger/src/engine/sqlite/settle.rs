//! What ended calls have charged and the balances on disk do not say yet.
//!
//! A call is two new rows at the ends of their tables. What it charged comes to the balances later, in rounds: a round takes all
//! calls up to one id and goes through the accounts in their order, some with every batch, so that neighbours on a page are
//! written together and no batch waits long. Then the rows of `begun` that are not needed any more go. How far a round is stands in
//! the table `settling`, written in the same transactions, so that at every moment what is on disk adds up (the view `accounts`).

use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, params};

use super::super::AccountState;
use super::NotApplied;
use crate::id::EntryId;

/// With a batch, a round settles as many accounts as this part of the calls that begin it, and twice as many as calls ended in the batch
/// before: so it is over before there is enough for the next.
const SLICE_PART: usize = 512;
/// It forgets as many rows as this part, and three times as many.
const FORGOTTEN_PART: usize = 512;
/// Accounts settled, and rows forgotten, when nobody waits.
const IDLE: usize = 1_024;

/// Of calls up to `upto`, accounts below `below` have all that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Round {
    upto: EntryId,
    below: i64,
}

/// What a batch does to one account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    /// To be added to its balance on disk.
    pub(super) balance: i64,
    pub(super) held: i64,
    /// What this round will settle.
    pub(super) due: i64,
    /// What a later one will.
    pub(super) later: i64,
}

impl Change {
    fn plus(self, other: Self) -> Option<Self> {
        Some(Self {
            balance: self.balance.checked_add(other.balance)?,
            held: self.held.checked_add(other.held)?,
            due: self.due.checked_add(other.due)?,
            later: self.later.checked_add(other.later)?,
        })
    }
}

/// What a transaction changes once it is committed.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    step: Step,
    /// How far the round is, with this transaction.
    round: Round,
    pub(super) changes: HashMap<i64, Change>,
    /// Calls that have ended.
    pub(super) ended: usize,
    /// The greatest id of a call that has begun.
    pub(super) last: EntryId,
}

impl Draft {
    /// What a batch does to one account, added to what it has done to it.
    pub(super) fn change(&mut self, account: i64, change: Change) -> Result<(), NotApplied> {
        let known = self.changes.entry(account).or_default();
        *known = known.plus(change).ok_or(NotApplied::Refused)?;
        Ok(())
    }

    /// What a call that ends moves on an account: at once, in this round or in a later one.
    pub(super) fn ends(&mut self, call: EntryId, account: i64, amount: i64) -> Result<(), NotApplied> {
        let change = if call > self.round.upto {
            Change { later: amount, ..Change::default() }
        } else if account >= self.round.below {
            Change { due: amount, ..Change::default() }
        } else {
            Change { balance: amount, ..Change::default() }
        };
        self.change(account, change)
    }
}

/// What a transaction did for the round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Nothing,
    /// It settled accounts, after beginning the round if it had not begun.
    Settled {
        begun: bool,
    },
    /// It forgot calls up to this id.
    Forgot(EntryId),
}

/// What is unsettled, and what open holds keep, by account.
#[derive(Debug)]
pub(super) struct Unsettled {
    held: HashMap<i64, i64>,
    due: BTreeMap<i64, i64>,
    later: BTreeMap<i64, i64>,
    round: Round,
    /// Up to which call `begun` has been cleared of what is settled in this round.
    forgotten: EntryId,
    /// Calls that have ended since it began.
    ended: usize,
    /// Of them, in the last batch.
    ended_last: usize,
    last: EntryId,
    /// So many begin a round.
    enough: usize,
}

impl Unsettled {
    /// For a file in which everything is settled and no hold is open.
    pub(super) fn nothing(enough: usize) -> Self {
        let none = EntryId::first_of(0);
        Self {
            held: HashMap::new(),
            due: BTreeMap::new(),
            later: BTreeMap::new(),
            round: Round { upto: none, below: 0 },
            forgotten: none,
            ended: 0,
            ended_last: 0,
            last: none,
            enough,
        }
    }

    /// Reads from disk what is unsettled and what is held.
    pub(super) fn recall(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let mut known = Self::nothing(self.enough);
        known.last = self.last;
        known.round = connection.query_row("SELECT upto, below FROM settling", [], |row| {
            Ok(Round { upto: EntryId::from_bytes(row.get(0)?), below: row.get(1)? })
        })?;
        let mut moved = connection.prepare("SELECT account, amount, id FROM unsettled")?;
        let mut moved = moved.query([])?;
        while let Some(row) = moved.next()? {
            let due = EntryId::from_bytes(row.get(2)?) <= known.round.upto;
            add(if due { &mut known.due } else { &mut known.later }, row.get(0)?, row.get(1)?);
        }
        known.ended = connection.query_row(
            "SELECT count(*) FROM begun b CROSS JOIN calls c ON c.id = b.id WHERE b.id > ?1",
            [known.round.upto.to_bytes()],
            |row| row.get::<_, u32>(0),
        )? as usize;
        let mut held =
            connection.prepare("SELECT account, sum(amount) FROM holds WHERE amount > 0 GROUP BY account")?;
        let mut held = held.query([])?;
        while let Some(row) = held.next()? {
            known.held.insert(row.get(0)?, row.get(1)?);
        }
        *self = known;
        Ok(())
    }

    /// An empty draft.
    pub(super) fn draft(&self) -> Draft {
        Draft { step: Step::Nothing, round: self.round, changes: HashMap::new(), ended: 0, last: self.last }
    }

    /// The least balance on disk with which `account` bears `amount` more, with what `draft` does.
    pub(super) fn least(&self, draft: &Draft, account: i64, amount: i64) -> Result<i64, NotApplied> {
        let drafted = draft.changes.get(&account).copied().unwrap_or_default();
        let Change { balance, held, due, later } =
            self.of(account).plus(drafted).ok_or(NotApplied::Refused)?;
        let kept = amount.checked_add(held);
        kept.and_then(|kept| kept.checked_sub(balance)?.checked_sub(due)?.checked_sub(later))
            .ok_or(NotApplied::Refused)
    }

    /// What is known of an account beyond its balance on disk.
    fn of(&self, account: i64) -> Change {
        let known = |sums: &BTreeMap<i64, i64>| sums.get(&account).copied().unwrap_or(0);
        let held = self.held.get(&account).copied().unwrap_or(0);
        Change { balance: 0, held, due: known(&self.due), later: known(&self.later) }
    }

    /// An account as it stands, from its balance on disk.
    pub(super) fn correct(&self, state: AccountState) -> AccountState {
        let known = self.of(state.id.0);
        AccountState { balance: state.balance + known.due + known.later, held: known.held, ..state }
    }

    /// Whether there is something to settle or to forget.
    pub(super) fn is_pending(&self) -> bool {
        self.ended > 0 || self.is_settling() || self.is_forgetting()
    }

    fn is_settling(&self) -> bool {
        !self.due.is_empty()
    }

    fn is_forgetting(&self) -> bool {
        self.forgotten < self.round.upto
    }

    /// Brings a round forward, if one is under way or there is enough for one, by about as much as a batch brings.
    pub(super) fn step(&self, connection: &Connection) -> Result<Draft, NotApplied> {
        let slice = (self.enough / SLICE_PART).max(1) + 2 * self.ended_last;
        let forgotten = (self.enough / FORGOTTEN_PART).max(1) + 3 * self.ended_last;
        self.step_by(connection, slice, forgotten, self.enough)
    }

    /// Brings a round forward because there is time for it.
    pub(super) fn step_idly(&self, connection: &Connection) -> Result<Draft, NotApplied> {
        self.step_by(connection, IDLE, IDLE, 1)
    }

    fn step_by(
        &self,
        connection: &Connection,
        slice: usize,
        forgotten: usize,
        enough: usize,
    ) -> Result<Draft, NotApplied> {
        let draft = self.draft();
        if self.is_settling() {
            let below = settle(connection, &self.due, slice)?;
            return Ok(self.settled(draft, connection, Round { below, ..self.round }, false)?);
        }
        if self.is_forgetting() {
            let upto = forget(connection, self.forgotten, self.round.upto, forgotten)?;
            return Ok(Draft { step: Step::Forgot(upto), ..draft });
        }
        if self.ended < enough {
            return Ok(draft);
        }
        // Calls of earlier rounds that ended after they were looked at: their charges came to the balances at once, and this round must not
        // take them for its own. They are no more than were open at one time.
        forget_ended(connection, EntryId::first_of(0), self.round.upto)?;
        let below = settle(connection, &self.later, slice)?;
        Ok(self.settled(draft, connection, Round { upto: self.last, below }, true)?)
    }

    fn settled(
        &self,
        draft: Draft,
        connection: &Connection,
        round: Round,
        begun: bool,
    ) -> rusqlite::Result<Draft> {
        connection
            .prepare_cached("UPDATE settling SET upto = ?1, below = ?2")?
            .execute(params![round.upto.to_bytes(), round.below])?;
        Ok(Draft { step: Step::Settled { begun }, round, ..draft })
    }

    /// The transaction is committed.
    pub(super) fn committed(&mut self, draft: Draft) {
        match draft.step {
            Step::Nothing => {}
            Step::Settled { begun } => {
                if begun {
                    self.due = std::mem::take(&mut self.later);
                    self.ended = 0;
                    self.forgotten = EntryId::first_of(0);
                }
                self.round = draft.round;
                while self.due.first_key_value().is_some_and(|(account, _)| *account < self.round.below) {
                    self.due.pop_first();
                }
            }
            Step::Forgot(upto) => self.forgotten = upto,
        }
        for (account, change) in draft.changes {
            if change.held != 0 {
                let held = self.held.entry(account).or_default();
                *held += change.held;
                if *held == 0 {
                    self.held.remove(&account);
                }
            }
            add(&mut self.due, account, change.due);
            add(&mut self.later, account, change.later);
        }
        self.ended += draft.ended;
        self.ended_last = draft.ended;
        self.last = self.last.max(draft.last);
    }
}

fn add(sums: &mut BTreeMap<i64, i64>, account: i64, amount: i64) {
    if amount != 0 {
        let sum = sums.entry(account).or_default();
        *sum = sum.saturating_add(amount);
    }
}

/// Adds to the balances of the first so many accounts what `sums` says; from which account on it has not.
fn settle(connection: &Connection, sums: &BTreeMap<i64, i64>, most: usize) -> rusqlite::Result<i64> {
    let mut update =
        connection.prepare_cached("UPDATE OR IGNORE balances SET balance = balance + ?2 WHERE id = ?1")?;
    for (account, sum) in sums.iter().take(most).filter(|(_, sum)| **sum != 0) {
        if update.execute([account, sum])? != 1 {
            // Somebody else has changed the file: verification will name the account.
            tracing::error!(account, "the ledger on disk refuses what an account's calls were charged");
        }
    }
    Ok(sums.keys().nth(most).copied().unwrap_or(i64::MAX))
}

/// Forgets calls after `after` up to `upto` that have ended, looking at so many; how far it came.
fn forget(connection: &Connection, after: EntryId, upto: EntryId, most: usize) -> rusqlite::Result<EntryId> {
    let (from, most) = (after.to_bytes(), i64::try_from(most).unwrap_or(i64::MAX));
    let last: Option<[u8; 16]> = connection
        .prepare_cached(
            "SELECT max(id) FROM (SELECT id FROM begun WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3)",
        )?
        .query_row(params![from, upto.to_bytes(), most], |row| row.get(0))?;
    let Some(last) = last else { return Ok(upto) };
    forget_ended(connection, after, EntryId::from_bytes(last))?;
    Ok(EntryId::from_bytes(last))
}

/// Forgets calls after `after` up to `upto` that have ended.
fn forget_ended(connection: &Connection, after: EntryId, upto: EntryId) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "DELETE FROM begun WHERE id > ?1 AND id <= ?2 AND EXISTS (SELECT 1 FROM calls WHERE calls.id = begun.id)",
        )?
        .execute([after.to_bytes(), upto.to_bytes()])?;
    Ok(())
}
