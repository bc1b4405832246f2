//! What is written beside the money: claims, revocations, the outbox, and what is forgotten.

use octroi_l402::PaymentHash;

use super::connect::Session;
use super::{NotWritten, Shop};
use crate::claim::Answer;
use crate::engine::codes::{time, time_from, words};
use crate::engine::{ClaimState, Effect, Outcome};
use crate::entry::{OutboxRow, Told, ToldRow};
use crate::id::{CallId, EntryId};
use crate::revocation::Revocation;

/// How long a claim whose call has not ended is remembered, in seconds: longer than any call takes.
const RUNNING_SECONDS: u64 = 24 * 3600;

/// Whether what paid for call `$1` is revoked: a row.
const ANSWER_REVOKED: &str = "SELECT r.kind FROM calls c JOIN accounts a ON a.id = c.account
    JOIN revocations r ON (r.kind = 0 AND r.subject = a.token) OR (r.kind = 1 AND r.subject = a.owner)
                       OR (r.kind = 2 AND r.subject = substr(a.token, 1, 4))
    WHERE c.id = $1 LIMIT 1";

/// Claims a call for this gate, or says what is known of it.
pub(super) async fn claim(
    session: &mut Session,
    shop: &Shop,
    key: &[u8; 32],
    request: &[u8; 32],
    at_ms: u64,
) -> Result<Outcome, NotWritten> {
    let (key, request) = (&key[..], &request[..]);
    let now = at_ms / 1_000;
    let claimed = session
        .execute(
            "INSERT INTO answers AS a (key, request, gate, expires_at) VALUES ($1, $2, $3, $4)
             ON CONFLICT (key) DO UPDATE SET request = excluded.request, gate = excluded.gate, call = NULL, status = 0,
                 media = '', body = NULL, expires_at = excluded.expires_at
             WHERE a.call IS NOT NULL AND a.expires_at <= $5",
            &[&key, &request, &shop.life.gate, &time(now.saturating_add(RUNNING_SECONDS)), &time(now)],
        )
        .await?;
    if claimed == 1 {
        return Ok(Ok(Effect::Claimed(ClaimState::Free)));
    }
    let rows = session
        .query(
            "SELECT request = $2, call IS NULL, status, media, body, call FROM answers WHERE key = $1",
            &[&key, &request],
        )
        .await?;
    // It was given up between the two questions.
    let Some(row) = rows.first() else { return Err(NotWritten::Met) };
    let (same, running): (bool, bool) = (row.try_get(0)?, row.try_get(1)?);
    Ok(Ok(Effect::Claimed(if !same {
        ClaimState::Conflict
    } else if running {
        ClaimState::Running
    } else {
        let (status, call): (i32, &[u8]) = (row.try_get(2)?, row.try_get(5)?);
        let status = u16::try_from(status).unwrap_or_default();
        let answer = Answer { status, media: row.try_get(3)?, body: row.try_get(4)? };
        match session.query(ANSWER_REVOKED, &[&call]).await?.is_empty() {
            true => ClaimState::Done(answer),
            false => ClaimState::Revoked,
        }
    })))
}

/// Gives a claim of this gate up.
pub(super) async fn unclaim(
    session: &mut Session,
    shop: &Shop,
    key: &[u8; 32],
) -> Result<Outcome, NotWritten> {
    session
        .execute(
            "DELETE FROM answers WHERE key = $1 AND gate = $2 AND call IS NULL",
            &[&&key[..], &shop.life.gate],
        )
        .await?;
    Ok(Ok(Effect::Written))
}

/// Revokes or restores. What it touches is marked in the same transaction, so that every gate's next batch sees it.
pub(super) async fn revoke(
    session: &mut Session,
    what: Revocation,
    revoked: bool,
    reason: &str,
    at_ms: u64,
) -> Result<Outcome, NotWritten> {
    let (kind, subject) = what.code();
    let kind = i16::try_from(kind).unwrap_or_default();
    session
        .transaction(async |session| {
            if revoked {
                session
                    .execute(
                        "INSERT INTO revocations (kind, subject, at, reason) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
                        &[&kind, &subject, &time(at_ms / 1_000), &words(reason)],
                    )
                    .await?;
            } else {
                session
                    .execute("DELETE FROM revocations WHERE kind = $1 AND subject = $2", &[&kind, &subject])
                    .await?;
            }
            // Locked in the order every batch of calls locks them.
            let marked = "UPDATE accounts a SET revoked = EXISTS (SELECT 1 FROM revocations r
                    WHERE (r.kind = 0 AND r.subject = a.token) OR (r.kind = 1 AND r.subject = a.owner))
                WHERE id IN (SELECT id FROM accounts WHERE ($1::smallint = 0 AND token = $2) OR ($1::smallint = 1 AND owner = $2)
                             ORDER BY id FOR UPDATE)";
            session.execute(marked, &[&kind, &subject]).await?;
            Ok(Ok(Effect::Written))
        })
        .await
}

pub(super) async fn accept(
    session: &mut Session,
    hash: &PaymentHash,
    at_ms: u64,
) -> Result<Outcome, NotWritten> {
    session
        .execute(
            "INSERT INTO accepted (payment_hash, at) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            &[&&hash.as_bytes()[..], &time(at_ms / 1_000)],
        )
        .await?;
    Ok(Ok(Effect::Written))
}

pub(super) async fn outbox_take(
    session: &mut Session,
    now: u64,
    until: u64,
    most: u32,
) -> Result<Outcome, NotWritten> {
    let rows = session
        .query(
            // Until its teller has said what became of it, it may have been told.
            "UPDATE outbox o SET next_at = $2, tries = tries + 1,
                 doubtful_since = CASE o.doubtful_since WHEN 0 THEN $1 ELSE o.doubtful_since END
             FROM tools t WHERE t.id = o.tool AND o.id IN
                 (SELECT id FROM outbox WHERE state = 0 AND next_at <= $1 ORDER BY next_at, id LIMIT $3
                  FOR UPDATE SKIP LOCKED)
             RETURNING o.id, o.customer, t.service, t.tool, o.amount, o.at_ms, o.tries, o.doubtful_since",
            &[&time(now), &time(until), &i64::from(most)],
        )
        .await?;
    let mut taken = Vec::with_capacity(rows.len());
    for row in &rows {
        let tries: i32 = row.try_get(6)?;
        taken.push(OutboxRow {
            id: CallId::of(EntryId::from_bytes(super::calls::bytes(row, 0)?)),
            customer: row.try_get(1)?,
            service: row.try_get(2)?,
            tool: row.try_get(3)?,
            msat: row.try_get(4)?,
            at_ms: time_from(row.try_get(5)?),
            tries: tries.unsigned_abs(),
            // What this very try has put into doubt is not meant.
            doubtful_since: Some(time_from(row.try_get(7)?)).filter(|since| *since < now),
        });
    }
    taken.sort_unstable_by_key(|row| row.id);
    Ok(Ok(Effect::Outbox(taken)))
}

pub(super) async fn outbox_told(
    session: &mut Session,
    id: &[u8; 16],
    told: &Told,
    at_ms: u64,
) -> Result<Outcome, NotWritten> {
    let ToldRow { from, state, next_at, why, doubtful } = told.row();
    session
        .execute(
            "UPDATE outbox SET state = $2, next_at = $3, why = $4, told_at = $5,
                 doubtful_since = CASE WHEN $6 THEN doubtful_since ELSE 0 END
             WHERE id = $1 AND state = $7",
            &[&&id[..], &state, &time(next_at), &why, &time(at_ms / 1_000), &doubtful, &from],
        )
        .await?;
    Ok(Ok(Effect::Written))
}
