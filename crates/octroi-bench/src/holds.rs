//! Calls through the ledger: hold, wait until it is on disk, capture. Beside them the disk alone.

use std::io::{Seek, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use octroi_l402::{Msat, PaymentHash, TokenId};
use octroi_ledger::{AccountRef, HoldRequest, Ledger, LedgerConfig, Unit, Voucher};

use crate::failure::{Failure, Measured};
use crate::stats::percentile;

/// How many callers wait for the disk at once.
const CALLERS: [u32; 3] = [1, 64, 512];
/// How many accounts they spend from.
const ACCOUNTS: u32 = 1000;
/// More than any run can spend, in millisatoshi.
const FUNDS: i64 = 1_000_000_000_000;
/// What the disk alone is given at a time, in bytes: a page of the ledger.
const PAGE: usize = 4096;

/// One line of the table.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

/// Measures each number of callers for `lasts`, on the disk of `dir`.
pub(crate) fn measure(dir: &Path, lasts: Duration) -> Measured<Vec<Row>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::of("the ledger's callers"))?;
    let mut rows = vec![disk(dir, lasts)?];
    for callers in CALLERS {
        eprintln!("octroi-bench: ledger, {callers} callers");
        rows.push(runtime.block_on(holds(dir, callers, lasts))?);
    }
    Ok(rows)
}

fn row(name: String, mut waits: Vec<u64>, lasted: Duration) -> Row {
    waits.sort_unstable();
    Row {
        name,
        per_second: waits.len() as f64 / lasted.as_secs_f64(),
        p50_us: percentile(&waits, 0.5) as f64 / 1e3,
        p99_us: percentile(&waits, 0.99) as f64 / 1e3,
    }
}

/// Overwrite a page and flush it: what nothing durable can do without, once for each batch.
fn disk(dir: &Path, lasts: Duration) -> Measured<Row> {
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

async fn holds(dir: &Path, callers: u32, lasts: Duration) -> Measured<Row> {
    let scratch = tempfile::tempdir_in(dir).map_err(Failure::of("a folder"))?;
    let ledger = Ledger::open(LedgerConfig::new(scratch.path().join("octroi.db")))
        .map_err(Failure::of("the ledger"))?;
    for account in 0..ACCOUNTS {
        ledger.mint_voucher(voucher(account)).await.map_err(Failure::of("a voucher"))?;
    }
    let start = Instant::now();
    let tasks: Vec<_> =
        (0..callers).map(|caller| tokio::spawn(calls(ledger.clone(), caller * 37, start + lasts))).collect();
    let mut waits = Vec::new();
    for task in tasks {
        waits.append(&mut task.await.map_err(Failure::of("a caller"))??);
    }
    let lasted = start.elapsed();
    ledger.close().await;
    Ok(row(format!("ledger: hold and capture, {callers} at once"), waits, lasted))
}

/// One caller: call after call, each on the next account. Gives the wait for each hold, in nanoseconds.
async fn calls(ledger: Ledger, first: u32, until: Instant) -> Measured<Vec<u64>> {
    let (mut waits, mut account) = (Vec::new(), first);
    while Instant::now() < until {
        account = (account + 1) % ACCOUNTS;
        let account = AccountRef::Token(token(account));
        let request = HoldRequest::new(account, Unit::Msat, 1000, "bench", "picture_paid");
        let start = Instant::now();
        let hold = ledger.hold(&request).await.map_err(Failure::of("a hold"))?;
        hold.durable().await.map_err(Failure::of("a hold"))?;
        waits.push(start.elapsed().as_nanos() as u64);
        hold.capture(1000);
    }
    Ok(waits)
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
