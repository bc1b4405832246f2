//! Where blocks come from: a bitcoind, an Esplora server, an Electrum server. All three show the one chain of the testkit.

use octroi_lightning::embedded::{ChainSource, EmbeddedConfig, EmbeddedNode, Network};
use octroi_lightning::{LightningNode, NodeError, Password, Treasury, Withdrawal};
use octroi_testkit::nodes::Payer;

use super::{one_payment, open, payer, settings, start};

/// Blocks that make a closing final, and more.
const BLOCKS: u32 = 8;

/// A node on this source is paid over a channel, closes it, sees its coins, and sends them.
async fn lives_on(payer: &Payer, name: &str, chain: ChainSource) {
    let node = start(settings(payer, &payer.store.path().join(name), chain)).await;
    open(payer, &node).await;
    one_payment(payer, &node).await;
    payer.chain.mine(BLOCKS);
    payer.node.sync().await.unwrap();
    node.sync().await.unwrap();
    assert_eq!(node.info().await.unwrap().block_height, payer.chain.height(), "{name}");
    one_payment(payer, &node).await;

    let channel = node.channels().await.unwrap()[0].id.clone();
    node.close_channel(&channel, false).await.unwrap();
    let coins = async || node.balances().await.unwrap().onchain_sat;
    let address = payer.node.new_address().await.unwrap();
    let withdrawal = Withdrawal { address, amount_sat: Some(50_000), sat_per_vbyte: None };
    let (mut rounds, mut before) = (0, payer.chain.waiting());
    while node.withdraw(withdrawal.clone()).await.is_err() {
        rounds += 1;
        assert!(rounds < 30, "{name}: the closing never paid");
        payer.chain.mine(BLOCKS);
        payer.node.sync().await.unwrap();
        node.sync().await.unwrap();
        before = payer.chain.waiting();
    }
    super::until("the withdrawal is broadcast", async || payer.chain.waiting() > before).await;
    payer.chain.mine(BLOCKS);
    node.sync().await.unwrap();
    assert!(coins().await < 60_000, "{name}: {}", coins().await);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_esplora_server_is_enough() {
    let payer = payer().await;
    lives_on(&payer, "esplora", payer.chain.esplora()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_electrum_server_is_enough() {
    let payer = payer().await;
    lives_on(&payer, "electrum", payer.chain.electrum()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bitcoind_is_enough() {
    let payer = payer().await;
    lives_on(&payer, "bitcoind", payer.chain.source()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_source_a_node_of_a_public_chain_says_so_and_keeps_its_keys() {
    let dir = tempfile::tempdir().unwrap();
    for network in [Network::Signet, Network::Bitcoin] {
        let store = dir.path().join(network.as_str());
        let config = || {
            // Nobody listens there.
            let chain = ChainSource::Esplora { url: "http://127.0.0.1:1".to_owned() };
            let mut config = EmbeddedConfig::new(network, &store, chain);
            config.passphrase = Some(Password::new("open sesame"));
            config
        };
        for _ in 0..2 {
            let error = EmbeddedNode::start(config()).await.err().unwrap();
            assert!(matches!(error, NodeError::Unreachable(_)), "{error}");
        }
        assert!(store.join("octroi-keys.json").exists() && store.join("octroi-sealed.sqlite").exists());
    }
}
