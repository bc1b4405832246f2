//! The gate is killed between telling and noting that it was told.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use octroi_ledger::{Ledger, LedgerConfig};
use octroi_testkit::stripe::{EVENT, Fault, KEY, Stripe};

use super::{CUSTOMER, PATIENCE, charge, ledger, settled, teller};

/// The ledger's folder and Stripe's address; set, the test below is the child.
const CHILD: &str = "OCTROI_TELLER_TEST";
const CHARGES: u64 = 40;

/// A gate that only tells, in a process of its own.
fn start(folder: &std::path::Path, url: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::each_charge_is_told_once_however_often_the_gate_is_killed", "--nocapture"])
        .env(CHILD, format!("{} {url}", folder.display()))
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

async fn tell(text: String) {
    let (folder, url) = text.split_once(' ').unwrap();
    let ledger = Ledger::open(LedgerConfig::new(PathBuf::from(folder).join("octroi.db"))).unwrap();
    teller(url, KEY, EVENT).run(ledger).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_charge_is_told_once_however_often_the_gate_is_killed() {
    if let Ok(text) = std::env::var(CHILD) {
        return tell(text).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let stripe = Stripe::start(&[CUSTOMER]).await.unwrap();
    let mut ids = Vec::new();
    let writing = ledger(folder.path()).await;
    for msat in 1..=i64::try_from(CHARGES).unwrap() {
        ids.push(charge(&writing, CUSTOMER, msat).await);
    }
    writing.close().await;
    drop(writing);
    // Each time some events are taken whose answers the gate does not live to see.
    for round in 0..4 {
        for _ in 0..5 {
            stripe.plan(Fault::Withhold);
        }
        let before = stripe.taken().len();
        let mut gate = start(folder.path(), &stripe.url);
        let more = |taken: &[_], _| taken.len() >= before + 5;
        tokio::time::timeout(PATIENCE, stripe.until(more))
            .await
            .unwrap_or_else(|_| panic!("stuck in round {round}"));
        gate.kill().unwrap();
        gate.wait().unwrap();
        stripe.release();
    }
    let last = Ledger::open(LedgerConfig::new(folder.path().join("octroi.db"))).unwrap();
    assert!(last.report().unwrap().outbox_waiting > 0, "something was told and not noted");
    tokio::spawn(teller(&stripe.url, KEY, EVENT).run(last.clone()));
    settled(&last, 0, 0).await;
    let mut told: Vec<String> = stripe.taken().into_iter().map(|event| event.identifier).collect();
    told.sort();
    ids.sort();
    assert_eq!(told, ids);
    assert!(last.verify().unwrap().is_sound());
}
