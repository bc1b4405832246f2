//! Applies commands inside an open transaction.

use std::collections::HashMap;

use rusqlite::{CachedStatement, Connection, params};

use super::super::codes::{AccountKind, TransactionKind, end_code, time};
use super::super::{AccountId, Command, Effect, EndRow, Entry, HoldRow, Outcome};
use super::NotApplied;
use super::house::House;
use crate::account::Unit;
use crate::id::EntryId;
use crate::limit::{CounterKey, Taken};
use crate::report::CallEnd;

/// What a batch does to one account.
#[derive(Clone, Copy, Default)]
struct Change {
    balance: i64,
    held: i64,
}

/// A call that has ended, as its row says.
pub(super) struct Ended {
    pub(super) id: EntryId,
    pub(super) account: AccountId,
    pub(super) unit: Unit,
    pub(super) tool: i64,
    pub(super) held: i64,
    pub(super) captured: i64,
    pub(super) end: CallEnd,
    pub(super) at_ms: u64,
}

/// Commands being applied. The statements of the hot path are looked up once for all of them.
pub(super) struct Batch<'c> {
    pub(super) connection: &'c Connection,
    pub(super) house: &'c mut House,
    changes: HashMap<i64, Change>,
    /// What is added to a counter, and the account it belongs to where it never starts over.
    counted: HashMap<CounterKey, (i64, i64)>,
    insert_hold: CachedStatement<'c>,
    delete_hold: CachedStatement<'c>,
    insert_call: CachedStatement<'c>,
    pub(super) insert_transaction: CachedStatement<'c>,
}

impl<'c> Batch<'c> {
    /// Applies `commands` in order. What they do to accounts is summed and written last, where the schema refuses any
    /// credential below zero, holds counted.
    pub(super) fn apply(
        connection: &'c Connection,
        house: &'c mut House,
        commands: &[Command<'_>],
    ) -> Result<Vec<Outcome>, NotApplied> {
        let mut batch = Self::new(connection, house)?;
        let mut outcomes = Vec::with_capacity(commands.len());
        for command in commands {
            outcomes.push(batch.command(command)?);
        }
        batch.write_changes()?;
        Ok(outcomes)
    }

    /// Voids holds an earlier life left open; their rows are gone already.
    pub(super) fn recover(
        connection: &'c Connection,
        house: &'c mut House,
        open: &[(Ended, Vec<Taken>)],
    ) -> Result<(), NotApplied> {
        let mut batch = Self::new(connection, house)?;
        for (call, taken) in open {
            batch.ended(call, taken)?;
        }
        batch.write_changes()
    }

    fn new(connection: &'c Connection, house: &'c mut House) -> rusqlite::Result<Self> {
        Ok(Self {
            connection,
            house,
            changes: HashMap::new(),
            counted: HashMap::new(),
            insert_hold: connection.prepare_cached(
                "INSERT INTO holds (id, account, tool, amount, limits) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?,
            delete_hold: connection.prepare_cached("DELETE FROM holds WHERE id = ?1")?,
            insert_call: connection.prepare_cached(
                "INSERT INTO calls (id, account, tool, held, captured, ended_as, ended_ms, earned_by)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?,
            insert_transaction: connection.prepare_cached(
                "INSERT INTO transactions (id, kind, at_ms, source, target, amount) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?,
        })
    }

    fn command(&mut self, command: &Command<'_>) -> Result<Outcome, NotApplied> {
        match *command {
            Command::Hold(hold) => self.hold(hold),
            Command::End(ref end) => self.end(end),
            Command::Entry { id, at_ms, entry } => match entry {
                Entry::Quote(quote) => self.quote(quote),
                Entry::Payment(settlement) => self.payment(id, at_ms, settlement),
                Entry::Work(work) => self.work(id, at_ms, work),
                Entry::Voucher(voucher) => self.voucher(id, at_ms, voucher),
                Entry::Claim { key, request } => self.claim(key, request, at_ms),
                // This process alone writes: who has claimed what is known in memory.
                Entry::Unclaim(_) => Ok(Ok(Effect::Written)),
                Entry::Revoke { what, revoked, reason } => self.revoke(*what, *revoked, reason, at_ms),
                Entry::Accept(hash) => self.accept(hash, at_ms),
                Entry::OutboxTake { now, until, most } => self.outbox_take(*now, *until, *most),
                Entry::OutboxTold { id, told } => self.outbox_told(id, told, at_ms),
                Entry::Prune { now, kept } => self.prune(*now, *kept),
            },
        }
    }

    fn hold(&mut self, hold: &HoldRow) -> Result<Outcome, NotApplied> {
        let tool = self.house.tool(self.connection, &hold.tool)?;
        let limits = Taken::encode(&hold.taken);
        self.insert_hold.execute(params![hold.id.to_bytes(), hold.account.0, tool, hold.amount, limits])?;
        if hold.amount > 0 {
            self.change(hold.account.0, 0, hold.amount)?;
        }
        for taken in &hold.taken {
            self.count(taken.key, taken.take, hold.account)?;
        }
        Ok(Ok(Effect::Written))
    }

    fn end(&mut self, row: &EndRow<'_>) -> Result<Outcome, NotApplied> {
        let hold = row.hold;
        let id = hold.id.to_bytes();
        if self.delete_hold.execute([id])? == 0 {
            // It has ended before; this is the second telling after an error whose outcome was unclear.
            return Ok(Ok(Effect::Written));
        }
        let tool = self.house.tool(self.connection, &hold.tool)?;
        let ended = Ended {
            id: hold.id,
            account: hold.account,
            unit: hold.unit,
            tool,
            held: hold.amount,
            captured: row.captured,
            end: row.end,
            at_ms: row.at_ms,
        };
        self.ended(&ended, &hold.taken)?;
        if let Some(answer) = &row.answer {
            self.keep_answer(hold.id, answer, row.at_ms)?;
        }
        if let (Some(customer), Unit::Msat, 1..) = (&hold.bill, hold.unit, row.captured) {
            self.connection
                .prepare_cached(
                    "INSERT INTO outbox (id, customer, tool, amount, at_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
                )?
                .execute(params![id, customer, tool, row.captured, time(row.at_ms)])?;
        }
        Ok(Ok(Effect::Written))
    }

    /// Writes the row of a call whose hold is gone, and what it does to accounts and limits.
    pub(super) fn ended(&mut self, call: &Ended, taken: &[Taken]) -> Result<(), NotApplied> {
        let account = call.account.0;
        let earned_by = match call.captured {
            0 => 0,
            _ => self.house.account(self.connection, AccountKind::earning(call.unit), call.tool)?,
        };
        self.insert_call.execute(params![
            call.id.to_bytes(),
            account,
            call.tool,
            call.held,
            call.captured,
            end_code(call.end),
            time(call.at_ms),
            earned_by,
        ])?;
        if call.held > 0 {
            self.change(account, -call.captured, -call.held)?;
        }
        if call.captured > 0 {
            self.change(earned_by, call.captured, 0)?;
        }
        for one in taken {
            self.count(one.key, -one.given_back(call.held, call.captured, call.end), call.account)?;
        }
        Ok(())
    }

    /// Moves `amount` from one account to another.
    pub(super) fn transfer(
        &mut self,
        id: EntryId,
        kind: TransactionKind,
        at_ms: u64,
        source: i64,
        target: i64,
        amount: i64,
    ) -> Result<(), NotApplied> {
        self.insert_transaction.execute(params![
            id.to_bytes(),
            kind as i64,
            time(at_ms),
            source,
            target,
            amount
        ])?;
        self.change(source, -amount, 0)?;
        self.change(target, amount, 0)
    }

    /// Notes what is to be added to an account when all commands are applied.
    pub(super) fn change(&mut self, account: i64, balance: i64, held: i64) -> Result<(), NotApplied> {
        let change = self.changes.entry(account).or_default();
        let sums = change.balance.checked_add(balance).zip(change.held.checked_add(held));
        let Some((balance, held)) = sums else { return Err(NotApplied::Refused) };
        *change = Change { balance, held };
        Ok(())
    }

    /// Notes what is to be added to a counter when all commands are applied.
    fn count(&mut self, key: CounterKey, amount: i64, account: AccountId) -> Result<(), NotApplied> {
        let belongs_to = if key.is_lasting() { account.0 } else { 0 };
        let counted = self.counted.entry(key).or_insert((0, belongs_to));
        counted.0 = counted.0.checked_add(amount).ok_or(NotApplied::Refused)?;
        Ok(())
    }

    fn write_counted(&self) -> Result<(), NotApplied> {
        for (key, (amount, account)) in &self.counted {
            // What is given back to a window that has been forgotten is forgotten too.
            let sql = if *amount > 0 {
                "INSERT INTO counters (key, counts, seconds, start, used, account) VALUES (?1, ?5, ?2, ?3, ?4, ?6)
                 ON CONFLICT (key, counts, seconds, start) DO UPDATE SET used = used + excluded.used, account = excluded.account"
            } else {
                "UPDATE counters SET used = max(0, used + ?4)
                 WHERE key = ?1 AND counts = ?5 AND seconds = ?2 AND start = ?3 AND ?6 = ?6"
            };
            self.connection.prepare_cached(sql)?.execute(params![
                key.key,
                key.seconds,
                time(key.start),
                amount,
                key.counts.code(),
                account
            ])?;
        }
        Ok(())
    }

    fn write_changes(self) -> Result<(), NotApplied> {
        self.write_counted()?;
        let mut update = self
            .connection
            .prepare_cached("UPDATE accounts SET balance = balance + ?2, held = held + ?3 WHERE id = ?1")?;
        for (account, change) in self.changes {
            if update.execute(params![account, change.balance, change.held])? != 1 {
                return Err(NotApplied::Refused);
            }
        }
        Ok(())
    }
}
