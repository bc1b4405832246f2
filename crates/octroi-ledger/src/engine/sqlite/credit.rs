//! Quotes, and the three ways to be credited: a payment, work, a voucher.

use octroi_l402::{PaymentHash, TokenId};
use rusqlite::{OptionalExtension, params};

use super::super::codes::{AccountKind, TransactionKind, time, time_from, unit_code};
use super::super::{AccountState, Effect, Outcome};
use super::NotApplied;
use super::apply::Batch;
use super::rows::account_state;
use crate::account::{MAX_AMOUNT, Unit};
use crate::entry::{Credited, Quote, Settlement, Voucher, Work};
use crate::error::LedgerError;
use crate::id::EntryId;

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

impl Batch<'_> {
    pub(super) fn quote(&self, quote: &Quote) -> Result<Outcome, NotApplied> {
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

    pub(super) fn payment(
        &mut self,
        id: EntryId,
        at_ms: u64,
        settlement: &Settlement,
    ) -> Result<Outcome, NotApplied> {
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

    pub(super) fn voucher(
        &mut self,
        id: EntryId,
        at_ms: u64,
        voucher: &Voucher,
    ) -> Result<Outcome, NotApplied> {
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

    pub(super) fn work(&mut self, id: EntryId, at_ms: u64, work: &Work) -> Result<Outcome, NotApplied> {
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
        let Some(mut account) = self.holder(credit, holder)? else {
            return Ok(Err(LedgerError::OtherUnit(credit.unit)));
        };
        // Written at once, unlike other changes, so that the next command finds it.
        account.balance = self
            .connection
            .prepare_cached(
                "INSERT INTO balances (id, house, balance) VALUES (?1, 0, ?2)
                 ON CONFLICT (id) DO UPDATE SET balance = balance + excluded.balance RETURNING balance",
            )?
            .query_row([account.id.0, credit.amount], |row| row.get(0))?;
        let row = params![
            credit.id.to_bytes(),
            credit.kind as i64,
            time(credit.at_ms),
            credit.source,
            account.id.0,
            credit.amount
        ];
        self.insert_transaction.execute(row)?;
        self.change(credit.source, -credit.amount)?;
        Ok(Ok(self.unsettled.correct(account)))
    }

    /// Whose account it is, opened where it is not, and good for as long as the credential; `None` where it counts in another unit.
    fn holder(&self, credit: &Credit, holder: &Holder) -> Result<Option<AccountState>, NotApplied> {
        let token = holder.token.as_bytes();
        let known: Option<AccountState> = self
            .connection
            .prepare_cached("SELECT id, token, owner, unit, 0, 0, expires_at FROM holders WHERE token = ?1")?
            .query_row([token], account_state)
            .optional()?;
        let Some(known) = known else {
            let new = self
                .connection
                .prepare_cached(
                    "INSERT INTO holders (kind, unit, token, owner, created_at, expires_at) VALUES (0, ?1, ?2, ?3, ?4, ?5)
                     RETURNING id, token, owner, unit, 0, 0, expires_at",
                )?
                .query_row(
                    params![
                        unit_code(credit.unit),
                        token,
                        holder.owner,
                        time(credit.at_ms / 1_000),
                        holder.expires_at
                    ],
                    account_state,
                )?;
            return Ok(Some(new));
        };
        if known.unit != credit.unit {
            return Ok(None);
        }
        let later = time_from(holder.expires_at);
        if later > known.expires_at {
            self.connection
                .prepare_cached("UPDATE holders SET expires_at = ?2 WHERE id = ?1")?
                .execute([known.id.0, holder.expires_at])?;
        }
        Ok(Some(AccountState { expires_at: known.expires_at.max(later), ..known }))
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
}
