//! Opens the ledger: brings the schema forward, begins a life, voids what dead gates held.

use std::time::Instant;

use tokio::runtime::{Builder, Runtime};

use super::connect::{PostgresPlace, Session};
use super::house::House;
use super::life::{self, Life};
use super::read::apart;
use super::{NotWritten, PostgresEngine, Shop, within};
use crate::entry::Recovery;
use crate::error::OpenError;

/// Each brings a ledger one schema forward; the first makes it.
const MIGRATIONS: [&str; 5] = [
    include_str!("schema/0001.sql"),
    include_str!("schema/0002.sql"),
    include_str!("schema/0003.sql"),
    include_str!("schema/0004.sql"),
    include_str!("schema/0005.sql"),
];
pub(super) const SCHEMA: i64 = MIGRATIONS.len() as i64;
/// `octroi` in eight bytes: what keeps two gates from bringing the schema forward at once.
const MIGRATING: i64 = 0x6f63_7472_6f69;

/// An engine ready to write.
pub(crate) struct Opened {
    pub(crate) engine: PostgresEngine,
    pub(crate) recovery: Recovery,
}

impl From<NotWritten> for OpenError {
    fn from(error: NotWritten) -> Self {
        Self::Postgres(crate::engine::EngineError::from(error).0)
    }
}

pub(super) fn runtime() -> Result<Runtime, OpenError> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

/// Opens the ledger for writing, beside other gates. Blocks.
pub(crate) fn open(place: PostgresPlace) -> Result<Opened, OpenError> {
    let runtime = runtime()?;
    let (session, life, recovery) = runtime.block_on(async {
        let mut session = within(place.timeout, place.connect()).await?;
        bring_forward(&mut session, &place).await?;
        let begun = within(place.timeout, async {
            let lease = i64::try_from(place.lease.as_millis()).unwrap_or(i64::MAX);
            let recovery = life::void_dead(&mut session).await?;
            Ok((life::begin(&mut session, lease).await?, recovery))
        });
        let (life, recovery) = begun.await?;
        Ok::<_, OpenError>((session, life, recovery))
    })?;
    let shop = Shop { place, house: House::default(), life, upkept: Instant::now(), swept: 0 };
    Ok(Opened { engine: PostgresEngine { runtime, shop, session: Some(session) }, recovery })
}

/// Brings the schema forward, and says which it was and is. Blocks.
pub(crate) fn migrate(place: &PostgresPlace) -> Result<(i64, i64), OpenError> {
    apart(|| {
        runtime()?.block_on(async {
            let mut session = within(place.timeout, place.connect()).await?;
            let found = bring_forward(&mut session, place).await?;
            Ok((found, SCHEMA))
        })
    })
}

/// A new connection after one was lost, for a gate that has lived before.
pub(super) async fn reconnect(shop: &mut Shop) -> Result<Session, NotWritten> {
    let mut session = shop.place.connect().await?;
    if shop.life.gate != Life::default().gate {
        life::beat(&mut session, shop).await?;
    }
    Ok(session)
}

/// The schema of the ledger; 0 where there is none.
pub(super) async fn schema_of(session: &Session, place: &PostgresPlace) -> Result<i64, OpenError> {
    let foreign = || OpenError::Foreign { path: place.to_string().into() };
    let tables = session
        .ask("SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1", &[&place.schema])
        .await?;
    if tables.is_empty() {
        return Ok(0);
    }
    let named =
        |row: &tokio_postgres::Row| row.try_get::<_, String>(0).is_ok_and(|name| name == "octroi_ledger");
    if !tables.iter().any(named) {
        return Err(foreign());
    }
    let rows = session.ask("SELECT schema FROM octroi_ledger", &[]).await?;
    let found: i64 = rows.first().ok_or_else(foreign)?.try_get(0).map_err(NotWritten::from)?;
    if found > SCHEMA { Err(OpenError::Newer { found, known: SCHEMA }) } else { Ok(found) }
}

/// Brings the schema forward in one transaction; gives what it was.
async fn bring_forward(session: &mut Session, place: &PostgresPlace) -> Result<i64, OpenError> {
    if schema_of(session, place).await? == SCHEMA {
        return Ok(SCHEMA);
    }
    session.batch(&format!("BEGIN; SELECT pg_advisory_xact_lock({MIGRATING})")).await?;
    // Another gate may have done it while the lock was waited for.
    let found = schema_of(session, place).await?;
    let done = usize::try_from(found).unwrap_or(0);
    if done == 0 {
        let schema = &place.schema;
        session
            .batch(&format!(
                "CREATE SCHEMA IF NOT EXISTS \"{schema}\";
                 CREATE TABLE octroi_ledger (one boolean PRIMARY KEY DEFAULT true CHECK (one), schema bigint NOT NULL);
                 INSERT INTO octroi_ledger (schema) VALUES (0)"
            ))
            .await?;
    }
    for migration in MIGRATIONS.iter().skip(done) {
        session.batch(migration).await?;
    }
    session.batch(&format!("UPDATE octroi_ledger SET schema = {SCHEMA}; COMMIT")).await?;
    Ok(found)
}
