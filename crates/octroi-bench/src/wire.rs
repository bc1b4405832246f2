//! Calls through the wire: the same call direct, through nginx, and through the gate with more and more asked of it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::failure::{Failure, Measured};
use crate::gate::Gate;
use crate::issuer::Issuer;
use crate::load::{self, Load, Run};
use crate::nginx::{self, Nginx};
use crate::process::{Processors, Running};
use crate::request::{FREE, KNOWN, PAID, request};
use crate::stats::median;
use crate::upstream::Upstream;

/// How often every row is measured; the median counts.
const ROUNDS: usize = 3;
/// How many connections send at once.
const CONNECTIONS: [usize; 2] = [1, 32];
/// Different tokens for the cold row: twice as many as the gate remembers, so that each is forgotten before it comes again.
const COLD_TOKENS: usize = 32 * 1024;
/// The tool's own time where durability is looked at.
const SLOW_TOOL: Duration = Duration::from_millis(5);

/// One way to the upstream.
struct Way<'a> {
    name: &'static str,
    to: SocketAddr,
    process: Option<&'a Running>,
    requests: Arc<Vec<Vec<u8>>>,
}

/// One line of the table.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) connections: usize,
    pub(crate) run: Run,
    /// CPU time of the proxy for one call, in microseconds; none where there is no proxy.
    pub(crate) cpu_us: Option<f64>,
}

/// Both tables that come from the wire.
pub(crate) struct Wire {
    pub(crate) quick_tool: Vec<Row>,
    pub(crate) slow_tool: Vec<Row>,
}

/// Measures every row for `lasts`, [`ROUNDS`] times.
pub(crate) fn measure(
    binary: &Path,
    dir: &Path,
    issuer: &Issuer,
    processors: &Processors,
    lasts: Duration,
) -> Measured<Wire> {
    let upstream = Upstream::start()?;
    let gate = Gate::start(binary, dir, upstream.address, issuer, processors)?;
    let nginx = if nginx::is_installed() {
        Some(Nginx::start(dir, upstream.address, processors)?)
    } else {
        eprintln!("octroi-bench: NOTE: nginx is not installed, so its row is left out");
        None
    };
    let paths = paths(&upstream, nginx.as_ref(), &gate, issuer)?;
    let quick_tool = rounds(&paths, &CONNECTIONS, lasts)?;
    upstream.take(SLOW_TOOL);
    let warm: Vec<_> = paths.into_iter().filter(|path| path.requests.len() == 1).collect();
    let slow_tool = rounds(&warm, &CONNECTIONS, lasts)?;
    Ok(Wire { quick_tool, slow_tool })
}

fn paths<'a>(
    upstream: &Upstream,
    nginx: Option<&'a Nginx>,
    gate: &'a Gate,
    issuer: &Issuer,
) -> Measured<Vec<Way<'a>>> {
    let bearer = format!("Bearer {}", issuer.token(0)?);
    let both = |token: &str| format!("Bearer {token}, L402 {}", gate.credential);
    let warm = both(&issuer.token(0)?);
    let cold = (1..=COLD_TOKENS)
        .map(|id| Ok(request(PAID, Some(&both(&issuer.token(id)?)))))
        .collect::<Measured<Vec<_>>>()?;
    expect(gate.address, &request(KNOWN, None), 401)?;
    // There is no node to make an invoice: what is not prepaid cannot be sold.
    expect(gate.address, &request(PAID, Some(&bearer)), 503)?;
    let one = |request| Arc::new(vec![request]);
    let through_gate =
        |name, requests| Way { name, to: gate.address, process: Some(&gate.process), requests };
    let mut paths =
        vec![Way { name: "direct", to: upstream.address, process: None, requests: one(request(FREE, None)) }];
    paths.extend(nginx.map(|nginx| Way {
        name: "nginx",
        to: nginx.address,
        process: Some(&nginx.process),
        requests: one(request(FREE, None)),
    }));
    paths.push(through_gate("gate: free", one(request(FREE, None))));
    paths.push(through_gate("gate: identified", one(request(KNOWN, Some(&bearer)))));
    paths.push(through_gate("gate: identified + paid", one(request(PAID, Some(&warm)))));
    paths.push(through_gate("gate: identified + paid, new token each call", Arc::new(cold)));
    Ok(paths)
}

/// A row that is not asked for what it says would measure nothing.
fn expect(to: SocketAddr, request: &[u8], status: u16) -> Measured {
    let found = load::status(to, request)?;
    if found == status {
        return Ok(());
    }
    Err(Failure::new(format!("the gate answered {found} where {status} was due")))
}

/// The rows take turns, so that whatever else the machine does falls on all of them.
fn rounds(paths: &[Way<'_>], connections: &[usize], lasts: Duration) -> Measured<Vec<Row>> {
    let mut rows = Vec::new();
    for &connections in connections {
        let mut runs: Vec<Vec<(Run, f64)>> = vec![Vec::new(); paths.len()];
        for round in 0..ROUNDS {
            for (path, runs) in paths.iter().zip(&mut runs) {
                eprintln!("octroi-bench: {}, {connections} connections, round {}", path.name, round + 1);
                let load = Load { to: path.to, requests: Arc::clone(&path.requests), connections };
                let used = || path.process.map_or(Duration::ZERO, Running::cpu_time);
                let before = used();
                let run = load::run(&load, lasts)?;
                let cpu = used().saturating_sub(before).as_secs_f64() * 1e6 / run.calls.max(1) as f64;
                runs.push((run, cpu));
            }
        }
        for (path, runs) in paths.iter().zip(runs) {
            let of = |figure: fn(&Run) -> f64| median(runs.iter().map(|(run, _)| figure(run)));
            rows.push(Row {
                name: path.name,
                connections,
                run: Run {
                    calls: runs.iter().map(|(run, _)| run.calls).sum(),
                    calls_per_second: of(|run| run.calls_per_second),
                    p50_us: of(|run| run.p50_us),
                    p99_us: of(|run| run.p99_us),
                },
                cpu_us: path.process.map(|_| median(runs.iter().map(|(_, cpu)| *cpu))),
            });
        }
    }
    Ok(rows)
}
