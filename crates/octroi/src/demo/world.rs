//! What the demo starts: a chain, two Lightning nodes with a channel, an issuer, a sample MCP server, and the gate.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use octroi_agent::{Agent, Budget, Secret, WorkPolicy};
use octroi_lightning::{LightningNode, NodeError, Password};
use octroi_testkit::issuer::{Issuer, TokenSpec};
use octroi_testkit::nodes::{Payer, StoreDir};
use octroi_testkit::upstream::sample::Sample;
use octroi_testkit::wallet_api::{self, WalletApi};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use url::Url;

use crate::config::{Config, ConfigArgs};
use crate::wiring::Gate;

/// Every scope there is in the demo.
const SCOPES: [&str; 1] = ["images:read"];
/// What the agent may spend in the whole demo.
const BUDGET: Budget = Budget { per_call_msat: 10_000, total_msat: 5_000_000 };
/// How long the gate's end of the channel may take to be ready once the agent's is.
const CHANNEL_WAIT: Duration = Duration::from_secs(60);
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// How long the agent's access token is good.
const TOKEN_TTL_SECONDS: u64 = 24 * 3600;

/// A running demo. Dropping it removes its files.
pub(super) struct World {
    /// Where callers reach the gate.
    pub(super) gate: String,
    /// Where the operator's pages are.
    pub(super) admin: String,
    /// Who gives out access tokens.
    pub(super) issuer: Issuer,
    /// An access token with every scope.
    pub(super) token: String,
    /// The agent's node behind phoenixd's HTTP API.
    pub(super) wallet: WalletApi,
    /// Its password.
    pub(super) wallet_password: String,
    /// The gate's ledger, for the report at the end.
    pub(super) ledger: octroi_ledger::Ledger,
    /// The configuration the gate runs on, as a person would write it.
    pub(super) config_text: String,
    pub(super) agent: Agent,
    _sample: Sample,
    payer: Payer,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
    _folder: TempDir,
}

type Failure = Box<dyn std::error::Error>;

/// Waits until a node can be paid.
async fn receives(node: &dyn LightningNode) -> Result<(), NodeError> {
    while node.info().await?.usable_channels == 0 {
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

impl World {
    /// Starts everything.
    pub(super) async fn start() -> Result<Self, Failure> {
        let folder = TempDir::with_prefix("octroi-demo-")?;
        let issuer = Issuer::start().await?;
        let sample = Sample::start().await?;
        let payer = Payer::start(StoreDir::temporary()?).await?;
        let node_address = free_address()?;
        let config_text = config_text(folder.path(), &issuer, &sample, &payer, node_address);
        let gate = start_gate(folder.path(), &config_text).await?;
        let address = gate.address().ok_or("the gate listens nowhere")?;
        let admin = gate.admin_address().ok_or("the gate has no operator's pages")?;
        let node = gate.node.as_ref().ok_or("the gate has no Lightning node")?.handle();
        payer.open_channel(&node.info().await?.id, node_address).await?;
        tokio::time::timeout(CHANNEL_WAIT, receives(node.as_ref())).await??;

        let gate_url = format!("http://{address}/mcp");
        let spec = TokenSpec::new("agent-7", &gate_url).scopes(&SCOPES).ttl_seconds(TOKEN_TTL_SECONDS);
        let token = issuer.token(spec);
        let wallet_node: Arc<dyn LightningNode> = Arc::clone(&payer.node) as _;
        let wallet_password = password()?;
        let wallet =
            wallet_api::serve(Arc::clone(&wallet_node), &Password::new(wallet_password.as_str())).await?;
        let agent = Agent::builder(Url::parse(&gate_url)?)
            .token(Secret::new(token.clone()))
            .wallet(wallet_node)
            .budget(BUDGET)
            .work(WorkPolicy::Never)
            .build()?;
        let ledger = gate.ledger.clone();
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(gate.serve(async move {
            let _ = stopped.await;
        }));
        Ok(Self {
            gate: gate_url,
            admin: format!("http://{admin}"),
            issuer,
            token,
            wallet,
            wallet_password,
            ledger,
            config_text,
            agent,
            _sample: sample,
            payer,
            stop,
            serving,
            _folder: folder,
        })
    }

    /// Stops the gate and both nodes.
    pub(super) async fn stop(self) {
        let _ = self.stop.send(());
        let _ = self.serving.await;
        self.payer.node.stop().await;
    }
}

async fn start_gate(folder: &Path, config_text: &str) -> Result<Gate, Failure> {
    let path = folder.join("octroi.toml");
    std::fs::write(&path, config_text)?;
    let config = Config::load(&ConfigArgs::new(path)).map_err(|mistakes| mistakes.to_string())?;
    Ok(Gate::start(config, true).await?)
}

/// The configuration of the demo's gate.
fn config_text(folder: &Path, issuer: &Issuer, sample: &Sample, payer: &Payer, node: SocketAddr) -> String {
    let folder = folder.display();
    format!(
        r#"listen = "127.0.0.1:0"

[ledger]
url = "sqlite://{folder}/octroi.db"

[lightning]
backend = "embedded"
network = "regtest"
chain = "{chain}"
storage_dir = "{folder}/node"
listen = ["{node}"]
trusted_peers = ["{payer}"]

[mcp_server]
transport = "http_streamable"
upstream = "{upstream}"

[mcp_server.auth.identity]
provider = "oidc"
issuer = "{issuer}"

[mcp_server.auth.payment]
protocol = "l402"
macaroon_ttl_seconds = 600
pow_enabled = true
pow_difficulty = 20
pricing = {{ image_describe = {{ sats = 3 }}, data_query = {{ msats = 1700 }}, unreliable = {{ sats = 1 }} }}

[[mcp_server.tools]]
name = "image_describe"
requires_identity = true
requires_payment = true
scopes = ["images:read"]
pow = false

[[mcp_server.tools]]
name = "data_query"
requires_payment = true

[[mcp_server.tools]]
name = "unreliable"
requires_payment = true
pow = false

[[mcp_server.tools]]
name = "slow_report"
requires_payment = false
"#,
        chain = payer.chain.url(),
        payer = payer.id(),
        upstream = sample.url(),
        issuer = issuer.url(),
    )
}

/// A loopback address that is free now.
fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind(("127.0.0.1", 0))?.local_addr()
}

/// A password for the wallet's API.
fn password() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| "the operating system gives no randomness")?;
    Ok(hex::encode(bytes))
}
