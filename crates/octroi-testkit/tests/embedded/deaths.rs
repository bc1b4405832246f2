//! A node that dies at every write of a payment, in turn, as payee and as payer.
//!
//! The node is a process of its own (this test's executable, started again), whose disk ends the process right after a chosen
//! transaction is on it: what `kill -9` and a power cut leave. Then it is started again.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use octroi_l402::PaymentHash;
use octroi_lightning::embedded::{Disk, EmbeddedConfig, EmbeddedNode, FaultyDisk, Network, RecordKind};
use octroi_lightning::{LightningNode, Outgoing, PayError};
use octroi_testkit::nodes::Payer;
use serde_json::{Value, json};

use super::{FEE_MAX, PATIENCE, free_address, invoice, payer, until};

/// The environment of a process that is to be such a node.
const DYING: &str = "OCTROI_DYING_NODE";

/// What each payment is over, in satoshis.
const SAT: i64 = 2_000;

/// More transactions than a payment takes.
const WRITES_MAX: u32 = 40;

/// Without a write for this long, a payment has made its last.
const QUIET: Duration = Duration::from_millis(700);

/// How long a payment is waited for whose payee may be dead.
const PAYING: Duration = Duration::from_secs(20);

/// Blocks between two looks at the chain, and most looks.
const STRIDE: u32 = 24;
/// How long money may take to come back: LDK looks for what it can sweep every half minute.
const ON_CHAIN: Duration = Duration::from_secs(150);

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// Ends the process after so many transactions; none once it is disarmed.
#[derive(Default)]
struct Deadly {
    left: AtomicU32,
    written: AtomicU32,
}

impl FaultyDisk for Deadly {
    fn writing(&self, _: &[RecordKind]) -> std::io::Result<()> {
        Ok(())
    }

    fn written(&self, records: &[RecordKind]) {
        self.written.fetch_add(1, Ordering::AcqRel);
        if self.left.load(Ordering::Acquire) == 0 {
            return;
        }
        tell(&json!({"wrote": format!("{records:?}"), "channel": records.contains(&RecordKind::Channel),
            "channels": records.contains(&RecordKind::Channels)}));
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            // No destructor, no flush of anything.
            std::process::abort();
        }
    }
}

fn tell(line: &Value) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "\n@{line}").and_then(|()| out.flush());
}

/// The process that dies. Without its environment it is no test at all.
#[tokio::test(flavor = "multi_thread")]
async fn dying_process() {
    let Ok(settings) = std::env::var(DYING) else { return };
    let settings: Value = serde_json::from_str(&settings).unwrap();
    let text = |name: &str| settings[name].as_str().unwrap().to_owned();
    let deadly = Arc::new(Deadly::default());
    let chain = octroi_lightning::embedded::ChainSource::Bitcoind {
        host: text("host"),
        port: text("port").parse().unwrap(),
        user: text("user"),
        password: octroi_lightning::Password::new(text("password")),
    };
    let mut config = EmbeddedConfig::new(Network::Regtest, PathBuf::from(text("dir")), chain);
    config.passphrase = Some(octroi_lightning::Password::new("open sesame"));
    config.listen = vec![free_address()];
    config.trusted_0conf = vec![text("peer")];
    config.trusted_no_reserve = vec![text("peer")];
    config.disk = Some(Disk::new(Arc::<Deadly>::clone(&deadly)));
    let node = Arc::new(EmbeddedNode::start(config).await.unwrap());
    node.sync().await.unwrap();
    tell(&json!({"id": node.id(), "address": node.listening()[0].to_string()}));
    let (lines, mut asked) = tokio::sync::mpsc::channel(8);
    std::thread::spawn(move || {
        std::io::stdin().lines().map_while(Result::ok).all(|line| lines.blocking_send(line).is_ok())
    });
    while let Some(line) = asked.recv().await {
        let (command, argument) = line.split_once(' ').unwrap_or((&line, ""));
        tell(&answer(&node, &deadly, command, argument).await);
    }
    // Whoever started it is gone.
    std::process::exit(0);
}

async fn answer(node: &Arc<EmbeddedNode>, deadly: &Arc<Deadly>, command: &str, argument: &str) -> Value {
    match command {
        "invoice" => json!({"invoice": invoice(node, SAT).await.bolt11}),
        "arm" => {
            deadly.left.store(argument.parse().unwrap(), Ordering::Release);
            json!({})
        }
        "pay" => match node.pay(argument, FEE_MAX, PAYING).await {
            Ok(payment) => json!({"paid": payment.payment_hash.to_string()}),
            Err(error) => json!({"error": error.to_string(), "already": error == PayError::AlreadyPaid}),
        },
        "outgoing" => match node.outgoing(&argument.parse().unwrap()).await.unwrap() {
            Outgoing::Paid(_) => json!("paid"),
            Outgoing::Failed => json!("failed"),
            Outgoing::Pending => json!("pending"),
            Outgoing::Unknown => json!("unknown"),
        },
        // As the gate does: written down elsewhere first, then acknowledged.
        "settled" => match tokio::time::timeout(Duration::ZERO, node.next_settlement(None)).await {
            Ok(settlement) => {
                let settlement = settlement.unwrap();
                node.acknowledge(&settlement).await.unwrap();
                json!({"hash": settlement.payment_hash.to_string(), "msat": settlement.amount.as_i64()})
            }
            Err(_) => Value::Null,
        },
        "quiet" => {
            let mut before = u32::MAX;
            while before != deadly.written.load(Ordering::Acquire) {
                before = deadly.written.load(Ordering::Acquire);
                tokio::time::sleep(QUIET).await;
            }
            deadly.left.store(0, Ordering::Release);
            json!({})
        }
        "sync" => json!(node.sync().await.map_err(|error| error.to_string())),
        "state" => {
            let channels = node.channels().await.unwrap();
            let balances = node.balances().await.unwrap();
            json!({"channels": channels.len(), "usable": channels.iter().any(|channel| channel.usable),
                "closing": node.closing().await.unwrap(), "coins": balances.onchain_sat,
                "outbound": balances.outbound.as_i64()})
        }
        "address" => json!({"address": node.new_address().await.unwrap()}),
        other => panic!("{other}?"),
    }
}

/// Such a process, from outside.
struct Dying {
    process: Child,
    asks: ChildStdin,
    tells: BufReader<ChildStdout>,
    id: String,
    address: SocketAddr,
    /// What it wrote since it was armed: whether a channel's state was in it, and whether the list of channels.
    wrote: Vec<(bool, bool, String)>,
}

impl Dying {
    fn start(payer: &Payer, dir: &str) -> Self {
        let source = payer.chain.source();
        let octroi_lightning::embedded::ChainSource::Bitcoind { host, port, user, password } = source else {
            panic!("no bitcoind")
        };
        let settings = json!({"host": host, "port": port.to_string(), "user": user, "password": password.reveal(),
            "peer": payer.id(), "dir": payer.store.path().join(dir)});
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["deaths::dying_process", "--exact", "--nocapture"])
            .env(DYING, settings.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (asks, tells) = (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        let address = free_address();
        let mut dying = Self { process, asks, tells, id: String::new(), address, wrote: Vec::new() };
        let ready = dying.hear().expect("it should start");
        dying.id = ready["id"].as_str().unwrap().to_owned();
        dying.address = ready["address"].as_str().unwrap().parse().unwrap();
        dying
    }

    /// The next answer; `None` when it has died.
    fn hear(&mut self) -> Option<Value> {
        loop {
            let mut line = String::new();
            if self.tells.read_line(&mut line).ok()? == 0 {
                return None;
            }
            // What the test's harness prints is not for us.
            let Some(told) = line.trim().strip_prefix('@') else { continue };
            let told: Value = serde_json::from_str(told).unwrap();
            match told["wrote"].as_str() {
                Some(wrote) => {
                    let both = (told["channel"] == true, told["channels"] == true, wrote.to_owned());
                    self.wrote.push(both);
                }
                None => return Some(told),
            }
        }
    }

    fn ask(&mut self, line: &str) -> Option<Value> {
        // What a dead one said last is read all the same.
        let _ = writeln!(self.asks, "{line}");
        tokio::task::block_in_place(|| self.hear())
    }

    fn must(&mut self, line: &str) -> Value {
        self.ask(line).unwrap_or_else(|| panic!("it died of {line:?}"))
    }

    /// Whether a channel's state was written after the last list of channels; `None` where both were last written together, when
    /// the list may be from before or after.
    fn is_ahead(&self) -> Option<bool> {
        let last = self.wrote.iter().rev().find(|(channel, channels, _)| *channel || *channels);
        match last {
            Some((true, true, _)) => None,
            Some((channel, ..)) => Some(*channel),
            None => Some(false),
        }
    }
}

impl Drop for Dying {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Started, met by the payer, with a channel that carries payments: the one from before, or a new one where that was closed.
async fn met(payer: &Payer, dir: &str) -> (Dying, bool) {
    let mut dying = Dying::start(payer, dir);
    let had = dying.must("state")["channels"].as_u64().unwrap() > 0;
    payer.node.connect(&dying.id, dying.address).await.unwrap();
    if !had {
        until("the payer knows that the channel is closed", async || {
            payer.node.channels().await.unwrap().iter().all(|channel| channel.peer != dying.id)
        })
        .await;
        payer.chain.mine(STRIDE);
        payer.node.sync().await.unwrap();
        dying.must("sync");
        payer.open_channel(&dying.id, dying.address).await.unwrap();
    }
    until("both ends can use it", async || {
        dying.must("state")["usable"] == true
            && payer.node.channels().await.unwrap().iter().any(|one| one.peer == dying.id && one.usable)
    })
    .await;
    (dying, had)
}

/// What happened at one write.
struct Death {
    /// Whether the channel was there when the node was started again.
    survived: bool,
    ahead: Option<bool>,
    wrote: String,
}

/// Kills at every write in turn, until a payment needs no more of them; `pay` is one payment, told of the process and its last
/// write, and gives whether the process lived through it.
async fn at_every_write(payer: &Payer, dir: &str, mut pay: impl AsyncFnMut(&mut Dying, u32) -> bool) {
    let mut deaths: Vec<Death> = Vec::new();
    for at in 1..=WRITES_MAX {
        let (mut dying, had) = met(payer, dir).await;
        if let Some(last) = deaths.last_mut() {
            last.survived = had;
        }
        let lived = pay(&mut dying, at).await;
        if lived {
            break;
        }
        let wrote = dying.wrote.last().map(|(.., wrote)| wrote.clone()).unwrap_or_default();
        deaths.push(Death { survived: true, ahead: dying.is_ahead(), wrote });
    }
    for (at, death) in deaths.iter().enumerate() {
        println!(
            "write {:2} {} survived: {}, channel ahead of the list: {:?}",
            at + 1,
            death.wrote,
            death.survived,
            death.ahead
        );
        let survives = death.ahead.map_or(death.survived, |ahead| !ahead);
        assert_eq!(death.survived, survives, "a channel closes there and only there");
    }
    let closed = deaths.iter().filter(|death| !death.survived).count();
    println!("{} writes, {closed} of them close the channel", deaths.len());
    assert!(deaths.len() > 4 && u32::try_from(deaths.len()).unwrap() < WRITES_MAX - 1);
}

/// Mines until no money is under way, on either side.
async fn settle_on_chain(payer: &Payer, dying: &mut Dying) -> Value {
    let give_up = Instant::now() + ON_CHAIN;
    while Instant::now() < give_up {
        let state = dying.must("state");
        if state["closing"] == json!([]) && payer.node.closing().await.unwrap().is_empty() {
            return state;
        }
        for one in state["closing"].as_array().unwrap() {
            assert_eq!(one["unasked"], true, "{one}");
        }
        payer.chain.mine(STRIDE);
        payer.node.sync().await.unwrap();
        dying.must("sync");
        tokio::time::sleep(LOOK).await;
    }
    panic!("money is still under way: {} {:?}", dying.must("state"), payer.chain.refused());
}

/// Coins for the fees of closings, as docs/lightning.md asks for.
async fn funded(payer: &Payer, dir: &str) {
    let (mut dying, _) = met(payer, dir).await;
    payer.chain.fund(dying.must("address")["address"].as_str().unwrap()).unwrap();
    until("its coins are seen", async || {
        payer.chain.mine(STRIDE);
        payer.node.sync().await.unwrap();
        dying.must("sync");
        dying.must("state")["coins"].as_u64().unwrap() > 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payee_that_dies_at_any_write_of_a_payment_is_paid_once_or_not_at_all() {
    let payer = payer().await;
    funded(&payer, "gate").await;
    let mut hashes: Vec<PaymentHash> = Vec::new();
    at_every_write(&payer, "gate", async |dying, at| {
        let text = dying.must("invoice")["invoice"].as_str().unwrap().to_owned();
        hashes.push(octroi_lightning::bolt11::decode(&text).unwrap().payment_hash);
        dying.must(&format!("arm {at}"));
        let node = Arc::clone(&payer.node);
        let mut paying = tokio::spawn(async move { node.pay(&text, FEE_MAX, PATIENCE).await });
        until("it is paid, or the payee is dead", async || {
            paying.is_finished() || dying.process.try_wait().unwrap().is_some()
        })
        .await;
        if paying.is_finished() && dying.process.try_wait().unwrap().is_none() {
            (&mut paying).await.unwrap().unwrap();
        }
        paying.abort();
        dying.ask("quiet").is_some()
    })
    .await;

    let (mut dying, _) = met(&payer, "gate").await;
    settle_on_chain(&payer, &mut dying).await;
    let mut credited = std::collections::HashSet::new();
    until("each payment has an outcome, and is credited if it was paid", async || {
        while let Some(settled) = dying.must("settled").as_object() {
            assert_eq!(settled["msat"], SAT * 1000);
            credited.insert(settled["hash"].as_str().unwrap().parse::<PaymentHash>().unwrap());
        }
        let mut all = true;
        for hash in &hashes {
            match payer.node.outgoing(hash).await.unwrap() {
                Outgoing::Paid(_) => all &= credited.contains(hash),
                Outgoing::Failed | Outgoing::Unknown => {
                    assert!(!credited.contains(hash), "credited, and not paid")
                }
                Outgoing::Pending => all = false,
            }
        }
        all
    })
    .await;
    println!("{} payments, {} of them paid and credited", hashes.len(), credited.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payer_that_dies_at_any_write_of_a_payment_pays_once_and_knows_it() {
    let payee = payer().await;
    funded(&payee, "agent").await;
    let mut hashes: Vec<PaymentHash> = Vec::new();
    at_every_write(&payee, "agent", async |dying, at| {
        let wanted = invoice(&payee.node, SAT).await;
        hashes.push(wanted.payment_hash);
        dying.must(&format!("arm {at}"));
        if let Some(answer) = dying.ask(&format!("pay {}", wanted.bolt11)) {
            assert_eq!(answer["paid"], wanted.payment_hash.to_string());
        }
        dying.ask("quiet").is_some()
    })
    .await;

    let (mut dying, _) = met(&payee, "agent").await;
    settle_on_chain(&payee, &mut dying).await;
    let mut received = std::collections::HashMap::<PaymentHash, u32>::new();
    until("each payment has the same outcome at both ends", async || {
        while let Ok(settled) = tokio::time::timeout(Duration::ZERO, payee.node.next_settlement(None)).await {
            let settled = settled.unwrap();
            payee.node.acknowledge(&settled).await.unwrap();
            *received.entry(settled.payment_hash).or_default() += 1;
        }
        let mut all = true;
        for hash in &hashes {
            let outgoing = dying.must(&format!("outgoing {hash}"));
            match outgoing.as_str().unwrap() {
                "paid" => all &= received.contains_key(hash),
                "pending" => all = false,
                _ => assert!(!received.contains_key(hash), "{outgoing}, and it arrived"),
            }
        }
        all
    })
    .await;
    assert!(received.values().all(|&times| times == 1), "{received:?}");
    println!("{} payments, {} of them arrived", hashes.len(), received.len());
}
