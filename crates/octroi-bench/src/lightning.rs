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
type Waits = Vec<u64>;

/// What was measured.
struct Report {
    challenges: Vec<Challenges>,
    paid: Vec<Paid>,
}

/// Challenges with one kind of node.
struct Challenges {
    backend: &'static str,
    /// Each invoice made when it was asked for.
    asked: Waits,
    /// Invoices made ahead.
    ahead: Waits,
}

/// Calls that were each paid for.
struct Paid {
    callers: usize,
    waits: Waits,
    per_second: f64,
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
    let report = runtime.block_on(measure(&profile.join("octroi")))?;
    let text = table(&report);
    fs::write(folder.join("lightning.md"), &text).map_err(Failure::of("lightning.md"))?;
    println!("{text}");
    Ok(())
}

fn table(report: &Report) -> String {
    let ms = |waits: &Waits, share| percentile(waits, share) as f64 / 1e6;
    let mut out = format!(
        "# Lightning, measured\n\nOf nodes outside the gate every answer takes {} ms longer.\n\n\
         | challenge | asked for: p50 ms | p99 ms | made ahead: p50 ms | p99 ms | times as fast (p50) |\n\
         |---|---:|---:|---:|---:|---:|\n",
        LATENCY.as_millis()
    );
    for Challenges { backend, asked, ahead } in &report.challenges {
        let times = ms(asked, 0.5) / ms(ahead, 0.5).max(f64::MIN_POSITIVE);
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "| `{backend}` | {:.2} | {:.2} | {:.2} | {:.2} | {times:.0} |",
            ms(asked, 0.5),
            ms(asked, 0.99),
            ms(ahead, 0.5),
            ms(ahead, 0.99),
        );
    }
    out.push_str("\n| challenge, payment and call | per second | p50 ms | p99 ms |\n|---|---:|---:|---:|\n");
    for Paid { callers, waits, per_second } in &report.paid {
        let (p50, p99) = (ms(waits, 0.5), ms(waits, 0.99));
        let _ = writeln!(
            out,
            "| `embedded`, callers at once: {callers} | {per_second:.1} | {p50:.0} | {p99:.0} |"
        );
    }
    out
}

async fn measure(binary: &Path) -> Measured<Report> {
    let upstream = Upstream::start()?;
    let mut report = Report { challenges: Vec::new(), paid: Vec::new() };
    for backend in ["lnd", "cln", "cln socket", "phoenixd", "lnbits", "nwc", "lnurl"] {
        eprintln!("octroi-bench: challenges, {backend}");
        let asked = outside(binary, &upstream, backend, 0).await?;
        let ahead = outside(binary, &upstream, backend, READY).await?;
        report.challenges.push(Challenges { backend, asked, ahead });
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
    let mut waits = Vec::new();
    for ready in [0, READY] {
        eprintln!("octroi-bench: challenges, embedded, {ready} ready");
        let gate = Gate::start(binary, payer.store.path(), upstream.address, &lines, ready)?;
        gate.channel_of(&payer).await?;
        waits.push(challenges(&gate, ready).await?);
        if ready > 0 {
            for payers in PAYERS {
                eprintln!("octroi-bench: paid calls, {payers} at once");
                report.paid.push(paid_calls(&gate, &payer.node, payers).await?);
            }
        }
    }
    if let (Some(ahead), Some(asked)) = (waits.pop(), waits.pop()) {
        report.challenges.push(Challenges { backend: "embedded", asked, ahead });
    }
    payer.node.stop().await;
    Ok(report)
}

/// Challenges of a gate whose node is another program.
async fn outside(binary: &Path, upstream: &Upstream, backend: &str, ready: usize) -> Measured<Waits> {
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
) -> Measured<Waits> {
    let failed = "the node's API";
    let payee = Arc::clone(payee);
    if backend == "phoenixd" {
        let password = Password::new("of the benchmark");
        let api = wallet_api::serve(payee, &password).await.map_err(Failure::of(failed))?;
        let lines = format!("url = \"{}\"\npassword = \"{}\"\n", api.url, password.reveal());
        let gate = Gate::of(binary, folder, upstream, backend, &lines, ready)?;
        api.faults.slow_down(LATENCY);
        return challenges(&gate, ready).await;
    }
    let socket = folder.join("lightning-rpc");
    let api = match backend {
        "lnd" => node_apis::lnd(payee).await,
        "cln" => node_apis::clnrest(payee).await,
        "cln socket" => node_apis::cln_socket(payee, socket.clone()).await,
        "lnbits" => node_apis::lnbits(payee).await,
        "nwc" => {
            let connected = node_apis::nwc::connect(payee, &node_apis::nwc::Terms::default()).await;
            connected.map(node_apis::nwc::Connection::into_api)
        }
        _ => node_apis::lnurl(payee).await,
    };
    let api = api.map_err(Failure::of(failed))?;
    let certificate = folder.join("node.pem");
    fs::write(&certificate, &api.certificate).map_err(Failure::of("node.pem"))?;
    let (url, secret, pinned) = (&api.url, &api.credential, certificate.display());
    let lines = match backend {
        "lnd" => format!("url = \"{url}\"\nmacaroon = \"{secret}\"\ntls_cert = \"{pinned}\"\n"),
        "cln" => format!("url = \"{url}\"\nrune = \"{secret}\"\ntls_cert = \"{pinned}\"\n"),
        "cln socket" => format!("socket = \"{}\"\n", socket.display()),
        "lnbits" => format!("url = \"{url}\"\nkey = \"{secret}\"\n"),
        "nwc" => format!("connection = \"{secret}\"\n"),
        _ => format!("address = \"{url}\"\n"),
    };
    let gate = Gate::of(binary, folder, upstream, backend, &lines, ready)?;
    api.faults.slow_down(LATENCY);
    challenges(&gate, ready).await
}

/// What callers without anything wait for their 402.
async fn challenges(gate: &Gate, ready: usize) -> Measured<Waits> {
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
    Ok(waits)
}

/// Calls that are each paid for: challenge, payment, call.
async fn paid_calls(gate: &Gate, payer: &Arc<EmbeddedNode>, at_once: usize) -> Measured<Paid> {
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
    Ok(Paid { callers: at_once, waits, per_second })
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
    /// In front of a node that is another program.
    fn of(
        binary: &Path,
        dir: &Path,
        upstream: &Upstream,
        backend: &str,
        lines: &str,
        ready: usize,
    ) -> Measured<Self> {
        let kind = backend.split(' ').next().unwrap_or(backend);
        Self::start(binary, dir, upstream.address, &format!("backend = \"{kind}\"\n{lines}"), ready)
    }

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
