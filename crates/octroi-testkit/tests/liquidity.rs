//! Room to receive, bought when a payment needs it: a provider (ldk-node's own LSPS2 service) opens the channel that the
//! payment comes over.

// Helpers of tests may fail as tests do.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use octroi_l402::Msat;
use octroi_lightning::embedded::{EmbeddedConfig, EmbeddedNode, LiquidityProvider, Network};
use octroi_lightning::{InvoiceRequest, LightningNode};
use octroi_testkit::nodes::{Payer, Provider, StoreDir, TICKET};

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_a_channel_is_paid_over_one_that_the_payment_opens() {
    let payer = Payer::start(StoreDir::temporary().unwrap()).await.unwrap();
    let mut provider = Provider::start(&payer).await.unwrap();

    let mut config =
        EmbeddedConfig::new(Network::Regtest, payer.store.path().join("gate"), payer.chain.source());
    config.liquidity = Some(LiquidityProvider {
        id: provider.id.clone(),
        address: provider.address,
        token: Some(TICKET.to_owned().into()),
        fee_percent_max: 2,
    });
    let gate = EmbeddedNode::start(config).await.unwrap();
    gate.sync().await.unwrap();
    assert!(gate.capabilities().buys_inbound);
    assert_eq!(gate.balances().await.unwrap().inbound, Some(Msat::ZERO));

    let asking = |sat| InvoiceRequest {
        amount: Msat::from_sat(sat).unwrap(),
        description: "many calls".to_owned(),
        expiry: Duration::from_secs(600),
        preimage: None,
    };
    // Whoever counts fewer blocks than the payee names a deadline that is too near for it.
    payer.node.sync().await.unwrap();
    provider.sync().await.unwrap();
    let mut cursor: Option<String> = None;
    for sat in [100_000, 1_000] {
        // The first opens the channel, the second finds it.
        let invoice = gate.create_invoice(asking(sat)).await.unwrap();
        payer
            .node
            .pay(&invoice.bolt11, Msat::new(10_000), PATIENCE)
            .await
            .unwrap_or_else(|error| panic!("{sat} sat: {error}"));
        let next = gate.next_settlement(cursor.as_deref());
        let settlement =
            tokio::time::timeout(PATIENCE, next).await.expect("money should have arrived").unwrap();
        assert_eq!(settlement.payment_hash, invoice.payment_hash);
        assert_eq!(
            settlement.amount, invoice.amount,
            "credited with what was paid, the provider's fee included"
        );
        gate.acknowledge(&settlement).await.unwrap();
        cursor = Some(settlement.cursor);
    }
    let balances = gate.balances().await.unwrap();
    assert_eq!(gate.channels().await.unwrap().len(), 1);
    assert!(balances.inbound > Some(Msat::from_sat(50_000).unwrap()), "{balances:?}");
    gate.stop().await;
}
