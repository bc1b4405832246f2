//! An encrypted node, killed again and again while it writes.

use std::sync::Arc;

use octroi_l402::Msat;
use octroi_lightning::LightningNode;
use octroi_testkit::nodes::{Payer, StoreDir};
use octroi_testkit::upstream::sample::Sample;
use tokio::task::JoinSet;

use super::{SELLING, embedded, query, until};
use crate::harness::money::{meet, node};
use crate::harness::{Caller, Launch, PATIENCE};

const ROUNDS: usize = 4;

/// Callers that have invoices made when the gate is killed: each is two records in the node's store.
const CALLERS: usize = 16;

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_node_survives_kills_while_it_writes() {
    let payer = Payer::start(StoreDir::temporary().unwrap()).await.unwrap();
    let sample = Sample::start().await.unwrap();
    let lines = "passphrase = \"open sesame\"";
    let mut gate = Launch::new(&embedded(&payer, &sample.url(), lines, SELLING), &[]).start().await;
    let (id, address) = node(&gate);
    payer.open_channel(&id, address).await.unwrap();
    gate.channel_usable().await;
    for round in 1..=ROUNDS {
        let caller = Caller::of(&gate);
        let before = query(&caller).send().await.challenge();
        let asking = Arc::new(caller);
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            let asking = Arc::clone(&asking);
            // Until the gate is gone.
            callers.spawn(async move {
                let mut asked = 0;
                while query(&asking).open_if_there().await {
                    asked += 1;
                }
                asked
            });
        }
        let made = async || {
            let page = gate.metrics().await;
            let line =
                page.lines().find(|line| line.starts_with("octroi_invoices_total{class=\"stranger\"}"));
            line.and_then(|line| line.rsplit(' ').next()?.parse::<usize>().ok()).unwrap_or(0)
        };
        until(async || made().await > 20).await;
        gate = gate.kill().start().await;
        assert!(callers.join_all().await.iter().sum::<usize>() > 0);
        assert_eq!(node(&gate).0, id, "the same node");
        meet(&payer, &gate).await;
        // What was made before the kill is good after it.
        payer.node.pay(&before.invoice, Msat::ZERO, PATIENCE).await.unwrap();
        let paid = u64::try_from(round).unwrap() * 1700;
        until(async || gate.ledger().await["received_msat"] == paid).await;
    }
    let ledger = gate.ledger().await;
    assert_eq!(ledger["suspense_msat"], 0, "{ledger}");
    let folder = gate.launch().folder().join("octroi-lightning");
    let names: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name == "keys_seed" || name == "ldk_node_data.sqlite"), "{names:?}");
    assert!(!gate.log().contains("open sesame"));
}
