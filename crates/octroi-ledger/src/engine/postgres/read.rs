//! Reading: short questions of the gate, and the operator's longer ones.

use std::fmt;

use octroi_l402::{Msat, PaymentHash, TokenId};
use parking_lot::Mutex;
use tokio::runtime::Runtime;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::NotWritten;
use super::calls::bytes;
use super::connect::{PostgresPlace, Session};
use super::open::{SCHEMA, runtime, schema_of};
use crate::account::AccountRef;
use crate::engine::codes::{seconds, time, time_from, unit_from};
use crate::engine::records::{Ask, Cell, Given, Record};
use crate::engine::{AccountId, AccountState, LoadRequest, Loaded, OWNER_ACCOUNTS, Question, Reply, sql};
use crate::entry::{Quote, QuoteState};
use crate::error::{OpenError, ReadError};

/// What is stored of accounts and counters.
pub(super) async fn load(session: &mut Session, request: &LoadRequest) -> Result<Loaded, NotWritten> {
    const TOKEN: &str =
        "SELECT id, token, owner, unit, balance, held, expires_at FROM accounts WHERE token = $1";
    const OWNER: &str = "SELECT id, token, owner, unit, balance, held, expires_at FROM accounts
        WHERE owner = $1 AND balance > held ORDER BY id LIMIT $2";
    let most = i64::try_from(OWNER_ACCOUNTS).unwrap_or(i64::MAX);
    let rows = match &request.account {
        AccountRef::Token(token) => session.query(TOKEN, &[&&token.as_bytes()[..]]).await?,
        AccountRef::Owner(owner) => session.query(OWNER, &[&&owner[..], &most]).await?,
        AccountRef::Nobody => Vec::new(),
    };
    let accounts = rows.iter().map(account_state).collect::<Result<_, _>>()?;
    let mut counters = Vec::with_capacity(request.counters.len());
    for key in &request.counters {
        let rows = session
            .query(
                "SELECT used FROM counters WHERE key = $1 AND counts = $2 AND seconds = $3 AND start = $4",
                &[&&key.key[..], &i16::from(key.counts.code()), &seconds(key), &time(key.start)],
            )
            .await?;
        counters.push((*key, rows.first().map_or(Ok(0), |row| row.try_get(0))?));
    }
    Ok(Loaded { accounts, counters })
}

fn account_state(row: &Row) -> Result<AccountState, NotWritten> {
    let (owner, unit): (Option<&[u8]>, i16) = (row.try_get(2)?, row.try_get(3)?);
    Ok(AccountState {
        id: AccountId(row.try_get(0)?),
        token: TokenId::from_bytes(bytes(row, 1)?),
        owner: owner.and_then(|owner| owner.try_into().ok()),
        unit: unit_from(unit.into()),
        balance: row.try_get(4)?,
        held: row.try_get(5)?,
        expires_at: time_from(row.try_get(6)?),
    })
}

/// Answers a short question.
pub(super) async fn ask(session: &mut Session, question: &Question) -> Result<Reply, NotWritten> {
    Ok(match question {
        Question::Cursor(node) => {
            let rows = session.query("SELECT cursor FROM cursors WHERE node = $1", &[node]).await?;
            Reply::Cursor(rows.first().map(|row| row.try_get(0)).transpose()?)
        }
        Question::Cursors(kind) => {
            let rows = session.query(sql::CURSORS_OF_A_KIND, &[kind]).await?;
            Reply::Cursors(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
        }
        Question::Quote(hash) => Reply::Quote(quote_state(session, hash).await?),
    })
}

async fn quote_state(session: &mut Session, hash: &PaymentHash) -> Result<QuoteState, NotWritten> {
    let key = &hash.as_bytes()[..];
    let credited = session
        .query(
            "SELECT a.token FROM credits c JOIN accounts a ON a.id = c.account WHERE c.payment_hash = $1",
            &[&key],
        )
        .await?;
    if let Some(row) = credited.first() {
        let token: Option<&[u8]> = row.try_get(0)?;
        return Ok(QuoteState::Paid(token.and_then(|token| token.try_into().ok()).map(TokenId::from_bytes)));
    }
    let quoted = session
        .query(
            "SELECT token, owner, service, tool, calls, price, call_price, created_at, expires_at, token_expires_at
             FROM quotes WHERE payment_hash = $1",
            &[&key],
        )
        .await?;
    let Some(row) = quoted.first() else { return Ok(QuoteState::Unknown) };
    let (owner, calls): (Option<&[u8]>, i64) = (row.try_get(1)?, row.try_get(4)?);
    Ok(QuoteState::Unpaid(Quote {
        payment_hash: *hash,
        token_id: TokenId::from_bytes(bytes(row, 0)?),
        owner: owner.and_then(|owner| owner.try_into().ok()),
        service: row.try_get(2)?,
        tool: row.try_get(3)?,
        calls: u32::try_from(calls).unwrap_or(u32::MAX),
        price: Msat::new(row.try_get(5)?),
        call_price: Msat::new(row.try_get(6)?),
        created_at: time_from(row.try_get(7)?),
        expires_at: time_from(row.try_get(8)?),
        macaroon_expires_at: time_from(row.try_get(9)?),
    }))
}

/// A read-only view of a ledger in PostgreSQL. Its methods block, and must not be called in an async task.
pub(crate) struct PostgresReader {
    /// There until it is dropped.
    runtime: Option<Runtime>,
    session: Mutex<Session>,
}

impl fmt::Debug for PostgresReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresReader").finish_non_exhaustive()
    }
}

impl PostgresReader {
    /// Connects, and reads whatever this program understands.
    pub(crate) fn open(place: &PostgresPlace) -> Result<Self, OpenError> {
        // The runtime of an opening that fails ends on that thread, too.
        let (runtime, session) = apart(|| -> Result<_, OpenError> {
            let runtime = runtime()?;
            let session = runtime.block_on(reading(place))?;
            Ok((runtime, session))
        })?;
        Ok(Self { runtime: Some(runtime), session: Mutex::new(session) })
    }

    /// Asks several questions as of one moment.
    pub(crate) fn answers(&self, asks: &[Ask<'_>]) -> Result<Vec<Vec<Record>>, ReadError> {
        let mut session = self.session.lock();
        let session = &mut *session;
        let Some(runtime) = &self.runtime else { return Err(ReadError::Postgres("it is closed".to_owned())) };
        let asked = session.transaction(async |session| {
            let mut answers = Vec::with_capacity(asks.len());
            for ask in asks {
                let given: Vec<&(dyn ToSql + Sync)> = ask
                    .given
                    .iter()
                    .map(|one| match one {
                        Given::Int(value) => value as &(dyn ToSql + Sync),
                        Given::Bytes(bytes) => bytes,
                    })
                    .collect();
                let rows = session.ask(ask.sql, &given).await?;
                answers.push(rows.iter().map(record).collect::<Result<_, _>>()?);
            }
            Ok(answers)
        });
        apart(|| runtime.block_on(asked))
            .map_err(|error| ReadError::Postgres(crate::engine::EngineError::from(error).0))
    }
}

fn record(row: &Row) -> Result<Record, NotWritten> {
    let columns = row.columns().iter().enumerate();
    let cells = columns.map(|(place, column)| {
        Ok(match *column.type_() {
            Type::INT2 => row.try_get::<_, Option<i16>>(place)?.map(|value| Cell::Int(value.into())),
            Type::INT4 => row.try_get::<_, Option<i32>>(place)?.map(|value| Cell::Int(value.into())),
            Type::INT8 => row.try_get::<_, Option<i64>>(place)?.map(Cell::Int),
            Type::BOOL => row.try_get::<_, Option<bool>>(place)?.map(|value| Cell::Int(value.into())),
            Type::BYTEA => row.try_get::<_, Option<Vec<u8>>>(place)?.map(Cell::Bytes),
            _ => row.try_get::<_, Option<String>>(place)?.map(Cell::Text),
        }
        .unwrap_or(Cell::Null))
    });
    Ok(Record(cells.collect::<Result<_, NotWritten>>()?))
}

/// A connection that only reads, to a ledger this program understands.
async fn reading(place: &PostgresPlace) -> Result<Session, OpenError> {
    let session = super::within(place.timeout, place.connect()).await?;
    match schema_of(&session, place).await? {
        0 => return Err(OpenError::Missing { path: place.to_string().into() }),
        found if found < SCHEMA => return Err(OpenError::Older { found, known: SCHEMA }),
        _ => {}
    }
    // One question may read all of a long ledger.
    session
        .batch(
            "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0;
             SET default_transaction_read_only = on; SET default_transaction_isolation = 'repeatable read'",
        )
        .await?;
    Ok(session)
}

impl Drop for PostgresReader {
    fn drop(&mut self) {
        // Whoever drops it may be in an async task, where waiting for the runtime's end is not allowed.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Does blocking work on a thread of its own: whoever asks may be in an async task, where nothing may block on another.
pub(super) fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| match scope.spawn(work).join() {
        Ok(done) => done,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}
