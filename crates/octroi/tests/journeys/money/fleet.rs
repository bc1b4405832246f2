//! Several gates on one PostgreSQL: what one of them sold or was told, the others know.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use octroi_testkit::postgres::{Cluster, ClusterOptions};
use serde_json::{Value, json};

use crate::harness::money::{POLICY, free_port};
use crate::harness::{Ask, Caller, Gate, Launch, Market, soon};

/// Two gates before one server. The first has a node and sells; the second only takes what was sold.
struct Fleet {
    first: Market,
    second: Gate,
    _cluster: Cluster,
}

impl Fleet {
    async fn open() -> Self {
        let cluster = tokio::task::spawn_blocking(|| Cluster::start(ClusterOptions::default())).await;
        let cluster = cluster.unwrap().unwrap();
        let (url, key) = (cluster.fresh_url(), "42".repeat(32));
        let (ledger, secret) = (format!("ledger.url={url}"), format!("secrets.master_key={key}"));
        let first = Market::open(&["--set", &ledger, "--set", &secret]).await;
        let config = format!(
            r#"
listen = "127.0.0.1:{}"
[ledger]
url = "{url}"
[secrets]
master_key = "{key}"
[mcp_server]
upstream = "{}"
[mcp_server.auth.identity]
issuer = "{}"
audience = "{}"
allow_insecure_http = true
allow_private_addresses = true
{POLICY}"#,
            free_port(),
            first.sample.url(),
            first.issuer.url(),
            first.gate.url,
        );
        let second = Launch::new(&config, &[]).start().await;
        Self { first, second, _cluster: cluster }
    }

    /// The same call at either gate.
    fn describe(&self) -> (Ask, Ask) {
        let call = |caller: &Caller| caller.call("image_describe", json!({"url": "http://x/y.png"}));
        (call(&self.first.caller), call(&Caller::of(&self.second)))
    }

    /// Buys a call with `token` at the first gate; the credential, when its money is there.
    async fn buy(&self, token: &str, received_msat: i64) -> String {
        let (here, _) = self.describe();
        let credential = self.first.pay(&here.bearer(token).send().await.challenge()).await;
        self.second.secrets.add(&credential);
        let booked = async {
            while self.first.gate.ledger().await["received_msat"] != received_msat {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        soon(booked).await;
        credential
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_stands_for_its_token_at_every_gate() {
    let fleet = Fleet::open().await;
    let token = fleet.first.token("alice");
    for gate in [&fleet.first.gate, &fleet.second] {
        gate.secrets.add(&token);
    }
    let (here, there) = fleet.describe();
    let credential = fleet.buy(&token, 3_000).await;
    let caller = Caller::of(&fleet.second);
    let elsewhere = caller.call("image_describe", json!({"url": "http://x/z.png"}));
    elsewhere.paid(&credential).send().await.refused(401, "MISSING_TOKEN");
    there.clone().paid(&credential).send().await.worked();
    let again = here.clone().paid(&credential).send().await;
    again.worked();
    assert_eq!(again.headers["octroi-replayed"], "true", "one call, whichever gate is asked");

    // The gate that sold it is gone when its buyer comes.
    let credential = fleet.buy(&token, 6_000).await;
    let Fleet { first, second, .. } = fleet;
    let Market { gate, sample, .. } = first;
    let first = gate.kill();
    there.paid(&credential).send().await.worked();
    assert_eq!(sample.calls_of("image_describe"), 2);
    assert_eq!(second.ledger().await["credit_msat"], Value::from(0));
    drop(first);
}

/// How many failures of a kind a gate has dealt with.
async fn dealt(gate: &Gate, kind: &str) -> u64 {
    let line = format!("octroi_failed_payments_total{{service=\"mcp\",kind=\"{kind}\"}} ");
    let metrics = gate.metrics().await;
    let found = metrics.lines().find_map(|one| one.strip_prefix(&line));
    found.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("{metrics}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn who_fails_to_pay_at_one_gate_is_slowed_at_the_other() {
    let fleet = Fleet::open().await;
    let token = fleet.first.token("alice");
    let credential = fleet.buy(&token, 3_000).await;
    let (_, there) = fleet.describe();
    let forge = |caller: &Caller, n: u32| {
        let call = caller.call("image_describe", json!({"url": "http://x/y.png"}));
        call.bearer(&token).paid(&forged(&credential, n))
    };
    let mut n = 0;
    loop {
        n += 1;
        let reply = forge(&fleet.first.caller, n).send().await;
        if reply.status == 429 {
            break;
        }
        assert!(n < 200, "never slowed: {}", reply.text);
    }
    let second = Caller::of(&fleet.second);
    let slowed = async {
        loop {
            n += 1;
            let reply = forge(&second, n).send().await;
            if reply.status == 429 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    soon(slowed).await;
    assert!(dealt(&fleet.first.gate, "forged").await >= 20);
    assert!(dealt(&fleet.second, "forged").await < 10, "not for what it did there");
    // Who has failed at nothing is not slowed.
    let other = fleet.first.token("bob");
    let reply = there.bearer(&other).paid(&forged(&credential, 1)).send().await;
    assert_ne!(reply.status, 429, "{}", reply.text);
}

/// The credential under another signature.
fn forged(credential: &str, n: u32) -> String {
    let (macaroon, preimage) = credential.split_once(':').unwrap();
    let mut bytes = STANDARD.decode(macaroon).unwrap();
    let last = bytes.len() - 4;
    bytes[last..].copy_from_slice(&n.to_be_bytes());
    format!("{}:{preimage}", STANDARD.encode(bytes))
}
