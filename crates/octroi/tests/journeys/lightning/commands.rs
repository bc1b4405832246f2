//! `octroi lightning …` from an empty folder to a node that was moved: what an operator does, in order.

use octroi_l402::{Msat, Preimage};
use octroi_lightning::{InvoiceRequest, LightningNode};
use octroi_server::{OperatorKey, SEAL_HEADER};
use octroi_testkit::nodes::{Payer, StoreDir};
use octroi_testkit::upstream::sample::Sample;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{SELLING, done, embedded, text, until};
use crate::harness::{Gate, Launch, PATIENCE};

/// The gate's key, known to the test so that it can seal as the operator does.
const MASTER: &str = "5f0e1d2c3b4a59687786958493a2b1c00f1e2d3c4b5a69788796a5b4c3d2e1f0";

fn operator(master: &str) -> OperatorKey {
    let mut hasher = Sha256::new();
    hasher.update(b"octroi operator key v1");
    hasher.update(hex::decode(master).unwrap());
    OperatorKey::new(hasher.finalize().into())
}

async fn post(gate: &Gate, page: &str, body: &str, seal: Option<&str>) -> u16 {
    let request = reqwest::Client::new().post(format!("{}{page}", gate.admin)).body(body.to_owned());
    let request = match seal {
        Some(seal) => request.header(SEAL_HEADER, seal),
        None => request,
    };
    request.send().await.unwrap().status().as_u16()
}

async fn usable_channel(gate: &Gate, payer: &Payer) -> Value {
    let mut channel = Value::Null;
    until(async || {
        payer.chain.mine(1);
        payer.node.sync().await.unwrap();
        channel = done(gate, "channels", &[]).await["channels"][0].clone();
        channel["usable"] == true
    })
    .await;
    channel
}

async fn coins(gate: &Gate) -> u64 {
    done(gate, "status", &[]).await["onchain_sat"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_makes_a_node_fills_it_spends_from_it_and_moves_it() {
    let payer = Payer::start(StoreDir::temporary().unwrap()).await.unwrap();
    let sample = Sample::start().await.unwrap();
    let lines = "passphrase_command = [\"echo\", \"open sesame\"]";
    let secrets = format!("[secrets]\nmaster_key = \"{MASTER}\"\n");
    let config = format!("{}{secrets}", embedded(&payer, &sample.url(), lines, SELLING));
    let launch = Launch::new(&config, &[]);

    let (code, made) = launch.lightning("init", &[]).await;
    assert_eq!((code, text(&made["words"]).split(' ').count()), (0, 24), "{made}");
    let (code, again) = launch.lightning("init", &[]).await;
    assert_eq!((code, &again["error"]["exit"]), (1, &json!(1)), "{again}");
    let (code, early) = launch.lightning("withdraw", &["bcrt1q", "--all", "--yes"]).await;
    assert_eq!(code, 6, "no gate runs: {early}");

    let gate = launch.start().await;
    let id = text(&done(&gate, "status", &[]).await["node"]["id"]);
    let address = text(&done(&gate, "address", &[]).await["address"]);
    payer.chain.fund(&address).unwrap();
    until(async || coins(&gate).await > 0).await;

    // Nobody said yes, and nobody without the key can.
    let peer = format!("{}@{}", payer.id(), payer.node.listening()[0]);
    let opening = [peer.as_str(), "--sats", "500000"];
    let (code, refused) = gate.launch().lightning("open-channel", &opening).await;
    assert_eq!(code, 5, "{refused}");
    let other = format!("secrets.master_key={}", MASTER.replace('5', "6"));
    let (code, refused) =
        gate.launch().lightning("open-channel", &[&opening[..], &["--yes", "--set", &other]].concat()).await;
    assert!(code == 1 && text(&refused["error"]["message"]).contains("seal"), "{refused}");
    assert_eq!(done(&gate, "channels", &[]).await["channels"], json!([]));

    // The coins may be spent once the wallet has seen that they are ripe.
    let yes = [&opening[..], &["--yes"]].concat();
    until(async || gate.launch().lightning("open-channel", &yes).await.0 == 0).await;
    until(async || payer.chain.waiting() > 0).await;
    let channel = usable_channel(&gate, &payer).await;
    assert_eq!(channel["capacity_sat"], 500_000);
    pays(&gate, &payer).await;
    no_request_counts_twice(&gate).await;
    closes_and_withdraws(&gate, &payer, &text(&channel["id"])).await;
    moves(gate, &id).await;
}

/// An invoice is paid within its fee limit, and one of the gate's is made and paid.
async fn pays(gate: &Gate, payer: &Payer) {
    let request = InvoiceRequest {
        amount: Msat::from_sat(50_000).unwrap(),
        description: "from the gate".to_owned(),
        expiry: std::time::Duration::from_secs(600),
        preimage: None,
    };
    let invoice = payer.node.create_invoice(request).await.unwrap();
    let paid = done(gate, "pay", &[&invoice.bolt11, "--yes", "--fee-max", "10"]).await;
    let preimage: Preimage = text(&paid["preimage"]).parse().unwrap();
    assert_eq!(preimage.payment_hash(), invoice.payment_hash);
    assert_eq!((&paid["amount_msat"], &paid["fee_msat"]), (&json!(50_000_000), &json!(0)));
    let (code, again) = gate.launch().lightning("pay", &[&invoice.bolt11, "--yes"]).await;
    assert!(code == 1 && text(&again["error"]["message"]).contains("paid already"), "{again}");
    let (code, junk) = gate.launch().lightning("pay", &["lnbcrt1junk", "--yes"]).await;
    assert_eq!(code, 1, "{junk}");

    let own = done(gate, "invoice", &["--sats", "1000"]).await;
    payer.node.pay(&text(&own["invoice"]), Msat::ZERO, PATIENCE).await.unwrap();
    until(async || gate.ledger().await["suspense_msat"] == 1_000_000).await;
}

/// A sealed request is done once, whoever sends it again; one without a seal never.
async fn no_request_counts_twice(gate: &Gate) {
    let page = "/lightning/close-channel";
    let body = json!({"request": "1", "channel": "00", "force": true}).to_string();
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let seal = operator(MASTER).seal(page, body.as_bytes(), now);
    assert_eq!(post(gate, page, &body, None).await, 403);
    assert_eq!(post(gate, "/lightning/pay", &body, Some(&seal)).await, 403, "sealed for another page");
    assert_eq!(post(gate, page, &body, Some(&seal)).await, 400, "no such channel");
    assert_eq!(post(gate, page, &body, Some(&seal)).await, 403, "used");
    let old = operator(MASTER).seal(page, body.as_bytes(), now - 50_000);
    assert_eq!(post(gate, page, &body, Some(&old)).await, 403);
}

async fn closes_and_withdraws(gate: &Gate, payer: &Payer, channel: &str) {
    let (code, refused) = gate.launch().lightning("close-channel", &["00", "--yes"]).await;
    assert!(code == 1 && text(&refused["error"]["message"]).contains("no such channel"), "{refused}");
    done(gate, "close-channel", &[channel, "--yes"]).await;
    until(async || done(gate, "channels", &[]).await["channels"] == json!([])).await;
    let to = payer.node.new_address().await.unwrap();
    let (code, refused) = gate.launch().lightning("withdraw", &["bc1qnothere", "--all", "--yes"]).await;
    assert_eq!(code, 1, "{refused}");
    let some = [&to, "--sats", "100000", "--sat-per-vbyte", "2", "--yes"];
    until(async || {
        payer.chain.mine(6);
        let (code, said) = gate.launch().lightning("withdraw", &some).await;
        code == 0 && text(&said["transaction"]).len() == 64
    })
    .await;
    until(async || {
        payer.chain.mine(6);
        payer.node.sync().await.unwrap();
        let (code, said) = gate.launch().lightning("withdraw", &[&to, "--all", "--yes"]).await;
        assert!(code == 0 || code == 1, "{said}");
        coins(gate).await == 0
    })
    .await;
}

/// The folder is copied while the gate is down, and the gate goes on from the copy; then the copy is old.
async fn moves(gate: Gate, id: &str) {
    let (code, busy) = gate.launch().lightning("backup", &["copy"]).await;
    assert_eq!(code, 1, "while it runs: {busy}");
    let launch = gate.kill();
    assert_eq!(launch.lightning("backup", &["copy"]).await.0, 0);
    let folder = launch.folder().join("octroi-lightning");
    let (code, taken) = launch.lightning("restore", &["copy"]).await;
    assert_eq!(code, 1, "over a node: {taken}");
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(launch.lightning("restore", &["copy"]).await.0, 0);
    let gate = launch.start().await;
    assert_eq!(text(&done(&gate, "status", &[]).await["node"]["id"]), id);

    let launch = gate.kill();
    std::fs::remove_dir_all(&folder).unwrap();
    let (code, old) = launch.lightning("restore", &["copy"]).await;
    assert!(code == 1 && text(&old["error"]["message"]).contains("older copy"), "{old}");
    let mut serve = launch.command();
    let output = tokio::task::spawn_blocking(move || serve.output()).await.unwrap().unwrap();
    assert_eq!(output.status.code(), Some(3), "nor does it begin anew in the place of a node that is gone");
}
