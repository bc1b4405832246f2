//! The teller before a Stripe that refuses, fails, stalls and forgets to answer: each charge is told once.

// Helpers of tests may fail as tests do.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod kill;
mod several;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use octroi_l402::{Msat, PaymentHash, TokenId};
use octroi_ledger::{AccountRef, HoldRequest, Ledger, LedgerConfig, Unit, Voucher};
use octroi_server::stripe::{StripeSettings, StripeTeller};
use octroi_testkit::stripe::{EVENT, Fault, KEY, Stripe};
use zeroize::Zeroizing;

/// The customer that Stripe knows.
const CUSTOMER: &str = "cus_NciAYcXfLnqBoz";
/// Generous, because the machine may be busy; nothing waits this long unless it fails.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long charges are lent to one teller: short, so that those of a dead one are soon told by another.
const LEASE: Duration = Duration::from_secs(4);

fn teller(url: &str, key: &str, event: &str) -> Arc<StripeTeller> {
    let settings = StripeSettings {
        endpoint: url.parse().unwrap(),
        key: Zeroizing::new(key.to_owned()),
        event: event.to_owned(),
        every: Duration::from_millis(20),
        lease: LEASE,
    };
    assert!(!format!("{settings:?}").contains(key));
    Arc::new(StripeTeller::new(settings).unwrap())
}

async fn ledger(folder: &Path) -> Ledger {
    funded(LedgerConfig::new(folder.join("octroi.db"))).await
}

/// A ledger with money to charge.
async fn funded(config: LedgerConfig) -> Ledger {
    let ledger = Ledger::open(config).unwrap();
    let voucher = Voucher {
        token_id: TokenId::from_bytes([1; 32]),
        payment_hash: PaymentHash::from_bytes([1; 32]),
        owner: None,
        amount: Msat::new(1_000_000_000),
        calls: 0,
        note: String::new(),
        created_at: 0,
        expires_at: u64::MAX,
    };
    ledger.mint_voucher(voucher).await.unwrap();
    ledger
}

/// A charge for `customer`; its id.
async fn charge(ledger: &Ledger, customer: &str, msat: i64) -> String {
    let account = AccountRef::Token(TokenId::from_bytes([1; 32]));
    let request = HoldRequest::new(account, Unit::Msat, msat, "mcp", "paid").billed(Some(customer));
    let hold = ledger.hold(&request).await.unwrap();
    let id = hold.id().to_string();
    hold.capture(msat);
    id
}

/// Waits until so many wait in the outbox, and so many were given up.
async fn settled(ledger: &Ledger, waiting: u64, refused: u64) {
    let known = async {
        loop {
            let report = ledger.report().unwrap();
            if (report.outbox_waiting, report.outbox_refused) == (waiting, refused) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, known).await.expect("the outbox is not told");
}

#[tokio::test]
async fn charges_are_told_with_their_ids_and_what_is_given_back_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, stripe) = (ledger(folder.path()).await, Stripe::start(&[CUSTOMER]).await.unwrap());
    let mut ids = Vec::new();
    for msat in [3_000, 1_700] {
        ids.push(charge(&ledger, CUSTOMER, msat).await);
    }
    let account = AccountRef::Token(TokenId::from_bytes([1; 32]));
    let request = HoldRequest::new(account, Unit::Msat, 5, "mcp", "paid").billed(Some(CUSTOMER));
    ledger.hold(&request).await.unwrap().void();
    tokio::spawn(teller(&stripe.url, KEY, EVENT).run(ledger.clone()));
    settled(&ledger, 0, 0).await;
    let mut taken: Vec<(String, i64)> =
        stripe.taken().into_iter().map(|event| (event.identifier, event.value)).collect();
    taken.sort();
    let wanted: Vec<(String, i64)> = ids.into_iter().zip([3_000, 1_700]).collect();
    assert_eq!(taken, wanted);
    assert!(stripe.taken().iter().all(|event| event.customer == CUSTOMER));
}

#[tokio::test]
async fn an_answer_that_is_lost_late_or_nonsense_counts_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, stripe) = (ledger(folder.path()).await, Stripe::start(&[CUSTOMER]).await.unwrap());
    let busy =
        r#"{"error":{"message":"Too many requests","type":"invalid_request_error","code":"rate_limit"}}"#;
    stripe.plan(Fault::LoseAnswer);
    stripe.plan(Fault::Slow(Duration::from_millis(50)));
    stripe.plan(Fault::Answer(500, None, "oops".to_owned()));
    stripe.plan(Fault::Answer(200, None, "<html>welcome</html>".to_owned()));
    stripe.plan(Fault::Answer(429, Some(1), busy.to_owned()));
    charge(&ledger, CUSTOMER, 3_000).await;
    let teller = teller(&stripe.url, KEY, EVENT);
    tokio::spawn(Arc::clone(&teller).run(ledger.clone()));
    tokio::time::timeout(PATIENCE, stripe.until(|taken, _| taken.len() == 1)).await.unwrap();
    charge(&ledger, CUSTOMER, 10).await;
    tokio::time::timeout(PATIENCE, stripe.until(|taken, _| taken.len() == 2)).await.unwrap();
    settled(&ledger, 0, 0).await;
    let values: Vec<i64> = stripe.taken().iter().map(|event| event.value).collect();
    assert_eq!(values, [3_000, 10]);
    let (delivered, refused, failed) = teller.counts();
    assert_eq!((delivered, refused), (2, 0));
    assert!(failed >= 4, "{failed}");
}

#[tokio::test]
async fn a_customer_nobody_knows_is_given_to_the_operator_and_holds_up_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, stripe) = (ledger(folder.path()).await, Stripe::start(&[CUSTOMER]).await.unwrap());
    let lost = charge(&ledger, "cus_gone", 10).await;
    charge(&ledger, CUSTOMER, 20).await;
    tokio::spawn(teller(&stripe.url, KEY, EVENT).run(ledger.clone()));
    settled(&ledger, 0, 1).await;
    assert_eq!(stripe.taken().len(), 1);
    let refused = ledger.reader().unwrap().refused_bills(9).unwrap();
    assert_eq!(
        (refused.len(), refused[0].id.as_str(), refused[0].customer.as_str()),
        (1, lost.as_str(), "cus_gone")
    );
    assert!(refused[0].why.contains("No such customer"), "{}", refused[0].why);
}

#[tokio::test]
async fn a_wrong_key_or_meter_gives_up_no_charge() {
    let folder = tempfile::tempdir().unwrap();
    let (first, stripe) = (ledger(folder.path()).await, Stripe::start(&[CUSTOMER]).await.unwrap());
    charge(&first, CUSTOMER, 10).await;
    first.close().await;
    drop(first);
    // What an ended teller had borrowed is free again when the gate is started anew.
    let open = || Ledger::open(LedgerConfig::new(folder.path().join("octroi.db"))).unwrap();
    for (key, event) in [("sk_test_wrong", EVENT), (KEY, "another_meter")] {
        let (ledger, before) = (open(), stripe.requests());
        let telling = tokio::spawn(teller(&stripe.url, key, event).run(ledger.clone()));
        tokio::time::timeout(PATIENCE, stripe.until(|_, requests| requests > before)).await.unwrap();
        telling.abort();
        let report = ledger.report().unwrap();
        assert_eq!((report.outbox_waiting, report.outbox_refused), (1, 0));
        ledger.close().await;
    }
    let ledger = open();
    tokio::spawn(teller(&stripe.url, KEY, EVENT).run(ledger.clone()));
    settled(&ledger, 0, 0).await;
    assert_eq!(stripe.taken().len(), 1);
}
