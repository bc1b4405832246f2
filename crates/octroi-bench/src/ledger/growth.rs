//! Credentials outstanding: what they take of memory, and whether holds are slower for them.

use std::path::Path;
use std::time::Duration;

use octroi_ledger::Store;

use super::{Row, calls, row};
use crate::failure::{Failure, Measured};

/// How many callers spend from them.
const CALLERS: u32 = 64;
/// Bytes of a page of memory.
const PAGE: f64 = 4_096.0;

/// One line of the table.
pub(crate) struct Growth {
    pub(crate) accounts: u32,
    /// Memory of this process, in mebibytes.
    pub(crate) memory_mib: f64,
    /// The ledger's file, in mebibytes.
    pub(crate) file_mib: f64,
    pub(crate) row: Row,
}

/// Opens that many accounts, forgets them, and spends from all of them.
pub(super) async fn measure(dir: &Path, accounts: u32, lasts: Duration) -> Measured<Growth> {
    let scratch = tempfile::tempdir_in(dir).map_err(Failure::of("a folder"))?;
    let path = scratch.path().join("octroi.db");
    let minted = calls::open(Store::sqlite(&path), accounts).await?;
    minted.close().await;
    drop(minted);
    let ledger = calls::open(Store::sqlite(&path), 0).await?;
    let (waits, lasted) = calls::spend(&ledger, accounts, CALLERS, lasts).await?;
    let memory_mib = resident()?;
    ledger.close().await;
    let file = std::fs::metadata(&path).map_err(Failure::of("the ledger's file"))?.len();
    let row = row(format!("{accounts} credentials"), waits, lasted);
    Ok(Growth { accounts, memory_mib, file_mib: file as f64 / (1024.0 * 1024.0), row })
}

/// What this process has of memory now, in mebibytes.
fn resident() -> Measured<f64> {
    let text = std::fs::read_to_string("/proc/self/statm").map_err(Failure::of("/proc/self/statm"))?;
    let pages: Option<f64> = text.split(' ').nth(1).and_then(|word| word.parse().ok());
    let pages = pages.ok_or_else(|| Failure::new("/proc/self/statm is not as expected"))?;
    Ok(pages * PAGE / (1024.0 * 1024.0))
}
