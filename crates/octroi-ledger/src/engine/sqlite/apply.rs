//! Applies commands inside an open transaction.

use std::collections::HashMap;

use rusqlite::{CachedStatement, Connection, params};

use super::super::{Command, Effect, Entry, HoldRow, Outcome};
use super::NotApplied;
use super::codes::{AccountKind, TransactionKind, end_code, time};
use super::house::House;
use crate::account::Unit;
use crate::entry::Pruned;
use crate::error::LedgerError;
use crate::id::EntryId;
use crate::report::CallEnd;
use crate::{CALL_REF_SECONDS, QUOTE_MARGIN_SECONDS};

/// Most rows of one kind forgotten in one transaction, so that calls do not wait for it.
const PRUNE_ROWS: i64 = 5_000;

/// What a batch does to one account.
#[derive(Clone, Copy, Default)]
struct Change {
    balance: i64,
    held: i64,
}

/// Commands being applied. The statements of the hot path are looked up once for all of them.
pub(super) struct Batch<'c> {
    pub(super) connection: &'c Connection,
    pub(super) house: &'c mut House,
    changes: HashMap<i64, Change>,
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
        let mut batch = Self {
            connection,
            house,
            changes: HashMap::new(),
            insert_hold: connection.prepare_cached(
                "INSERT INTO holds (id, account, tool, amount, call_ref) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?,
            delete_hold: connection.prepare_cached("DELETE FROM holds WHERE id = ?1")?,
            insert_call: connection.prepare_cached(
                "INSERT INTO calls (id, account, tool, held, captured, ended_as, ended_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?,
            insert_transaction: connection.prepare_cached(
                "INSERT INTO transactions (id, kind, at_ms, source, target, amount) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?,
        };
        let mut outcomes = Vec::with_capacity(commands.len());
        for command in commands {
            outcomes.push(batch.command(command)?);
        }
        batch.write_changes()?;
        Ok(outcomes)
    }

    fn command(&mut self, command: &Command<'_>) -> Result<Outcome, NotApplied> {
        match *command {
            Command::Hold(hold) => self.hold(hold),
            Command::End { hold, captured, end, at_ms } => self.end(hold, captured, end, at_ms),
            Command::Entry { id, at_ms, entry } => match entry {
                Entry::Quote(quote) => self.quote(quote),
                Entry::Payment(settlement) => self.payment(id, at_ms, settlement),
                Entry::Work(work) => self.work(id, at_ms, work),
                Entry::Voucher(voucher) => self.voucher(id, at_ms, voucher),
                Entry::Prune(now) => self.prune(*now),
            },
        }
    }

    fn hold(&mut self, hold: &HoldRow) -> Result<Outcome, NotApplied> {
        if let Some(call_ref) = hold.call_ref {
            let new = self
                .connection
                .prepare_cached("INSERT INTO call_refs (call_ref, call) VALUES (?1, ?2) ON CONFLICT (call_ref) DO NOTHING")?
                .execute(params![call_ref, hold.id.to_bytes()])?;
            if new == 0 {
                return Ok(Err(LedgerError::AlreadyCharged));
            }
        }
        let tool = self.house.tool(self.connection, &hold.tool)?;
        self.insert_hold.execute(params![
            hold.id.to_bytes(),
            hold.account.0,
            tool,
            hold.amount,
            hold.call_ref
        ])?;
        self.change(hold.account.0, 0, hold.amount)?;
        Ok(Ok(Effect::Written))
    }

    fn end(
        &mut self,
        hold: &HoldRow,
        captured: i64,
        end: CallEnd,
        at_ms: u64,
    ) -> Result<Outcome, NotApplied> {
        let id = hold.id.to_bytes();
        if self.delete_hold.execute([id])? == 0 {
            // It has ended before; this is the second telling after an error whose outcome was unclear.
            return Ok(Ok(Effect::Written));
        }
        let tool = self.house.tool(self.connection, &hold.tool)?;
        let account = hold.account.0;
        self.insert_call.execute(params![
            id,
            account,
            tool,
            hold.amount,
            captured,
            end_code(end),
            time(at_ms)
        ])?;
        self.change(account, 0, -hold.amount)?;
        if captured > 0 {
            let earned_in = match hold.unit {
                Unit::Msat => AccountKind::Revenue,
                Unit::Call => AccountKind::WorkUsed,
            };
            let revenue = self.house.account(self.connection, earned_in, tool)?;
            self.transfer(hold.id, TransactionKind::Call, at_ms, account, revenue, captured)?;
        }
        if end != CallEnd::Captured && hold.call_ref.is_some() {
            self.connection.prepare_cached("DELETE FROM call_refs WHERE call = ?1")?.execute([id])?;
        }
        Ok(Ok(Effect::Written))
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

    fn write_changes(self) -> Result<(), NotApplied> {
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

    fn prune(&self, now: u64) -> Result<Outcome, NotApplied> {
        let quotes = "DELETE FROM quotes WHERE payment_hash IN
            (SELECT payment_hash FROM quotes WHERE paid = 0 AND expires_at < ?1 LIMIT ?2)";
        let works = "DELETE FROM works WHERE challenge_id IN
            (SELECT challenge_id FROM works WHERE expires_at < ?1 LIMIT ?2)";
        let refs = "DELETE FROM call_refs WHERE call_ref IN
            (SELECT call_ref FROM call_refs WHERE call < ?1 LIMIT ?2)";
        let quotes_before = time(now.saturating_sub(QUOTE_MARGIN_SECONDS));
        let refs_before =
            EntryId::first_of(now.saturating_sub(CALL_REF_SECONDS).saturating_mul(1_000)).to_bytes();
        let pruned = Pruned {
            quotes: self.connection.prepare_cached(quotes)?.execute(params![quotes_before, PRUNE_ROWS])?
                as u64,
            works: self.connection.prepare_cached(works)?.execute(params![time(now), PRUNE_ROWS])? as u64,
            call_refs: self.connection.prepare_cached(refs)?.execute(params![refs_before, PRUNE_ROWS])?
                as u64,
        };
        Ok(Ok(Effect::Pruned(pruned)))
    }
}
