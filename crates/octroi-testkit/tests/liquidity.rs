//! Room to receive, bought when a payment needs it: a provider (ldk-node's own LSPS2 service) opens the channel that the
//! payment comes over.

// Helpers of tests may fail as tests do.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use ldk_node::config::{AnchorChannelsConfig, Config};
use ldk_node::lightning::ln::msgs::SocketAddress;
use ldk_node::liquidity::LSPS2ServiceConfig;
use ldk_node::{Builder, Node};
use octroi_l402::Msat;
use octroi_lightning::embedded::{ChainSource, EmbeddedConfig, EmbeddedNode, LiquidityProvider, Network};
use octroi_lightning::{InvoiceRequest, LightningNode};
use octroi_testkit::nodes::{Payer, StoreDir};

const PATIENCE: Duration = Duration::from_secs(60);

/// The provider keeps one percent.
const FEE_PPM: u32 = 10_000;

fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

/// A provider with coins, that trusts the payer.
async fn provider(payer: &Payer, address: SocketAddr) -> Node {
    let trusted = vec![payer.id().parse().unwrap()];
    let mut builder = Builder::from_config(Config {
        storage_dir_path: payer.store.path().join("provider").display().to_string(),
        network: ldk_node::bitcoin::Network::Regtest,
        trusted_peers_0conf: trusted.clone(),
        anchor_channels_config: Some(AnchorChannelsConfig {
            trusted_peers_no_reserve: trusted,
            ..AnchorChannelsConfig::default()
        }),
        ..Config::default()
    });
    builder.set_log_facade_logger();
    builder.set_listening_addresses(vec![SocketAddress::from(address)]).unwrap();
    let ChainSource::Bitcoind { host, port, user, password } = payer.chain.source() else { unreachable!() };
    builder.set_chain_source_bitcoind_rpc(host, port, user, password.reveal().to_owned());
    builder.set_liquidity_provider_lsps2(LSPS2ServiceConfig {
        require_token: Some("ticket".to_owned()),
        advertise_service: false,
        channel_opening_fee_ppm: FEE_PPM,
        channel_over_provisioning_ppm: 1_000_000,
        min_channel_opening_fee_msat: 0,
        min_channel_lifetime: 100,
        max_client_to_self_delay: 1024,
        min_payment_size_msat: 0,
        max_payment_size_msat: 1_000_000_000,
        client_trusts_lsp: true,
    });
    let node = builder.build().unwrap();
    node.start().unwrap();
    payer.chain.fund(&node.onchain_payment().new_address().unwrap().to_string()).unwrap();
    // Its own first look at the chain comes first; then it sees its coins.
    while node.list_balances().spendable_onchain_balance_sats == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    node
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_a_channel_is_paid_over_one_that_the_payment_opens() {
    let payer = Payer::start(StoreDir::temporary().unwrap()).await.unwrap();
    let address = free_address();
    let provider = tokio::time::timeout(PATIENCE, provider(&payer, address)).await.unwrap();
    payer.open_channel(&provider.node_id().to_string(), address).await.unwrap();
    // The provider's end may open a moment later, and fails what is to be forwarded until then.
    while !provider.list_channels().iter().any(|channel| channel.is_usable) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    let mut config =
        EmbeddedConfig::new(Network::Regtest, payer.store.path().join("gate"), payer.chain.source());
    config.liquidity = Some(LiquidityProvider {
        id: provider.node_id().to_string(),
        address,
        token: Some("ticket".to_owned().into()),
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
    let provider = tokio::task::spawn_blocking(move || provider.sync_wallets().map(|()| provider))
        .await
        .unwrap()
        .unwrap();
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
    provider.stop().unwrap();
}
