//! The ledger beside its engine and its disk: holds a second, how long they are waited for, and what a million accounts change.

mod calls;
mod growth;
mod raw;

use std::path::Path;
use std::time::Duration;

use octroi_l402::{Msat, PaymentHash, TokenId};
use octroi_ledger::{DEFAULT_LEASE, DEFAULT_TIMEOUT, Store, Voucher};
use octroi_testkit::postgres::{Cluster, ClusterOptions};

use crate::failure::{Failure, Measured};
use crate::stats::percentile;

pub(crate) use growth::Growth;

/// How many callers wait for the disk at once.
const CALLERS: [u32; 3] = [1, 64, 512];
/// How many accounts they spend from.
const ACCOUNTS: u32 = 1_000;
/// How many accounts are outstanding, where that is what is looked at.
const OUTSTANDING: [u32; 4] = [1_000, 10_000, 100_000, 1_000_000];
/// More than any run can spend, in millisatoshi.
const FUNDS: i64 = 1_000_000_000_000;

/// One line of the table.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// Of the rate of the line it is to be compared with.
    pub(crate) share: Option<f64>,
}

/// Everything about the ledger.
pub(crate) struct Rows {
    pub(crate) rates: Vec<Row>,
    pub(crate) growth: Vec<Growth>,
}

/// Measures each line for `lasts`, on the disk of `dir`.
pub(crate) fn measure(dir: &Path, lasts: Duration) -> Measured<Rows> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::of("the ledger's callers"))?;
    let mut rates = vec![raw::disk(dir, lasts)?];
    for callers in CALLERS {
        eprintln!("octroi-bench: ledger in SQLite, {callers} callers");
        let ceiling = raw::sqlite(dir, callers, lasts)?;
        let scratch = tempfile::tempdir_in(dir).map_err(Failure::of("a folder"))?;
        let store = Store::sqlite(scratch.path().join("octroi.db"));
        let row = runtime.block_on(calls::measure(store, "SQLite", callers, lasts))?;
        pair(&mut rates, ceiling, row);
    }
    match Cluster::start(ClusterOptions { durable: true, ..ClusterOptions::default() }) {
        Ok(server) => {
            for callers in CALLERS {
                eprintln!("octroi-bench: ledger in PostgreSQL, {callers} callers");
                let ceiling = runtime.block_on(raw::postgres(&server.fresh_url(), callers, lasts))?;
                let store = Store::postgres(&server.fresh_url(), DEFAULT_TIMEOUT, DEFAULT_LEASE)
                    .map_err(Failure::of("the database's address"))?;
                let row = runtime.block_on(calls::measure(store, "PostgreSQL", callers, lasts))?;
                pair(&mut rates, ceiling, row);
            }
        }
        Err(error) => eprintln!("octroi-bench: without PostgreSQL, which does not start: {error}"),
    }
    let mut growth = Vec::new();
    for accounts in OUTSTANDING {
        eprintln!("octroi-bench: ledger with {accounts} credentials outstanding");
        growth.push(runtime.block_on(growth::measure(dir, accounts, lasts))?);
    }
    Ok(Rows { rates, growth })
}

/// A line and the ceiling above it.
fn pair(rates: &mut Vec<Row>, ceiling: Row, row: Row) {
    let share = row.per_second / ceiling.per_second;
    rates.push(ceiling);
    rates.push(Row { share: Some(share), ..row });
}

fn row(name: String, mut waits: Vec<u64>, lasted: Duration) -> Row {
    waits.sort_unstable();
    Row {
        name,
        per_second: waits.len() as f64 / lasted.as_secs_f64(),
        p50_us: percentile(&waits, 0.5) as f64 / 1e3,
        p99_us: percentile(&waits, 0.99) as f64 / 1e3,
        share: None,
    }
}

fn token(number: u32) -> TokenId {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    TokenId::from_bytes(bytes)
}

fn voucher(account: u32) -> Voucher {
    let token_id = token(account);
    Voucher {
        token_id,
        payment_hash: PaymentHash::from_bytes(*token_id.as_bytes()),
        owner: None,
        amount: Msat::new(FUNDS),
        calls: 0,
        note: String::new(),
        created_at: 0,
        expires_at: u64::MAX,
    }
}
