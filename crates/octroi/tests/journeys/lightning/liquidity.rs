//! Room to receive: where there is none, nothing is sold that could not be paid; somebody is told, a program is started, and when a
//! channel is there, sales go on.

use octroi_l402::Msat;
use octroi_lightning::LightningNode;
use octroi_testkit::nodes::{Payer, Provider, StoreDir, TICKET};
use octroi_testkit::upstream::sample::Sample;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::{embedded, query, until};
use crate::harness::money::node;
use crate::harness::{Caller, Launch, PATIENCE, soon};

/// One tool, for money or for work.
const SELLING: &str = r#"
[mcp_server.auth.payment]
pow_enabled = true
pow_difficulty = 8
pricing = { data_query = { msats = 1700 }, image_describe = { sats = 990000 } }
"#;

/// What is posted: the head, and the body. The first attempt is turned away.
async fn webhook() -> (String, mpsc::UnboundedReceiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (sender, posted) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut answers = ["HTTP/1.1 503 Busy"].into_iter();
        while let Ok((mut stream, _)) = listener.accept().await {
            let (mut text, mut buffer) = (String::new(), [0; 4096]);
            while !text.ends_with('}') {
                let read = stream.read(&mut buffer).await.unwrap();
                text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
            }
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            let answer = answers.next();
            if answer.is_none() {
                sender.send((head.to_owned(), serde_json::from_str(body).unwrap())).unwrap();
            }
            let answer = answer.unwrap_or("HTTP/1.1 200 OK");
            let answer = format!("{answer}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (url, posted)
}

#[tokio::test(flavor = "multi_thread")]
async fn without_room_to_receive_work_is_offered_and_the_operator_is_told() {
    let payer = Payer::start(StoreDir::temporary().unwrap()).await.unwrap();
    let sample = Sample::start().await.unwrap();
    let (url, mut posted) = webhook().await;
    let lines = format!(
        "[lightning.alerts]\nlow_inbound_sats = 1000\nlook_every_seconds = 1\nwebhook = \"{url}\"\n\
         webhook_secret = \"hunter2hunter2hunter2hunter2\"\n\
         on_low_inbound = [\"sh\", \"-c\", \"echo $OCTROI_ALERT > started\"]\n"
    );
    let launch = Launch::new(&embedded(&payer, &sample.url(), &lines, SELLING), &[]);
    let started = launch.folder().join("started");
    let gate = launch.start().await;
    gate.secrets.add("hunter2hunter2hunter2hunter2");
    let caller = Caller::of(&gate);

    let refused = query(&caller).send().await;
    refused.refused(503, "NO_LIQUIDITY");
    assert!(!refused.text.contains("lnbcrt"), "no invoice that cannot be paid: {}", refused.text);
    assert!(!refused.data()["pow"].is_null(), "the free door: {}", refused.text);
    until(async || gate.metrics().await.contains("octroi_alert{alert=\"low_inbound\"} 1")).await;
    let (head, news) = soon(posted.recv()).await.unwrap();
    assert_eq!(
        (news["alert"].as_str(), news["raised"].as_bool()),
        (Some("low_inbound"), Some(true)),
        "{news}"
    );
    assert!(head.contains("octroi-signature: t=") && head.contains(",v1="), "{head}");
    assert!(gate.log().contains("Lightning alert"), "{}", gate.log());
    until(async || std::fs::read_to_string(&started).is_ok_and(|text| text == "low_inbound\n")).await;

    // As the operator's program would have it: somebody opens a channel.
    let (id, address) = node(&gate);
    payer.open_channel(&id, address).await.unwrap();
    until(async || query(&caller).send().await.status == 402).await;
    let challenge = query(&caller).send().await.challenge();
    let payment = payer.node.pay(&challenge.invoice, Msat::ZERO, PATIENCE).await.unwrap();
    let credential = format!("{}:{}", challenge.macaroon, payment.preimage.to_hex());
    query(&caller).paid(&credential).send().await.worked();
    let (_, news) = soon(posted.recv()).await.unwrap();
    assert_eq!(
        (news["alert"].as_str(), news["raised"].as_bool()),
        (Some("low_inbound"), Some(false)),
        "{news}"
    );
    until(async || gate.metrics().await.contains("octroi_alert{alert=\"low_inbound\"} 0")).await;

    // More than fits is still not asked for.
    let dear = caller.call("image_describe", serde_json::json!({"url": "https://example.com/cat.png"}));
    dear.send().await.refused(503, "NO_LIQUIDITY");
}

/// Dear enough for a channel to be worth opening.
const DEAR: &str = r#"
[mcp_server.auth.payment]
pricing = { data_query = { sats = 2000 } }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_large_purchase_brings_its_own_channel() {
    let payer = Payer::start(StoreDir::temporary().unwrap()).await.unwrap();
    let mut provider = Provider::start(&payer).await.unwrap();
    let sample = Sample::start().await.unwrap();
    let lines = format!("lsp = \"{}@{}\"\nlsp_token = \"{TICKET}\"\n", provider.id, provider.address);
    let gate = Launch::new(&embedded(&payer, &sample.url(), &lines, DEAR), &[]).start().await;
    let caller = Caller::of(&gate);
    payer.node.sync().await.unwrap();
    provider.sync().await.unwrap();
    let ask = query(&caller).header("octroi-calls", "50");
    until(async || ask.send().await.status == 402).await;
    let challenge = ask.send().await.challenge();
    let fee_most = Msat::from_sat(2_000).unwrap();
    let payment = payer.node.pay(&challenge.invoice, fee_most, PATIENCE).await.unwrap();
    let credential = format!("{}:{}", challenge.macaroon, payment.preimage.to_hex());
    until(async || query(&caller).paid(&credential).send().await.status == 200).await;
    let ledger = gate.ledger().await;
    assert_eq!(ledger["received_msat"], 100_000_000, "what was paid, the provider's fee included: {ledger}");
    let channels = super::done(&gate, "channels", &[]).await;
    assert_eq!(channels["channels"][0]["peer"].as_str(), Some(provider.id.as_str()), "{channels}");
    // What has room now needs nobody else.
    let next = query(&caller).send().await.challenge();
    payer.node.pay(&next.invoice, fee_most, PATIENCE).await.unwrap();
    until(async || gate.ledger().await["received_msat"] == 102_000_000).await;
}
