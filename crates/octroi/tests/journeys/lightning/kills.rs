//! An encrypted node, killed again and again while it is paid.

use octroi_l402::Msat;
use octroi_lightning::LightningNode;
use octroi_testkit::nodes::{Payer, StoreDir};
use octroi_testkit::upstream::sample::Sample;

use super::{SELLING, embedded, query, until};
use crate::harness::money::node;
use crate::harness::{Caller, Launch, PATIENCE};

const ROUNDS: usize = 4;

/// Payments of each round; the kill comes somewhere among them.
const PAYMENTS: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_node_survives_kills_while_it_is_paid() {
    let payer = Payer::start(StoreDir::temporary().unwrap()).await.unwrap();
    let sample = Sample::start().await.unwrap();
    let lines = "passphrase = \"open sesame\"";
    let mut gate = Launch::new(&embedded(&payer, &sample.url(), lines, SELLING), &[]).start().await;
    let (id, address) = node(&gate);
    payer.open_channel(&id, address).await.unwrap();
    let mut paid = 0;
    for round in 0..ROUNDS {
        let caller = Caller::of(&gate);
        let mut invoices = Vec::new();
        for _ in 0..PAYMENTS {
            invoices.push(query(&caller).send().await.challenge().invoice);
        }
        let mut payments = tokio::task::JoinSet::new();
        for invoice in invoices {
            let payer = std::sync::Arc::clone(&payer.node);
            payments.spawn(async move { payer.pay(&invoice, Msat::ZERO, PATIENCE).await.is_ok() });
        }
        // After more of them in every round.
        for _ in 0..=round {
            paid += usize::from(payments.join_next().await.unwrap().unwrap());
        }
        gate = gate.kill().start().await;
        let (again, address) = node(&gate);
        assert_eq!(again, id);
        payer.node.connect(&id, address).await.unwrap();
        payer.node.channel_usable(&id, PATIENCE).await.unwrap();
        while let Some(done) = payments.join_next().await {
            paid += usize::from(done.unwrap());
        }
    }
    assert!(paid >= ROUNDS);
    // Each was credited once, those whose payer knows it and no others.
    let price = 1700;
    until(async || gate.ledger().await["received_msat"] == paid * price).await;
    let ledger = gate.ledger().await;
    assert_eq!(ledger["suspense_msat"], 0, "{ledger}");
    let folder = gate.launch().folder().join("octroi-lightning");
    let names: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name == "keys_seed" || name == "ldk_node_data.sqlite"), "{names:?}");
    assert!(!gate.log().contains("open sesame"));
    let can = payer.node.channels().await.unwrap();
    assert_eq!(can.len(), 1, "the channel lives");
}
