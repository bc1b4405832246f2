//! What is written beside the money: answers, revocations, the outbox.

use octroi_l402::PaymentHash;
use rusqlite::{OptionalExtension, Row, params};

use super::super::codes::{time, time_from, words};
use super::super::{AnswerRow, ClaimState, Effect, Outcome};
use super::NotApplied;
use super::apply::Batch;
use crate::claim::Answer;
use crate::entry::{OutboxRow, Told, ToldRow};
use crate::id::{CallId, EntryId};
use crate::revocation::Revocation;

/// Whether what paid for call `?1` is revoked: a row. Asked of the table, because the view of accounts adds up what is unsettled.
const ANSWER_REVOKED: &str = "SELECT r.kind FROM calls c JOIN holders a ON a.id = c.account
    JOIN revocations r ON (r.kind = 0 AND r.subject = a.token) OR (r.kind = 1 AND r.subject = a.owner)
                       OR (r.kind = 2 AND r.subject = substr(a.token, 1, 4))
    WHERE c.id = ?1 LIMIT 1";

impl Batch<'_> {
    /// Looks for the answer to an earlier try.
    pub(super) fn claim(
        &self,
        key: &[u8; 32],
        request: &[u8; 32],
        at_ms: u64,
    ) -> Result<Outcome, NotApplied> {
        let found: Option<([u8; 32], Answer, [u8; 16])> = self
            .connection
            .prepare_cached(
                "SELECT request, status, media, body, call FROM answers WHERE key = ?1 AND expires_at > ?2",
            )?
            .query_row(params![key, time(at_ms / 1_000)], |row| {
                let answer = Answer { status: row.get(1)?, media: row.get(2)?, body: row.get(3)? };
                Ok((row.get(0)?, answer, row.get(4)?))
            })
            .optional()?;
        Ok(Ok(Effect::Claimed(match found {
            None => ClaimState::Free,
            Some((asked, answer, call)) if asked == *request => {
                match self.connection.prepare_cached(ANSWER_REVOKED)?.exists([call])? {
                    true => ClaimState::Revoked,
                    false => ClaimState::Done(answer),
                }
            }
            Some(_) => ClaimState::Conflict,
        })))
    }

    pub(super) fn keep_answer(
        &self,
        call: EntryId,
        row: &AnswerRow<'_>,
        at_ms: u64,
    ) -> Result<(), NotApplied> {
        let Answer { status, media, body } = row.answer;
        let expires_at = time((at_ms / 1_000).saturating_add(row.seconds));
        self.connection
            .prepare_cached(
                "INSERT OR REPLACE INTO answers (key, request, call, status, media, body, expires_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![row.key, row.request, call.to_bytes(), status, media, body, expires_at])?;
        Ok(())
    }

    pub(super) fn revoke(
        &self,
        what: Revocation,
        revoked: bool,
        reason: &str,
        at_ms: u64,
    ) -> Result<Outcome, NotApplied> {
        let (kind, subject) = what.code();
        if revoked {
            self.connection
                .prepare_cached(
                    "INSERT INTO revocations (kind, subject, at, reason) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
                )?
                .execute(params![kind, subject, time(at_ms / 1_000), words(reason)])?;
        } else {
            self.connection
                .prepare_cached("DELETE FROM revocations WHERE kind = ?1 AND subject = ?2")?
                .execute(params![kind, subject])?;
        }
        Ok(Ok(Effect::Written))
    }

    pub(super) fn accept(&self, hash: &PaymentHash, at_ms: u64) -> Result<Outcome, NotApplied> {
        self.connection
            .prepare_cached("INSERT INTO accepted (payment_hash, at) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
            .execute(params![hash.as_bytes(), time(at_ms / 1_000)])?;
        Ok(Ok(Effect::Written))
    }

    pub(super) fn outbox_take(&self, now: u64, until: u64, most: u32) -> Result<Outcome, NotApplied> {
        let mut taken: Vec<OutboxRow> = self
            .connection
            .prepare_cached(
                // Until its teller has said what became of it, it may have been told.
                "UPDATE outbox SET next_at = ?2, tries = tries + 1,
                     doubtful_since = CASE doubtful_since WHEN 0 THEN ?1 ELSE doubtful_since END
                 WHERE id IN (SELECT id FROM outbox WHERE state = 0 AND next_at <= ?1 ORDER BY next_at, id LIMIT ?3)
                 RETURNING id, customer, (SELECT service FROM tools WHERE tools.id = outbox.tool),
                           (SELECT tools.tool FROM tools WHERE tools.id = outbox.tool), amount, at_ms, tries, doubtful_since",
            )?
            .query_map(params![time(now), time(until), most], |row| outbox_row(row, now))?
            .collect::<Result<_, _>>()?;
        taken.sort_unstable_by_key(|row| row.id);
        Ok(Ok(Effect::Outbox(taken)))
    }

    pub(super) fn outbox_told(&self, id: &[u8; 16], told: &Told, at_ms: u64) -> Result<Outcome, NotApplied> {
        let ToldRow { from, state, next_at, why, doubtful } = told.row();
        self.connection
            .prepare_cached(
                "UPDATE outbox SET state = ?2, next_at = ?3, why = ?4, told_at = ?5,
                     doubtful_since = CASE WHEN ?6 THEN doubtful_since ELSE 0 END
                 WHERE id = ?1 AND state = ?7",
            )?
            .execute(params![id, state, time(next_at), why, time(at_ms / 1_000), doubtful, from])?;
        Ok(Ok(Effect::Written))
    }
}

fn outbox_row(row: &Row<'_>, now: u64) -> rusqlite::Result<OutboxRow> {
    Ok(OutboxRow {
        id: CallId::of(EntryId::from_bytes(row.get(0)?)),
        customer: row.get(1)?,
        service: row.get(2)?,
        tool: row.get(3)?,
        msat: row.get(4)?,
        at_ms: time_from(row.get(5)?),
        tries: row.get(6)?,
        // What this very try has put into doubt is not meant.
        doubtful_since: Some(time_from(row.get(7)?)).filter(|since| *since < now),
    })
}
