//! The same journey whichever node the gate is paid through: ask, pay, call, and the node going away.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use octroi_l402::Msat;
use octroi_lightning::{LightningNode, Password};
use octroi_testkit::node_apis::{self, Faults, NodeApi, nwc};
use octroi_testkit::nodes::{Pair, StoreDir};
use octroi_testkit::upstream::sample::Sample;
use octroi_testkit::wallet_api::{self, WalletApi};
use serde_json::json;

use crate::harness::{Caller, Gate, Launch, PATIENCE, soon};

pub(crate) const PASSWORD: &str = "a-password-that-nobody-logs";

/// What is lent to a gate.
pub(crate) struct Lent {
    /// What its configuration says of it.
    pub(crate) section: String,
    /// What must not stand in its log.
    pub(crate) secret: String,
    /// The node's API; dropped, it is gone.
    api: Box<dyn Api>,
}

/// An API of a node, whichever.
pub(crate) trait Api: Send {
    /// What is to go wrong with it.
    fn faults(&self) -> &Faults;

    /// How many invoices it has made; `None` where it does not count.
    fn invoices(&self) -> Option<usize>;
}

impl Api for NodeApi {
    fn faults(&self) -> &Faults {
        &self.faults
    }

    fn invoices(&self) -> Option<usize> {
        Some(self.invoices())
    }
}

impl Api for WalletApi {
    fn faults(&self) -> &Faults {
        &self.faults
    }

    fn invoices(&self) -> Option<usize> {
        None
    }
}

fn lent(section: String, api: NodeApi) -> Lent {
    let secret = api.credential.rsplit("secret=").next().unwrap_or_default().chars().take(64).collect();
    Lent { section, secret, api: Box::new(api) }
}

/// The payee behind an API of this kind.
pub(crate) async fn lend(kind: &str, payee: Arc<dyn LightningNode>, dir: &Path) -> Lent {
    let file = |name: &str, text: &str| {
        let path = dir.join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    match kind {
        "lnd" => {
            let api = node_apis::lnd(payee).await.unwrap();
            let certificate = file("lnd.pem", &api.certificate);
            let (url, macaroon) = (&api.url, &api.credential);
            lent(format!("url = \"{url}\"\nmacaroon = \"{macaroon}\"\ntls_cert = \"{certificate}\""), api)
        }
        "cln" => {
            let api = node_apis::clnrest(payee).await.unwrap();
            let certificate = file("cln.pem", &api.certificate);
            let (url, rune) = (&api.url, &api.credential);
            lent(format!("url = \"{url}\"\nrune = \"{rune}\"\ntls_cert = \"{certificate}\""), api)
        }
        "cln socket" => {
            let path = dir.join("lightning-rpc");
            let section = format!("socket = \"{}\"", path.display());
            lent(section, node_apis::cln_socket(payee, path).await.unwrap())
        }
        "phoenixd" => {
            let api = wallet_api::serve(payee, &Password::new(PASSWORD)).await.unwrap();
            let section = format!("url = \"{}\"\npassword = \"{PASSWORD}\"", api.url);
            Lent { section, secret: PASSWORD.to_owned(), api: Box::new(api) }
        }
        "lnbits" => {
            let api = node_apis::lnbits(payee).await.unwrap();
            lent(format!("url = \"{}\"\nkey = \"{}\"", api.url, api.credential), api)
        }
        "lnurl" => {
            let api = node_apis::lnurl(payee).await.unwrap();
            lent(format!("address = \"{}\"", api.url), api)
        }
        _ => {
            let terms = nwc::Terms { methods: nwc::LEAST.to_vec(), ..nwc::Terms::default() };
            let api = nwc::connect(payee, &terms).await.unwrap().into_api();
            lent(format!("connection = \"{}\"", api.credential), api)
        }
    }
}

/// Every node that is not in the gate.
const KINDS: [&str; 7] = ["lnd", "cln", "cln socket", "phoenixd", "lnbits", "lnurl", "nwc"];

async fn open(kind: &str, section: &str, upstream: &str, more: &str) -> Gate {
    let backend = kind.split(' ').next().unwrap();
    let config = format!(
        "listen = \"127.0.0.1:0\"\n[lightning]\nbackend = \"{backend}\"\nnetwork = \"regtest\"\n{section}\n\
         {more}\n[mcp_server]\nupstream = \"{upstream}\"\n\
         [[mcp_server.tools]]\nname = \"data_query\"\nprice = {{ sats = 2 }}\n"
    );
    Launch::new(&config, &[]).start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_node_sells_and_what_was_paid_outlives_it() {
    let pair = Pair::start(StoreDir::temporary().unwrap()).await.unwrap();
    let sample = Sample::start().await.unwrap();
    for kind in KINDS {
        let dir = StoreDir::temporary().unwrap();
        let Lent { section, secret, api } = lend(kind, pair.payee.clone(), dir.path()).await;
        let gate = open(kind, &section, &sample.url(), "invoices = { ready = 0 }").await;
        let caller = Caller::of(&gate);
        let query = || caller.call("data_query", json!({"query": "carts"}));

        let challenge =
            query().header("octroi-calls", "3").send().await.refused(402, "PAYMENT_REQUIRED").challenge();
        let payment = pair.payer.node.pay(&challenge.invoice, Msat::new(10_000), PATIENCE).await.unwrap();
        assert_eq!(payment.amount, Msat::new(6_000), "{kind}");
        let credential = format!("{}:{}", challenge.macaroon, payment.preimage.to_hex());
        gate.secrets.add(&credential);
        // The node's word comes a moment after the payer's.
        let first = soon(async {
            loop {
                let reply = query().paid(&credential).send().await;
                if reply.reason() != "PAYMENT_UNVERIFIED" {
                    return reply;
                }
            }
        })
        .await;
        first.worked();
        assert_eq!(gate.ledger().await["received_msat"], 6000, "{kind}");

        // Nobody is sold what could not be paid for, and what was paid is still good.
        drop(api);
        query().send().await.refused(503, "NO_LIQUIDITY");
        query().paid(&credential).send().await.worked();
        query().paid(&credential).send().await.worked();
        query().paid(&credential).send().await.refused(503, "NO_LIQUIDITY");
        assert_eq!(gate.ledger().await["captured"], 3, "{kind}");
        assert!(secret.is_empty() || !gate.log().contains(&secret), "{kind}");
    }
}

/// What strangers of one network may have in a minute.
const ALLOWED: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn no_node_is_flooded_and_a_slow_one_is_told_of() {
    let pair = Pair::start(StoreDir::temporary().unwrap()).await.unwrap();
    let sample = Sample::start().await.unwrap();
    for kind in KINDS {
        let dir = StoreDir::temporary().unwrap();
        let Lent { section, api, .. } = lend(kind, pair.payee.clone(), dir.path()).await;
        let more = format!(
            "invoices = {{ ready = 0, per_network = \"{ALLOWED}/h\" }}\nalerts = {{ slow_ms = 100, look_every_seconds = 1 }}"
        );
        let gate = open(kind, &section, &sample.url(), &more).await;
        api.faults().slow_down(Duration::from_millis(150));
        let mut made = 0;
        for number in 0..4 * ALLOWED {
            // Strangers, each of them new; the next one's call is another call.
            let caller = Caller::of(&gate);
            let reply = caller.call("data_query", json!({"query": number.to_string()})).send().await;
            match reply.status {
                402 => made += 1,
                _ => {
                    reply.refused(429, "RATE_LIMITED");
                }
            };
        }
        assert!((1..=ALLOWED).contains(&made), "{kind}: {made}");
        assert!(api.invoices().is_none_or(|there| there == made), "{kind}: as the node counts");
        assert!(gate.metrics().await.contains("octroi_alerts_total{alert=\"slow\"} 1"), "{kind}");
        assert!(gate.log().contains("making an invoice took "), "{kind}: {}", gate.log());
    }
}
