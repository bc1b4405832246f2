//! A gate killed in the middle of its work leaves a sound ledger that has lost nothing it promised; so does a full disk.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use octroi_ledger::{HoldRefused, Ledger, LedgerConfig, Store};

use crate::support::{TIMEOUT, World, assert_sound, available, cluster, fund, hold};

/// Where the child finds its ledger; set, the tests below are the child.
const CHILD: &str = "OCTROI_LEDGER_CRASH_STORE";
const FUNDS: i64 = 1_000_000_000;
const CALLERS: u32 = 24;
const ACCOUNTS: u32 = 4;
/// How long the gates of these tests count as living when they are not heard of.
const LEASE: Duration = Duration::from_millis(500);
/// How often a gate is killed, on each engine.
const KILLS_SQLITE: usize = 150;
const KILLS_POSTGRES: usize = 60;

fn store(text: &str) -> Store {
    Store::parse(text, TIMEOUT, LEASE).expect("a ledger's URL")
}

fn config(text: &str) -> LedgerConfig {
    let mut config = LedgerConfig::at(store(text));
    config.retry_after = Duration::from_millis(10);
    // So that what was charged is on its way to the balances at most of the moments at which it is killed.
    config.settle_after = 20;
    config
}

/// Spends without end, and says on standard output what has become durable, and what is refused.
async fn spend(text: String) {
    let ledger = Ledger::open(config(&text)).expect("the ledger opens");
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let ledger = ledger.clone();
            tokio::spawn(async move {
                for call in 0_u32.. {
                    let open = match hold(&ledger, (caller + call) % ACCOUNTS, 10).await {
                        Ok(open) => open,
                        Err(HoldRefused::Unavailable(_)) => {
                            println!("refused");
                            tokio::time::sleep(Duration::from_millis(5)).await;
                            continue;
                        }
                        Err(other) => panic!("{other:?}"),
                    };
                    if open.durable().await.is_err() {
                        continue;
                    }
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

/// A gate in a process of its own.
struct Gate {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    told: u64,
}

impl Gate {
    /// `front` goes before the command.
    fn start(test: &str, store: &str, front: &[&str]) -> Self {
        let me = std::env::current_exe().unwrap();
        let mut words: Vec<&str> = front.to_vec();
        words.extend([me.to_str().unwrap(), "--exact", test, "--nocapture"]);
        let mut child = Command::new(words[0])
            .args(&words[1..])
            .env(CHILD, store)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines, told: 0 }
    }

    /// Reads until it has said `word` so often.
    fn until(&mut self, word: &str, times: usize) {
        let mut seen = 0;
        while seen < times {
            let line = self.lines.next().expect("it spends until it is killed").unwrap();
            self.told += u64::from(line == "held");
            seen += usize::from(line == word);
        }
    }

    /// SIGKILL: nothing is flushed, nothing is dropped. How many holds it said were durable.
    fn kill(mut self) -> u64 {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let rest = self.lines.map_while(Result::ok).filter(|line| line == "held").count();
        self.told + u64::try_from(rest).unwrap()
    }
}

async fn prepare(text: &str) {
    let ledger = Ledger::open(config(text)).unwrap();
    for account in 0..ACCOUNTS {
        fund(&ledger, account, FUNDS).await;
    }
    ledger.close().await;
}

/// After `told` holds were said to be durable: every promise holds.
async fn inspect(text: &str, told: u64) {
    let ledger = Ledger::open(config(text)).unwrap();
    // Where gates share a ledger, a dead one's holds are voided when its lease is over.
    while ledger.report().unwrap().open_holds > 0 {
        tokio::time::sleep(LEASE / 5).await;
    }
    assert_sound(&ledger);
    let report = ledger.report().unwrap();
    assert!(report.captured + report.voided >= told, "{report:?}, but {told} holds were said to be durable");
    let revenue = report.revenue.first().map_or(0, |tool| tool.msat);
    assert_eq!(revenue, 7 * i64::try_from(report.captured).unwrap());
    let mut left = 0;
    for account in 0..ACCOUNTS {
        left += available(&ledger, account).await;
    }
    assert_eq!(left + revenue, i64::from(ACCOUNTS) * FUNDS);
    ledger.close().await;
}

async fn kill_again_and_again(test: &str, text: &str, kills: usize) {
    prepare(text).await;
    let mut told = 0;
    for kill in 0..kills {
        let mut gate = Gate::start(test, text, &[]);
        // At moments that have nothing to do with batches.
        gate.until("held", 1 + (kill * 7919) % 211);
        told += gate.kill();
        inspect(text, told).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_it_keeps_its_promises() {
    if let Ok(store) = std::env::var(CHILD) {
        return spend(store).await;
    }
    let dir = tempfile::tempdir().unwrap();
    let text = format!("sqlite://{}", dir.path().join("octroi.db").display());
    kill_again_and_again("crash::killed_at_any_moment_it_keeps_its_promises", &text, KILLS_SQLITE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_beside_postgres_it_keeps_its_promises() {
    if let Ok(store) = std::env::var(CHILD) {
        return spend(store).await;
    }
    let text = cluster().fresh_url();
    let test = "crash::killed_at_any_moment_beside_postgres_it_keeps_its_promises";
    kill_again_and_again(test, &text, KILLS_POSTGRES).await;
}

/// Files may not grow beyond 4,096 blocks, which is what a full disk is to who writes them.
const FULL_DISK: [&str; 3] = ["sh", "-c", "trap '' XFSZ; ulimit -S -f 4096; exec \"$0\" \"$@\""];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_stops_sales_until_there_is_room_and_no_sum_changes() {
    if let Ok(store) = std::env::var(CHILD) {
        return spend(store).await;
    }
    let dir = tempfile::tempdir().unwrap();
    let text = format!("sqlite://{}", dir.path().join("octroi.db").display());
    prepare(&text).await;
    let test = "crash::a_full_disk_stops_sales_until_there_is_room_and_no_sum_changes";
    let mut gate = Gate::start(test, &text, &FULL_DISK);
    gate.until("refused", 50);
    let room = Command::new("prlimit")
        .args(["--pid", &gate.child.id().to_string(), "--fsize=unlimited"])
        .status()
        .expect("prlimit of util-linux");
    assert!(room.success());
    gate.until("held", 2_000);
    let told = gate.kill();
    inspect(&text, told).await;
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_said_so() {
    let world = World::sqlite();
    let path = world.store.path().unwrap().join("below-a-file").join("octroi.db");
    world.open().close().await;
    assert!(matches!(Ledger::open(LedgerConfig::new(path)), Err(octroi_ledger::OpenError::Io(_))));
}
