//! Nostr Wallet Connect beyond the contract: relays that lie, repeat, keep and vanish, and wallets that allow little.

use octroi_lightning::{Power, Powers};
use octroi_testkit::node_apis::Fault;
use octroi_testkit::node_apis::nwc::{LEAST, Mischief};

use super::*;

async fn pay(pair: &Pair, invoice: &Invoice) {
    pair.payer.node.pay(&invoice.bolt11, Msat::ZERO, PATIENCE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_lies_changes_nothing_and_one_that_keeps_answers_is_not_needed() {
    let pair = pair().await;
    let file = pair.payer.store.path().join("lied-to.jsonl");
    let wallet = wallet_over_nostr(pair.payee.clone(), &Terms { relays: 2, ..Terms::default() }).await;
    let payee = nwc_client(&wallet.api, file);
    let mut made = Vec::new();
    for mischief in [
        Mischief::Garbage,
        Mischief::Forge,
        Mischief::Replay,
        Mischief::Silence,
        Mischief::Change,
        Mischief::Refuse,
        Mischief::Flood,
    ] {
        wallet.relays[0].does(mischief);
        let invoice = payee.create_invoice(asking(2_000)).await.unwrap();
        assert_eq!(payee.lookup(&invoice.payment_hash).await, Ok(InvoiceState::Open), "{mischief:?}");
        assert!(!made.contains(&invoice), "{mischief:?}: each answer is its own");
        made.push(invoice);
    }
    // The last of them, with the lying relay at its worst.
    pay(&pair, &made[6]).await;
    assert_eq!(next(&payee, None).await.payment_hash, made[6].payment_hash);
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_with_a_lying_relay_nothing_false_is_believed() {
    let pair = pair().await;
    let wallet = wallet_over_nostr(pair.payee.clone(), &Terms::default()).await;
    let payee = nwc_client(&wallet.api, pair.payer.store.path().join("alone.jsonl"));
    let invoice = payee.create_invoice(asking(2_000)).await.unwrap();
    for mischief in [Mischief::Garbage, Mischief::Forge, Mischief::Replay] {
        wallet.relays[0].does(mischief);
        assert_eq!(payee.lookup(&invoice.payment_hash).await, Ok(InvoiceState::Open), "{mischief:?}");
    }
    wallet.relays[0].does(Mischief::Refuse);
    let refused = payee.lookup(&invoice.payment_hash).await;
    assert!(matches!(&refused, Err(NodeError::Refused(words)) if words.contains("blocked")), "{refused:?}");
    // The flood ends the connection; the next one is as good as ever.
    wallet.relays[0].does(Mischief::Flood);
    assert_eq!(payee.lookup(&invoice.payment_hash).await, Err(NodeError::Timeout));
    wallet.relays[0].does(Mischief::None);
    assert_eq!(persistent_lookup(&payee, &invoice).await, InvoiceState::Open);
}

/// As callers do it: again, while nobody is there.
async fn persistent_lookup(node: &dyn LightningNode, invoice: &Invoice) -> InvoiceState {
    let asked = async {
        loop {
            if let Ok(state) = node.lookup(&invoice.payment_hash).await {
                return state;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.expect("the wallet should answer again")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_paid_while_every_relay_is_away_arrives_when_one_is_back() {
    let pair = pair().await;
    for methods in [node_apis::nwc::EVERYTHING.to_vec(), LEAST.to_vec()] {
        let terms = Terms { relays: 2, methods, ..Terms::default() };
        let wallet = wallet_over_nostr(pair.payee.clone(), &terms).await;
        let file = pair.payer.store.path().join(format!("away-{}.jsonl", terms.methods.len()));
        let payee = nwc_client(&wallet.api, file.clone());
        let invoice = payee.create_invoice(asking(2_000)).await.unwrap();
        wallet.relays.iter().for_each(|relay| relay.is_down(true));
        pay(&pair, &invoice).await;
        let down = payee.create_invoice(asking(1_000)).await;
        assert!(matches!(down, Err(NodeError::Unreachable(_) | NodeError::Timeout)), "{down:?}");
        wallet.relays[1].is_down(false);
        let settlement = super::faults::persistent_next(&payee, None).await;
        assert_eq!((settlement.payment_hash, settlement.amount), (invoice.payment_hash, invoice.amount));
        payee.acknowledge(&settlement).await.unwrap();

        // The gate was down while it was paid, and starts again with the file of open invoices.
        let second = payee.create_invoice(asking(3_000)).await.unwrap();
        drop(payee);
        pay(&pair, &second).await;
        let payee = nwc_client(&wallet.api, file);
        let settlement = super::faults::persistent_next(&payee, Some(&settlement.cursor)).await;
        assert_eq!((settlement.payment_hash, settlement.amount), (second.payment_hash, second.amount));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_that_allows_little_sells_and_says_what_it_does_not_allow() {
    let pair = pair().await;
    let terms = Terms { methods: LEAST.to_vec(), ..Terms::default() };
    let wallet = wallet_over_nostr(pair.payee.clone(), &terms).await;
    wallet.relays[0].wants_login();
    let payee = nwc_client(&wallet.api, pair.payer.store.path().join("little.jsonl"));
    let invoice = payee.create_invoice(asking(2_000)).await.unwrap();
    pay(&pair, &invoice).await;
    assert_eq!(next(&payee, None).await.payment_hash, invoice.payment_hash);
    assert!(matches!(payee.balances().await, Err(NodeError::Refused(_))));
    assert_eq!(payee.info().await.unwrap().id, "", "it is there, and does not say who it is");
    let least = Powers { receive: Power::Allowed, look: Power::Unknown, spend: Power::Refused };
    assert_eq!(payee.powers().await, Ok(least));
    let theirs = pair.payer.node.create_invoice(asking(1_000)).await.unwrap();
    let paid = payee.pay(&theirs.bolt11, Msat::ZERO, PATIENCE).await;
    assert!(matches!(paid, Err(PayError::Node(NodeError::Refused(_)))), "{paid:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_whose_answer_is_lost_is_found_and_not_made_twice() {
    let pair = pair().await;
    let wallet = wallet_over_nostr(pair.payer.node.clone(), &Terms::default()).await;
    let payer = nwc_client(&wallet.api, pair.payer.store.path().join("lost.jsonl"));
    let invoice = pair.payee.create_invoice(asking(2_000)).await.unwrap();
    // The look before, then the payment itself.
    wallet.api.faults.plan(Fault::Slow(Duration::ZERO));
    wallet.api.faults.plan(Fault::CutOff);
    let payment = payer.pay(&invoice.bolt11, Msat::new(10_000), PATIENCE).await.unwrap();
    assert_eq!(payment.preimage.payment_hash(), invoice.payment_hash);
    let again = payer.pay(&invoice.bolt11, Msat::new(10_000), PATIENCE).await;
    assert_eq!(again, Err(PayError::AlreadyPaid));
}
