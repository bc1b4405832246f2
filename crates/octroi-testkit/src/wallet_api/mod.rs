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

use std::io;
use std::sync::Arc;
use std::time::Duration;

use octroi_lightning::{LightningNode, NodeError, Password};
use parking_lot::Mutex;
use tokio::task::AbortHandle;

use self::book::Book;

/// How long to wait when the node could not say what settled.
const RETRY: Duration = Duration::from_secs(1);

/// A node's HTTP API; it ends when dropped.
pub struct WalletApi {
    /// `http://127.0.0.1:port`.
    pub url: String,
    tasks: [AbortHandle; 2],
}

/// What every request needs.
struct Wallet {
    node: Arc<dyn LightningNode>,
    book: Mutex<Book>,
    /// The whole `Authorization` value that lets a caller in.
    authorization: String,
}

/// Serves `node` on a free loopback port, to callers who know `password` (the user name is empty, as in phoenixd).
///
/// It is the one consumer of the node's settlements: give it a node that no ledger listens to.
///
/// # Errors
/// When no loopback port can be had.
pub async fn serve(node: Arc<dyn LightningNode>, password: &Password) -> io::Result<WalletApi> {
    let authorization = server::authorization(password);
    let wallet = Arc::new(Wallet { node, book: Mutex::default(), authorization });
    let (url, listener) = server::start(Arc::clone(&wallet)).await?;
    let settlements = tokio::spawn(note_settlements(wallet));
    Ok(WalletApi { url, tasks: [listener.abort_handle(), settlements.abort_handle()] })
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
                wallet.book.lock().received(&settlement);
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
