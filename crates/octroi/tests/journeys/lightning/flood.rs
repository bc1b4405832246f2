//! A flood of callers who never pay, counted at the node.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use futures_util::{StreamExt, stream};
use octroi_testkit::issuer::{Issuer, TokenSpec};
use octroi_testkit::node_apis;
use octroi_testkit::nodes::{Pair, StoreDir};
use octroi_testkit::upstream::sample::Sample;

use super::{SELLING, query};
use crate::harness::money::free_port;
use crate::harness::{Caller, Gate};

/// Invoices of a minute for all strangers, and for one of their networks.
const CLASS: usize = 40;
const NETWORK: usize = 10;

/// Callers of this machine, each from an address of its own; and callers that a proxy names.
const NEAR: u32 = 200;
const FAR: u32 = 600;

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_makes_no_more_invoices_than_allowed_and_takes_nobody_else_s() {
    let Pair { payee, payer } = Pair::start(StoreDir::temporary().unwrap()).await.unwrap();
    let (sample, issuer) = (Sample::start().await.unwrap(), Issuer::start().await.unwrap());
    let api = node_apis::clnrest(payee).await.unwrap();
    let certificate = payer.store.path().join("server.pem");
    std::fs::write(&certificate, &api.certificate).unwrap();
    let config = format!(
        "listen = \"127.0.0.1:{}\"\ntrusted_proxies = [\"127.0.0.1\"]\n[lightning]\nbackend = \"cln\"\nnetwork = \"regtest\"\n\
         url = \"{}\"\nrune = \"{}\"\ntls_cert = \"{}\"\ninvoice_expiry_seconds = 60\n\
         alerts = {{ look_every_seconds = 1 }}\n\
         invoices = {{ ready = 0, per_class = \"{CLASS}/m\", per_network = \"{NETWORK}/m\", per_caller = \"5/m\" }}\n\
         [mcp_server]\nupstream = \"{}\"\n[mcp_server.auth.identity]\nissuer = \"{}\"\nallow_insecure_http = true\n\
         allow_private_addresses = true\n{SELLING}",
        free_port(),
        api.url,
        api.credential,
        certificate.display(),
        sample.url(),
        issuer.url(),
    );
    let gate = Gate::serve(&config).await;
    let caller = Caller::of(&gate);
    let began = Instant::now();
    // All strangers of a network fill their allowance, then wait or work.
    let allowed = |most: usize| {
        let refilled = began.elapsed().as_secs_f64() / 60.0;
        (most as f64 * (1.0 + refilled)).ceil() as usize + 1
    };

    let near = stream::iter(0..NEAR).map(|number| {
        let from = IpAddr::V4(Ipv4Addr::new(127, 0, 0, u8::try_from(2 + number % 250).unwrap()));
        let mut caller = caller.clone();
        caller.http = reqwest::Client::builder().local_address(from).build().unwrap();
        async move { query(&caller).send().await.status }
    });
    let statuses: Vec<u16> = near.buffer_unordered(16).collect().await;
    let made = statuses.iter().filter(|status| **status == 402).count();
    assert!(statuses.iter().all(|status| matches!(status, 402 | 429)), "{statuses:?}");
    assert!((1..=allowed(NETWORK)).contains(&made), "{made} for one network");
    assert_eq!(api.invoices(), made, "as the node counts");

    let far = stream::iter(0..FAR).map(|number| {
        let caller = &caller;
        async move {
            let from = Ipv4Addr::from_bits(0xcb00_0000 + (number << 8));
            query(caller).header("x-forwarded-for", &from.to_string()).send().await.status
        }
    });
    let statuses: Vec<u16> = far.buffer_unordered(16).collect().await;
    assert!(statuses.iter().all(|status| matches!(status, 402 | 429)), "{statuses:?}");
    let made = api.invoices();
    assert!(made <= allowed(CLASS), "{made} for all strangers of {} networks", FAR + 1);

    // Whoever is known still gets an invoice each, and the same one again.
    for number in 0..10 {
        let token = issuer.token(TokenSpec::new(&format!("user-{number}"), &gate.url));
        let ask = query(&caller).bearer(&token);
        let first = ask.send().await.challenge();
        assert_eq!(ask.send().await.challenge().invoice, first.invoice);
    }
    assert_eq!(api.invoices(), made + 10);

    // When they have expired the node has none of them left.
    let pruned = async {
        while api.invoices() > 0 {
            tokio::time::sleep(super::LOOK).await;
        }
    };
    let pruning = tokio::time::timeout(std::time::Duration::from_secs(180), pruned).await;
    assert!(pruning.is_ok(), "{} invoices that nobody paid are kept", api.invoices());
    query(&caller).header("x-forwarded-for", "198.51.100.1").send().await.challenge();
}
