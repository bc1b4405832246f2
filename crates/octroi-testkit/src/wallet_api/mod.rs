//! phoenixd's HTTP API in front of any Lightning node, on loopback.
//!
//! With it every client that knows phoenixd (an agent's wallet, an SDK, `curl -u :password`) can pay and be paid by a
//! node of the testkit. Where it differs from phoenixd: amounts below a satoshi are paid as the invoice says them and
//! shown rounded down; an incoming payment's preimage is not shown; on-chain and BOLT 12 calls are not there.

mod book;
mod form;
mod replies;
mod routes;
mod server;
mod websocket;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use octroi_l402::{Msat, PaymentHash};
use octroi_lightning::{LightningNode, NodeError, Password, Settlement};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::broadcast;
use tokio::task::AbortHandle;

use self::book::{Book, now_millis};
use crate::node_apis::Faults;

/// How long to wait when the node could not say what settled.
const RETRY: Duration = Duration::from_secs(1);

/// A node's HTTP API; it ends when dropped.
pub struct WalletApi {
    /// `http://127.0.0.1:port`.
    pub url: String,
    /// What is to go wrong; nothing by itself.
    pub faults: Arc<Faults>,
    wallet: Arc<Wallet>,
    tasks: [AbortHandle; 2],
}

/// What every request needs.
struct Wallet {
    node: Arc<dyn LightningNode>,
    book: Mutex<Book>,
    /// The whole `Authorization` value that lets a caller in.
    authorization: String,
    /// The same for who may not spend.
    limited: String,
    faults: Arc<Faults>,
    /// What the websockets are told.
    told: broadcast::Sender<Value>,
}

/// Messages that wait for a slow websocket.
const BACKLOG: usize = 256;

/// Serves `node` on a free loopback port, to callers who know `password` (the user name is empty, as in phoenixd).
///
/// It is the one consumer of the node's settlements: give it a node that no ledger listens to.
///
/// # Errors
/// When no loopback port can be had.
pub async fn serve(node: Arc<dyn LightningNode>, password: &Password) -> io::Result<WalletApi> {
    let authorization = server::authorization(password);
    let limited = server::authorization(&limited_password(password));
    let (faults, told) = (Arc::<Faults>::default(), broadcast::Sender::new(BACKLOG));
    let wallet =
        Wallet { node, book: Mutex::default(), authorization, limited, faults: Arc::clone(&faults), told };
    let wallet = Arc::new(wallet);
    let (url, listener) = server::start(Arc::clone(&wallet)).await?;
    let settlements = tokio::spawn(note_settlements(Arc::clone(&wallet)));
    Ok(WalletApi { url, faults, wallet, tasks: [listener.abort_handle(), settlements.abort_handle()] })
}

/// The password of who may do all but spend (`http-password-limited-access`).
#[must_use]
pub fn limited_password(password: &Password) -> Password {
    Password::new(format!("{}-limited", password.reveal()))
}

impl WalletApi {
    /// The API says from now on that so much came for an invoice, whatever the node behind it knows: more than was asked
    /// for, or later than it could be paid.
    pub fn arrives(&self, payment_hash: PaymentHash, amount: Msat) {
        let settled_at = now_millis() / 1000;
        self.wallet.note(&Settlement { payment_hash, amount, settled_at, cursor: String::new() });
    }
}

impl Wallet {
    fn note(&self, settlement: &Settlement) {
        self.book.lock().received(settlement);
        self.tell(settlement);
    }
}

impl Drop for WalletApi {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Writes down what arrives, for `/payments/incoming`.
async fn note_settlements(wallet: Arc<Wallet>) {
    loop {
        match wallet.node.next_settlement(None).await {
            Ok(settlement) => {
                wallet.note(&settlement);
                if let Err(error) = wallet.node.acknowledge(&settlement).await {
                    tracing::warn!(%error, "a settlement could not be acknowledged");
                    tokio::time::sleep(RETRY).await;
                }
            }
            Err(NodeError::Stopped) => return,
            Err(error) => {
                tracing::warn!(%error, "the wallet's node does not say what settled");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}
