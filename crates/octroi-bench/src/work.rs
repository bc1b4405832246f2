//! Proof of work: what solvers compute beside OpenSSL, what the gate spends on judging, and what a flood does to the honest.

use std::fs;
use std::hint::black_box;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use octroi_pow::solver::{Search, solve_challenge};
use octroi_pow::{Algorithm, Binding, Challenge, Difficulty, Request, Signer, Submission};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::failure::{Failure, Measured};
use crate::load::Connection;
use crate::process::{Processors, Running};
use crate::single::time;
use crate::stats::percentile;

const SERVICE: &str = "bench";
/// Difficulty of the puzzles that are judged, in bits: as much work to verify as any.
const JUDGED_BITS: u32 = 12;
/// Difficulty of the flooded gate's puzzles, in bits: a millisecond of one core.
const FLOODED_BITS: u32 = 14;
/// Connections that send nonsense, each again as soon as it is answered.
const FLOODERS: usize = 2000;
/// Honest solvers beside them.
const HONEST: usize = 8;
/// What 99 of 100 honest callers wait at most from asking for a puzzle to holding their credential, while the flood is on:
/// three round trips through a machine that is never idle.
pub(crate) const FLOOD_BOUND: Duration = Duration::from_secs(2);
/// Hashes between two looks at the clock.
const STRETCH: u32 = 4096;
/// How long a flood lasts at least: many times what an honest caller waits.
const FLOOD_LASTS_MIN: Duration = Duration::from_secs(5);
/// Challenges handed out to see what one costs in memory.
const OUTSTANDING: u32 = 200_000;

/// Everything about proof of work.
pub(crate) struct Work {
    /// Hashes per second of one core: this solver, and OpenSSL on messages of one block.
    pub(crate) hashes: f64,
    pub(crate) openssl: Option<f64>,
    /// Judgements per second of one core.
    pub(crate) judged: Vec<(&'static str, f64)>,
    /// Bytes by which this process grew for each challenge handed out and not yet solved.
    pub(crate) bytes_outstanding: f64,
    /// Honest callers alone, and beside a flood.
    pub(crate) waits: Vec<Waits>,
}

/// What honest callers waited, in milliseconds.
pub(crate) struct Waits {
    pub(crate) name: String,
    pub(crate) grants: usize,
    pub(crate) flood_per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

pub(crate) fn measure(binary: &Path, dir: &Path, processors: &Processors, lasts: Duration) -> Measured<Work> {
    eprintln!("octroi-bench: proof of work");
    let target = [0; 32];
    let mut search = Search::new("1dd34500e5870d5466f4b5d97e7ab31c", 0);
    let hashes = f64::from(STRETCH) / time(|| search.run(black_box(&target), STRETCH.into())) * 1e9;
    let waits = flood(binary, dir, processors, lasts)?;
    Ok(Work { hashes, openssl: openssl(), judged: judged()?, bytes_outstanding: outstanding()?, waits })
}

/// `openssl speed` on messages of 48 bytes, one block each like an attempt at a puzzle; `None` where there is no OpenSSL.
fn openssl() -> Option<f64> {
    let mut speed = Command::new("openssl");
    speed.args(["speed", "-mr", "-seconds", "1", "-bytes", "48", "sha256"]);
    let output = speed.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let line = text.lines().find(|line| line.starts_with("+F:") && line.contains("sha256"))?;
    line.rsplit(':').next()?.parse::<f64>().ok().map(|bytes| bytes / 48.0)
}

fn puzzle(signer: &Signer, kind: Algorithm, bits: u32, id: u128) -> Measured<Challenge> {
    let difficulty = Difficulty::from_bits(bits).map_err(Failure::of("a difficulty"))?;
    let binding = Binding {
        tool: None,
        principal: None,
        arguments_digest: None,
        calls: 1,
        service: SERVICE.to_owned(),
    };
    Ok(signer.issue_kind((kind, difficulty), binding, 0, u64::MAX, id.to_be_bytes()))
}

fn solved(challenge: Challenge) -> Measured<Submission> {
    let (cancel, progress) = (AtomicBool::new(false), AtomicU64::new(0));
    let nonce = solve_challenge(&challenge, NonZeroUsize::MIN, &cancel, &progress);
    let nonce = nonce.ok().flatten().ok_or_else(|| Failure::new("a puzzle was not solved"))?;
    Submission::new(challenge, nonce).map_err(Failure::of("a nonce"))
}

/// From the JSON that came to the verdict.
fn judged() -> Measured<Vec<(&'static str, f64)>> {
    let signer = Signer::new((0, [3; 32]));
    let request = Request { service: SERVICE, tool: None, principal: None, arguments_digest: None };
    let judge = |text: &str| {
        let submission: Submission = serde_json::from_str(text).ok()?;
        signer.verify(&submission.challenge, &submission.nonce, 1, &request).ok()
    };
    let mut rows = Vec::new();
    let mut row = |name, text: &str, good: bool| {
        if judge(text).is_some() != good {
            return Err(Failure::new(format!("{name}: judged wrongly")));
        }
        rows.push((name, 1e9 / time(|| judge(black_box(text)))));
        Ok(())
    };
    let text = |submission: &Submission| json!(submission).to_string();
    let plain = solved(puzzle(&signer, Algorithm::Sha256, JUDGED_BITS, 4)?)?;
    let even = solved(puzzle(&signer, Algorithm::Sha256x16, JUDGED_BITS, 5)?)?;
    row("good solution", &text(&plain), true)?;
    row("good solution of sixteen parts", &text(&even), true)?;
    let foreign = solved(puzzle(&Signer::new((0, [9; 32])), Algorithm::Sha256, JUDGED_BITS, 4)?)?;
    row("forged", &text(&foreign), false)?;
    let wrong = Submission { nonce: "no".to_owned(), ..plain };
    row("not solved", &text(&wrong), false)?;
    row("no JSON", &"{".repeat(8192), false)?;
    Ok(rows)
}

/// By how much this process grows for each challenge it hands out.
fn outstanding() -> Measured<f64> {
    let signer = Signer::new((0, [3; 32]));
    let resident = || {
        let status = fs::read_to_string("/proc/self/statm").unwrap_or_default();
        status.split_whitespace().nth(1).and_then(|pages| pages.parse::<f64>().ok()).unwrap_or_default()
            * 4096.0
    };
    // The allocator's own first steps are not the challenges'.
    for id in 0..1000 {
        drop(black_box(puzzle(&signer, Algorithm::Sha256, 20, id)?.to_token()));
    }
    let before = resident();
    for id in 0..u128::from(OUTSTANDING) {
        drop(black_box(puzzle(&signer, Algorithm::Sha256, 20, id)?.to_token()));
    }
    Ok((resident() - before).max(0.0) / f64::from(OUTSTANDING))
}

/// A gate that stands alone, honest solvers at it, and then a flood beside them.
fn flood(binary: &Path, dir: &Path, processors: &Processors, lasts: Duration) -> Measured<Vec<Waits>> {
    let file = dir.join("flooded.toml");
    let text = format!(
        "listen = \"127.0.0.1:0\"\n[ledger]\nurl = \"sqlite://{}\"\n[log]\nlevel = \"error\"\n[mcp_server]\n\
         upstream = \"none\"\n[mcp_server.auth.payment]\npow_enabled = true\npow_difficulty = {FLOODED_BITS}\n\
         pow_free_calls = \"100000/s\"\n",
        dir.join("flooded.db").display()
    );
    fs::write(&file, text).map_err(Failure::of("flooded.toml"))?;
    let mut command = processors.alone(binary.as_os_str());
    command.arg("serve").arg(&file).arg("--json").stdout(Stdio::piped());
    let mut process = Running::start(command)?;
    let mut line = String::new();
    BufReader::new(process.stdout()?).read_line(&mut line).map_err(Failure::of("the gate"))?;
    let ready: Value = serde_json::from_str(&line).map_err(Failure::of("the gate's first line"))?;
    let url = ready["gate"].as_str().unwrap_or_default();
    let address = url.strip_prefix("http://").and_then(|url| url.strip_suffix("/mcp")?.parse().ok());
    let address: SocketAddr =
        address.ok_or_else(|| Failure::new(format!("the gate says it is at {url:?}")))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::of("the callers"))?;
    // One that was spent, to be sent again and again.
    let replayed = runtime.block_on(async {
        let mut connection = Connection::open(address).await?;
        let body = asked(&mut connection).await?;
        let solution = json!(solved(body)?).to_string();
        expect(&mut connection, &post("verify", &solution), 200).await?;
        Ok::<_, Failure>(solution)
    })?;
    let floods = Arc::new(nonsense(&replayed)?);
    [0, FLOODERS]
        .into_iter()
        .map(|flooders| runtime.block_on(waits(address, &floods, flooders, lasts)))
        .collect()
}

fn post(step: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("POST /mcp/pow/{step} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// What costs its sender nothing.
fn nonsense(replayed: &str) -> Measured<Vec<Vec<u8>>> {
    let forged = json!(solved(puzzle(&Signer::new((0, [9; 32])), Algorithm::Sha256, 4, 1)?)?).to_string();
    let mut unsolved: Value = serde_json::from_str(replayed).map_err(Failure::of("a solution"))?;
    unsolved["nonce"] = "made up".into();
    let bodies = [replayed.to_owned(), forged, unsolved.to_string(), "{}".to_owned(), "[".repeat(4096)];
    let mut requests: Vec<Vec<u8>> = bodies.iter().map(|body| post("verify", body)).collect();
    requests.push(post("challenge", ""));
    Ok(requests)
}

async fn expect(connection: &mut Connection, request: &[u8], wanted: u16) -> Measured<Vec<u8>> {
    let (status, body) = connection.call(request).await?;
    if status == wanted {
        return Ok(body);
    }
    Err(Failure::new(format!("answered {status}: {}", String::from_utf8_lossy(&body))))
}

async fn asked(connection: &mut Connection) -> Measured<Challenge> {
    let body = expect(connection, &post("challenge", ""), 200).await?;
    serde_json::from_slice(&body).map_err(Failure::of("a challenge"))
}

async fn waits(
    to: SocketAddr,
    floods: &Arc<Vec<Vec<u8>>>,
    flooders: usize,
    lasts: Duration,
) -> Measured<Waits> {
    eprintln!("octroi-bench: {HONEST} honest solvers beside {flooders} flooding connections");
    let (over, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut connections = Vec::new();
    for _ in 0..flooders {
        connections.push(Connection::open(to).await?);
    }
    let mut flood = JoinSet::new();
    for (number, mut connection) in connections.into_iter().enumerate() {
        let (floods, over, sent) = (Arc::clone(floods), Arc::clone(&over), Arc::clone(&sent));
        flood.spawn(async move {
            let mut next = number;
            while !over.load(Ordering::Relaxed) {
                let (status, _) = connection.call(&floods[next % floods.len()]).await?;
                // A challenge is given to anybody; nothing else of it is taken.
                if (status == 200) != (next % floods.len() == floods.len() - 1) {
                    return Err(Failure::new(format!("nonsense was answered {status}")));
                }
                sent.fetch_add(1, Ordering::Relaxed);
                next += 1;
            }
            Ok(())
        });
    }
    let began = Instant::now();
    let mut honest = JoinSet::new();
    for _ in 0..HONEST {
        honest.spawn(honest_caller(to, began + lasts.max(FLOOD_LASTS_MIN)));
    }
    let mut waits = Vec::new();
    while let Some(caller) = honest.join_next().await {
        waits.append(&mut caller.map_err(Failure::of("a caller"))??);
    }
    let lasted = began.elapsed().as_secs_f64();
    over.store(true, Ordering::Relaxed);
    while let Some(flooder) = flood.join_next().await {
        flooder.map_err(Failure::of("a flooder"))??;
    }
    waits.sort_unstable();
    let name =
        if flooders == 0 { "nobody else".to_owned() } else { format!("{flooders} flooding connections") };
    Ok(Waits {
        name,
        grants: waits.len(),
        flood_per_second: sent.load(Ordering::Relaxed) as f64 / lasted,
        p50_ms: percentile(&waits, 0.5) as f64 / 1e6,
        p99_ms: percentile(&waits, 0.99) as f64 / 1e6,
    })
}

/// Asks, solves, hands in, again and again; what each took, in nanoseconds.
async fn honest_caller(to: SocketAddr, until: Instant) -> Measured<Vec<u64>> {
    let mut connection = Connection::open(to).await?;
    let mut waits = Vec::new();
    while Instant::now() < until {
        let began = Instant::now();
        let challenge = asked(&mut connection).await?;
        let solution = tokio::task::spawn_blocking(move || solved(challenge)).await;
        let solution = solution.map_err(Failure::of("a solver"))??;
        expect(&mut connection, &post("verify", &json!(solution).to_string()), 200).await?;
        waits.push(began.elapsed().as_nanos() as u64);
    }
    Ok(waits)
}
