//! A writer killed in the middle of its work leaves a sound ledger that has lost nothing it promised.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use octroi_ledger::HoldRefused;

use crate::support::{assert_sound, available, fund, hold, open};

/// Where the child finds its ledger; set, the test below is the child.
const CHILD: &str = "OCTROI_LEDGER_CRASH_DIR";
const ROUNDS: usize = 6;
const FUNDS: i64 = 1_000_000_000;
const CALLERS: u32 = 24;

/// Spends without end, and says on standard output what has become durable.
#[tokio::main]
async fn spend(dir: PathBuf) {
    let ledger = open(&dir);
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let ledger = ledger.clone();
            tokio::spawn(async move {
                for call in 0_u32.. {
                    let account = (caller + call) % 4;
                    let Ok(open) = hold(&ledger, account, 10).await else { return };
                    open.durable().await.expect("the disk works");
                    println!("held");
                    match call % 3 {
                        0 => open.void(),
                        1 => drop(open),
                        _ => open.capture(7),
                    }
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.expect("the caller ends with its process");
    }
}

#[test]
fn killed_at_any_moment_it_keeps_its_promises() {
    if let Some(dir) = std::env::var_os(CHILD) {
        spend(PathBuf::from(dir));
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let ledger = open(dir.path());
        for account in 0..4 {
            fund(&ledger, account, FUNDS).await;
        }
        ledger.close().await;
    });
    let mut told = 0;
    for round in 0..ROUNDS {
        told += run_and_kill(dir.path(), 150 + 400 * round);
        runtime.block_on(async {
            let ledger = open(dir.path());
            assert_sound(&ledger);
            let report = ledger.report().unwrap();
            assert_eq!(report.open_holds, 0);
            assert!(
                report.captured + report.voided >= told,
                "{report:?}, but {told} holds were said to be durable"
            );
            assert_eq!(report.revenue[0].msat, 7 * i64::try_from(report.captured).unwrap());
            let mut left = 0;
            for account in 0..4 {
                left += available(&ledger, account).await;
            }
            assert_eq!(left + report.revenue[0].msat, 4 * FUNDS);
            assert!(matches!(hold(&ledger, 0, FUNDS + 1).await, Err(HoldRefused::Insufficient { .. })));
            ledger.close().await;
        });
    }
}

/// Runs the child until it has told of `enough` durable holds, kills it, and says how many it told of.
fn run_and_kill(dir: &std::path::Path, enough: usize) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::killed_at_any_moment_it_keeps_its_promises", "--nocapture"])
        .env(CHILD, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut told = 0;
    while told < enough {
        let line = lines.next().expect("the child spends until it is killed").unwrap();
        told += usize::from(line == "held");
    }
    // SIGKILL on Unix: nothing is flushed, nothing is dropped.
    child.kill().unwrap();
    child.wait().unwrap();
    told += lines.map_while(Result::ok).filter(|line| line == "held").count();
    std::io::stdout().flush().unwrap();
    u64::try_from(told).unwrap()
}
