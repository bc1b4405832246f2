//! Applies commands inside an open transaction.

use std::collections::HashMap;

use rusqlite::{CachedStatement, Connection, params};

use super::super::codes::{AccountKind, TransactionKind, end_code, time};
use super::super::{AccountId, Command, Effect, EndRow, Entry, HoldRow, Outcome};
use super::NotApplied;
use super::house::House;
use super::settle::{Change, Draft, Unsettled};
use crate::account::Unit;
use crate::id::EntryId;
use crate::limit::{CounterKey, Taken};
use crate::report::CallEnd;

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
    /// What was unsettled before this transaction.
    pub(super) unsettled: &'c Unsettled,
    /// What this transaction changes.
    draft: Draft,
    /// What is added to a counter, and the account it belongs to where it never starts over.
    counted: HashMap<CounterKey, (i64, i64)>,
    insert_hold: CachedStatement<'c>,
    insert_free_hold: CachedStatement<'c>,
    insert_call: CachedStatement<'c>,
    pub(super) insert_transaction: CachedStatement<'c>,
}

impl<'c> Batch<'c> {
    /// Applies `commands` in order, in the transaction of `draft`.
    pub(super) fn apply(
        connection: &'c Connection,
        house: &'c mut House,
        (unsettled, draft): (&'c Unsettled, Draft),
        commands: &[Command<'_>],
    ) -> Result<(Vec<Outcome>, Draft), NotApplied> {
        let mut batch = Self::new(connection, house, unsettled, draft)?;
        let mut outcomes = Vec::with_capacity(commands.len());
        for command in commands {
            outcomes.push(batch.command(command)?);
        }
        Ok((outcomes, batch.write_changes()?))
    }

    /// Voids holds an earlier life left open.
    pub(super) fn recover(
        connection: &'c Connection,
        house: &'c mut House,
        unsettled: &'c Unsettled,
        open: &[(Ended, Vec<Taken>)],
    ) -> Result<(), NotApplied> {
        let mut batch = Self::new(connection, house, unsettled, unsettled.draft())?;
        for (call, taken) in open {
            batch.ended(call, taken)?;
        }
        batch.write_changes().map(|_| ())
    }

    fn new(
        connection: &'c Connection,
        house: &'c mut House,
        unsettled: &'c Unsettled,
        draft: Draft,
    ) -> rusqlite::Result<Self> {
        Ok(Self {
            connection,
            house,
            unsettled,
            draft,
            counted: HashMap::new(),
            // No account is no row: refused where the account does not bear it. One row of values each, because a statement that might
            // write several has to be able to be undone by itself.
            insert_hold: connection.prepare_cached(
                "INSERT INTO begun (id, account, tool, amount, limits)
                 VALUES (?1, CASE WHEN (SELECT balance FROM balances WHERE id = ?2) >= ?6 THEN ?2 END, ?3, ?4, ?5)",
            )?,
            insert_free_hold: connection.prepare_cached(
                "INSERT INTO begun (id, account, tool, amount, limits) VALUES (?1, ?2, ?3, 0, ?4)",
            )?,
            // Once, and refused where the call has not begun.
            insert_call: connection.prepare_cached(
                "INSERT INTO calls (id, account, tool, held, captured, ended_as, ended_ms, earned_by)
                 VALUES (?1, (SELECT account FROM begun WHERE id = ?1), ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (id) DO NOTHING",
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

    /// Memory has decided it; the balance on disk is asked again.
    fn hold(&mut self, hold: &HoldRow) -> Result<Outcome, NotApplied> {
        let tool = self.house.tool(self.connection, &hold.tool)?;
        let (id, account) = (hold.id.to_bytes(), hold.account.0);
        let limits = Taken::encode(&hold.taken);
        if hold.amount == 0 {
            self.insert_free_hold.execute(params![id, account, tool, limits])?;
        } else {
            let least = self.unsettled.least(&self.draft, account, hold.amount)?;
            self.insert_hold.execute(params![id, account, tool, hold.amount, limits, least])?;
            self.draft.change(account, Change { held: hold.amount, ..Change::default() })?;
        }
        self.draft.last = self.draft.last.max(hold.id);
        for taken in &hold.taken {
            self.count(taken.key, taken.take, hold.account)?;
        }
        Ok(Ok(Effect::Written))
    }

    fn end(&mut self, row: &EndRow<'_>) -> Result<Outcome, NotApplied> {
        let hold = row.hold;
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
        if !self.ended(&ended, &hold.taken)? {
            // It has ended before; this is the second telling after an error whose outcome was unclear.
            return Ok(Ok(Effect::Written));
        }
        if let Some(answer) = &row.answer {
            self.keep_answer(hold.id, answer, row.at_ms)?;
        }
        if let (Some(customer), Unit::Msat, 1..) = (&hold.bill, hold.unit, row.captured) {
            self.connection
                .prepare_cached(
                    "INSERT INTO outbox (id, customer, tool, amount, at_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
                )?
                .execute(params![hold.id.to_bytes(), customer, tool, row.captured, time(row.at_ms)])?;
        }
        Ok(Ok(Effect::Written))
    }

    /// Ends a call, and notes what that does to accounts and limits; `false` where it has ended before.
    fn ended(&mut self, call: &Ended, taken: &[Taken]) -> Result<bool, NotApplied> {
        let account = call.account.0;
        let earned_by = match call.captured {
            0 => 0,
            _ => self.house.account(self.connection, AccountKind::earning(call.unit), call.tool)?,
        };
        let row = params![
            call.id.to_bytes(),
            call.tool,
            call.held,
            call.captured,
            end_code(call.end),
            time(call.at_ms),
            earned_by
        ];
        if self.insert_call.execute(row)? == 0 {
            return Ok(false);
        }
        self.draft.ended += 1;
        if call.held > 0 {
            self.draft.change(account, Change { held: -call.held, ..Change::default() })?;
        }
        if call.captured > 0 {
            self.draft.ends(call.id, account, -call.captured)?;
            self.draft.ends(call.id, earned_by, call.captured)?;
        }
        for one in taken {
            self.count(one.key, -one.given_back(call.held, call.captured, call.end), call.account)?;
        }
        Ok(true)
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
        self.change(source, -amount)?;
        self.change(target, amount)
    }

    /// Notes what is to be added to a balance when all commands are applied.
    pub(super) fn change(&mut self, account: i64, balance: i64) -> Result<(), NotApplied> {
        self.draft.change(account, Change { balance, ..Change::default() })
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

    /// Writes the sums of what the commands did to balances and counters. The schema refuses any credential below zero.
    fn write_changes(mut self) -> Result<Draft, NotApplied> {
        self.write_counted()?;
        let mut update =
            self.connection.prepare_cached("UPDATE balances SET balance = balance + ?2 WHERE id = ?1")?;
        for (account, change) in &mut self.draft.changes {
            let sum = std::mem::take(&mut change.balance);
            if sum != 0 && update.execute([*account, sum])? != 1 {
                return Err(NotApplied::Refused);
            }
        }
        Ok(self.draft)
    }
}
