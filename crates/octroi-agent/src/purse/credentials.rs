//! Credentials: what was bought, counted off call by call.

use std::fmt;

use octroi_l402::{MacaroonView, Offer, PaymentHash, Preimage, challenge::Scheme};
use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, params};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{CREDENTIALS_MAX, Purse, PurseError, seconds};
use crate::Secret;
use crate::challenge::is_token;

/// A credential that was bought.
#[derive(Clone)]
pub struct Bought {
    /// The server it is for.
    pub endpoint: String,
    /// The tool it is for.
    pub tool: String,
    /// What it was bought with, 64 hex digits.
    pub payment_hash: String,
    /// How many calls it is good for, as far as is known: the server has the last word. `None` where the server does not
    /// count.
    pub calls_left: Option<u32>,
    /// The last second it is good for plus one (unix seconds), where the token says so.
    pub expires_at: Option<u64>,
    /// It was given for work, and cost no money: what is left on it when it ends is lost.
    pub worked: bool,
    pub(crate) opens: Opens,
}

/// Which credentials are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// All; those that cost nothing first.
    Any,
    /// Those that were given for work.
    Worked,
}

/// What opens the door: scheme, token and preimage.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Opens {
    pub(crate) scheme: String,
    pub(crate) token: Zeroizing<String>,
    pub(crate) preimage: Zeroizing<String>,
}

impl Opens {
    /// Reads `<macaroon>:<preimage>`; what it was bought with, and what it opens.
    pub(crate) fn read(credential: &str) -> Option<(PaymentHash, Self)> {
        let (token, preimage) = credential.split_once(':').filter(|(token, _)| is_token(token))?;
        let opened: Preimage = preimage.parse().ok()?;
        let opens = Self {
            scheme: Scheme::L402.name().to_owned(),
            token: Zeroizing::new(token.to_owned()),
            preimage: Zeroizing::new(opened.to_hex()),
        };
        Some((opened.payment_hash(), opens))
    }
}

impl Bought {
    /// The value of the header that shows it. Secret.
    #[must_use]
    pub fn authorization(&self) -> Secret {
        let Opens { scheme, token, preimage } = &self.opens;
        Secret::new(format!("{scheme} {}:{}", **token, **preimage))
    }

    /// The value of a `Macaroon` header: the token in hex, with its preimage as a last caveat. It leaves `Authorization` to an
    /// access token at gates that know no other place for a second credential. `None` where the token is no macaroon. Secret.
    #[must_use]
    pub fn macaroon_hex(&self) -> Option<Secret> {
        let offer =
            Offer { scheme: Scheme::L402, token: self.opens.token.to_string(), invoice: String::new() };
        let macaroon = octroi_l402::Macaroon::decode(&offer.macaroon().ok()?).ok()?;
        let caveat = Zeroizing::new(format!("preimage={}", *self.opens.preimage));
        let macaroon = macaroon.add_caveat(caveat.as_bytes()).ok()?;
        Some(Secret::new(hex::encode(macaroon.encode_v2())))
    }

    pub(crate) fn hash(&self) -> PaymentHash {
        // Only written from a hash; a file that was meddled with names none that is ever used.
        self.payment_hash.parse().unwrap_or(PaymentHash::from_bytes([0; 32]))
    }
}

/// Token and preimage together are worth what was paid for them, so both are left out.
impl fmt::Debug for Bought {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Bought")
            .field("endpoint", &self.endpoint)
            .field("tool", &self.tool)
            .field("payment_hash", &self.payment_hash)
            .field("calls_left", &self.calls_left)
            .field("expires_at", &self.expires_at)
            .field("worked", &self.worked)
            .finish_non_exhaustive()
    }
}

/// The earliest `…valid_until=` caveat of a macaroon.
pub(super) fn expiry(token: &str) -> Option<u64> {
    let offer = Offer { scheme: Scheme::L402, token: token.to_owned(), invoice: String::new() };
    let bytes = offer.macaroon().ok()?;
    let view = MacaroonView::decode(&bytes).ok()?;
    let ends = view.caveats().filter_map(|caveat| {
        let (name, value) = std::str::from_utf8(caveat).ok()?.split_once('=')?;
        name.trim().ends_with("valid_until").then(|| value.trim().parse::<u64>().ok()).flatten()
    });
    ends.min()
}

/// A row, its secret still sealed.
struct Sealed {
    bought: Bought,
    sealed: Vec<u8>,
    id: i64,
}

const COLUMNS: &str = "id, payment_hash, endpoint, tool, sealed, calls_left, expires_at, worked";

impl Sealed {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let opens =
            Opens { scheme: String::new(), token: Zeroizing::default(), preimage: Zeroizing::default() };
        let calls_left: Option<i64> = row.get(5)?;
        let expires_at: Option<i64> = row.get(6)?;
        let bought = Bought {
            payment_hash: row.get(1)?,
            endpoint: row.get(2)?,
            tool: row.get(3)?,
            calls_left: calls_left.map(|left| u32::try_from(left).unwrap_or(u32::MAX)),
            expires_at: expires_at.map(|at| u64::try_from(at).unwrap_or(0)),
            worked: row.get(7)?,
            opens,
        };
        Ok(Self { id: row.get(0)?, sealed: row.get(4)?, bought })
    }
}

impl Purse {
    /// The credentials in it, oldest first.
    ///
    /// # Errors
    /// [`PurseError`].
    pub fn credentials(&self) -> Result<Vec<Bought>, PurseError> {
        let quick = self.quick();
        let mut select = quick.prepare_cached(&format!("SELECT {COLUMNS} FROM credentials ORDER BY id"))?;
        let rows: Vec<Sealed> = select.query_map([], Sealed::read)?.collect::<Result<_, _>>()?;
        rows.into_iter().map(|row| self.unseal(row)).collect()
    }

    /// A credential for one call of `tool`, counted off; none of those in `tried`. One bought for this very tool comes first, and
    /// one that has not ended before one that has: the latter may still be renewed. A credential whose server does not count is
    /// tried for everything of its endpoint.
    pub(crate) fn take(
        &self,
        endpoint: &str,
        tool: &str,
        tried: &[PaymentHash],
        kept: Kept,
        now: u64,
    ) -> Result<Option<Bought>, PurseError> {
        let mut quick = self.quick();
        // Most servers are free: they are not worth a write lock.
        let any = "SELECT 1 FROM credentials WHERE endpoint = ?1 LIMIT 1";
        if quick.prepare_cached(any)?.query_row([endpoint], |_| Ok(())).optional()?.is_none() {
            return Ok(None);
        }
        let tx = quick.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let Some(mut row) = best(&tx, endpoint, tool, tried, kept, now)? else { return Ok(None) };
        if row.bought.calls_left.is_some() {
            let off = "UPDATE credentials SET calls_left = calls_left - 1 WHERE id = ?1";
            tx.prepare_cached(off)?.execute([row.id])?;
        }
        tx.commit()?;
        row.bought.calls_left = row.bought.calls_left.map(|left| left.saturating_sub(1));
        drop(quick);
        self.unseal(row).map(Some)
    }

    /// How many calls of `tool` can be made with what is there; `None` where nobody counts them.
    pub(crate) fn calls_left(&self, endpoint: &str, tool: &str, now: u64) -> Result<Option<u64>, PurseError> {
        let sql = "SELECT coalesce(sum(calls_left), 0), count(*) - count(calls_left) FROM credentials \
                   WHERE endpoint = ?1 AND (tool = ?2 OR calls_left IS NULL) \
                   AND (expires_at IS NULL OR expires_at > ?3)";
        let quick = self.quick();
        let (counted, others): (i64, i64) = quick
            .prepare_cached(sql)?
            .query_row(params![endpoint, tool, seconds(now)], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok((others == 0).then(|| u64::try_from(counted).unwrap_or(0)))
    }

    /// The call was not charged: it is there again.
    pub(crate) fn give_back(&self, hash: &PaymentHash) -> Result<(), PurseError> {
        self.edit("UPDATE credentials SET calls_left = calls_left + 1 WHERE payment_hash = ?1", hash)
    }

    /// The server says how many calls are left. Other calls may be on their way that it does not count yet, so only a lower
    /// number is believed; a higher one where there would be none left.
    pub(crate) fn learn(&self, hash: &PaymentHash, calls_left: u32) -> Result<(), PurseError> {
        let quick = self.quick();
        let read = "SELECT calls_left FROM credentials WHERE payment_hash = ?1";
        let known: Option<Option<i64>> =
            quick.prepare_cached(read)?.query_row([hash.to_string()], |row| row.get(0)).optional()?;
        let left = i64::from(calls_left);
        let news = match known {
            None => false,
            Some(None) => true,
            Some(Some(known)) => left < known || (known == 0 && left > 0),
        };
        if news {
            let write = "UPDATE credentials SET calls_left = ?2 WHERE payment_hash = ?1";
            quick.prepare_cached(write)?.execute(params![hash.to_string(), left])?;
        }
        Ok(())
    }

    /// The token was replaced by one with a later end.
    pub(crate) fn renew(&self, hash: &PaymentHash, macaroon: &str) -> Result<Option<Bought>, PurseError> {
        let select = format!("SELECT {COLUMNS} FROM credentials WHERE payment_hash = ?1");
        let found = {
            let quick = self.quick();
            quick.prepare_cached(&select)?.query_row([hash.to_string()], Sealed::read).optional()?
        };
        let Some(found) = found else { return Ok(None) };
        let mut bought = self.unseal(found)?;
        bought.opens.token = Zeroizing::new(macaroon.to_owned());
        bought.expires_at = expiry(macaroon);
        let sealed = self.seal(&bought)?;
        let write = "UPDATE credentials SET sealed = ?2, expires_at = ?3 WHERE payment_hash = ?1";
        let values = params![bought.payment_hash, sealed, bought.expires_at.map(seconds)];
        self.quick().prepare_cached(write)?.execute(values)?;
        Ok(Some(bought))
    }

    /// The server no longer takes it.
    pub(crate) fn drop_credential(&self, hash: &PaymentHash) -> Result<(), PurseError> {
        self.edit("DELETE FROM credentials WHERE payment_hash = ?1", hash)
    }

    /// Forgets what the server at `endpoint` sold, or everything. How many credentials that were.
    ///
    /// # Errors
    /// [`PurseError`].
    pub fn forget_credentials(&self, endpoint: Option<&str>) -> Result<usize, PurseError> {
        let sql = "DELETE FROM credentials WHERE ?1 IS NULL OR endpoint = ?1";
        Ok(self.careful().execute(sql, [endpoint])?)
    }

    /// Keeps a credential for `tool` that somebody gave, such as a voucher; `credential` is `<macaroon>:<preimage>`, `now` in Unix
    /// seconds. Whether it was not there before. How much it is worth its server says when it is used.
    ///
    /// # Errors
    /// [`PurseError::NotACredential`], and whatever keeps it from being written.
    pub fn add(&self, endpoint: &str, tool: &str, credential: &Secret, now: u64) -> Result<bool, PurseError> {
        let (hash, opens) = Opens::read(credential.reveal()).ok_or(PurseError::NotACredential)?;
        let given = Bought {
            endpoint: endpoint.to_owned(),
            tool: tool.to_owned(),
            payment_hash: hash.to_string(),
            calls_left: None,
            expires_at: expiry(&opens.token),
            worked: false,
            opens,
        };
        self.keep(&given, now)
    }

    /// Keeps a credential that no payment of this purse has bought. Whether it is a new one: a server that names an old one gives
    /// nothing.
    pub(crate) fn keep(&self, bought: &Bought, now: u64) -> Result<bool, PurseError> {
        let mut quick = self.quick();
        let tx = quick.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let over = "DELETE FROM credentials WHERE worked AND (expires_at <= ?1 OR calls_left = 0)";
        tx.execute(over, [seconds(now)])?;
        let known = "SELECT 1 FROM credentials WHERE payment_hash = ?1";
        if tx.query_row(known, [&bought.payment_hash], |_| Ok(())).optional()?.is_some() {
            return Ok(false);
        }
        self.put(&tx, bought, now)?;
        tx.commit()?;
        Ok(true)
    }

    /// Puts a credential in, within a transaction of the payment that bought it.
    pub(super) fn put(&self, tx: &Connection, bought: &Bought, now: u64) -> Result<(), PurseError> {
        let insert = "INSERT OR REPLACE INTO credentials \
                      (payment_hash, endpoint, tool, sealed, calls_left, expires_at, bought_at, worked) \
                      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        tx.prepare_cached(insert)?.execute(params![
            bought.payment_hash,
            bought.endpoint,
            bought.tool,
            self.seal(bought)?,
            bought.calls_left,
            bought.expires_at.map(seconds),
            seconds(now),
            bought.worked,
        ])?;
        let bound = "DELETE FROM credentials WHERE id IN (SELECT id FROM credentials ORDER BY \
                     calls_left = 0 DESC, expires_at IS NULL, expires_at, id \
                     LIMIT max(0, (SELECT count(*) FROM credentials) - ?1))";
        tx.prepare_cached(bound)?.execute([CREDENTIALS_MAX])?;
        Ok(())
    }

    fn seal(&self, bought: &Bought) -> Result<Vec<u8>, PurseError> {
        let plain = serde_json::to_vec(&bought.opens).map(Zeroizing::new);
        let plain = plain.map_err(|error| PurseError::Format(error.to_string()))?;
        self.vault.seal(&place(&bought.payment_hash), &plain)
    }

    fn unseal(&self, row: Sealed) -> Result<Bought, PurseError> {
        let plain = self.vault.open_sealed(&place(&row.bought.payment_hash), &row.sealed)?;
        let opens = serde_json::from_slice(&plain).map_err(|_| PurseError::WrongKey)?;
        Ok(Bought { opens, ..row.bought })
    }

    fn edit(&self, sql: &str, hash: &PaymentHash) -> Result<(), PurseError> {
        self.quick().prepare_cached(sql)?.execute([hash.to_string()])?;
        Ok(())
    }
}

fn place(payment_hash: &str) -> String {
    format!("credential {payment_hash}")
}

fn best(
    tx: &Connection,
    endpoint: &str,
    tool: &str,
    tried: &[PaymentHash],
    kept: Kept,
    now: u64,
) -> Result<Option<Sealed>, PurseError> {
    let select = format!(
        "SELECT {COLUMNS} FROM credentials WHERE endpoint = ?1 \
         AND ((tool = ?2 AND calls_left > 0) OR (calls_left IS NULL AND coalesce(expires_at, ?3 + 1) > ?3)) \
         AND CASE WHEN worked THEN expires_at > ?3 ELSE ?4 END \
         ORDER BY worked DESC, tool = ?2 DESC, coalesce(expires_at <= ?3, 0), id"
    );
    let mut select = tx.prepare_cached(&select)?;
    let any = kept == Kept::Any;
    for row in select.query_map(params![endpoint, tool, seconds(now), any], Sealed::read)? {
        let row = row?;
        if !tried.contains(&row.bought.hash()) {
            return Ok(Some(row));
        }
    }
    Ok(None)
}
