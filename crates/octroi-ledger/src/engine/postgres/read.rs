//! Reading: short questions of the gate, and the operator's longer ones.

use std::fmt;

use octroi_l402::{Msat, PaymentHash, TokenId};
use parking_lot::Mutex;
use tokio::runtime::Runtime;
use tokio_postgres::Row;

use super::NotWritten;
use super::calls::bytes;
use super::connect::{Params, PostgresPlace, Session};
use super::open::{SCHEMA, runtime, schema_of};
use crate::account::AccountRef;
use crate::engine::codes::{end_from, seconds, time, time_from, unit_from};
use crate::engine::{
    AccountId, AccountState, LoadRequest, Loaded, OWNER_ACCOUNTS, Question, Reply, checks, sql,
};
use crate::entry::{Quote, QuoteState};
use crate::error::{OpenError, ReadError};
use crate::report::{AccountRow, CallRow, JournalRow, Report, Revenue, Verification, Violation};
use crate::revocation::{Revocation, RevocationRow};
use crate::{MAX_ROWS, MAX_VIOLATIONS};

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
    fn at_one_moment<T: Send>(
        &self,
        work: impl AsyncFnOnce(&mut Session) -> Result<T, NotWritten> + Send,
    ) -> Result<T, ReadError> {
        let mut session = self.session.lock();
        let session = &mut *session;
        let Some(runtime) = &self.runtime else { return Err(ReadError::Postgres("it is closed".to_owned())) };
        apart(|| runtime.block_on(session.transaction(work)))
            .map_err(|error| ReadError::Postgres(crate::engine::EngineError::from(error).0))
    }

    fn rows<T: Send>(
        &self,
        sql: &str,
        params: Params<'_>,
        read: impl Fn(&Row) -> Result<T, NotWritten> + Send,
    ) -> Result<Vec<T>, ReadError> {
        self.at_one_moment(async |session| session.ask(sql, params).await?.iter().map(read).collect())
    }

    /// The ledger at a glance.
    pub(crate) fn report(&self) -> Result<Report, ReadError> {
        self.at_one_moment(async |session| {
            let totals = session.ask(sql::TOTALS, &[]).await?;
            let Some(row) = totals.first() else { return Ok(Report::default()) };
            let number = |column: usize| row.try_get::<_, i64>(column);
            let count = |column: usize| number(column).map(time_from);
            let mut revenue = Vec::new();
            for row in session.ask(sql::REVENUE, &[]).await? {
                revenue.push(Revenue {
                    service: row.try_get(0)?,
                    tool: row.try_get(1)?,
                    msat: row.try_get(2)?,
                    work_calls: row.try_get(3)?,
                    captured: time_from(row.try_get(4)?),
                    voided: time_from(row.try_get(5)?),
                });
            }
            Ok(Report {
                accounts: count(0)?,
                credit_msat: number(1)?,
                credit_calls: number(2)?,
                received_msat: -number(3)?,
                vouchers_msat: -number(4)?,
                suspense_msat: number(5)?,
                revenue,
                captured: count(6)?,
                voided: count(7)?,
                open_holds: count(8)?,
                unpaid_quotes: count(9)?,
                outbox_waiting: count(10)?,
                outbox_refused: count(11)?,
            })
        })
    }

    /// Checks every promise, as of one moment.
    pub(crate) fn verify(&self) -> Result<Verification, ReadError> {
        self.at_one_moment(async |session| {
            let counts = session.ask(sql::CHECKED, &[]).await?;
            let mut found = Verification::default();
            if let Some(row) = counts.first() {
                found.transactions = time_from(row.try_get(0)?);
                found.calls = time_from(row.try_get(1)?);
                found.accounts = time_from(row.try_get(2)?);
            }
            for check in &checks::CHECKS {
                for row in session.ask(&format!("{} LIMIT {MAX_VIOLATIONS}", check.breaches), &[]).await? {
                    found.violations.push(Violation { promise: check.promise, detail: row.try_get(0)? });
                }
            }
            Ok(found)
        })
    }

    /// The last calls that have ended, newest first.
    pub(crate) fn calls(&self, limit: u32) -> Result<Vec<CallRow>, ReadError> {
        self.rows(sql::CALLS, &[&i64::from(limit.min(MAX_ROWS))], |row| {
            let token: Option<&[u8]> = row.try_get(1)?;
            let (unit, end): (i16, i16) = (row.try_get(4)?, row.try_get(7)?);
            Ok(CallRow {
                id: hex::encode(row.try_get::<_, &[u8]>(0)?),
                token: token.map(hex::encode),
                service: row.try_get(2)?,
                tool: row.try_get(3)?,
                unit: unit_from(unit.into()),
                held: row.try_get(5)?,
                captured: row.try_get(6)?,
                end: end_from(end.into()),
                ended_ms: row.try_get(8)?,
            })
        })
    }

    /// The last accounts that were opened, newest first.
    pub(crate) fn accounts(&self, limit: u32) -> Result<Vec<AccountRow>, ReadError> {
        self.rows(sql::ACCOUNTS, &[&i64::from(limit.min(MAX_ROWS))], account_row)
    }

    /// The account of one credential.
    pub(crate) fn account(&self, token: &TokenId) -> Result<Option<AccountRow>, ReadError> {
        Ok(self.rows(sql::ACCOUNT, &[&&token.as_bytes()[..]], account_row)?.pop())
    }

    /// What is revoked, newest first.
    pub(crate) fn revocations(&self) -> Result<Vec<RevocationRow>, ReadError> {
        let rows = self.rows(sql::REVOCATIONS, &[&i64::from(MAX_ROWS)], |row| {
            let (kind, subject): (i16, &[u8]) = (row.try_get(0)?, row.try_get(1)?);
            let (at, reason) = (time_from(row.try_get(2)?), row.try_get(3)?);
            Ok(Revocation::from_code(kind.into(), subject).map(|what| what.row(at, reason)))
        })?;
        Ok(rows.into_iter().flatten().collect())
    }

    /// What moved, oldest first, after an id.
    pub(crate) fn journal(&self, after: &[u8; 16], limit: u32) -> Result<Vec<JournalRow>, ReadError> {
        self.rows(sql::JOURNAL, &[&&after[..], &i64::from(limit.min(MAX_ROWS))], |row| {
            let text = |column: usize| row.try_get::<_, String>(column);
            let unit: i16 = row.try_get(5)?;
            Ok(JournalRow {
                id: hex::encode(row.try_get::<_, &[u8]>(0)?),
                kind: text(1)?,
                at_ms: row.try_get(2)?,
                from: text(3)?,
                to: text(4)?,
                unit: unit_from(unit.into()),
                amount: row.try_get(6)?,
            })
        })
    }
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

fn account_row(row: &Row) -> Result<AccountRow, NotWritten> {
    let (owner, unit): (Option<&[u8]>, i16) = (row.try_get(1)?, row.try_get(2)?);
    Ok(AccountRow {
        token: hex::encode(row.try_get::<_, &[u8]>(0)?),
        owner: owner.map(hex::encode),
        unit: unit_from(unit.into()),
        balance: row.try_get(3)?,
        held: row.try_get(4)?,
        created_at: time_from(row.try_get(5)?),
        expires_at: time_from(row.try_get(6)?),
    })
}
