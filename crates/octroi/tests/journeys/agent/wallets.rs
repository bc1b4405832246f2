//! Wallets of every make: each pays a call from the shell, and says what it holds.

use std::path::PathBuf;
use std::sync::Arc;

use octroi_lightning::{LightningNode, Password};
use octroi_testkit::node_apis::{self, NodeApi};
use octroi_testkit::wallet_api;
use serde_json::{Value, json};

use super::{Owner, PLAIN};
use crate::harness::Market;
use crate::harness::money::free_port;

/// Pays a call and looks at the balance; what the gate has received by then.
async fn pays(market: &Market, backend: &str, settings: &str, received_msat: &mut i64) {
    let section = format!("[lightning]\nnetwork = \"regtest\"\nbackend = {backend:?}\n{settings}");
    let owner = Owner::with_wallet(&section, PLAIN);
    let query = ["call", &market.gate.url, "data_query", "--arg", "query=carts"];
    let (code, out, err) = owner.run(&query).await;
    assert!(
        code == 0 && out.contains("north 41 carts") && err.contains("paid 1.7 sats"),
        "{backend} {settings}: {out}{err}"
    );
    *received_msat += 1700;
    let ledger = market.gate.ledger().await;
    assert_eq!(ledger["received_msat"], *received_msat, "{backend}: {ledger}");
    assert_eq!(owner.purse().await["spent"]["all_msat"], 1700, "{backend}");
    let (code, out, err) = owner.run(&["wallet", "balance", "--json"]).await;
    let balance: Value = serde_json::from_str(&out).unwrap_or_default();
    let holds = balance["outbound_msat"].as_i64().is_some_and(|msat| msat > 0);
    assert!(code == 0 && holds, "{backend}: {out}{err}");
}

/// The certificate of an API, as a file.
fn certificate(api: &NodeApi, folder: &tempfile::TempDir) -> PathBuf {
    let file = folder.path().join("tls.cert");
    std::fs::write(&file, &api.certificate).unwrap();
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_the_owner_s_pays_over_its_api() {
    let market = Market::open(&[]).await;
    let node = || Arc::clone(&market.payer.node) as Arc<dyn LightningNode>;
    let folder = tempfile::tempdir().unwrap();
    let mut received = 0;
    {
        let api = node_apis::lnd(node()).await.unwrap();
        let (url, macaroon, cert) = (&api.url, &api.credential, certificate(&api, &folder));
        let settings = format!("url = {url:?}\nmacaroon = {macaroon:?}\ntls_cert = {cert:?}\n");
        pays(&market, "lnd", &settings, &mut received).await;
    }
    {
        let api = node_apis::clnrest(node()).await.unwrap();
        let (url, rune, cert) = (&api.url, &api.credential, certificate(&api, &folder));
        let settings = format!("url = {url:?}\nrune = {rune:?}\ntls_cert = {cert:?}\n");
        pays(&market, "cln", &settings, &mut received).await;
    }
    {
        let socket = folder.path().join("lightning-rpc");
        let _api = node_apis::cln_socket(node(), socket.clone()).await.unwrap();
        pays(&market, "cln", &format!("socket = {socket:?}\n"), &mut received).await;
    }
    {
        let api = node_apis::lnbits(node()).await.unwrap();
        let settings = format!("url = {:?}\nkey = {:?}\n", api.url, api.credential);
        pays(&market, "lnbits", &settings, &mut received).await;
    }
    let api = wallet_api::serve(node(), &Password::new("a password")).await.unwrap();
    let settings = format!("url = {:?}\npassword = \"a password\"\n", api.url);
    pays(&market, "phoenixd", &settings, &mut received).await;
}

/// What makes the market's paying node a wallet inside the agent's own process; here it is stopped.
pub(super) async fn embedded(market: &Market) -> String {
    market.payer.node.stop().await;
    format!(
        "chain = {:?}\nstorage_dir = {:?}\nlisten = [\"127.0.0.1:{}\"]\n",
        market.payer.chain.url(),
        market.payer.store.path().join("payer"),
        free_port()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_inside_the_agent_pays() {
    let market = Market::open(&[]).await;
    let settings = embedded(&market).await;
    pays(&market, "embedded", &settings, &mut 0).await;
    // The bridge holds the node as long as it runs; another process is told so.
    let section = format!("[lightning]\nnetwork = \"regtest\"\nbackend = \"embedded\"\n{settings}");
    let owner = Owner::with_wallet(&section, PLAIN);
    let mut bridge = owner.connect(&market.gate.url, &[]);
    bridge.initialize(json!({})).await;
    let reply = bridge.ask(&super::call(1, "data_query", json!({"query": "carts"}))).await;
    assert!(reply.to_string().contains("north 41 carts"), "{reply}");
    let (code, _, err) = owner.run(&["wallet", "balance"]).await;
    assert!(code == 2 && err.contains("another Lightning node"), "{code} {err}");
    bridge.kill().await;
    let (code, out, err) = owner.run(&["wallet", "balance"]).await;
    assert_eq!(code, 0, "{out}{err}");
}
