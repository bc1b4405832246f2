//! What goes wrong around a node: its disk, its files, its source of blocks, and two looks at the chain at once.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use octroi_lightning::embedded::{ChainSource, Disk, EmbeddedNode, FaultyDisk, RecordKind};
use octroi_lightning::{LightningNode, NodeError, Outgoing};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::{
    FEE_MAX, PATIENCE, invoice, nothing_new, one_payment, open, payer, request, sealed, settings, settled,
    start, until,
};

/// Says that it is full while it is.
#[derive(Default)]
struct Full(AtomicBool);

impl FaultyDisk for Full {
    fn writing(&self, _: &[RecordKind]) -> io::Result<()> {
        if self.0.load(Ordering::Acquire) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn written(&self, _: &[RecordKind]) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_holds_a_payment_up_and_loses_nothing() {
    let payer = payer().await;
    let dir = payer.store.path().join("gate");
    let full = Arc::new(Full::default());
    let mut config = sealed(&payer, &dir, "open sesame");
    config.disk = Some(Disk::new(Arc::<Full>::clone(&full)));
    let node = start(config).await;
    open(&payer, &node).await;
    let mut known = vec![one_payment(&payer, &node).await];

    let held = invoice(&node, 3_000).await;
    full.0.store(true, Ordering::Release);
    let paying = tokio::spawn({
        let (payer, text) = (Arc::clone(&payer.node), held.bolt11.clone());
        async move { payer.pay(&text, FEE_MAX, PATIENCE).await }
    });
    until("the node says why it stands still", async || {
        matches!(node.info().await, Err(NodeError::Storage(_)))
    })
    .await;
    assert!(
        matches!(node.create_invoice(request(1)).await, Err(NodeError::Storage(_))),
        "nor is anything sold"
    );
    assert!(!paying.is_finished(), "nobody has been paid");
    full.0.store(false, Ordering::Release);
    paying.await.unwrap().unwrap();
    settled(&node, &held).await;
    known.push(held.payment_hash);
    known.push(one_payment(&payer, &node).await);

    // It is stopped while it stands still: as in a power cut, and at once.
    let lost = invoice(&node, 3_000).await;
    full.0.store(true, Ordering::Release);
    let _ = payer.node.pay(&lost.bolt11, FEE_MAX, Duration::from_millis(1)).await;
    until("it stands still again", async || matches!(node.info().await, Err(NodeError::Storage(_)))).await;
    tokio::time::timeout(PATIENCE, node.stop()).await.expect("a stop that ends");
    let second = EmbeddedNode::start(sealed(&payer, &dir, "open sesame")).await;
    assert!(matches!(second, Err(NodeError::Storage(_))), "its threads may still write when there is room");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_damaged_stop_the_node_before_it_begins() {
    let payer = payer().await;
    let dir = payer.store.path().join("gate");
    let node = start(sealed(&payer, &dir, "open sesame")).await;
    open(&payer, &node).await;
    one_payment(&payer, &node).await;
    node.stop().await;
    drop(node);
    payer.node.stop().await;
    let whole = |name: &str| fs::read(dir.join(name)).unwrap();
    let (database, keys) = (whole("octroi-sealed.sqlite"), whole("octroi-keys.json"));
    let refused = async |name: &str, content: &[u8]| {
        fs::write(dir.join(name), content).unwrap();
        let started = EmbeddedNode::start(sealed(&payer, &dir, "open sesame")).await;
        assert!(
            matches!(started, Err(NodeError::Storage(_) | NodeError::Config(_))),
            "{name}: {:?}",
            started.err()
        );
    };
    refused("octroi-sealed.sqlite", &[&[0; 4096][..], &database[4096..]].concat()).await;
    refused("octroi-sealed.sqlite", &database[..database.len() / 2]).await;
    // A bit here and there behind the first two pages: whatever record is read first is damaged.
    let mut spoilt = database.clone();
    spoilt.iter_mut().skip(2 * 4096).step_by(64).for_each(|byte| *byte ^= 1);
    refused("octroi-sealed.sqlite", &spoilt).await;
    fs::write(dir.join("octroi-sealed.sqlite"), &database).unwrap();
    refused("octroi-keys.json", &keys[..keys.len() / 2]).await;
    refused("octroi-keys.json", b"").await;
    fs::write(dir.join("octroi-keys.json"), &keys).unwrap();
    let node = EmbeddedNode::start(sealed(&payer, &dir, "open sesame")).await.unwrap();
    assert_eq!(node.channels().await.unwrap().len(), 1, "whole again, nothing is lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_cannot_be_written_is_said() {
    let payer = payer().await;
    let file = payer.store.path().join("file");
    fs::write(&file, "not a folder").unwrap();
    let inside = |path: &Path| settings(&payer, path, payer.chain.source());
    for path in [file.clone(), file.join("inside")] {
        let started = EmbeddedNode::start(inside(&path)).await;
        assert!(matches!(started, Err(NodeError::Storage(_))), "{:?}", started.err());
    }
}

/// The way to the chain, which can be cut.
struct Way {
    address: SocketAddr,
    is_open: watch::Sender<bool>,
}

impl Way {
    async fn to(chain: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (is_open, watching) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut watching = watching.clone();
                tokio::spawn(async move {
                    if !*watching.borrow() {
                        return;
                    }
                    let Ok(mut far) = TcpStream::connect(chain).await else { return };
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                        _ = watching.wait_for(|is_open| !is_open) => {}
                    }
                });
            }
        });
        Self { address, is_open }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_chain_a_node_sells_on_and_sees_all_of_it_later() {
    let payer = payer().await;
    let way = Way::to(payer.chain.address()).await;
    let ChainSource::Bitcoind { host, user, password, .. } = payer.chain.source() else {
        panic!("no bitcoind")
    };
    let source = ChainSource::Bitcoind { host, port: way.address.port(), user, password };
    let node = start(settings(&payer, &payer.store.path().join("gate"), source)).await;
    open(&payer, &node).await;
    one_payment(&payer, &node).await;
    way.is_open.send_replace(false);
    until("it cannot look", async || node.sync().await.is_err()).await;
    one_payment(&payer, &node).await;
    payer.chain.mine(12);
    payer.node.sync().await.unwrap();
    assert!(node.info().await.unwrap().block_height < payer.chain.height());
    way.is_open.send_replace(true);
    until("it sees all", async || {
        node.sync().await.is_ok() && node.info().await.unwrap().block_height == payer.chain.height()
    })
    .await;
    let hash = one_payment(&payer, &node).await;
    assert!(matches!(payer.node.outgoing(&hash).await.unwrap(), Outgoing::Paid(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn looks_at_the_chain_that_meet_at_a_start_are_one() {
    let payer = payer().await;
    let dir = payer.store.path().join("gate");
    for _ in 0..4 {
        let config = settings(&payer, &dir, payer.chain.source());
        let node = Arc::new(EmbeddedNode::start(config).await.unwrap());
        let mut looks = tokio::task::JoinSet::new();
        for _ in 0..16 {
            let node = Arc::clone(&node);
            looks.spawn(async move { node.sync().await });
        }
        payer.chain.mine(1);
        for looked in looks.join_all().await {
            looked.unwrap();
        }
        until("it sees the tip", async || {
            node.sync().await.unwrap();
            node.info().await.unwrap().block_height == payer.chain.height()
        })
        .await;
        nothing_new(&node, &[]).await;
        node.stop().await;
    }
}
