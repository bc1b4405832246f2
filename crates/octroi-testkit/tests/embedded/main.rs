//! The embedded node on the testkit's chain: encrypted folders, copies old and new, channels closed by force, deaths between two writes, and every kind of
//! source of blocks.

// Helpers of tests may fail as tests do.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod at_rest;
mod closing;
mod deaths;
mod sources;
mod trouble;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use octroi_l402::{Msat, PaymentHash};
use octroi_lightning::embedded::{ChainSource, EmbeddedConfig, EmbeddedNode, Network};
use octroi_lightning::{Invoice, InvoiceRequest, LightningNode, Password};
use octroi_testkit::nodes::{Payer, StoreDir};

/// Generous, because the machine may be busy; no test waits this long unless it fails.
const PATIENCE: Duration = Duration::from_secs(120);

/// The most paid for routing.
const FEE_MAX: Msat = Msat::new(10_000);

/// How often what should come is looked for.
const LOOK: Duration = Duration::from_millis(20);

async fn payer() -> Payer {
    Payer::start(StoreDir::temporary().unwrap()).await.unwrap()
}

/// Settings of a node that takes channels of the payer at once.
fn settings(payer: &Payer, dir: &Path, chain: ChainSource) -> EmbeddedConfig {
    let mut config = EmbeddedConfig::new(Network::Regtest, dir, chain);
    config.listen = vec![free_address()];
    config.trusted_0conf = vec![payer.id()];
    config.trusted_no_reserve = vec![payer.id()];
    config
}

/// The same, encrypted.
fn sealed(payer: &Payer, dir: &Path, passphrase: &str) -> EmbeddedConfig {
    let mut config = settings(payer, dir, payer.chain.source());
    config.passphrase = Some(Password::new(passphrase));
    config
}

async fn start(config: EmbeddedConfig) -> EmbeddedNode {
    let node = EmbeddedNode::start(config).await.unwrap();
    node.sync().await.unwrap();
    node
}

fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

fn request(sat: i64) -> InvoiceRequest {
    InvoiceRequest {
        amount: Msat::from_sat(sat).unwrap(),
        description: "a call".to_owned(),
        expiry: Duration::from_secs(3600),
        preimage: None,
    }
}

async fn invoice(node: &EmbeddedNode, sat: i64) -> Invoice {
    node.create_invoice(request(sat)).await.unwrap()
}

/// Takes settlements until this invoice's, which must be what was asked; LDK may report those of before the restart again.
async fn settled(node: &EmbeddedNode, invoice: &Invoice) {
    loop {
        let next = tokio::time::timeout(PATIENCE, node.next_settlement(None));
        let settlement = next.await.expect("money should have arrived").unwrap();
        node.acknowledge(&settlement).await.unwrap();
        if settlement.payment_hash == invoice.payment_hash {
            assert_eq!(settlement.amount, invoice.amount);
            return;
        }
    }
}

/// Opens a channel that both ends can use.
async fn open(payer: &Payer, node: &EmbeddedNode) {
    payer.open_channel(&node.id(), node.listening()[0]).await.unwrap();
    node.channel_usable(&payer.id(), PATIENCE).await.unwrap();
}

/// Pays once over the channel, and sees it arrive.
async fn one_payment(payer: &Payer, node: &EmbeddedNode) -> PaymentHash {
    let invoice = invoice(node, 2_000).await;
    payer.node.pay(&invoice.bolt11, FEE_MAX, PATIENCE).await.unwrap();
    settled(node, &invoice).await;
    invoice.payment_hash
}

/// Nothing has settled but what is known.
async fn nothing_new(node: &EmbeddedNode, known: &[PaymentHash]) {
    while let Ok(next) = tokio::time::timeout(Duration::ZERO, node.next_settlement(None)).await {
        let next = next.unwrap();
        assert!(known.contains(&next.payment_hash), "{next:?}");
        node.acknowledge(&next).await.unwrap();
    }
}

/// Waits until something is so.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(LOOK).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "it never came to this: {what}");
}
