//! Challenges and payments over real Lightning nodes on a regtest chain: what a caller waits for an invoice with each backend, made
//! when it is asked for and made ahead, and how many calls a second are paid for one by one.
//!
//! The nodes that are not in the gate are the testkit's: their API on loopback, made slower by [`LATENCY`] for every answer, which
//! stands for the network and the work of a real one.

use std::fmt::Write;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use octroi_l402::Msat;
use octroi_lightning::embedded::EmbeddedNode;
use octroi_lightning::{LightningNode, Password};
use octroi_testkit::nodes::{Pair, Payer, StoreDir};
use octroi_testkit::{node_apis, wallet_api};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::failure::{Failure, Measured};
use crate::load::Connection;
use crate::process::{Running, free_address};
use crate::request::{PAID, request};
use crate::stats::percentile;
use crate::upstream::Upstream;

/// What every answer of a node that is not in the gate takes longer.
const LATENCY: Duration = Duration::from_millis(50);
/// Challenges of each row, in rounds that a stock of invoices lasts for.
const ROUNDS: usize = 6;
const ROUND: usize = 12;
/// Invoices kept ready in the rows that have them; as many as a round asks for, and some.
const READY: usize = 16;
/// How long a stock may take to be filled.
const STOCK_WAIT: Duration = Duration::from_secs(60);
/// Paid calls of each row.
const PAID_CALLS: usize = 64;
/// Callers that pay at once.
const PAYERS: [usize; 2] = [1, 16];
/// The most for routing; the one hop there is takes nothing.
const FEE_MAX: Msat = Msat::new(10_000);
/// The longest a payment is waited for.
const PAYMENT_WAIT: Duration = Duration::from_secs(60);

/// What callers waited, in nanoseconds, sorted.
struct Row {
    name: String,
    waits: Vec<u64>,
    per_second: Option<f64>,
}

/// Measures, prints the table, and writes it beside the others.
pub(crate) fn run() -> Measured {
    let here = std::env::current_exe().map_err(Failure::of("this program's own path"))?;
    let profile = here.parent().ok_or_else(|| Failure::new("this program stands in no folder"))?;
    let folder = profile.parent().unwrap_or(profile).join("bench");
    fs::create_dir_all(&folder).map_err(Failure::of("the folder of the report"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::of("the nodes' runtime"))?;
    let rows = runtime.block_on(measure(&profile.join("octroi")))?;
    let text = table(&rows);
    fs::write(folder.join("lightning.md"), &text).map_err(Failure::of("lightning.md"))?;
    println!("{text}");
    Ok(())
}

fn table(rows: &[Row]) -> String {
    let mut out = format!(
        "# Lightning, measured\n\nOf nodes outside the gate every answer takes {} ms longer.\n\n\
         | | p50 ms | p99 ms | per second |\n|---|---:|---:|---:|\n",
        LATENCY.as_millis()
    );
    for row in rows {
        let ms = |share| percentile(&row.waits, share) as f64 / 1e6;
        let rate = row.per_second.map_or_else(String::new, |rate| format!("{rate:.1}"));
        // Writing to a String cannot fail.
        let _ = writeln!(out, "| {} | {:.2} | {:.2} | {rate} |", row.name, ms(0.5), ms(0.99));
    }
    out
}

async fn measure(binary: &Path) -> Measured<Vec<Row>> {
    let upstream = Upstream::start()?;
    let mut rows = Vec::new();
    for backend in ["lnd", "cln", "phoenixd", "lnbits", "lnurl"] {
        for ready in [0, READY] {
            eprintln!("octroi-bench: challenges, {backend}, {ready} ready");
            rows.push(outside(binary, &upstream, backend, ready).await?);
        }
    }
    let store = StoreDir::temporary().map_err(Failure::of("a folder for the nodes"))?;
    let payer = Payer::start(store).await.map_err(Failure::of("the payer"))?;
    let lines = format!(
        "backend = \"embedded\"\nchain = \"{}\"\nlisten = [\"{}\"]\ntrusted_peers = [\"{}\"]\n\
         passphrase = \"of the benchmark\"\n",
        payer.chain.url(),
        free_address()?,
        payer.id()
    );
    for ready in [0, READY] {
        eprintln!("octroi-bench: challenges, embedded, {ready} ready");
        let gate = Gate::start(binary, payer.store.path(), upstream.address, &lines, ready)?;
        gate.channel_of(&payer).await?;
        rows.push(challenges(&gate, "embedded", ready).await?);
        if ready > 0 {
            for payers in PAYERS {
                eprintln!("octroi-bench: paid calls, {payers} at once");
                rows.push(paid_calls(&gate, &payer.node, payers).await?);
            }
        }
    }
    Ok(rows)
}

/// Challenges of a gate whose node is another program.
async fn outside(binary: &Path, upstream: &Upstream, backend: &str, ready: usize) -> Measured<Row> {
    let store = StoreDir::temporary().map_err(Failure::of("a folder for the nodes"))?;
    let Pair { payee, payer } = Pair::start(store).await.map_err(Failure::of("the nodes"))?;
    let row = challenges_of(binary, upstream, backend, ready, &payee, payer.store.path()).await;
    // Before their folder goes.
    payee.stop().await;
    payer.node.stop().await;
    row
}

async fn challenges_of(
    binary: &Path,
    upstream: &Upstream,
    backend: &str,
    ready: usize,
    payee: &Arc<EmbeddedNode>,
    folder: &Path,
) -> Measured<Row> {
    let failed = "the node's API";
    let payee = Arc::clone(payee);
    if backend == "phoenixd" {
        // Its API is the wallet's of the testkit, and is as fast as it is.
        let password = Password::new("of the benchmark");
        let api = wallet_api::serve(payee, &password).await.map_err(Failure::of(failed))?;
        let lines =
            format!("backend = \"phoenixd\"\nurl = \"{}\"\npassword = \"{}\"\n", api.url, password.reveal());
        let gate = Gate::start(binary, folder, upstream.address, &lines, ready)?;
        return challenges(&gate, "phoenixd (no latency added)", ready).await;
    }
    let api = match backend {
        "lnd" => node_apis::lnd(payee).await,
        "cln" => node_apis::clnrest(payee).await,
        "lnbits" => node_apis::lnbits(payee).await,
        _ => node_apis::lnurl(payee).await,
    };
    let api = api.map_err(Failure::of(failed))?;
    let certificate = folder.join("node.pem");
    fs::write(&certificate, &api.certificate).map_err(Failure::of("node.pem"))?;
    let (url, secret, pinned) = (&api.url, &api.credential, certificate.display());
    let lines = match backend {
        "lnd" => format!("url = \"{url}\"\nmacaroon = \"{secret}\"\ntls_cert = \"{pinned}\"\n"),
        "cln" => format!("url = \"{url}\"\nrune = \"{secret}\"\ntls_cert = \"{pinned}\"\n"),
        "lnbits" => format!("url = \"{url}\"\nkey = \"{secret}\"\n"),
        _ => format!("address = \"{url}\"\n"),
    };
    let gate =
        Gate::start(binary, folder, upstream.address, &format!("backend = \"{backend}\"\n{lines}"), ready)?;
    api.faults.slow_down(LATENCY);
    challenges(&gate, backend, ready).await
}

/// What callers without anything wait for their 402.
async fn challenges(gate: &Gate, backend: &str, ready: usize) -> Measured<Row> {
    let ask = request(PAID, None);
    let mut connection = Connection::open(gate.address).await?;
    // The first wish of a price is not in stock.
    offer(&connection.call(&ask).await?)?;
    let mut waits = Vec::new();
    for _ in 0..ROUNDS {
        if ready > 0 {
            gate.stocked(ROUND).await?;
        }
        for _ in 0..ROUND {
            let start = Instant::now();
            let answer = connection.call(&ask).await?;
            waits.push(start.elapsed().as_nanos() as u64);
            offer(&answer)?;
        }
    }
    waits.sort_unstable();
    let made = if ready > 0 { "made ahead" } else { "made when asked for" };
    Ok(Row { name: format!("challenge, {backend}, {made}"), waits, per_second: None })
}

/// Calls that are each paid for: challenge, payment, call.
async fn paid_calls(gate: &Gate, payer: &Arc<EmbeddedNode>, at_once: usize) -> Measured<Row> {
    let mut callers = JoinSet::new();
    let start = Instant::now();
    for _ in 0..at_once {
        let (address, payer) = (gate.address, Arc::clone(payer));
        callers.spawn(async move {
            let mut connection = Connection::open(address).await?;
            let mut waits = Vec::new();
            for _ in 0..PAID_CALLS / at_once {
                let start = Instant::now();
                let (macaroon, invoice) = offer(&connection.call(&request(PAID, None)).await?)?;
                let paid = payer.pay(&invoice, FEE_MAX, PAYMENT_WAIT).await;
                let preimage = paid.map_err(Failure::of("a payment"))?.preimage.to_hex();
                let call = request(PAID, Some(&format!("L402 {macaroon}:{preimage}")));
                let (status, body) = connection.call(&call).await?;
                if status != 200 {
                    let body = String::from_utf8_lossy(&body).into_owned();
                    return Err(Failure::new(format!("a paid call was answered {status}: {body}")));
                }
                waits.push(start.elapsed().as_nanos() as u64);
            }
            Ok::<_, Failure>(waits)
        });
    }
    let mut waits = Vec::new();
    while let Some(done) = callers.join_next().await {
        waits.append(&mut done.map_err(Failure::of("a caller"))??);
    }
    let per_second = waits.len() as f64 / start.elapsed().as_secs_f64();
    waits.sort_unstable();
    let name = format!("challenge, payment and call, embedded, {at_once} callers");
    Ok(Row { name, waits, per_second: Some(per_second) })
}

/// Macaroon and invoice of a 402.
fn offer((status, body): &(u16, Vec<u8>)) -> Measured<(String, String)> {
    let said: Value = serde_json::from_slice(body).map_err(Failure::of("a challenge"))?;
    let offer = &said["error"]["data"]["l402"];
    match (status, offer["macaroon"].as_str(), offer["invoice"].as_str()) {
        (402, Some(macaroon), Some(invoice)) => Ok((macaroon.to_owned(), invoice.to_owned())),
        _ => Err(Failure::new(format!("no challenge, but {status}: {said}"))),
    }
}

/// A gate that sells to everybody, as its binary.
struct Gate {
    address: SocketAddr,
    ready: Value,
    _process: Running,
}

impl Gate {
    fn start(binary: &Path, dir: &Path, upstream: SocketAddr, node: &str, ready: usize) -> Measured<Self> {
        let file = dir.join("gate.toml");
        let ledger = dir.join(format!("octroi-{ready}.db"));
        let config = format!(
            "listen = \"127.0.0.1:0\"\n[ledger]\nurl = \"sqlite://{}\"\n[log]\nlevel = \"error\"\n\
             [lightning]\nnetwork = \"regtest\"\n{node}\
             invoices = {{ ready = {ready}, per_network = \"6000/m\", per_class = \"6000/m\" }}\n\
             [mcp_server]\nupstream = \"http://{upstream}/mcp\"\nchallenge = \"http\"\n\
             [mcp_server.auth.payment]\nfailed_payments = {{ free = 10000 }}\n\
             pricing = {{ {PAID} = {{ sats = 1 }} }}\n",
            ledger.display()
        );
        fs::write(&file, config).map_err(Failure::of("gate.toml"))?;
        let mut command = Command::new(binary);
        command.arg("serve").arg(&file).arg("--json").current_dir(dir).stdout(Stdio::piped());
        let mut process = Running::start(command)?;
        let mut line = String::new();
        BufReader::new(process.stdout()?).read_line(&mut line).map_err(Failure::of("the gate"))?;
        let ready: Value = serde_json::from_str(&line).map_err(Failure::of("the gate's first line"))?;
        let gate = ready["gate"].as_str().unwrap_or_default();
        let address = gate.strip_prefix("http://").and_then(|url| url.strip_suffix("/mcp")?.parse().ok());
        let address = address.ok_or_else(|| Failure::new(format!("the gate says it is at {gate:?}")))?;
        Ok(Self { address, ready, _process: process })
    }

    /// Gives an embedded node a channel, or waits for the one it has.
    async fn channel_of(&self, payer: &Payer) -> Measured {
        let failed = "the channel";
        let node = &self.ready["lightning"];
        let id = node["id"].as_str().unwrap_or_default();
        let address = node["listen"][0].as_str().and_then(|text| text.parse().ok());
        let address = address.ok_or_else(|| Failure::new("the gate's node listens nowhere"))?;
        let channels = payer.node.channels().await.map_err(Failure::of(failed))?;
        if channels.is_empty() {
            payer.open_channel(id, address).await.map_err(Failure::of(failed))?;
        } else {
            payer.node.connect(id, address).await.map_err(Failure::of(failed))?;
            payer.node.channel_usable(id, PAYMENT_WAIT).await.map_err(Failure::of(failed))?;
        }
        Ok(())
    }

    /// Waits until so many invoices are in stock.
    async fn stocked(&self, least: usize) -> Measured {
        let start = Instant::now();
        let mut connection = Connection::open(self.address).await?;
        let page = b"GET /lightning HTTP/1.1\r\nHost: localhost\r\n\r\n";
        loop {
            let (_, body) = connection.call(page).await?;
            let said: Value = serde_json::from_slice(&body).map_err(Failure::of("the operator's page"))?;
            if said["in_stock"].as_u64().is_some_and(|stock| stock as usize >= least) {
                return Ok(());
            }
            if start.elapsed() > STOCK_WAIT {
                return Err(Failure::new(format!("the stock was never filled: {said}")));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
