//! The node goes away, and comes back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use octroi_l402::Msat;
use octroi_lightning::LightningNode;
use octroi_testkit::node_apis;
use octroi_testkit::nodes::{Pair, StoreDir};
use octroi_testkit::upstream::sample::Sample;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::{SELLING, query, until};
use crate::harness::money::free_port;
use crate::harness::{Caller, Gate, PATIENCE};

/// A cable between the gate and its node, that can be pulled.
struct Cable {
    address: SocketAddr,
    is_in: watch::Sender<bool>,
    tries: Arc<AtomicUsize>,
}

impl Cable {
    async fn to(node: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (is_in, watching) = watch::channel(true);
        let tries = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&tries);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let mut watching = watching.clone();
                if !*watching.borrow_and_update() {
                    continue;
                }
                tokio::spawn(async move {
                    let mut far = TcpStream::connect(node).await.unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = watching.changed() => {}
                    }
                });
            }
        });
        Self { address, is_in, tries }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_node_is_away_money_on_accounts_is_good_and_nothing_else_is() {
    let Pair { payee, payer } = Pair::start(StoreDir::temporary().unwrap()).await.unwrap();
    let sample = Sample::start().await.unwrap();
    let api = node_apis::lnd(payee).await.unwrap();
    let far: SocketAddr = api.url.strip_prefix("https://").unwrap().parse().unwrap();
    let cable = Cable::to(far).await;
    let certificate = payer.store.path().join("tls.cert");
    std::fs::write(&certificate, &api.certificate).unwrap();
    let config = format!(
        "listen = \"127.0.0.1:{}\"\n[lightning]\nbackend = \"lnd\"\nnetwork = \"regtest\"\nurl = \"https://{}\"\n\
         macaroon = \"{}\"\ntls_cert = \"{}\"\ninvoices = {{ ready = 0 }}\nalerts = {{ look_every_seconds = 1 }}\n\
         [mcp_server]\nupstream = \"{}\"\n{SELLING}",
        free_port(),
        cable.address,
        api.credential,
        certificate.display(),
        sample.url(),
    );
    let gate = Gate::serve(&config).await;
    let caller = Caller::of(&gate);
    let pay =
        async |invoice: &str| payer.node.pay(invoice, Msat::ZERO, PATIENCE).await.unwrap().preimage.to_hex();

    let challenge = query(&caller).header("octroi-calls", "5").send().await.challenge();
    let credential = format!("{}:{}", challenge.macaroon, pay(&challenge.invoice).await);
    query(&caller).paid(&credential).send().await.worked();
    let open = query(&caller).send().await.challenge();

    cable.is_in.send(false).unwrap();
    until(async || gate.metrics().await.contains("octroi_lightning_up 0")).await;
    let tries = cable.tries.load(Ordering::SeqCst);
    for _ in 0..50 {
        let refused = query(&caller).send().await;
        refused.refused(503, "NO_LIQUIDITY");
        assert!(refused.headers.contains_key("retry-after"), "{refused:?}");
    }
    let asked = cable.tries.load(Ordering::SeqCst) - tries;
    assert!(asked < 25, "nobody waits for a node that is away: it was tried {asked} times");
    query(&caller).paid(&credential).send().await.worked();
    // Paid while the gate cannot know: a preimage alone admits nobody.
    let late = format!("{}:{}", open.macaroon, pay(&open.invoice).await);
    let unverified = query(&caller).paid(&late).send().await;
    assert_ne!(unverified.status, 200, "{}", unverified.text);
    assert_eq!(gate.ledger().await["captured"], 2);
    query(&caller).paid(&credential).send().await.worked();

    cable.is_in.send(true).unwrap();
    until(async || gate.metrics().await.contains("octroi_lightning_up 1")).await;
    until(async || query(&caller).paid(&late).send().await.status == 200).await;
    let challenge = query(&caller).send().await.challenge();
    let credential = format!("{}:{}", challenge.macaroon, pay(&challenge.invoice).await);
    until(async || query(&caller).paid(&credential).send().await.status == 200).await;
    let ledger = gate.ledger().await;
    assert_eq!(
        (&ledger["received_msat"], &ledger["suspense_msat"], &ledger["captured"]),
        (&(7 * 1700).into(), &0.into(), &5.into()),
        "{ledger}"
    );
    assert!(gate.metrics().await.contains("octroi_alerts_total{alert=\"node_down\"} 1"));
}
