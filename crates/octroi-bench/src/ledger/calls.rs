//! Calls through the ledger: hold, wait until it is on disk, capture.

use std::time::{Duration, Instant};

use octroi_ledger::{AccountRef, HoldRequest, Ledger, LedgerConfig, Store, Unit};

use super::{ACCOUNTS, Row, row, token, voucher};
use crate::failure::{Failure, Measured};

/// So many vouchers are minted at once.
const MINTED_AT_ONCE: u32 = 256;

/// Opens a ledger with so many accounts.
pub(super) async fn open(store: Store, accounts: u32) -> Measured<Ledger> {
    let ledger = Ledger::open(LedgerConfig::at(store)).map_err(Failure::of("the ledger"))?;
    let minting: Vec<_> = (0..MINTED_AT_ONCE)
        .map(|first| {
            let ledger = ledger.clone();
            tokio::spawn(async move {
                for account in (first..accounts).step_by(MINTED_AT_ONCE as usize) {
                    ledger.mint_voucher(voucher(account)).await.map_err(Failure::of("a voucher"))?;
                }
                Ok(())
            })
        })
        .collect();
    for minted in minting {
        minted.await.map_err(Failure::of("a voucher"))??;
    }
    Ok(ledger)
}

/// Measures so many callers on a fresh ledger.
pub(super) async fn measure(store: Store, engine: &str, callers: u32, lasts: Duration) -> Measured<Row> {
    let ledger = open(store, ACCOUNTS).await?;
    let (waits, lasted) = spend(&ledger, ACCOUNTS, callers, lasts).await?;
    ledger.close().await;
    Ok(row(format!("{engine}: hold and capture, {callers} at once"), waits, lasted))
}

/// Calls of so many callers at once; the wait for each hold, in nanoseconds, and how long they called.
pub(super) async fn spend(
    ledger: &Ledger,
    accounts: u32,
    callers: u32,
    lasts: Duration,
) -> Measured<(Vec<u64>, Duration)> {
    let start = Instant::now();
    // The callers' steps have nothing in common with the number of accounts, so that all accounts are used.
    let tasks: Vec<_> = (0..callers)
        .map(|caller| tokio::spawn(calls(ledger.clone(), caller * 7_919, accounts, start + lasts)))
        .collect();
    let mut waits = Vec::new();
    for task in tasks {
        waits.append(&mut task.await.map_err(Failure::of("a caller"))??);
    }
    Ok((waits, start.elapsed()))
}

/// One caller: call after call, each on another account.
async fn calls(ledger: Ledger, first: u32, accounts: u32, until: Instant) -> Measured<Vec<u64>> {
    let (mut waits, mut account) = (Vec::new(), first);
    while Instant::now() < until {
        account = account.wrapping_add(104_729) % accounts;
        let account = AccountRef::Token(token(account));
        let request = HoldRequest::new(account, Unit::Msat, 1_000, "bench", "picture_paid");
        let start = Instant::now();
        let hold = ledger.hold(&request).await.map_err(Failure::of("a hold"))?;
        hold.durable().await.map_err(Failure::of("a hold"))?;
        waits.push(start.elapsed().as_nanos() as u64);
        hold.capture(1_000);
    }
    Ok(waits)
}
