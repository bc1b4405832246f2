//! This gate's life, as the other gates see it, and theirs.

use super::connect::Session;
use super::{NotWritten, Shop};
use crate::engine::codes::{seconds, time};
use crate::entry::Recovery;
use crate::id::unix_ms;
use crate::limit::{CounterKey, Taken};

/// Most gates that may live at once.
const MAX_GATES: i32 = 1_024;
/// Most holds of a dead gate that are voided in one transaction.
const BURIED: i64 = 5_000;

/// One life of this gate.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Life {
    pub(super) gate: i64,
    pub(super) slot: i32,
}

/// Begins a life. Its slot is the lowest that no living gate has.
pub(super) async fn begin(session: &mut Session, lease_ms: i64) -> Result<Life, NotWritten> {
    let sql = "INSERT INTO gates (slot, alive_until)
                   SELECT s, now() + $1::bigint * interval '1 millisecond' FROM generate_series(0, $2::integer - 1) s
                   WHERE s NOT IN (SELECT slot FROM gates WHERE NOT ended) ORDER BY s LIMIT 1
               ON CONFLICT DO NOTHING RETURNING id, slot";
    // Two gates that begin at once want the same slot, and one of them tries again.
    for _ in 0..super::MEETINGS {
        if let Some(row) = session.query(sql, &[&lease_ms, &MAX_GATES]).await?.first() {
            return Ok(Life { gate: row.try_get(0)?, slot: row.try_get(1)? });
        }
    }
    Err(NotWritten::Broken("too many gates live on this ledger".to_owned()))
}

/// Says that this gate lives. Where it was taken for dead meanwhile, it begins another life: its open holds are voided.
pub(super) async fn beat(session: &mut Session, shop: &mut Shop) -> Result<(), NotWritten> {
    let lease = lease_ms(shop);
    let sql = "UPDATE gates SET alive_until = now() + $2::bigint * interval '1 millisecond' WHERE id = $1 AND NOT ended";
    if session.execute(sql, &[&shop.life.gate, &lease]).await? == 0 {
        tracing::warn!("this gate was not heard of for so long that its open holds have been voided");
        shop.house.forget();
        shop.life = begin(session, lease).await?;
    }
    Ok(())
}

pub(super) fn lease_ms(shop: &Shop) -> i64 {
    i64::try_from(shop.place.lease.as_millis()).unwrap_or(i64::MAX)
}

/// Ends this gate's life: what it still holds is voided at once.
pub(super) async fn end(session: &mut Session, shop: &mut Shop) -> Result<(), NotWritten> {
    session.execute("UPDATE gates SET ended = true WHERE id = $1", &[&shop.life.gate]).await?;
    bury(session, shop).await
}

/// Voids what dead gates held, in the payers' favour: whether their replies were delivered cannot be known.
pub(super) async fn bury(session: &mut Session, _shop: &mut Shop) -> Result<(), NotWritten> {
    let recovery = void_dead(session).await?;
    if recovery.voided > 0 {
        tracing::warn!(?recovery, "holds of a gate that is gone were open and are voided");
    }
    Ok(())
}

/// As [`bury`]; says what was voided.
pub(super) async fn void_dead(session: &mut Session) -> Result<Recovery, NotWritten> {
    session.execute("UPDATE gates SET ended = true WHERE NOT ended AND alive_until < now()", &[]).await?;
    session
        .execute(
            "DELETE FROM answers WHERE call IS NULL
                 AND gate IN (SELECT a.gate FROM answers a JOIN gates g ON g.id = a.gate WHERE a.call IS NULL AND g.ended)",
            &[],
        )
        .await?;
    let mut recovery = Recovery::default();
    loop {
        let voided = match session.transaction(void_some).await {
            Err(NotWritten::Met) => continue,
            voided => voided?,
        };
        recovery.voided += voided.voided;
        recovery.msat += voided.msat;
        recovery.calls += voided.calls;
        if voided.voided < BURIED.unsigned_abs() {
            return Ok(recovery);
        }
    }
}

async fn void_some(session: &mut Session) -> Result<Recovery, NotWritten> {
    // Locked in the order every batch of calls locks them.
    let chosen: Vec<Vec<u8>> = session
        .query(
            "SELECT h.id FROM holds h JOIN gates g ON g.id = h.gate WHERE g.ended ORDER BY h.id LIMIT $1",
            &[&BURIED],
        )
        .await?
        .iter()
        .map(|row| row.try_get(0))
        .collect::<Result<_, _>>()?;
    if chosen.is_empty() {
        return Ok(Recovery::default());
    }
    session
        .query(
            "SELECT id FROM accounts WHERE id IN (SELECT account FROM holds WHERE id = ANY($1)) ORDER BY id FOR UPDATE",
            &[&chosen],
        )
        .await?;
    let gone = session
        .query(
            "WITH gone AS (DELETE FROM holds WHERE id = ANY($1) RETURNING id, account, tool, amount, limits),
                  noted AS (INSERT INTO calls (id, account, tool, held, captured, ended_as, ended_ms, earned_by)
                            SELECT id, account, tool, amount, 0, 2, $2::bigint, 0 FROM gone),
                  given AS (UPDATE accounts a SET held = a.held - g.amount
                            FROM (SELECT account, sum(amount)::bigint AS amount FROM gone GROUP BY account) g
                            WHERE a.id = g.account)
             SELECT g.amount, coalesce(a.unit, 0::smallint), g.limits FROM gone g LEFT JOIN accounts a ON a.id = g.account",
            &[&chosen, &time(unix_ms())],
        )
        .await?;
    let mut recovery = Recovery::default();
    let mut back: Vec<(CounterKey, i64)> = Vec::new();
    for row in &gone {
        let (amount, unit): (i64, i16) = (row.try_get(0)?, row.try_get(1)?);
        recovery.voided += 1;
        if unit == 0 {
            recovery.msat += amount;
        } else {
            recovery.calls += amount;
        }
        let limits: Option<Vec<u8>> = row.try_get(2)?;
        back.extend(Taken::decode(&limits.unwrap_or_default()).iter().map(|one| (one.key, -one.take)));
    }
    back.sort_unstable();
    for (key, amount) in back {
        let counts = i16::from(key.counts.code());
        session
            .execute(
                "UPDATE counters SET used = greatest(0, used + $5)
                 WHERE key = $1 AND counts = $2 AND seconds = $3 AND start = $4",
                &[&&key.key[..], &counts, &seconds(&key), &time(key.start), &amount],
            )
            .await?;
    }
    Ok(recovery)
}
