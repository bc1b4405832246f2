//! What cannot matter any more is forgotten, and what is kept stays within its bounds.

use rusqlite::params;

use super::super::codes::time;
use super::super::{Effect, Kept, Outcome, PRUNE_ROWS, sql};
use super::NotApplied;
use super::apply::Batch;
use crate::entry::Pruned;
use crate::{OUTBOX_SECONDS, QUOTE_MARGIN_SECONDS};

impl Batch<'_> {
    pub(super) fn prune(&mut self, now: u64, kept: Kept) -> Result<Outcome, NotApplied> {
        let forget = |sql: &str, before: u64| -> rusqlite::Result<u64> {
            Ok(self.connection.prepare_cached(sql)?.execute(params![time(before), PRUNE_ROWS])? as u64)
        };
        let mut pruned = Pruned {
            quotes: forget(
                "DELETE FROM quotes WHERE payment_hash IN
                     (SELECT payment_hash FROM quotes WHERE paid = 0 AND expires_at < ?1 LIMIT ?2)",
                now.saturating_sub(QUOTE_MARGIN_SECONDS),
            )?,
            works: forget(
                "DELETE FROM works WHERE challenge_id IN
                     (SELECT challenge_id FROM works WHERE expires_at < ?1 LIMIT ?2)",
                now,
            )?,
            answers: forget(
                "DELETE FROM answers WHERE key IN (SELECT key FROM answers WHERE expires_at < ?1 LIMIT ?2)",
                now,
            )?,
            counters: forget(
                "DELETE FROM counters WHERE (key, counts, seconds, start) IN
                     (SELECT key, counts, seconds, start FROM counters WHERE start + seconds < ?1 LIMIT ?2)",
                now,
            )?,
            outbox: forget(
                "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE state = 1 AND told_at < ?1 LIMIT ?2)",
                now.saturating_sub(OUTBOX_SECONDS),
            )?,
        };
        pruned.counters += self.forget_lasting(now)?;
        pruned.answers += self.bound_answers(kept)?;
        Ok(Ok(Effect::Pruned(pruned)))
    }

    /// Counters that never start over, of accounts on which nothing can be held any more: some at a time, one account after
    /// the other.
    fn forget_lasting(&mut self, now: u64) -> rusqlite::Result<u64> {
        let from = self.house.swept;
        let to: Option<i64> = self
            .connection
            .prepare_cached(sql::LASTING_UP_TO)?
            .query_row(params![from, PRUNE_ROWS], |row| row.get(0))?;
        let Some(to) = to else {
            self.house.swept = 0;
            return Ok(0);
        };
        let before = time(now.saturating_sub(QUOTE_MARGIN_SECONDS));
        let gone = self.connection.prepare_cached(sql::FORGET_LASTING)?.execute(params![
            from,
            to,
            before,
            time(now),
            PRUNE_ROWS
        ])? as u64;
        // Where there may be more of them, the same accounts come again.
        if gone < PRUNE_ROWS.unsigned_abs() {
            self.house.swept = to;
        }
        Ok(gone)
    }

    /// Of kept answers beyond the bounds, the oldest go: of too many bytes the bodies, of too many answers all.
    fn bound_answers(&self, kept: Kept) -> rusqlite::Result<u64> {
        let (answers, bytes): (i64, i64) = self
            .connection
            .prepare_cached(sql::ANSWERS_KEPT)?
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        if bytes > kept.bytes {
            self.connection.prepare_cached(sql::DROP_BODIES)?.execute(params![kept.bytes, PRUNE_ROWS])?;
        }
        let more = answers.saturating_sub(kept.answers).min(PRUNE_ROWS);
        if more <= 0 {
            return Ok(0);
        }
        Ok(self.connection.prepare_cached(sql::DROP_ANSWERS)?.execute([more])? as u64)
    }
}
