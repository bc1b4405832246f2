//! Real payments between two embedded nodes: each is seen once as a settlement, through restarts and crashes.

// Helpers of tests may fail as tests do.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use octroi_l402::{Msat, PaymentHash};
use octroi_lightning::embedded::backup;
use octroi_lightning::{
    InvoiceRequest, InvoiceState, LightningNode, NodeError, Outgoing, PayError, Payment, bolt11,
};
use octroi_testkit::nodes::{Pair, StoreDir};

/// Generous, because the machine may be busy; no test waits this long unless it fails.
const PATIENCE: Duration = Duration::from_secs(60);

fn asking(msat: i64) -> InvoiceRequest {
    InvoiceRequest {
        amount: Msat::new(msat),
        description: "a call".to_owned(),
        expiry: Duration::from_secs(600),
        preimage: None,
    }
}

async fn pair() -> Pair {
    Pair::start(StoreDir::temporary().unwrap()).await.unwrap()
}

async fn pay(pair: &Pair, bolt11: &str) -> Result<Payment, PayError> {
    pair.payer.node.pay(bolt11, Msat::new(10_000), PATIENCE).await
}

/// Takes `count` settlements, acknowledging each, and says whose they were.
async fn settle(node: &dyn LightningNode, count: usize) -> Vec<(PaymentHash, Msat)> {
    let mut seen = Vec::new();
    let mut cursor = None;
    for _ in 0..count {
        let next = tokio::time::timeout(PATIENCE, node.next_settlement(cursor.as_deref()));
        let settlement = next.await.expect("money should have arrived").unwrap();
        node.acknowledge(&settlement).await.unwrap();
        seen.push((settlement.payment_hash, settlement.amount));
        cursor = Some(settlement.cursor);
    }
    seen
}

/// Nothing more has settled: what is acknowledged does not come again.
async fn nothing_left(node: &dyn LightningNode) {
    tokio::select! {
        biased;
        settlement = node.next_settlement(None) => panic!("a settlement came again: {settlement:?}"),
        () = std::future::ready(()) => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_payment_is_one_settlement() {
    let pair = pair().await;
    let payee: &dyn LightningNode = &*pair.payee;

    // One after another, in amounts that whole satoshis cannot say.
    for msat in 1..=50 {
        let invoice = payee.create_invoice(asking(1_700 + msat)).await.unwrap();
        assert_eq!(payee.lookup(&invoice.payment_hash).await.unwrap(), InvoiceState::Open);
        let payment = pay(&pair, &invoice.bolt11).await.unwrap();
        assert_eq!(payment.preimage.payment_hash(), invoice.payment_hash);
        assert_eq!((payment.amount, payment.fee), (invoice.amount, Msat::ZERO));
        assert_eq!(settle(payee, 1).await, [(invoice.payment_hash, invoice.amount)]);
        let state = payee.lookup(&invoice.payment_hash).await.unwrap();
        assert!(matches!(state, InvoiceState::Settled { amount, .. } if amount == invoice.amount));
    }

    // All at once.
    let mut expected = HashSet::new();
    let mut payments = tokio::task::JoinSet::new();
    for msat in 1..=40 {
        let invoice = payee.create_invoice(asking(3_000 + msat)).await.unwrap();
        expected.insert((invoice.payment_hash, invoice.amount));
        let payer = Arc::clone(&pair.payer.node);
        payments.spawn(async move { payer.pay(&invoice.bolt11, Msat::ZERO, PATIENCE).await });
    }
    for paid in payments.join_all().await {
        paid.unwrap();
    }
    let settled: HashSet<_> = settle(payee, 40).await.into_iter().collect();
    assert_eq!(settled, expected);
    nothing_left(payee).await;
    assert_eq!(pair.payer.chain.refused(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invoice_made_before_a_restart_is_paid_after_it() {
    let pair = pair().await;
    let invoice = pair.payee.create_invoice(asking(5_000)).await.unwrap();
    pair.payee.stop().await;
    assert_eq!(pair.payee.create_invoice(asking(1)).await, Err(NodeError::Stopped));

    let again = pair.payer.start_payee("payee").await.unwrap();
    assert_eq!(again.id(), pair.payee.id());
    assert_eq!(again.lookup(&invoice.payment_hash).await.unwrap(), InvoiceState::Open);
    pair.payer.reconnect(&again).await.unwrap();
    pay(&pair, &invoice.bolt11).await.unwrap();
    assert_eq!(settle(&again, 1).await, [(invoice.payment_hash, invoice.amount)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settlement_the_ledger_did_not_take_comes_again() {
    let pair = pair().await;
    let mut hashes = Vec::new();
    for _ in 0..2 {
        let invoice = pair.payee.create_invoice(asking(5_000)).await.unwrap();
        pay(&pair, &invoice.bolt11).await.unwrap();
        hashes.push(invoice.payment_hash);
    }
    let first = pair.payee.next_settlement(None).await.unwrap();
    let second = pair.payee.next_settlement(Some(&first.cursor)).await.unwrap();
    assert_eq!([first.payment_hash, second.payment_hash], *hashes);
    pair.payee.acknowledge(&first).await.unwrap();
    pair.payee.stop().await;
    assert_eq!(pair.payee.next_settlement(None).await, Err(NodeError::Stopped));

    let again = pair.payer.start_payee("payee").await.unwrap();
    let repeated = again.next_settlement(Some(&second.cursor)).await.unwrap();
    assert_eq!((repeated.payment_hash, repeated.amount), (second.payment_hash, second.amount));
    again.acknowledge(&repeated).await.unwrap();
    // LDK may report the latest payments once more after a restart; what it reports is known, never new money.
    while let Ok(next) = tokio::time::timeout(Duration::ZERO, again.next_settlement(None)).await {
        let next = next.unwrap();
        assert!(hashes.contains(&next.payment_hash));
        again.acknowledge(&next).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_must_not_be_paid_is_not() {
    let pair = pair().await;
    let payee: &dyn LightningNode = &*pair.payee;

    let invoice = payee.create_invoice(asking(2_000)).await.unwrap();
    let payment = pay(&pair, &invoice.bolt11).await.unwrap();
    assert_eq!(pay(&pair, &invoice.bolt11).await, Err(PayError::AlreadyPaid));
    let outgoing = pair.payer.node.outgoing(&invoice.payment_hash).await.unwrap();
    assert_eq!(outgoing, Outgoing::Paid(payment));

    let short = InvoiceRequest { expiry: Duration::ZERO, ..asking(2_000) };
    let short = payee.create_invoice(short).await.unwrap();
    let decoded = bolt11::decode(&short.bolt11).unwrap();
    assert_eq!(decoded.expires_at - decoded.created_at, 1, "no expiry is brought up to a second");
    while bolt11::decode(&short.bolt11).unwrap().expires_at >= unix_now() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(pay(&pair, &short.bolt11).await, Err(PayError::Expired));
    assert_eq!(payee.lookup(&short.payment_hash).await.unwrap(), InvoiceState::Expired);

    let huge = payee.create_invoice(asking(2_000_000_000)).await.unwrap();
    assert_eq!(pay(&pair, &huge.bolt11).await, Err(PayError::NoRoute), "more than the channel holds");
    assert!(matches!(pay(&pair, "lnbcrt1junk").await, Err(PayError::InvalidInvoice(_))));
    assert_eq!(pair.payer.node.outgoing(&short.payment_hash).await.unwrap(), Outgoing::Unknown);
    for nothing in [0, -1, i64::MIN] {
        assert!(matches!(payee.create_invoice(asking(nothing)).await, Err(NodeError::Refused(_))));
    }
    assert_eq!(settle(payee, 1).await, [(invoice.payment_hash, invoice.amount)]);
    nothing_left(payee).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_invoice_can_still_be_paid_and_counts() {
    let pair = pair().await;
    let payee: &dyn LightningNode = &*pair.payee;
    let invoice = payee.create_invoice(asking(2_000)).await.unwrap();
    payee.forget(&invoice.payment_hash).await.unwrap();
    assert_eq!(payee.lookup(&invoice.payment_hash).await.unwrap(), InvoiceState::Unknown);
    pay(&pair, &invoice.bolt11).await.unwrap();
    assert_eq!(settle(payee, 1).await, [(invoice.payment_hash, invoice.amount)]);

    let kept = payee.create_invoice(asking(2_000)).await.unwrap();
    pay(&pair, &kept.bolt11).await.unwrap();
    settle(payee, 1).await;
    payee.forget(&kept.payment_hash).await.unwrap();
    let state = payee.lookup(&kept.payment_hash).await.unwrap();
    assert!(matches!(state, InvoiceState::Settled { .. }), "a paid invoice is not forgotten");
}

#[tokio::test(flavor = "multi_thread")]
async fn both_ends_say_what_they_can_carry_and_can_pay() {
    let pair = pair().await;
    let payee: &dyn LightningNode = &*pair.payee;
    let balances = payee.balances().await.unwrap();
    assert!(
        balances.outbound > Msat::ZERO && balances.inbound > Some(Msat::new(800_000_000)),
        "{balances:?}"
    );
    let info = payee.info().await.unwrap();
    assert_eq!((info.channels, info.usable_channels, info.synced), (1, 1, true));
    assert_eq!((info.network.as_str(), info.alias.as_deref()), ("regtest", Some("payee")));
    assert_eq!(info.block_height, pair.payer.chain.height());
    let channels = payee.channels().await.unwrap();
    assert_eq!((channels[0].peer.clone(), channels[0].usable), (pair.payer.id(), true));

    let invoice = pair.payer.node.create_invoice(asking(1_000)).await.unwrap();
    let paid = payee.pay(&invoice.bolt11, Msat::ZERO, PATIENCE).await.unwrap();
    assert_eq!(paid.payment_hash, invoice.payment_hash);
    assert_eq!(settle(&*pair.payer.node, 1).await, [(invoice.payment_hash, invoice.amount)]);
}

#[tokio::test]
async fn a_node_outlives_the_runtime_it_was_started_from() {
    // On a thread of its own: a runtime cannot be dropped inside another.
    let node = std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(pair())
    });
    let pair = tokio::task::spawn_blocking(|| node.join().unwrap()).await.unwrap();
    let invoice = pair.payee.create_invoice(asking(2_000)).await.unwrap();
    pay(&pair, &invoice.bolt11).await.unwrap();
    assert_eq!(settle(&*pair.payee, 1).await, [(invoice.payment_hash, invoice.amount)]);
}

fn unix_now() -> u64 {
    std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_has_one_node_and_its_copy_is_the_same_node() {
    let pair = pair().await;
    let Pair { payee, payer } = pair;
    let (folder, copy) = (payer.store.path().join("payee"), payer.store.path().join("copy"));
    let invoice = payee.create_invoice(asking(2_000)).await.unwrap();
    let second = payer.start_payee("payee").await;
    assert!(matches!(second, Err(NodeError::Storage(_))), "two nodes on one folder lose money");
    assert!(backup(&folder, &copy).is_err(), "nor is it copied while it runs");
    let id = payee.id();
    payee.stop().await;
    backup(&folder, &copy).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();

    let restored = payer.start_payee("copy").await.unwrap();
    assert_eq!(restored.id(), id);
    payer.reconnect(&restored).await.unwrap();
    payer.node.pay(&invoice.bolt11, Msat::ZERO, PATIENCE).await.unwrap();
    assert_eq!(settle(&restored, 1).await, [(invoice.payment_hash, invoice.amount)]);
}
