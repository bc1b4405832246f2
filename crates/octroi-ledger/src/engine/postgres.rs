//! The shared engine: PostgreSQL 15 or later. Several gates write, and the database decides what each account bears.
//!
//! A batch of calls is one transaction of two round trips: the first locks and reads what the batch touches, the second
//! writes what was decided. Then it is decided, for every gate, and the callers go on; a third makes it durable meanwhile, and
//! replies wait for that. Everything is undone where the transaction does not commit, and where nobody can say whether it
//! did, the writer voids what it may not keep.

mod aside;
mod board;
mod calls;
mod changes;
mod connect;
mod credit;
mod house;
mod life;
mod open;
mod page;
mod prune;
mod read;

use std::future::Future;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio_postgres::error::SqlState;

use super::{Command, Effect, Engine, EngineError, LoadRequest, Loaded, Outcome, Question, Reply};
use crate::error::LedgerError;
use connect::Session;
use house::House;
use life::Life;

pub(crate) use board::PostgresBoard;
pub(crate) use connect::PostgresPlace;
pub(crate) use open::{migrate, open};
pub(crate) use read::PostgresReader;

/// How often a transaction that met another gate's is tried again before it counts as failed.
const MEETINGS: u32 = 8;

/// A transaction that writes next to nothing and is flushed at its commit, and with it everything that was committed before.
const FLUSH: &str = "SELECT pg_logical_emit_message(true, 'octroi', '')";

/// A ledger in PostgreSQL.
pub(crate) struct PostgresEngine {
    runtime: Runtime,
    shop: Shop,
    session: Option<Session>,
}

/// What stays when a connection is lost.
struct Shop {
    place: PostgresPlace,
    house: House,
    life: Life,
    upkept: Instant,
    /// Up to which account counters that never start over were looked at.
    swept: i64,
}

/// Why something was not written.
enum NotWritten {
    /// The database's own rules refuse what a command says.
    Refused,
    /// Another gate was met; tried again it will work.
    Met,
    /// The connection or the server is broken.
    Broken(String),
}

impl From<tokio_postgres::Error> for NotWritten {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.code() {
            Some(&SqlState::T_R_DEADLOCK_DETECTED | &SqlState::T_R_SERIALIZATION_FAILURE) => Self::Met,
            // Constraints, and numbers out of range.
            Some(code) if code.code().starts_with("23") || code.code().starts_with("22") => Self::Refused,
            _ => Self::Broken(explain(&error)),
        }
    }
}

impl From<NotWritten> for EngineError {
    fn from(error: NotWritten) -> Self {
        Self(match error {
            NotWritten::Refused => "the database refuses what it is told".to_owned(),
            NotWritten::Met => "too many gates write to the same accounts".to_owned(),
            NotWritten::Broken(why) => why,
        })
    }
}

/// The server's own words; the driver's alone say little.
fn explain(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(said) => format!("{} ({})", said.message(), said.code().code()),
        None => {
            let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
            format!("{error}{}", cause.unwrap_or_default())
        }
    }
}

impl PostgresEngine {
    /// Runs `work` on a living connection, within the time the config grants. A connection that failed is given up.
    fn run<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut Session, &mut Shop) -> Result<T, NotWritten>,
    ) -> Result<T, EngineError> {
        let Self { runtime, shop, session } = self;
        let patience = shop.place.timeout;
        runtime.block_on(async {
            let worked = within(patience, async {
                if session.as_ref().is_none_or(Session::is_closed) {
                    *session = Some(open::reconnect(shop).await?);
                }
                let Some(session) = session.as_mut() else { return Err(NotWritten::Broken(String::new())) };
                work(session, shop).await
            })
            .await;
            if matches!(worked, Err(NotWritten::Broken(_))) {
                *session = None;
                shop.house.forget();
            }
            Ok(worked?)
        })
    }
}

async fn within<T>(
    patience: Duration,
    work: impl Future<Output = Result<T, NotWritten>>,
) -> Result<T, NotWritten> {
    match tokio::time::timeout(patience, work).await {
        Ok(worked) => worked,
        Err(_) => {
            Err(NotWritten::Broken(format!("the database did not answer within {} ms", patience.as_millis())))
        }
    }
}

/// Writes a batch: calls together, then quotes together, then everything else on its own. Nobody asks for anything that
/// depends on another command before that is answered, except that what is said of a call comes after its end.
async fn write(
    session: &mut Session,
    shop: &mut Shop,
    batch: &[Command<'_>],
) -> Result<Vec<Outcome>, NotWritten> {
    let mut outcomes: Vec<Option<Outcome>> = vec![None; batch.len()];
    calls::write(session, shop, batch, &mut outcomes).await?;
    credit::quotes(session, batch, &mut outcomes).await?;
    for (command, outcome) in batch.iter().zip(&mut outcomes) {
        if let (Command::Entry { id, at_ms, entry }, None) = (command, &outcome) {
            *outcome = Some(again(async || credit::entry(session, shop, (*id, *at_ms), entry).await).await?);
        }
    }
    Ok(outcomes.into_iter().map(|outcome| outcome.unwrap_or(Ok(Effect::Written))).collect())
}

/// Tries until no other gate is met; what the database's rules refuse is refused alone.
async fn again(mut work: impl AsyncFnMut() -> Result<Outcome, NotWritten>) -> Result<Outcome, NotWritten> {
    for _ in 0..MEETINGS {
        match work().await {
            Err(NotWritten::Met) => {}
            Err(NotWritten::Refused) => return Ok(Err(LedgerError::Refused)),
            other => return other,
        }
    }
    Err(NotWritten::Met)
}

impl Engine for PostgresEngine {
    fn commit(&mut self, batch: &[Command<'_>]) -> Result<Vec<Outcome>, EngineError> {
        self.run(async |session, shop| write(session, shop, batch).await)
    }

    /// On the very connection that wrote: a server that has lost what was not flushed has lost this connection too.
    fn flush(&mut self) -> Result<(), EngineError> {
        let Self { runtime, shop, session } = self;
        let Some(living) = session.as_mut().filter(|session| !session.is_closed()) else {
            return Err(NotWritten::Broken(
                "the connection was lost before the batch was durable".to_owned(),
            )
            .into());
        };
        let flushed = runtime.block_on(within(shop.place.timeout, living.query(FLUSH, &[])));
        if flushed.is_err() {
            *session = None;
            shop.house.forget();
        }
        Ok(flushed.map(|_| ())?)
    }

    fn load(&mut self, request: &LoadRequest) -> Result<Loaded, EngineError> {
        self.run(async |session, _| read::load(session, request).await)
    }

    fn ask(&mut self, question: &Question) -> Result<Reply, EngineError> {
        self.run(async |session, _| read::ask(session, question).await)
    }

    fn probe(&mut self) -> Result<(), EngineError> {
        self.run(async |session, shop| life::beat(session, shop).await)
    }

    fn upkeep(&mut self, last: bool) -> bool {
        if !last && self.shop.upkept.elapsed() < self.shop.place.lease / 4 {
            return true;
        }
        self.shop.upkept = Instant::now();
        let kept = self.run(async |session, shop| {
            if last {
                return life::end(session, shop).await;
            }
            life::beat(session, shop).await?;
            life::bury(session, shop).await
        });
        if let Err(error) = kept {
            tracing::warn!(%error, "the ledger's database was not told that this gate lives");
        }
        true
    }
}
