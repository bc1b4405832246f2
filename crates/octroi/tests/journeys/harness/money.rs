//! A gate with a Lightning node of its own, and somebody on the other end of a channel who pays.

use std::io::Read;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use octroi_l402::Msat;
use octroi_lightning::{LightningNode, Payment};
use octroi_testkit::issuer::{Issuer, TokenSpec};
use octroi_testkit::nodes::{Payer, StoreDir};
use octroi_testkit::upstream::sample::Sample;

use super::{Caller, Challenge, Gate, Launch, PATIENCE};

/// The most paid for routing; the one hop there is takes nothing.
const FEE_MAX: Msat = Msat::new(10_000);

/// How long a channel may take to come back.
const BACK: Duration = Duration::from_secs(20);

/// What the gate sells in these journeys.
pub(crate) const POLICY: &str = r#"
[mcp_server.auth.payment]
macaroon_ttl_seconds = 300
pow_enabled = true
pow_difficulty = 8
pricing = { image_describe = { sats = 3 }, data_query = { msats = 1700 }, unreliable = { sats = 1 }, slow_report = { sats = 2 } }

[[mcp_server.tools]]
name = "image_describe"
requires_payment = true
requires_identity = true
pow = false

[[mcp_server.tools]]
name = "announce"
scopes = ["announce:write"]

[[mcp_server.tools]]
name = "unreliable"
pow = false

[[mcp_server.tools]]
name = "echo_request"
price = { sats = 1 }
pow = false
"#;

/// A chain, a payer, an issuer, a sample server, and the gate between them.
pub(crate) struct Market {
    pub(crate) payer: Payer,
    pub(crate) issuer: Issuer,
    pub(crate) sample: Sample,
    pub(crate) gate: Gate,
    pub(crate) caller: Caller,
}

impl Market {
    /// Opens the market on [`POLICY`], with `args` for the gate.
    pub(crate) async fn open(args: &[&str]) -> Self {
        let payer = Payer::start(StoreDir::temporary().unwrap()).await.unwrap();
        let issuer = Issuer::start().await.unwrap();
        let sample = Sample::start().await.unwrap();
        let config = format!(
            r#"
listen = "127.0.0.1:{}"
[lightning]
backend = "embedded"
network = "regtest"
chain = "{}"
listen = ["127.0.0.1:{}"]
trusted_peers = ["{}"]
[mcp_server]
upstream = "{}"
[mcp_server.auth.identity]
issuer = "{}"
allow_insecure_http = true
allow_private_addresses = true
{POLICY}"#,
            free_port(),
            payer.chain.url(),
            free_port(),
            payer.id(),
            sample.url(),
            issuer.url(),
        );
        let gate = Launch::new(&config, args).start().await;
        let (id, address) = node(&gate);
        payer.open_channel(&id, address).await.unwrap();
        gate.channel_usable().await;
        let caller = Caller::of(&gate);
        Self { payer, issuer, sample, gate, caller }
    }

    /// A token for the gate, without scopes.
    pub(crate) fn token(&self, subject: &str) -> String {
        self.issuer.token(TokenSpec::new(subject, &self.gate.url))
    }

    /// Brings the payer back to a gate that was started again.
    pub(crate) async fn reconnect(&self) {
        meet(&self.payer, &self.gate).await;
    }

    /// Pays an invoice.
    pub(crate) async fn settle(&self, invoice: &str) -> Payment {
        self.payer.node.pay(invoice, FEE_MAX, PATIENCE).await.unwrap()
    }

    /// Pays a challenge and puts the credential together, `<macaroon>:<preimage>`.
    pub(crate) async fn pay(&self, challenge: &Challenge) -> String {
        let payment = self.settle(&challenge.invoice).await;
        let credential = format!("{}:{}", challenge.macaroon, payment.preimage.to_hex());
        self.gate.secrets.add(&credential);
        credential
    }
}

/// The payer meets the gate's node again. LDK closes a channel that it finds ahead of its own list of them; then there is a new one.
pub(crate) async fn meet(payer: &Payer, gate: &Gate) {
    let (id, address) = node(gate);
    payer.node.connect(&id, address).await.unwrap();
    if payer.node.channel_usable(&id, BACK).await.is_err() {
        payer.chain.mine(6);
        payer.node.sync().await.unwrap();
        payer.open_channel(&id, address).await.unwrap();
    }
    gate.channel_usable().await;
}

/// The gate's own node: its id and where it listens.
pub(crate) fn node(gate: &Gate) -> (String, std::net::SocketAddr) {
    let lightning = &gate.ready["lightning"];
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    assert_eq!(lightning["backend"], "embedded");
    (text(&lightning["id"]), text(&lightning["listen"][0]).parse().unwrap())
}

/// A port that nobody is given for a minute who does not ask for it by number.
///
/// A connection that was closed from this end keeps the port (RFC 9293 §3.6, TIME-WAIT): the system gives it to nobody who asks
/// for any port, and lets a listener that names it have it.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let mut there = TcpStream::connect(address).unwrap();
    let (here, _) = listener.accept().unwrap();
    drop(here);
    // Its end is seen before this one is closed, so that it is the port's own end that waits.
    assert_eq!(there.read(&mut [0]).unwrap(), 0);
    address.port()
}
