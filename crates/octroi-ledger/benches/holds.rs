//! Calls per second through the ledger: hold, wait until it is durable, capture. `cargo bench -p octroi-ledger`
//!
//! One line for each number of callers and accounts: calls per second, the median and the 99th percentile of the wait for
//! the disk, and the CPU the process used for one call.

#![expect(clippy::expect_used, reason = "a measurement that cannot be made has nothing else to say")]

use std::path::Path;
use std::time::{Duration, Instant};

use octroi_l402::{Msat, PaymentHash, TokenId};
use octroi_ledger::{AccountRef, HoldRequest, Ledger, LedgerConfig, Unit, Voucher};

/// How long each line is measured.
const LASTS: Duration = Duration::from_secs(4);
/// More than any run can spend, in millisatoshi.
const FUNDS: i64 = 1_000_000_000_000;

fn token(n: u32) -> TokenId {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    TokenId::from_bytes(bytes)
}

async fn open(dir: &Path, accounts: u32) -> Ledger {
    let ledger = Ledger::open(LedgerConfig::new(dir.join("octroi.db"))).expect("a ledger");
    for n in 0..accounts {
        let voucher = Voucher {
            token_id: token(n),
            payment_hash: PaymentHash::from_bytes(*token(n).as_bytes()),
            owner: None,
            amount: Msat::new(FUNDS),
            calls: 0,
            note: String::new(),
            created_at: 0,
            expires_at: u64::MAX,
        };
        ledger.mint_voucher(voucher).await.expect("credited");
    }
    ledger
}

/// One caller: call after call, each on the next account.
async fn call(ledger: Ledger, first: u32, accounts: u32, until: Instant) -> Vec<Duration> {
    let mut waits = Vec::new();
    let mut account = first;
    while Instant::now() < until {
        account = (account + 1) % accounts;
        let request = HoldRequest {
            account: AccountRef::Token(token(account)),
            unit: Unit::Msat,
            amount: 3_000,
            service: "demo",
            tool: "image_describe",
            call_ref: None,
        };
        let start = Instant::now();
        let hold = ledger.hold(&request).await.expect("funds");
        hold.durable().await.expect("a disk");
        waits.push(start.elapsed());
        hold.capture(3_000);
    }
    waits
}

/// CPU time of this process so far, user and system, as Linux tells it in ticks of 10 ms.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok());
    Duration::from_millis(ticks.sum::<u64>() * 10)
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    let dir = std::env::args().nth(1).filter(|arg| !arg.starts_with('-')).unwrap_or_else(|| ".".to_owned());
    println!(
        "{:>8} {:>9} {:>9} {:>9} {:>9} {:>12}",
        "callers", "accounts", "calls/s", "p50 ms", "p99 ms", "CPU us/call"
    );
    for (callers, accounts) in [(1, 1_000), (64, 1), (64, 1_000), (512, 1), (512, 1_000)] {
        let scratch = tempfile::tempdir_in(&dir).expect("a directory");
        let ledger = open(scratch.path(), accounts).await;
        let (start, cpu) = (Instant::now(), cpu_time());
        let tasks: Vec<_> = (0..callers)
            .map(|caller| tokio::spawn(call(ledger.clone(), caller * 37, accounts, start + LASTS)))
            .collect();
        let mut waits = Vec::new();
        for task in tasks {
            waits.extend(task.await.expect("a caller"));
        }
        let (lasted, cpu) = (start.elapsed(), cpu_time().saturating_sub(cpu));
        waits.sort_unstable();
        let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
        let (rate, each) =
            (waits.len() as f64 / lasted.as_secs_f64(), cpu.as_secs_f64() * 1e6 / waits.len() as f64);
        println!("{callers:>8} {accounts:>9} {rate:>9.0} {:>9.3} {:>9.3} {each:>12.1}", at(0.5), at(0.99));
        ledger.close().await;
    }
}
