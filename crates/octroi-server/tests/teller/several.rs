//! Two tellers on one PostgreSQL, one of which is killed with charges in its hands.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use octroi_ledger::{Ledger, LedgerConfig, Store};
use octroi_testkit::postgres::{Cluster, ClusterOptions};
use octroi_testkit::stripe::{EVENT, Fault, KEY, Stripe};

use super::{CUSTOMER, PATIENCE, charge, funded, settled, teller};

/// The ledger's URL and Stripe's address; set, the test below is a child.
const CHILD: &str = "OCTROI_TELLERS_TEST";
/// More than one teller borrows at once.
const CHARGES: i64 = 100;
/// What a teller borrows at once, and tells at once.
const BORROWED: usize = 64;
const AT_ONCE: usize = 8;

fn config(url: &str) -> LedgerConfig {
    LedgerConfig::at(Store::postgres(url, Duration::from_secs(20), Duration::from_secs(30)).unwrap())
}

/// A gate that only tells, in a process of its own.
fn start(ledger: &str, stripe: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "several::two_tellers_tell_each_charge_once", "--nocapture"])
        .env(CHILD, format!("{ledger} {stripe}"))
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

async fn tell(text: String) {
    let (ledger, stripe) = text.split_once(' ').unwrap();
    teller(stripe, KEY, EVENT).run(Ledger::open(config(ledger)).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tellers_tell_each_charge_once() {
    if let Ok(text) = std::env::var(CHILD) {
        return tell(text).await;
    }
    let cluster = tokio::task::spawn_blocking(|| Cluster::start(ClusterOptions::default())).await;
    let cluster = cluster.unwrap().unwrap();
    let url = cluster.fresh_url();
    let stripe = Stripe::start(&[CUSTOMER]).await.unwrap();
    let ledger = funded(config(&url)).await;
    let mut ids = Vec::new();
    for msat in 1..=CHARGES {
        ids.push(charge(&ledger, CUSTOMER, msat).await);
    }
    // What the first tells is taken, and it never hears of it.
    for _ in 0..AT_ONCE {
        stripe.plan(Fault::Withhold);
    }
    let taken = |count: usize| stripe.until(move |taken, _| taken.len() >= count);
    let mut first = start(&url, &stripe.url);
    tokio::time::timeout(PATIENCE, taken(AT_ONCE)).await.expect("the first tells");
    // Meanwhile the second tells what was not lent to the first.
    let mut second = start(&url, &stripe.url);
    let others = usize::try_from(CHARGES).unwrap() - BORROWED;
    tokio::time::timeout(PATIENCE, taken(AT_ONCE + others)).await.expect("the second tells");
    first.kill().unwrap();
    first.wait().unwrap();
    stripe.release();
    settled(&ledger, 0, 0).await;
    second.kill().unwrap();
    second.wait().unwrap();

    let mut told: Vec<(String, i64)> =
        stripe.taken().into_iter().map(|event| (event.identifier, event.value)).collect();
    told.sort();
    let mut wanted: Vec<(String, i64)> = ids.into_iter().zip(1..).collect();
    wanted.sort();
    assert_eq!(told, wanted, "each once, with what it came to");
    assert!(ledger.verify().unwrap().is_sound());
}
