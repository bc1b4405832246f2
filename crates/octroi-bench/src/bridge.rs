//! One SDK client, the Rust one: straight to the server, through the gate with a token, with a token and a credential, and through
//! the bridge that shows both for it; and what a payment adds to a call, made when it is needed or before.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use rmcp::RoleClient;
use rmcp::model::{CallToolRequestParams, ProtocolVersion};
use rmcp::service::{ClientLifecycleMode, ClientServiceExt, RunningService};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use serde_json::{Value, json};

use crate::failure::{Failure, Measured};
use crate::gate::Gate;
use crate::issuer::Issuer;
use crate::process::{Processors, Running};
use crate::request::{FREE, KNOWN, PAID};
use crate::serve;
use crate::stats::{median, percentile};

/// How often every row is measured; the median counts.
const ROUNDS: usize = 3;
/// How many calls are under way at once.
const AT_ONCE: [usize; 2] = [1, 32];
/// How many calls are made for the wait of a single one, and the pause between them, as an agent's who thinks.
const SINGLE_CALLS: usize = 25;
const PAUSE: Duration = Duration::from_millis(400);
/// How many of them are made before it counts: bundles grow with use.
const WARM_UP: usize = 10;
/// The rules of an owner who lets money go: no puzzle is solved, and every payment is made when it is needed.
const WHEN_NEEDED: &str =
    "work_seconds = 0\nbundle_max = 1\nprefetch = false\nper_hour_sats = 100000\nper_day_sats = 100000\n";
/// The same, with bundles bought ahead.
const AHEAD: &str =
    "work_seconds = 0\nbundle_max = 20\nprefetch = true\nper_hour_sats = 100000\nper_day_sats = 100000\n";

type Client = RunningService<RoleClient, ()>;

/// One way to the server, at one load.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) at_once: usize,
    pub(crate) calls_per_second: f64,
    pub(crate) p50_us: f64,
}

/// How long single calls took that were paid for over Lightning.
pub(crate) struct Wait {
    pub(crate) name: &'static str,
    pub(crate) p50_ms: f64,
    pub(crate) worst_ms: f64,
}

/// What was measured.
pub(crate) struct Bridge {
    pub(crate) rows: Vec<Row>,
    /// Empty where the gate's binary has no demo, whose nodes pay.
    pub(crate) waits: Vec<Wait>,
}

/// Measures every row for `lasts`, [`ROUNDS`] times.
pub(crate) fn measure(
    binary: &Path,
    scratch: &Path,
    issuer: &Issuer,
    processors: &Processors,
    lasts: Duration,
) -> Measured<Bridge> {
    let dir = scratch.join("bridge");
    fs::create_dir_all(&dir).map_err(Failure::of("a folder for the bridge"))?;
    let upstream = serve::start(|_| answer)?;
    let gate = Gate::start(binary, &dir, upstream, issuer, processors)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::of("the client"))?;
    let rows = runtime.block_on(rows(binary, &dir, upstream, &gate, issuer, lasts))?;
    let waits = runtime.block_on(waits(binary, &dir))?;
    Ok(Bridge { rows, waits })
}

/// The server: what a client of MCP 2026-07-28 asks first, and the answer to every call.
async fn answer(request: Request<Incoming>) -> Response<Full<Bytes>> {
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    let result = match asked["method"].as_str() {
        Some("server/discover") => json!({
            "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}},
            "ttlMs": 60_000, "cacheScope": "public",
            "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "bench", "version": "1"}},
        }),
        _ => json!({
            "resultType": "complete", "isError": false,
            "content": [{"type": "text", "text": "A grey cat on a red sofa, asleep."}],
        }),
    };
    let reply = json!({"jsonrpc": "2.0", "id": asked["id"], "result": result});
    let mut reply = Response::new(Full::new(Bytes::from(reply.to_string())));
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply
}

async fn rows(
    binary: &Path,
    dir: &Path,
    upstream: SocketAddr,
    gate: &Gate,
    issuer: &Issuer,
    lasts: Duration,
) -> Measured<Vec<Row>> {
    let token = issuer.token(0)?;
    let endpoint = format!("http://{}/mcp", gate.address);
    let bridged =
        bridge(binary, dir, &endpoint, WHEN_NEEDED, &["--token", &token], Some(&gate.credential)).await?;
    let credential = Some(gate.credential.as_str());
    let ways = [
        ("SDK direct", over_http(&format!("http://{upstream}/mcp"), None, None).await?, FREE),
        ("SDK through the gate, identified", over_http(&endpoint, Some(&token), None).await?, KNOWN),
        (
            "SDK through the gate, identified + paid",
            over_http(&endpoint, Some(&token), credential).await?,
            PAID,
        ),
        ("SDK through bridge and gate, identified + paid from a warm purse", bridged, PAID),
    ];
    let mut rows = Vec::new();
    for at_once in AT_ONCE {
        let mut runs = vec![Vec::new(); ways.len()];
        for round in 0..ROUNDS {
            for ((name, client, tool), runs) in ways.iter().zip(&mut runs) {
                eprintln!("octroi-bench: {name}, {at_once} at once, round {}", round + 1);
                runs.push(load(client, tool, at_once, lasts).await?);
            }
        }
        for ((name, ..), runs) in ways.iter().zip(runs) {
            rows.push(Row {
                name,
                at_once,
                calls_per_second: median(runs.iter().map(|(rate, _)| *rate)),
                p50_us: median(runs.iter().map(|(_, p50)| *p50)),
            });
        }
    }
    Ok(rows)
}

fn modern() -> ClientLifecycleMode {
    ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] }
}

async fn over_http(url: &str, token: Option<&str>, credential: Option<&str>) -> Measured<Client> {
    let mut config = StreamableHttpClientTransportConfig::with_uri(url);
    if let Some(token) = token {
        config = config.auth_header(token);
    }
    if let Some(credential) = credential {
        let value =
            HeaderValue::from_str(&format!("L402 {credential}")).map_err(Failure::of("a credential"))?;
        let name = HeaderName::from_static("payment-authorization");
        config = config.custom_headers(HashMap::from([(name, value)]));
    }
    let transport = StreamableHttpClientTransport::from_config(config);
    ().serve_with_lifecycle(transport, modern()).await.map_err(Failure::of("the SDK's client"))
}

/// The bridge as a program of the client's, with a purse of its own; it ends with the client.
async fn bridge(
    binary: &Path,
    dir: &Path,
    endpoint: &str,
    policy: &str,
    more: &[&str],
    voucher: Option<&str>,
) -> Measured<Client> {
    let place = tempfile::tempdir_in(dir).map_err(Failure::of("a purse"))?.keep();
    let (purse, rules) = (place.join("purse.db"), place.join("policy.toml"));
    fs::write(&rules, policy).map_err(Failure::of("a policy"))?;
    if let Some(voucher) = voucher {
        let mut add = Command::new(binary);
        add.args(["purse", "add", endpoint, PAID, voucher, "--purse"]).arg(&purse).stdout(Stdio::null());
        if !add.status().map_err(Failure::of("octroi purse add"))?.success() {
            return Err(Failure::new("octroi purse add took no voucher"));
        }
    }
    let mut command = tokio::process::Command::new(binary);
    command.args(["connect", endpoint, "--purse"]).arg(&purse).arg("--policy").arg(&rules).args(more);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(Failure::of("octroi connect"))?;
    let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(Failure::new("octroi connect has no pipes"));
    };
    // It goes when its standard input is closed.
    tokio::spawn(async move { child.wait().await });
    ().serve_with_lifecycle((output, input), modern()).await.map_err(Failure::of("the SDK's client"))
}

/// Calls for `lasts`, so many at once; calls per second, and the median wait in microseconds.
async fn load(client: &Client, tool: &'static str, at_once: usize, lasts: Duration) -> Measured<(f64, f64)> {
    let start = Instant::now();
    let callers: Vec<_> = (0..at_once)
        .map(|_| {
            let peer = client.peer().clone();
            tokio::spawn(async move {
                let mut waits = Vec::new();
                while start.elapsed() < lasts {
                    let sent = Instant::now();
                    let made = peer.call_tool(CallToolRequestParams::new(tool)).await;
                    served(made.map_err(Failure::of("a call"))?.is_error)?;
                    waits.push(sent.elapsed().as_nanos() as u64);
                }
                Measured::Ok(waits)
            })
        })
        .collect();
    let mut waits = Vec::new();
    for caller in callers {
        waits.append(&mut caller.await.map_err(Failure::of("a caller"))??);
    }
    let lasted = start.elapsed().as_secs_f64();
    waits.sort_unstable();
    Ok((waits.len() as f64 / lasted, percentile(&waits, 0.5) as f64 / 1e3))
}

/// A refusal would measure nothing.
fn served(is_error: Option<bool>) -> Measured {
    if is_error == Some(true) { Err(Failure::new("a call was refused")) } else { Ok(()) }
}

/// Calls that are paid for with the nodes of the demo, one after another.
async fn waits(binary: &Path, dir: &Path) -> Measured<Vec<Wait>> {
    let mut demo = Command::new(binary);
    demo.args(["demo", "--keep", "--json"]).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut demo = Running::start(demo)?;
    let (mut line, mut lines) = (String::new(), BufReader::new(demo.stdout()?));
    lines.read_line(&mut line).map_err(Failure::of("the demo"))?;
    // It goes on to tell of its own journey, and would end if nobody listened.
    std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
    let Ok(ready) = serde_json::from_str::<Value>(&line) else {
        eprintln!("octroi-bench: NOTE: this binary has no demo, so payments are left out");
        return Ok(Vec::new());
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (endpoint, token) = (text(&ready["gate"]), text(&ready["access_token"]));
    let (url, password) = (text(&ready["wallet"]["url"]), text(&ready["wallet"]["password"]));
    let wallet = url.replace("http://", &format!("phoenixd+http://:{password}@"));
    let more = ["--token", token.as_str(), "--wallet", wallet.as_str()];
    let mut waits = Vec::new();
    for (name, policy) in [("paid when it is needed", WHEN_NEEDED), ("paid ahead", AHEAD)] {
        let client = Arc::new(bridge(binary, dir, &endpoint, policy, &more, None).await?);
        let mut took = Vec::new();
        for number in 0..WARM_UP + SINGLE_CALLS {
            let call = CallToolRequestParams::new("data_query");
            let call =
                call.with_arguments(json!({"query": "carts"}).as_object().cloned().unwrap_or_default());
            let sent = Instant::now();
            served(client.call_tool(call).await.map_err(Failure::of("a paid call"))?.is_error)?;
            if number >= WARM_UP {
                took.push(sent.elapsed().as_micros() as u64);
            }
            tokio::time::sleep(PAUSE).await;
        }
        took.sort_unstable();
        let of = |share| percentile(&took, share) as f64 / 1e3;
        waits.push(Wait { name, p50_ms: of(0.5), worst_ms: of(1.0) });
    }
    Ok(waits)
}
