//! The operator's program for more room to receive, with nodes that are not in the gate.

use octroi_l402::Msat;
use octroi_lightning::{InvoiceRequest, LightningNode, PayError};
use octroi_testkit::nodes::{Pair, StoreDir};
use octroi_testkit::upstream::sample::Sample;

use super::{SELLING, query, until};
use crate::harness::{Caller, Launch, PATIENCE};
use crate::money::backends::lend;

/// Between what the node can receive at first and what it can when it has received this much.
const THRESHOLD_SATS: i64 = 850_000;
const MUCH_SATS: i64 = 90_000;

/// Says more than anybody reads, leaves what it was started with, and fails.
const PROGRAM: &str =
    "echo $OCTROI_ALERT: $OCTROI_ALERT_TEXT >> runs; env > env; yes program | head -c 1000000; exit 3";

/// Moves so much from one node to the other, past any gate.
async fn send(from: &dyn LightningNode, to: &dyn LightningNode) {
    let request = InvoiceRequest {
        amount: Msat::from_sat(MUCH_SATS).unwrap(),
        description: "between the two".to_owned(),
        expiry: PATIENCE,
        preimage: None,
    };
    let invoice = to.create_invoice(request).await.unwrap();
    // A payment under way takes room until it is settled at both ends.
    until(async || from.pay(&invoice.bolt11, Msat::ZERO, PATIENCE).await != Err(PayError::NoRoute)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_program_is_started_once_told_little_and_stops_nothing() {
    for kind in ["lnd", "cln"] {
        let pair = Pair::start(StoreDir::temporary().unwrap()).await.unwrap();
        let sample = Sample::start().await.unwrap();
        let dir = StoreDir::temporary().unwrap();
        let lent = lend(kind, pair.payee.clone(), dir.path()).await;
        let config = format!(
            "listen = \"127.0.0.1:0\"\n[lightning]\nbackend = \"{kind}\"\nnetwork = \"regtest\"\n{}\n\
             [lightning.alerts]\nlow_inbound_sats = {THRESHOLD_SATS}\nlook_every_seconds = 1\n\
             webhook_secret = \"hunter2hunter2hunter2hunter2\"\nwebhook = \"http://127.0.0.1:9/\"\n\
             on_low_inbound = [\"sh\", \"-c\", \"{PROGRAM}\"]\n\
             [mcp_server]\nupstream = \"{}\"\n{SELLING}",
            lent.section,
            sample.url()
        );
        let launch = Launch::new(&config, &[]);
        let (runs, env) = (launch.folder().join("runs"), launch.folder().join("env"));
        let gate = launch.start().await;
        let caller = Caller::of(&gate);
        let told = |times: usize, on: usize| {
            let lines = [
                format!("octroi_alerts_total{{alert=\"low_inbound\"}} {times}"),
                format!("octroi_alert{{alert=\"low_inbound\"}} {on}"),
            ];
            let gate = &gate;
            async move {
                let metrics = gate.metrics().await;
                lines.iter().all(|line| metrics.contains(line))
            }
        };
        query(&caller).send().await.challenge();
        assert!(told(0, 0).await && !runs.exists(), "{kind}: there is room enough");

        send(&*pair.payer.node, &*pair.payee).await;
        until(async || told(1, 1).await).await;
        until(async || gate.log().contains("the program for more room to receive has failed")).await;
        let log = gate.log();
        let line = log.lines().find(|line| line.contains("has failed")).unwrap();
        assert!(line.contains("exit status: 3") && line.contains("program program"), "{kind}: {line}");
        assert!(line.len() < 4096, "{kind}: {}", line.len());
        query(&caller).send().await.challenge();

        let told_it = std::fs::read_to_string(&runs).unwrap();
        assert!(told_it.starts_with("low_inbound: ") && told_it.contains(" are wanted"), "{kind}: {told_it}");
        let env = std::fs::read_to_string(&env).unwrap();
        assert!(!env.contains("hunter2") && !env.contains(&lent.secret), "{kind}: {env}");

        // There is room again, and then there is not: no sooner than in ten minutes is it started once more.
        send(&*pair.payee, &*pair.payer.node).await;
        until(async || told(1, 0).await).await;
        send(&*pair.payer.node, &*pair.payee).await;
        until(async || told(2, 1).await).await;
        query(&caller).send().await.challenge();
        assert_eq!(std::fs::read_to_string(&runs).unwrap().lines().count(), 1, "{kind}");
    }
}
