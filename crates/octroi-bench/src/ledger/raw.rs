//! What nothing durable can do without: the disk alone, and each engine alone, charging in one transaction as many as
//! there are callers.
//!
//! A charge here is a debit where the account bears it and one row with an id that grows, and nothing else: no hold that ends, no
//! limits, no other gates, nobody who waits. It is the ceiling, not a ledger.

use std::io::{Seek, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};
use tokio_postgres::NoTls;

use super::{ACCOUNTS, FUNDS, Row, row};
use crate::failure::{Failure, Measured};

/// What the disk alone is given at a time, in bytes: a page of the ledger.
const PAGE: usize = 4_096;
/// The ledger's own bound on a batch.
const BATCH: u32 = 256;
/// The log is folded into the file as often as the ledger does it.
const FOLD: Duration = Duration::from_millis(250);

/// Overwrite a page and flush it.
pub(super) fn disk(dir: &Path, lasts: Duration) -> Measured<Row> {
    let failed = "the disk";
    let mut file = tempfile::tempfile_in(dir).map_err(Failure::of(failed))?;
    let page = [0x5a_u8; PAGE];
    let mut write = || {
        file.rewind()?;
        file.write_all(&page)?;
        file.sync_data()
    };
    // The first one makes the file longer, which costs more.
    write().map_err(Failure::of(failed))?;
    let (start, mut waits) = (Instant::now(), Vec::new());
    while start.elapsed() < lasts {
        let flush = Instant::now();
        write().map_err(Failure::of(failed))?;
        waits.push(flush.elapsed().as_nanos() as u64);
    }
    Ok(row("disk alone: 4 KiB overwritten and flushed".to_owned(), waits, start.elapsed()))
}

fn name(engine: &str, callers: u32) -> String {
    format!("{engine} alone: {} charges a commit", callers.min(BATCH))
}

/// SQLite with the ledger's own settings.
pub(super) fn sqlite(dir: &Path, callers: u32, lasts: Duration) -> Measured<Row> {
    let scratch = tempfile::tempdir_in(dir).map_err(Failure::of("a folder"))?;
    charge_sqlite(&scratch.path().join("raw.db"), callers.min(BATCH), lasts)
        .map(|(waits, lasted)| row(name("SQLite", callers), waits, lasted))
        .map_err(Failure::of("SQLite"))
}

fn charge_sqlite(path: &Path, batch: u32, lasts: Duration) -> rusqlite::Result<(Vec<u64>, Duration)> {
    let connection = Connection::open(path)?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -65536;
         CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL CHECK (balance >= 0)) STRICT;
         CREATE TABLE charges (id BLOB PRIMARY KEY, account INTEGER NOT NULL, amount INTEGER NOT NULL) STRICT, WITHOUT ROWID;",
    )?;
    for account in 0..ACCOUNTS {
        connection.execute("INSERT INTO accounts VALUES (?1, ?2)", params![account, FUNDS])?;
    }
    let mut debit = connection.prepare("UPDATE accounts SET balance = balance - ?2 WHERE id = ?1")?;
    let mut charge = connection.prepare("INSERT INTO charges VALUES (?1, ?2, ?3)")?;
    let (start, mut waits, mut id, mut folded) = (Instant::now(), Vec::new(), 0_u128, Instant::now());
    while start.elapsed() < lasts {
        let begun = Instant::now();
        connection.execute_batch("BEGIN IMMEDIATE")?;
        for _ in 0..batch {
            id += 1;
            let account = u32::try_from(id % u128::from(ACCOUNTS)).unwrap_or_default();
            debit.execute(params![account, 1_000])?;
            charge.execute(params![id.to_be_bytes(), account, 1_000])?;
        }
        connection.execute_batch("COMMIT")?;
        let wait = begun.elapsed().as_nanos() as u64;
        waits.extend((0..batch).map(|_| wait));
        if folded.elapsed() > FOLD {
            connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
            folded = Instant::now();
        }
    }
    Ok((waits, start.elapsed()))
}

/// PostgreSQL, over one connection.
pub(super) async fn postgres(url: &str, callers: u32, lasts: Duration) -> Measured<Row> {
    let plain = url.split('?').next().unwrap_or(url);
    let (client, connection) =
        tokio_postgres::connect(plain, NoTls).await.map_err(Failure::of("PostgreSQL"))?;
    let driven = tokio::spawn(connection);
    let charged = charge_postgres(&client, callers.min(BATCH), lasts).await;
    drop(client);
    let _ = driven.await;
    charged
        .map(|(waits, lasted)| row(name("PostgreSQL", callers), waits, lasted))
        .map_err(Failure::of("PostgreSQL"))
}

async fn charge_postgres(
    client: &tokio_postgres::Client,
    batch: u32,
    lasts: Duration,
) -> Result<(Vec<u64>, Duration), tokio_postgres::Error> {
    client
        .batch_execute(&format!(
            "DROP TABLE IF EXISTS raw_accounts, raw_charges;
             CREATE TABLE raw_accounts (id bigint PRIMARY KEY, balance bigint NOT NULL CHECK (balance >= 0)) WITH (fillfactor = 70);
             CREATE TABLE raw_charges (id bigint PRIMARY KEY, account bigint NOT NULL, amount bigint NOT NULL);
             INSERT INTO raw_accounts SELECT n, {FUNDS} FROM generate_series(0, {ACCOUNTS} - 1) n"
        ))
        .await?;
    let charge = client
        .prepare(
            "WITH new AS (INSERT INTO raw_charges SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) RETURNING account, amount),
                  sums AS (SELECT account, sum(amount)::bigint AS amount FROM new GROUP BY account)
             UPDATE raw_accounts a SET balance = a.balance - s.amount FROM sums s WHERE a.id = s.account",
        )
        .await?;
    let (start, mut waits, mut next) = (Instant::now(), Vec::new(), 0_i64);
    while start.elapsed() < lasts {
        let begun = Instant::now();
        let ids: Vec<i64> = (next..next + i64::from(batch)).collect();
        next += i64::from(batch);
        let accounts: Vec<i64> = ids.iter().map(|id| id % i64::from(ACCOUNTS)).collect();
        client.execute(&charge, &[&ids, &accounts, &vec![1_000_i64; ids.len()]]).await?;
        let wait = begun.elapsed().as_nanos() as u64;
        waits.extend((0..batch).map(|_| wait));
    }
    Ok((waits, start.elapsed()))
}
