//! Notes that gates leave for each other: on a connection of its own, so that calls never wait behind them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use super::connect::{Params, PostgresPlace, Session};
use super::{NotWritten, within};
use crate::board::{BoardError, MAX_STRIKES, Standing, Strike};
use crate::engine::EngineError;
use crate::engine::codes::{time, time_from};

const PIN: &str = "INSERT INTO notes (key, sealed, until) VALUES ($1, $2, $3)
    ON CONFLICT (key) DO UPDATE SET sealed = excluded.sealed, until = excluded.until";
const FIND: &str = "SELECT sealed FROM notes WHERE key = $1 AND until > $2";
/// Told in the order of the digests, so that two gates that tell of the same callers do not wait for each other in a circle.
const TELL: &str = "INSERT INTO failing AS f (who, calm_at, waits_until, changed)
    SELECT who, least($4 + longer, $5), waits_until, (extract(epoch FROM now()) * 1000)::bigint FROM unnest($1::bytea[], $2::bigint[], $3::bigint[]) AS s (who, longer, waits_until)
    ORDER BY who
    ON CONFLICT (who) DO UPDATE SET calm_at = least(greatest(f.calm_at, $4) + (excluded.calm_at - $4), $5),
        waits_until = greatest(f.waits_until, excluded.waits_until), changed = excluded.changed
    RETURNING who, calm_at, waits_until";
const HEAR: &str = "SELECT who, calm_at, waits_until FROM failing
    WHERE changed > (extract(epoch FROM now()) * 1000)::bigint - $1 ORDER BY changed DESC LIMIT $2";
const SWEEP_NOTES: &str = "DELETE FROM notes WHERE until <= $1";
const SWEEP_FAILING: &str = "DELETE FROM failing WHERE calm_at < $1 AND waits_until < $1";
const STATEMENTS: [&str; 6] = [PIN, FIND, TELL, HEAR, SWEEP_NOTES, SWEEP_FAILING];

/// A board in the ledger's database. Connects when it is first used, and again after a connection is lost.
pub(crate) struct PostgresBoard {
    place: PostgresPlace,
    session: Mutex<Option<Arc<Session>>>,
}

impl From<NotWritten> for BoardError {
    fn from(error: NotWritten) -> Self {
        Self(EngineError::from(error).0)
    }
}

impl PostgresBoard {
    pub(crate) fn new(place: PostgresPlace) -> Self {
        Self { place, session: Mutex::new(None) }
    }

    /// A connection with every statement prepared; questions on it do not wait for each other.
    async fn session(&self) -> Result<Arc<Session>, NotWritten> {
        let mut kept = self.session.lock().await;
        if let Some(session) = kept.as_ref().filter(|session| !session.is_closed()) {
            return Ok(Arc::clone(session));
        }
        let mut session = self.place.connect().await?;
        session.prepare(&STATEMENTS).await?;
        let session = Arc::new(session);
        *kept = Some(Arc::clone(&session));
        Ok(session)
    }

    async fn rows(
        &self,
        sql: &'static str,
        params: Params<'_>,
    ) -> Result<Vec<tokio_postgres::Row>, NotWritten> {
        let asked = within(self.place.timeout, async { self.session().await?.rows(sql, params).await }).await;
        if matches!(asked, Err(NotWritten::Broken(_))) {
            *self.session.lock().await = None;
        }
        asked
    }

    pub(crate) async fn pin(&self, key: &[u8; 32], sealed: &[u8], until: u64) -> Result<(), BoardError> {
        self.rows(PIN, &[&&key[..], &sealed, &time(until)]).await?;
        Ok(())
    }

    pub(crate) async fn find(&self, key: &[u8; 32], now: u64) -> Result<Option<Vec<u8>>, BoardError> {
        let rows = self.rows(FIND, &[&&key[..], &time(now)]).await?;
        let found = rows.first().map(|row| row.try_get(0)).transpose();
        Ok(found.map_err(NotWritten::from)?)
    }

    pub(crate) async fn share(
        &self,
        strikes: &[Strike],
        lately: Duration,
        now: u64,
        longest: u64,
    ) -> Result<Vec<Standing>, BoardError> {
        let strikes = &strikes[..strikes.len().min(MAX_STRIKES)];
        let who: Vec<&[u8]> = strikes.iter().map(|strike| &strike.who[..]).collect();
        let longer: Vec<i64> = strikes.iter().map(|strike| strike.longer).collect();
        let waits: Vec<i64> = strikes.iter().map(|strike| time(strike.waits_until)).collect();
        let mut known = Vec::new();
        if !strikes.is_empty() {
            let latest = time(now.saturating_add(longest));
            let told = self.rows(TELL, &[&who, &longer, &waits, &time(now), &latest]).await?;
            known.extend(told.iter().map(standing).collect::<Result<Vec<_>, _>>()?);
        }
        let most = i64::try_from(MAX_STRIKES).unwrap_or(i64::MAX);
        let lately = i64::try_from(lately.as_millis()).unwrap_or(i64::MAX);
        let heard = self.rows(HEAR, &[&lately, &most]).await?;
        known.extend(heard.iter().map(standing).collect::<Result<Vec<_>, _>>()?);
        Ok(known)
    }

    pub(crate) async fn sweep(&self, now: u64) -> Result<(), BoardError> {
        self.rows(SWEEP_NOTES, &[&time(now / 1_000)]).await?;
        self.rows(SWEEP_FAILING, &[&time(now)]).await?;
        Ok(())
    }
}

fn standing(row: &tokio_postgres::Row) -> Result<Standing, NotWritten> {
    let who: &[u8] = row.try_get(0)?;
    Ok(Standing {
        who: who.try_into().map_err(|_| NotWritten::Broken("a digest of another length".to_owned()))?,
        calm_at: time_from(row.try_get(1)?),
        waits_until: time_from(row.try_get(2)?),
    })
}
