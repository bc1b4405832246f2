//! What a batch of calls writes, as arrays: the second round trip.

use futures_util::future::{join, try_join, try_join_all};

use super::connect::Session;
use super::page::{Page, earning};
use super::{NotWritten, Shop};
use crate::Unit;
use crate::engine::codes::{end_code, seconds, time};
use crate::engine::{EndRow, HoldRow};
use crate::limit::{CounterKey, Taken};

const HOLD: &str = "INSERT INTO holds (id, gate, account, tool, amount, limits)
    SELECT id, $6, account, tool, amount, limits
    FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[]) AS h (id, account, tool, amount, limits)";
const CALL: &str = "INSERT INTO calls (id, account, tool, held, captured, ended_as, ended_ms, earned_by)
    SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::smallint[], $7::bigint[], $8::bigint[])";
const CHANGE: &str = "UPDATE accounts a SET balance = a.balance + c.balance, held = a.held + c.held
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS c (id, balance, held) WHERE a.id = c.id";
const COUNTED: &str = "UPDATE counters c SET used = greatest(0, c.used + k.used), account = k.account
    FROM unnest($1::bytea[], $2::smallint[], $3::integer[], $4::bigint[], $5::bigint[], $6::bigint[])
        AS k (key, counts, seconds, start, used, account)
    WHERE (c.key, c.counts, c.seconds, c.start) = (k.key, k.counts, k.seconds, k.start)";
const ANSWER: &str = "INSERT INTO answers (key, request, gate, call, status, media, body, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    ON CONFLICT (key) DO UPDATE SET request = excluded.request, call = excluded.call, status = excluded.status,
        media = excluded.media, body = excluded.body, expires_at = excluded.expires_at";
const BILL: &str = "INSERT INTO outbox (id, customer, tool, amount, at_ms) VALUES ($1, $2, $3, $4, $5)";
/// Statements that every batch sends.
pub(super) const STATEMENTS: [&str; 4] = [HOLD, CALL, CHANGE, COUNTED];
/// Statements for calls that may be tried again, and for bills.
pub(super) const ASIDE: [&str; 2] = [ANSWER, BILL];

/// What a batch writes, as arrays.
#[derive(Default)]
pub(super) struct Changes<'a> {
    holds: HoldArrays,
    calls: CallArrays,
    answers: Vec<(EndRow<'a>, Vec<u8>)>,
    bills: Vec<(&'a str, i64, EndRow<'a>, Vec<u8>)>,
}

#[derive(Default)]
struct HoldArrays {
    ids: Vec<Vec<u8>>,
    accounts: Vec<i64>,
    tools: Vec<i64>,
    amounts: Vec<i64>,
    limits: Vec<Option<Vec<u8>>>,
}

#[derive(Default)]
struct CallArrays {
    ids: Vec<Vec<u8>>,
    accounts: Vec<i64>,
    tools: Vec<i64>,
    held: Vec<i64>,
    captured: Vec<i64>,
    ends: Vec<i16>,
    at_ms: Vec<i64>,
    earned_by: Vec<i64>,
}

fn unprepared() -> NotWritten {
    NotWritten::Broken("an account of the ledger's own is not known".to_owned())
}

impl<'a> Changes<'a> {
    pub(super) fn hold(&mut self, shop: &Shop, row: &HoldRow, account: i64) -> Result<(), NotWritten> {
        self.holds.ids.push(row.id.to_bytes().to_vec());
        self.holds.accounts.push(account);
        self.holds.tools.push(shop.house.known_tool(&row.tool).ok_or_else(unprepared)?);
        self.holds.amounts.push(row.amount);
        self.holds.limits.push(Taken::encode(&row.taken));
        Ok(())
    }

    pub(super) fn end(
        &mut self,
        shop: &Shop,
        page: &mut Page,
        end: &EndRow<'a>,
        account: i64,
    ) -> Result<(), NotWritten> {
        let id = end.hold.id.to_bytes().to_vec();
        let tool = shop.house.known_tool(&end.hold.tool).ok_or_else(unprepared)?;
        let earned_by = match earning(end) {
            Some(kind) => shop.house.known_account(kind, tool).ok_or_else(unprepared)?,
            None => 0,
        };
        page.change(earned_by, end.captured, 0);
        self.calls.ids.push(id.clone());
        self.calls.accounts.push(account);
        self.calls.tools.push(tool);
        self.calls.held.push(end.hold.amount);
        self.calls.captured.push(end.captured);
        self.calls.ends.push(end_code(end.end) as i16);
        self.calls.at_ms.push(time(end.at_ms));
        self.calls.earned_by.push(earned_by);
        if end.answer.is_some() {
            self.answers.push((*end, id.clone()));
        }
        if let (Some(customer), Unit::Msat, 1..) = (&end.hold.bill, end.hold.unit, end.captured) {
            self.bills.push((customer, tool, *end, id));
        }
        Ok(())
    }

    /// The second round trip: writes everything and commits.
    pub(super) async fn write(&self, session: &Session, shop: &Shop, page: &Page) -> Result<(), NotWritten> {
        let held_now = &self.holds;
        let calls = &self.calls;
        let changed: Vec<i64> = page.changes.keys().copied().collect();
        let (balances, held): (Vec<i64>, Vec<i64>) = page.changes.values().copied().unzip();
        let counted = CounterArrays::of(page.counted.iter().map(|(key, amount)| (*key, *amount)));
        let nothing = async || Ok(Vec::new());
        let holds = async {
            if held_now.ids.is_empty() {
                return nothing().await;
            }
            session
                .rows(
                    HOLD,
                    &[
                        &held_now.ids,
                        &held_now.accounts,
                        &held_now.tools,
                        &held_now.amounts,
                        &held_now.limits,
                        &shop.life.gate,
                    ],
                )
                .await
        };
        let ends = async {
            if calls.ids.is_empty() {
                return nothing().await;
            }
            let (a, b) = (&calls.ids, &calls.accounts);
            session
                .rows(
                    CALL,
                    &[
                        a,
                        b,
                        &calls.tools,
                        &calls.held,
                        &calls.captured,
                        &calls.ends,
                        &calls.at_ms,
                        &calls.earned_by,
                    ],
                )
                .await
        };
        let changes = async {
            if changed.is_empty() {
                return nothing().await;
            }
            session.rows(CHANGE, &[&changed, &balances, &held]).await
        };
        let counts = async {
            if counted.keys.is_empty() {
                return nothing().await;
            }
            let keys = (&counted.keys, &counted.counts, &counted.seconds, &counted.starts);
            session
                .rows(COUNTED, &[keys.0, keys.1, keys.2, keys.3, &counted.amounts, &counted.accounts])
                .await
        };
        // Sent together, in this order; the server takes them one after the other, and does not commit after one failed.
        let written = join(
            try_join(try_join(holds, ends), try_join(changes, counts)),
            join(self.aside(session, shop), session.batch("COMMIT")),
        );
        let (first, (aside, committed)) = written.await;
        first?;
        aside?;
        committed?;
        Ok(())
    }

    async fn aside(&self, session: &Session, shop: &Shop) -> Result<(), NotWritten> {
        let answers = try_join_all(self.answers.iter().map(|(end, id)| async move {
            let Some(row) = &end.answer else { return Ok(()) };
            let expires_at = time((end.at_ms / 1_000).saturating_add(row.seconds));
            let (status, media) = (i32::from(row.answer.status), row.answer.media.as_str());
            let keys = (&row.key[..], &row.request[..]);
            session
                .rows(
                    ANSWER,
                    &[&keys.0, &keys.1, &shop.life.gate, id, &status, &media, &row.answer.body, &expires_at],
                )
                .await
                .map(|_| ())
        }));
        let bills = try_join_all(self.bills.iter().map(|(customer, tool, end, id)| async move {
            let at_ms = time(end.at_ms);
            session.rows(BILL, &[id, customer, tool, &end.captured, &at_ms]).await.map(|_| ())
        }));
        let (answers, bills) = join(answers, bills).await;
        answers?;
        bills?;
        Ok(())
    }
}

/// Counters, as arrays.
#[derive(Default)]
pub(super) struct CounterArrays {
    pub(super) keys: Vec<Vec<u8>>,
    pub(super) counts: Vec<i16>,
    pub(super) seconds: Vec<i32>,
    pub(super) starts: Vec<i64>,
    amounts: Vec<i64>,
    accounts: Vec<i64>,
}

impl CounterArrays {
    pub(super) fn of(counters: impl Iterator<Item = (CounterKey, (i64, i64))>) -> Self {
        let mut arrays = Self::default();
        for (key, (amount, account)) in counters {
            arrays.keys.push(key.key.to_vec());
            arrays.counts.push(key.counts.code().into());
            arrays.seconds.push(seconds(&key));
            arrays.starts.push(time(key.start));
            arrays.amounts.push(amount);
            arrays.accounts.push(account);
        }
        arrays
    }
}
