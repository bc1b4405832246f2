//! Nostr Wallet Connect (NIP-47): relays on loopback, and a wallet that answers over them from a node of the testkit.

mod relay;
mod wallet;

use std::io;
use std::sync::Arc;

use nostr::Keys;
use octroi_lightning::LightningNode;

use super::NodeApi;
use super::faults::Faults;
use super::stand::Stand;
pub use relay::{Mischief, Relay};
use wallet::Wallet;

/// What a connection allows.
pub const EVERYTHING: [&str; 6] =
    ["make_invoice", "lookup_invoice", "list_transactions", "pay_invoice", "get_balance", "get_info"];

/// What a gate needs, and no more.
pub const LEAST: [&str; 2] = ["make_invoice", "lookup_invoice"];

/// What kind of wallet it is.
#[derive(Debug, Clone)]
pub struct Terms {
    /// On how many relays it listens, 1 to 8.
    pub relays: usize,
    /// What the connection allows.
    pub methods: Vec<&'static str>,
    /// It knows NIP-44; one that does not is older.
    pub nip44: bool,
    /// It tells of payments by itself.
    pub notifies: bool,
}

impl Default for Terms {
    fn default() -> Self {
        Self { relays: 1, methods: EVERYTHING.to_vec(), nip44: true, notifies: true }
    }
}

/// A wallet and its relays; they end when dropped.
pub struct Connection {
    /// The credential is the whole `nostr+walletconnect://…`.
    pub api: NodeApi,
    /// The relays, in the order of the connection.
    pub relays: Vec<Relay>,
}

impl Connection {
    /// The wallet alone; its relays stay for as long as it does.
    #[must_use]
    pub fn into_api(self) -> NodeApi {
        let mut api = self.api;
        api.tasks.extend(self.relays.into_iter().filter_map(Relay::into_task));
        api
    }
}

/// Serves `node` as a wallet. It is the one consumer of the node's settlements.
///
/// # Errors
/// When no loopback port can be had.
pub async fn connect(node: Arc<dyn LightningNode>, terms: &Terms) -> io::Result<Connection> {
    let (stand, settlements) = Stand::of(node);
    let faults = Arc::<Faults>::default();
    let (client, service) = (Keys::generate(), Keys::generate());
    let mut relays = Vec::new();
    for _ in 0..terms.relays {
        relays.push(Relay::start(Arc::clone(&faults)).await?);
    }
    let addresses: String =
        relays.iter().map(|relay| format!("&relay={}", relay.url.replace(':', "%3A"))).collect();
    let credential = format!(
        "nostr+walletconnect://{}?secret={}{addresses}",
        service.public_key().to_hex(),
        client.secret_key().to_secret_hex()
    );
    let wallet = Wallet {
        stand: Arc::clone(&stand),
        faults: Arc::clone(&faults),
        keys: service,
        client: client.public_key(),
        terms: terms.clone(),
    };
    let mut tasks = vec![settlements];
    tasks.extend(wallet.serve(relays.iter().map(Relay::hub).collect()));
    let url = relays.first().map(|relay| relay.url.clone()).unwrap_or_default();
    let (certificate, weak) = Default::default();
    let api = NodeApi { url, certificate, credential, weak, faults, stand, tasks };
    Ok(Connection { api, relays })
}
