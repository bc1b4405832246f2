//! Payments: written down before they are made, within what the owner allows, and kept as receipts.

use octroi_l402::{Msat, PaymentHash, Preimage};
use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, params};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::credentials::{Opens, expiry};
use super::{Bought, Purse, PurseError, RECEIPTS_MAX, SPENDS_MAX, seconds};
use crate::Bill;

/// Seconds of the windows in which spending is limited.
pub(crate) const HOUR: u64 = 3600;
/// See [`HOUR`].
pub(crate) const DAY: u64 = 24 * HOUR;
/// How long a payment is remembered at least, in seconds.
const REMEMBERED: u64 = 7 * DAY;

/// What the owner lets go in a window, in millisatoshi, routing fees included; `i64::MAX` for no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// In an hour, whatever the server.
    pub(crate) hour: i64,
    /// In a day, whatever the server.
    pub(crate) day: i64,
    /// In a day, to this server.
    pub(crate) server_day: i64,
}

/// What came of asking to spend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begun {
    /// It is written down; the route may take so much.
    Within(Msat),
    /// It would go beyond this limit, of which so much is left. Nothing was written.
    Over {
        /// `per hour`, `per day`, or `per server and day`.
        limit: &'static str,
        /// May be less than nothing where a limit was lowered.
        left: i64,
    },
}

/// A payment that is about to be made, or was begun and has no outcome.
#[derive(Clone)]
pub(crate) struct Spend {
    pub(crate) server: String,
    pub(crate) endpoint: String,
    pub(crate) tool: String,
    pub(crate) description: String,
    pub(crate) payment_hash: PaymentHash,
    pub(crate) amount: Msat,
    pub(crate) calls: u32,
    /// The server counts calls.
    pub(crate) counted: bool,
    pub(crate) invoice_expires_at: u64,
    secret: Buys,
}

/// The invoice and what it opens.
#[derive(Clone, Serialize, Deserialize)]
struct Buys {
    invoice: Zeroizing<String>,
    scheme: String,
    token: Zeroizing<String>,
}

impl Spend {
    /// For a bill of `endpoint`, which stands at `server` (its origin).
    pub(crate) fn new(server: &str, endpoint: &str, tool: &str, bill: &Bill) -> Self {
        let secret = Buys {
            invoice: Zeroizing::new(bill.offer.invoice.clone()),
            scheme: bill.offer.scheme.name().to_owned(),
            token: Zeroizing::new(bill.offer.token.clone()),
        };
        Self {
            server: server.to_owned(),
            endpoint: endpoint.to_owned(),
            tool: tool.to_owned(),
            description: bill.description.clone().unwrap_or_default(),
            payment_hash: bill.payment_hash,
            amount: bill.amount,
            calls: bill.calls,
            counted: bill.counted,
            invoice_expires_at: bill.expires_at,
            secret,
        }
    }

    pub(crate) fn invoice(&self) -> &str {
        &self.secret.invoice
    }

    /// What the payment bought; nothing where no token came with the invoice.
    fn bought(&self, preimage: &Preimage) -> Bought {
        Bought {
            endpoint: self.endpoint.clone(),
            tool: self.tool.clone(),
            payment_hash: self.payment_hash.to_string(),
            calls_left: self.counted.then_some(self.calls),
            expires_at: expiry(&self.secret.token),
            worked: false,
            opens: Opens {
                scheme: self.secret.scheme.clone(),
                token: self.secret.token.clone(),
                preimage: Zeroizing::new(preimage.to_hex()),
            },
        }
    }
}

/// What became of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpendState {
    /// No outcome yet: the money may still go.
    Open,
    /// Paid.
    Paid,
    /// Not made, and never will be.
    Failed,
}

/// A payment as it is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// 64 hex digits.
    pub payment_hash: String,
    /// The server's origin; empty for an invoice that was paid by hand.
    pub server: String,
    /// What it was for.
    pub tool: String,
    /// What the invoice says it is for.
    pub description: String,
    /// What the payee asked.
    pub amount: Msat,
    /// What left the wallet, routing fee included; what was set aside where there is no outcome; nothing where it failed.
    pub cost: Msat,
    /// How many calls it bought.
    pub calls: u32,
    /// What became of it.
    pub state: SpendState,
    /// When it ended, or was begun; unix seconds.
    pub at: u64,
}

/// What was given away, or is set aside, in the windows that are limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// In the last hour.
    pub hour: Msat,
    /// In the last 24 hours.
    pub day: Msat,
    /// As far as is remembered.
    pub all: Msat,
}

const COLUMNS: &str = "server, endpoint, tool, description, payment_hash, sealed, amount_msat, calls, counted, \
                       invoice_expires_at";

impl Purse {
    /// Writes down that a payment is about to be made, if it stays within `limits` with a fee of up to `fee`; one that was
    /// written down before is counted once, and now.
    ///
    /// # Errors
    /// [`PurseError`]: then it must not be made.
    pub(crate) fn begin(
        &self,
        spend: &Spend,
        limits: &Limits,
        fee: Msat,
        now: u64,
    ) -> Result<Begun, PurseError> {
        let hash = spend.payment_hash.to_string();
        let plain = serde_json::to_vec(&spend.secret).map(Zeroizing::new);
        let plain = plain.map_err(|error| PurseError::Format(error.to_string()))?;
        let sealed = self.vault.seal(&place(&hash), &plain)?;
        let mut careful = self.careful();
        let tx = careful.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if open_count(&tx, &hash)? >= SPENDS_MAX {
            return Err(PurseError::TooManyOpen);
        }
        check_earlier(&tx, &hash, spend)?;
        let amount = spend.amount.as_i64();
        let mut fee = fee.as_i64();
        for (name, most, window, server) in [
            ("per hour", limits.hour, HOUR, None),
            ("per day", limits.day, DAY, None),
            ("per server and day", limits.server_day, DAY, Some(spend.server.as_str())),
        ] {
            let left = most.saturating_sub(sum(&tx, now.saturating_sub(window), server, &hash)?);
            if amount > left {
                return Ok(Begun::Over { limit: name, left });
            }
            fee = fee.min(left - amount);
        }
        let insert = "INSERT OR REPLACE INTO spends (payment_hash, server, endpoint, tool, description, sealed, \
                      amount_msat, max_fee_msat, calls, counted, invoice_expires_at, state, at) \
                      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, 'open', ?12)";
        tx.prepare_cached(insert)?.execute(params![
            hash,
            spend.server,
            spend.endpoint,
            spend.tool,
            spend.description,
            sealed,
            amount,
            fee,
            spend.calls,
            spend.counted,
            seconds(spend.invoice_expires_at),
            seconds(now),
        ])?;
        tx.commit()?;
        Ok(Begun::Within(Msat::new(fee)))
    }

    /// The payment without an outcome for this tool, if there is one.
    pub(crate) fn open_spend(&self, endpoint: &str, tool: &str) -> Result<Option<Spend>, PurseError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM spends WHERE endpoint = ?1 AND tool = ?2 AND state = 'open' ORDER BY id LIMIT 1"
        );
        let careful = self.careful();
        let row =
            careful.prepare_cached(&sql)?.query_row([endpoint, tool], |row| self.read(row)).optional()?;
        row.transpose()
    }

    /// Every payment without an outcome.
    pub(crate) fn open_spends(&self) -> Result<Vec<Spend>, PurseError> {
        let sql = format!("SELECT {COLUMNS} FROM spends WHERE state = 'open' ORDER BY id");
        let careful = self.careful();
        let mut select = careful.prepare_cached(&sql)?;
        let rows: Vec<_> = select.query_map([], |row| self.read(row))?.collect::<Result<_, _>>()?;
        rows.into_iter().collect()
    }

    fn read(&self, row: &Row<'_>) -> rusqlite::Result<Result<Spend, PurseError>> {
        let hash: String = row.get(4)?;
        let sealed: Vec<u8> = row.get(5)?;
        let expires: i64 = row.get(9)?;
        let opened = self.vault.open_sealed(&place(&hash), &sealed).and_then(|plain| {
            let secret = serde_json::from_slice(&plain).map_err(|_| PurseError::WrongKey)?;
            let hash =
                hash.parse().map_err(|_| PurseError::Format("a payment without its hash".to_owned()))?;
            Ok((secret, hash))
        });
        let (secret, payment_hash) = match opened {
            Ok(opened) => opened,
            Err(error) => return Ok(Err(error)),
        };
        Ok(Ok(Spend {
            server: row.get(0)?,
            endpoint: row.get(1)?,
            tool: row.get(2)?,
            description: row.get(3)?,
            payment_hash,
            amount: Msat::new(row.get(6)?),
            calls: row.get(7)?,
            counted: row.get(8)?,
            invoice_expires_at: u64::try_from(expires).unwrap_or(0),
            secret,
        }))
    }

    /// The payment was not made, and never will be.
    pub(crate) fn fail(&self, hash: &PaymentHash, now: u64) -> Result<(), PurseError> {
        let sql = "UPDATE spends SET state = 'failed', at = ?2 WHERE payment_hash = ?1 AND state = 'open'";
        self.careful().prepare_cached(sql)?.execute(params![hash.to_string(), seconds(now)])?;
        Ok(())
    }

    /// The payment was made and cost `cost` in all, but what it bought cannot be used.
    pub(crate) fn lose(&self, hash: &PaymentHash, cost: Msat, now: u64) -> Result<(), PurseError> {
        settle(&self.careful(), hash, cost, now)
    }

    /// The payment was made and cost `cost` in all: what it bought is in the purse, `uses` calls of it counted off.
    pub(crate) fn finish(
        &self,
        spend: &Spend,
        preimage: &Preimage,
        cost: Msat,
        uses: u32,
        now: u64,
    ) -> Result<Bought, PurseError> {
        let mut bought = spend.bought(preimage);
        bought.calls_left = bought.calls_left.map(|left| left.saturating_sub(uses));
        let mut careful = self.careful();
        let tx = careful.transaction_with_behavior(TransactionBehavior::Immediate)?;
        settle(&tx, &spend.payment_hash, cost, now)?;
        if !spend.secret.token.is_empty() {
            self.put(&tx, &bought, now)?;
        }
        let old = "DELETE FROM spends WHERE state <> 'open' AND at < ?1 AND id <= \
                   (SELECT max(id) FROM spends) - ?2";
        tx.prepare_cached(old)?.execute(params![seconds(now.saturating_sub(REMEMBERED)), RECEIPTS_MAX])?;
        tx.commit()?;
        Ok(bought)
    }

    /// How many calls of `tool` were bought since `since` (unix seconds), and in how many payments.
    pub(crate) fn bought_since(
        &self,
        endpoint: &str,
        tool: &str,
        since: u64,
    ) -> Result<(u32, u32), PurseError> {
        let sql = "SELECT coalesce(sum(calls), 0), count(*) FROM spends \
                   WHERE endpoint = ?1 AND tool = ?2 AND state = 'paid' AND at > ?3";
        let quick = self.quick();
        let number = |value: i64| u32::try_from(value).unwrap_or(u32::MAX);
        Ok(quick.prepare_cached(sql)?.query_row(params![endpoint, tool, seconds(since)], |row| {
            Ok((number(row.get(0)?), number(row.get(1)?)))
        })?)
    }

    /// The newest payments first, at most `most` of them.
    ///
    /// # Errors
    /// [`PurseError`].
    pub fn receipts(&self, most: u32) -> Result<Vec<Receipt>, PurseError> {
        let sql = "SELECT payment_hash, server, tool, description, amount_msat, max_fee_msat, cost_msat, calls, state, at \
                   FROM spends ORDER BY id DESC LIMIT ?1";
        let quick = self.quick();
        let mut select = quick.prepare_cached(sql)?;
        let rows = select.query_map([most], receipt)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// What was given away, or is set aside, up to `now`; to one server (its origin), or to all.
    ///
    /// # Errors
    /// [`PurseError`].
    pub fn totals(&self, server: Option<&str>, now: u64) -> Result<Totals, PurseError> {
        let quick = self.quick();
        let since = |window| sum(&quick, now.saturating_sub(window), server, "").map(Msat::new);
        Ok(Totals { hour: since(HOUR)?, day: since(DAY)?, all: since(u64::MAX)? })
    }
}

fn place(payment_hash: &str) -> String {
    format!("spend {payment_hash}")
}

fn open_count(tx: &Connection, except: &str) -> Result<i64, PurseError> {
    let sql = "SELECT count(*) FROM spends WHERE state = 'open' AND payment_hash <> ?1";
    Ok(tx.prepare_cached(sql)?.query_row([except], |row| row.get(0))?)
}

/// Whoever knows a preimage can ask for it again, and for more. What was paid is not paid again, and what may still be paid is not
/// replaced by something else.
fn check_earlier(tx: &Connection, hash: &str, spend: &Spend) -> Result<(), PurseError> {
    let sql = "SELECT state, server, amount_msat FROM spends WHERE payment_hash = ?1";
    let earlier: Option<(String, String, i64)> = tx
        .prepare_cached(sql)?
        .query_row([hash], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    match earlier {
        Some((state, ..)) if state == "paid" => Err(PurseError::PaidBefore),
        Some((state, server, amount))
            if state == "open" && (server != spend.server || amount != spend.amount.as_i64()) =>
        {
            Err(PurseError::PaidBefore)
        }
        _ => Ok(()),
    }
}

/// What was given away since `since`, or is set aside since whenever. A sum beyond counting is an error, so nothing is paid.
fn sum(tx: &Connection, since: u64, server: Option<&str>, except: &str) -> Result<i64, PurseError> {
    let sql = "SELECT coalesce(sum(CASE state WHEN 'paid' THEN cost_msat ELSE amount_msat + max_fee_msat END), 0) \
               FROM spends WHERE (state = 'open' OR (state = 'paid' AND at > ?1)) \
               AND payment_hash <> ?3 AND (?2 IS NULL OR server = ?2)";
    Ok(tx.prepare_cached(sql)?.query_row(params![seconds(since), server, except], |row| row.get(0))?)
}

fn settle(tx: &Connection, hash: &PaymentHash, cost: Msat, now: u64) -> Result<(), PurseError> {
    let sql = "UPDATE spends SET state = 'paid', cost_msat = ?2, at = ?3 WHERE payment_hash = ?1 AND state <> 'paid'";
    tx.prepare_cached(sql)?.execute(params![hash.to_string(), cost.as_i64(), seconds(now)])?;
    Ok(())
}

fn receipt(row: &Row<'_>) -> rusqlite::Result<Receipt> {
    let (amount, fee): (i64, i64) = (row.get(4)?, row.get(5)?);
    let paid: Option<i64> = row.get(6)?;
    let (state, cost) = match row.get::<_, String>(8)?.as_str() {
        "open" => (SpendState::Open, amount.saturating_add(fee)),
        "paid" => (SpendState::Paid, paid.unwrap_or(amount)),
        _ => (SpendState::Failed, 0),
    };
    let at: i64 = row.get(9)?;
    Ok(Receipt {
        payment_hash: row.get(0)?,
        server: row.get(1)?,
        tool: row.get(2)?,
        description: row.get(3)?,
        amount: Msat::new(amount),
        cost: Msat::new(cost),
        calls: row.get(7)?,
        state,
        at: u64::try_from(at).unwrap_or(0),
    })
}
