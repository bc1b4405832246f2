//! What cannot matter any more is forgotten, and what is kept stays within its bounds.

use super::connect::Session;
use super::{NotWritten, Shop};
use crate::engine::codes::time;
use crate::engine::{Effect, Kept, Outcome, PRUNE_ROWS, sql};
use crate::entry::Pruned;
use crate::{OUTBOX_SECONDS, QUOTE_MARGIN_SECONDS};

/// Forgets what cannot matter any more.
pub(super) async fn prune(
    session: &mut Session,
    shop: &mut Shop,
    now: u64,
    kept: Kept,
) -> Result<Outcome, NotWritten> {
    let mut forgotten = [0; 5];
    let all: [(&'static str, u64); 5] = [
        (
            "DELETE FROM quotes WHERE payment_hash IN
                 (SELECT payment_hash FROM quotes WHERE paid = 0 AND expires_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)",
            now.saturating_sub(QUOTE_MARGIN_SECONDS),
        ),
        (
            "DELETE FROM works WHERE challenge_id IN
                 (SELECT challenge_id FROM works WHERE expires_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)",
            now,
        ),
        (
            "DELETE FROM answers WHERE key IN
                 (SELECT key FROM answers WHERE expires_at < $1 AND call IS NOT NULL LIMIT $2 FOR UPDATE SKIP LOCKED)",
            now,
        ),
        (
            "DELETE FROM counters WHERE (key, counts, seconds, start) IN
                 (SELECT key, counts, seconds, start FROM counters WHERE start + seconds < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)",
            now,
        ),
        (
            "DELETE FROM outbox WHERE id IN
                 (SELECT id FROM outbox WHERE state = 1 AND told_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)",
            now.saturating_sub(OUTBOX_SECONDS),
        ),
    ];
    for ((sql, before), count) in all.into_iter().zip(&mut forgotten) {
        *count = session.execute(sql, &[&time(before), &PRUNE_ROWS]).await?;
    }
    let [quotes, works, mut answers, mut counters, outbox] = forgotten;
    counters += forget_lasting(session, shop, now).await?;
    answers += bound_answers(session, kept).await?;
    Ok(Ok(Effect::Pruned(Pruned { quotes, works, answers, counters, outbox })))
}

/// Counters that never start over, of accounts on which nothing can be held any more: some at a time, one account after
/// the other.
async fn forget_lasting(session: &mut Session, shop: &mut Shop, now: u64) -> Result<u64, NotWritten> {
    let from = shop.swept;
    let rows = session.query(sql::LASTING_UP_TO, &[&from, &PRUNE_ROWS]).await?;
    let to: Option<i64> = rows.first().map_or(Ok(None), |row| row.try_get(0))?;
    let Some(to) = to else {
        shop.swept = 0;
        return Ok(0);
    };
    let before = time(now.saturating_sub(QUOTE_MARGIN_SECONDS));
    let gone = session.execute(sql::FORGET_LASTING, &[&from, &to, &before, &time(now), &PRUNE_ROWS]).await?;
    // Where there may be more of them, the same accounts come again.
    if gone < PRUNE_ROWS.unsigned_abs() {
        shop.swept = to;
    }
    Ok(gone)
}

/// Of kept answers beyond the bounds, the oldest go: of too many bytes the bodies, of too many answers all.
async fn bound_answers(session: &mut Session, kept: Kept) -> Result<u64, NotWritten> {
    let rows = session.query(sql::ANSWERS_KEPT, &[]).await?;
    let Some(row) = rows.first() else { return Ok(0) };
    let (answers, bytes): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    if bytes > kept.bytes {
        session.execute(sql::DROP_BODIES, &[&kept.bytes, &PRUNE_ROWS]).await?;
    }
    let more = answers.saturating_sub(kept.answers).min(PRUNE_ROWS);
    if more <= 0 { Ok(0) } else { session.execute(sql::DROP_ANSWERS, &[&more]).await }
}
