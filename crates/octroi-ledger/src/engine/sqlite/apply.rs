//! Applies commands inside an open transaction.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::sync::Arc;

use octroi_l402::{PaymentHash, TokenId};
use rusqlite::{CachedStatement, Connection, OptionalExtension, params};

use super::super::{AccountState, Command, Effect, Entry, HoldRow, Outcome};
use super::NotApplied;
use super::codes::{ACCOUNT_COLUMNS, AccountKind, TransactionKind, account_state, end_code, time, unit_code};
use crate::account::{MAX_AMOUNT, Unit};
use crate::entry::{Credited, Pruned, Quote, Settlement, Voucher, Work};
use crate::error::LedgerError;
use crate::id::EntryId;
use crate::report::CallEnd;
use crate::tools::ToolName;
use crate::{CALL_REF_SECONDS, QUOTE_MARGIN_SECONDS};

/// Most rows of one kind forgotten in one transaction, so that calls do not wait for it.
const PRUNE_ROWS: i64 = 5_000;

/// The ledger's own accounts and the numbers of tools, as far as they are known.
#[derive(Default)]
pub(super) struct House {
    accounts: HashMap<(AccountKind, i64), i64>,
    tools: HashMap<Arc<ToolName>, i64>,
}

impl House {
    /// What was learned may have been rolled back.
    pub(super) fn forget(&mut self) {
        self.accounts.clear();
        self.tools.clear();
    }

    fn account(&mut self, connection: &Connection, kind: AccountKind, tool: i64) -> rusqlite::Result<i64> {
        let vacant = match self.accounts.entry((kind, tool)) {
            Slot::Occupied(known) => return Ok(*known.get()),
            Slot::Vacant(vacant) => vacant,
        };
        let unit = unit_code(match kind {
            AccountKind::Work | AccountKind::WorkUsed => Unit::Call,
            _ => Unit::Msat,
        });
        let key = params![kind as i64, unit, tool];
        connection
            .prepare_cached(
                "INSERT INTO accounts (kind, unit, tool, created_at) VALUES (?1, ?2, ?3, unixepoch())
                 ON CONFLICT DO NOTHING",
            )?
            .execute(key)?;
        let id = connection
            .prepare_cached(
                "SELECT id FROM accounts WHERE kind = ?1 AND unit = ?2 AND tool = ?3 AND kind <> 0",
            )?
            .query_row(key, |row| row.get(0))?;
        Ok(*vacant.insert(id))
    }

    fn tool(&mut self, connection: &Connection, name: &Arc<ToolName>) -> rusqlite::Result<i64> {
        if let Some(known) = self.tools.get(name) {
            return Ok(*known);
        }
        let key = params![name.service, name.tool];
        connection
            .prepare_cached("INSERT INTO tools (service, tool) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
            .execute(key)?;
        let id = connection
            .prepare_cached("SELECT id FROM tools WHERE service = ?1 AND tool = ?2")?
            .query_row(key, |row| row.get(0))?;
        self.tools.insert(Arc::clone(name), id);
        Ok(id)
    }
}

/// What a batch does to one account.
#[derive(Clone, Copy, Default)]
struct Change {
    balance: i64,
    held: i64,
}

/// Commands being applied. The statements of the hot path are looked up once for all of them.
pub(super) struct Batch<'c> {
    connection: &'c Connection,
    house: &'c mut House,
    changes: HashMap<i64, Change>,
    insert_hold: CachedStatement<'c>,
    delete_hold: CachedStatement<'c>,
    insert_call: CachedStatement<'c>,
    insert_transaction: CachedStatement<'c>,
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

    fn transfer(
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

    fn change(&mut self, account: i64, balance: i64, held: i64) -> Result<(), NotApplied> {
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

    fn quote(&self, quote: &Quote) -> Result<Outcome, NotApplied> {
        if !in_bounds(quote.price.as_i64()) || quote.call_price.as_i64() < 0 {
            return Ok(Err(LedgerError::Amount));
        }
        let new = self
            .connection
            .prepare_cached(
                "INSERT INTO quotes (payment_hash, token, owner, service, tool, calls, price, call_price, created_at,
                                     expires_at, token_expires_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT (payment_hash) DO NOTHING",
            )?
            .execute(params![
                quote.payment_hash.as_bytes(),
                quote.token_id.as_bytes(),
                quote.owner,
                quote.service,
                quote.tool,
                quote.calls,
                quote.price.as_i64(),
                quote.call_price.as_i64(),
                time(quote.created_at),
                time(quote.expires_at),
                time(quote.macaroon_expires_at),
            ])?;
        Ok(if new == 1 { Ok(Effect::Written) } else { Err(LedgerError::QuoteTaken) })
    }

    fn payment(&mut self, id: EntryId, at_ms: u64, settlement: &Settlement) -> Result<Outcome, NotApplied> {
        let amount = settlement.amount.as_i64();
        if !in_bounds(amount) {
            return Ok(Err(LedgerError::Amount));
        }
        if let Some(cursor) = &settlement.cursor {
            self.connection
                .prepare_cached(
                    "INSERT INTO cursors (node, cursor) VALUES (?1, ?2)
                     ON CONFLICT (node) DO UPDATE SET cursor = excluded.cursor",
                )?
                .execute(params![settlement.node, cursor])?;
        }
        let hash = &settlement.payment_hash;
        if self.is_credited(hash)? {
            return Ok(Ok(Effect::NotCredited(Credited::Duplicate)));
        }
        let quote = self
            .connection
            .prepare_cached(
                "SELECT token, owner, calls, token_expires_at FROM quotes WHERE payment_hash = ?1",
            )?
            .query_row([hash.as_bytes()], |row| {
                let holder = Holder {
                    token: TokenId::from_bytes(row.get(0)?),
                    owner: row.get(1)?,
                    expires_at: row.get(3)?,
                };
                Ok((holder, row.get::<_, u32>(2)?))
            })
            .optional()?;
        let source = self.house.account(self.connection, AccountKind::Lightning, 0)?;
        let credit = Credit { id, at_ms, kind: TransactionKind::Payment, source, unit: Unit::Msat, amount };
        let mut calls = 0;
        let mut credited = None;
        if let Some((holder, quoted)) = quote {
            calls = quoted;
            credited = self.credit(&credit, &holder)?.ok();
            self.connection
                .prepare_cached("UPDATE quotes SET paid = 1 WHERE payment_hash = ?1")?
                .execute([hash.as_bytes()])?;
        }
        let account = match credited {
            Some(account) => account.id.0,
            None => {
                let suspense = self.house.account(self.connection, AccountKind::Suspense, 0)?;
                self.transfer(id, credit.kind, at_ms, source, suspense, amount)?;
                suspense
            }
        };
        self.note_credit(hash, id, account, settlement.settled_at, (&settlement.node, calls, ""))?;
        Ok(Ok(match credited {
            Some(account) => Effect::Credited { account, amount },
            None => Effect::NotCredited(Credited::Unknown),
        }))
    }

    fn voucher(&mut self, id: EntryId, at_ms: u64, voucher: &Voucher) -> Result<Outcome, NotApplied> {
        let amount = voucher.amount.as_i64();
        if !in_bounds(amount) {
            return Ok(Err(LedgerError::Amount));
        }
        if self.is_credited(&voucher.payment_hash)? {
            return Ok(Ok(Effect::NotCredited(Credited::Duplicate)));
        }
        let source = self.house.account(self.connection, AccountKind::Vouchers, 0)?;
        let credit = Credit { id, at_ms, kind: TransactionKind::Voucher, source, unit: Unit::Msat, amount };
        let holder =
            Holder { token: voucher.token_id, owner: voucher.owner, expires_at: time(voucher.expires_at) };
        let account = match self.credit(&credit, &holder)? {
            Ok(account) => account,
            Err(error) => return Ok(Err(error)),
        };
        let words = ("", voucher.calls, voucher.note.as_str());
        self.note_credit(&voucher.payment_hash, id, account.id.0, voucher.created_at, words)?;
        Ok(Ok(Effect::Credited { account, amount }))
    }

    fn work(&mut self, id: EntryId, at_ms: u64, work: &Work) -> Result<Outcome, NotApplied> {
        let amount = i64::from(work.calls);
        if amount == 0 {
            return Ok(Err(LedgerError::Amount));
        }
        let known = self
            .connection
            .prepare_cached("SELECT 1 FROM works WHERE challenge_id = ?1")?
            .exists([work.challenge_id])?;
        if known {
            return Ok(Ok(Effect::NotCredited(Credited::Duplicate)));
        }
        let source = self.house.account(self.connection, AccountKind::Work, 0)?;
        let credit = Credit { id, at_ms, kind: TransactionKind::Work, source, unit: Unit::Call, amount };
        let holder = Holder { token: work.token_id, owner: work.owner, expires_at: time(work.expires_at) };
        let account = match self.credit(&credit, &holder)? {
            Ok(account) => account,
            Err(error) => return Ok(Err(error)),
        };
        self.connection
            .prepare_cached("INSERT INTO works (challenge_id, transaction_id, service, expires_at) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![work.challenge_id, id.to_bytes(), work.service, time(work.expires_at)])?;
        Ok(Ok(Effect::Credited { account, amount }))
    }

    /// Credits the account of a credential, opening it at its first credit. Refused, and nothing written, where the account
    /// counts in another unit.
    fn credit(
        &mut self,
        credit: &Credit,
        holder: &Holder,
    ) -> Result<Result<AccountState, LedgerError>, NotApplied> {
        let known: Option<(i64, i64)> = self
            .connection
            .prepare_cached("SELECT id, unit FROM accounts WHERE token = ?1")?
            .query_row([holder.token.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let unit = unit_code(credit.unit);
        let account: i64 = match known {
            Some((_, other)) if other != unit => return Ok(Err(LedgerError::OtherUnit(credit.unit))),
            Some((account, _)) => account,
            None => self
                .connection
                .prepare_cached(
                    "INSERT INTO accounts (kind, unit, token, owner, created_at) VALUES (0, ?1, ?2, ?3, ?4) RETURNING id",
                )?
                .query_row(
                    params![unit, holder.token.as_bytes(), holder.owner, time(credit.at_ms / 1_000)],
                    |row| row.get(0),
                )?,
        };
        // Written at once, unlike other changes, so that the next command finds it.
        let state = self
            .connection
            .prepare_cached(&format!(
                "UPDATE accounts SET balance = balance + ?2, expires_at = max(expires_at, ?3) WHERE id = ?1
                 RETURNING {ACCOUNT_COLUMNS}"
            ))?
            .query_row(params![account, credit.amount, holder.expires_at], account_state)?;
        let row = params![
            credit.id.to_bytes(),
            credit.kind as i64,
            time(credit.at_ms),
            credit.source,
            account,
            credit.amount
        ];
        self.insert_transaction.execute(row)?;
        self.change(credit.source, -credit.amount, 0)?;
        Ok(Ok(state))
    }

    fn is_credited(&self, hash: &PaymentHash) -> rusqlite::Result<bool> {
        self.connection
            .prepare_cached("SELECT 1 FROM credits WHERE payment_hash = ?1")?
            .exists([hash.as_bytes()])
    }

    fn note_credit(
        &self,
        hash: &PaymentHash,
        id: EntryId,
        account: i64,
        at: u64,
        (node, calls, note): (&str, u32, &str),
    ) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "INSERT INTO credits (payment_hash, transaction_id, account, credited_at, node, calls, note)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![hash.as_bytes(), id.to_bytes(), account, time(at), node, calls, note])?;
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

/// What is credited.
struct Credit {
    id: EntryId,
    at_ms: u64,
    kind: TransactionKind,
    source: i64,
    unit: Unit,
    amount: i64,
}

/// To whom.
struct Holder {
    token: TokenId,
    owner: Option<[u8; 32]>,
    expires_at: i64,
}

const fn in_bounds(amount: i64) -> bool {
    amount > 0 && amount <= MAX_AMOUNT
}
