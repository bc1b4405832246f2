//! A whole Lightning node inside the process (ldk-node).
//!
//! The node has a tokio runtime of its own: a node built inside a caller's runtime would die with it, and would
//! panic on a single-threaded one. Calls that touch the disk or the network run there, never on the caller's threads.
//!
//! Two things an operator should know: for the first two seconds after a start no payment is accepted, and later
//! every payment waits some tens of milliseconds at the payee, by design of LDK (it hides who pays whom).

mod adapter;
mod age;
mod build;
mod channels;
mod closings;
mod config;
mod database;
mod disk;
mod folder;
mod invoices;
mod paying;
mod pump;
mod sealed;
mod settlements;
mod store;
mod tracing_log;
mod treasury;
mod waiters;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ldk_node::bitcoin::secp256k1::PublicKey;
use octroi_l402::{Msat, PaymentHash};
use parking_lot::Mutex;
use tokio::runtime::Runtime;

pub use config::{ChainSource, EmbeddedConfig, LiquidityProvider, Network};
pub use disk::{Disk, FaultyDisk, RecordKind};
pub use folder::{backup, restore};
pub use sealed::{change_passphrase, init};

use self::closings::Closings;
use self::invoices::Invoices;
use self::settlements::Settlements;
use self::store::Store;
use self::waiters::Waiters;
use crate::NodeError;

/// Under this name our own records stand in ldk-node's database.
const NAMESPACE: &str = "octroi";

/// How often the clock is looked at while the second of an earlier run lasts.
const TURN: std::time::Duration = std::time::Duration::from_millis(20);

/// A running Lightning node. Stops when dropped, waiting for its database (milliseconds; seconds at worst).
pub struct EmbeddedNode {
    inner: Arc<Inner>,
    /// Taken by whoever stops the node.
    runtime: Mutex<Option<Runtime>>,
    handle: tokio::runtime::Handle,
}

/// What the node's tasks share.
struct Inner {
    node: ldk_node::Node,
    network: Network,
    settlements: Settlements,
    invoices: Invoices,
    closings: Closings,
    store: Arc<Store>,
    waiters: Arc<Waiters>,
    stopped: AtomicBool,
    /// When the run before this one last looked at the chain, in seconds since the Unix epoch.
    looked_before: Option<u64>,
    /// The most a liquidity provider may keep of a payment; `None` without one.
    lsp_fee_percent: Option<u8>,
    age: age::Age,
    /// Given back when the node has stopped.
    folder: Mutex<Option<folder::FolderLock>>,
}

impl EmbeddedNode {
    /// Builds the node from its folder (a new one makes its keys) and starts it.
    ///
    /// # Errors
    /// [`NodeError::Config`] for settings that cannot be used, [`NodeError::Storage`] when the folder cannot be,
    /// [`NodeError::Unreachable`] when the chain source does not answer.
    pub async fn start(config: EmbeddedConfig) -> Result<Self, NodeError> {
        // A plain thread: ldk-node must not find the caller's runtime, nor block one of its workers.
        let (done, started) = tokio::sync::oneshot::channel();
        std::thread::Builder::new()
            .name("lightning-start".to_owned())
            .spawn(move || {
                // The caller may have given up; then the node is dropped here, which stops it.
                let _ = done.send(Self::start_blocking(&config));
            })
            .map_err(storage)?;
        started.await.map_err(|_| NodeError::Stopped)?
    }

    fn start_blocking(config: &EmbeddedConfig) -> Result<Self, NodeError> {
        let folder = folder::take(&config.storage_dir)?;
        let opened = store::open(&config.storage_dir, config.passphrase.as_ref(), config.disk.clone())?;
        match Self::start_on(config, &opened) {
            Ok(node) => {
                *node.inner.folder.lock() = Some(folder);
                Ok(node)
            }
            Err(error) => {
                // What was built of the node may hold it for long.
                opened.store.close();
                drop(folder);
                Err(error)
            }
        }
    }

    fn start_on(config: &EmbeddedConfig, opened: &store::Opened) -> Result<Self, NodeError> {
        let store = &opened.store;
        let runtime = build::runtime()?;
        let handle = runtime.handle().clone();
        let node = build::node(config, opened, handle.clone())?;
        let looked_before = node.status().latest_lightning_wallet_sync_timestamp;
        // Of the same second, this run's first look could not be told from it.
        while looked_before == Some(crate::node::unix_now()) {
            std::thread::sleep(TURN);
        }
        let inner = Arc::new(Inner {
            node,
            network: config.network,
            settlements: Settlements::load(Arc::clone(store))?,
            invoices: Invoices::load(Arc::clone(store))?,
            closings: Closings::load(Arc::clone(store))?,
            age: age::Age::begin(Arc::clone(store), &config.storage_dir)?,
            store: Arc::clone(store),
            waiters: Arc::default(),
            stopped: AtomicBool::new(false),
            looked_before,
            lsp_fee_percent: config.liquidity.as_ref().map(|provider| provider.fee_percent_max.clamp(1, 100)),
            folder: Mutex::new(None),
        });
        inner.node.start().map_err(build::start_error)?;
        handle.spawn(pump::run(Arc::clone(&inner)));
        handle.spawn(pump::drop_overdue_invoices(Arc::clone(&inner)));
        Ok(Self { inner, runtime: Mutex::new(Some(runtime)), handle })
    }

    /// The node's public key, 66 hex digits.
    #[must_use]
    pub fn id(&self) -> String {
        self.inner.node.node_id().to_string()
    }

    /// Where it listens; empty for a node that only dials out.
    #[must_use]
    pub fn listening(&self) -> Vec<SocketAddr> {
        let addresses = self.inner.node.listening_addresses().unwrap_or_default();
        addresses.iter().filter_map(|address| address.to_string().parse().ok()).collect()
    }

    /// Stops the node: no payment is accepted from here on, everything is on disk when this returns. Twice is fine.
    pub async fn stop(&self) {
        let runtime = self.runtime.lock().take();
        let inner = Arc::clone(&self.inner);
        let (done, stopped) = tokio::sync::oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name("lightning-stop".to_owned()).spawn(move || {
            shut_down(&inner, runtime);
            drop(done);
        });
        if thread.is_ok() {
            let _ = stopped.await;
        }
    }

    /// Runs `work` on the node's own threads.
    ///
    /// LDK holds its locks while it waits for the disk. While that takes no writes, nothing is begun
    /// ([`NodeError::Storage`]); of what was begun already, nobody knows what becomes of it ([`NodeError::Timeout`]).
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, NodeError> + Send + 'static,
    ) -> Result<T, NodeError> {
        if self.inner.stopped.load(Ordering::Acquire) {
            return Err(NodeError::Stopped);
        }
        let mut stalled = self.inner.store.stalled();
        if let Some(why) = stalled.borrow_and_update().clone() {
            return Err(NodeError::Storage(why));
        }
        let inner = Arc::clone(&self.inner);
        let working = self.handle.spawn_blocking(move || work(&inner));
        tokio::select! {
            biased;
            done = working => done.map_err(|_| NodeError::Stopped)?,
            Ok(_) = stalled.wait_for(Option::is_some) => Err(NodeError::Timeout),
        }
    }
}

impl Drop for EmbeddedNode {
    fn drop(&mut self) {
        let runtime = self.runtime.lock().take();
        if runtime.is_none() {
            return;
        }
        let inner = Arc::clone(&self.inner);
        // On a thread of its own, because a runtime must not be dropped inside another one's task.
        let thread = std::thread::Builder::new().name("lightning-stop".to_owned());
        if let Ok(thread) = thread.spawn(move || shut_down(&inner, runtime)) {
            let _ = thread.join();
        }
    }
}

/// Stops the node, then its runtime. Without a runtime somebody else did.
fn shut_down(inner: &Arc<Inner>, runtime: Option<Runtime>) {
    let Some(runtime) = runtime else { return };
    inner.stopped.store(true, Ordering::Release);
    inner.settlements.stop();
    if let Some(why) = inner.store.stalled().borrow().clone() {
        tracing::error!(why, "the Lightning node stops as in a power cut: its disk takes no writes");
        inner.waiters.abandon();
        // Its threads wait for the disk, and so would whoever dropped it. The folder stays locked until the process ends.
        runtime.shutdown_background();
        std::mem::forget(Arc::clone(inner));
        return;
    }
    if let Err(error) = inner.node.stop() {
        tracing::warn!(%error, "the Lightning node did not stop cleanly");
    }
    inner.waiters.abandon();
    runtime.shutdown_timeout(build::SHUTDOWN);
    inner.age.end();
    inner.store.close();
    drop(inner.folder.lock().take());
}

/// A failure of the disk.
fn storage(error: impl std::fmt::Display) -> NodeError {
    NodeError::Storage(error.to_string())
}

fn peer_id(hex: &str) -> Result<PublicKey, NodeError> {
    hex.parse().map_err(|_| NodeError::Config(format!("{hex:?} is not a node id (66 hex digits)")))
}

/// ldk-node's name for an incoming or outgoing BOLT 11 payment: the hash itself.
const fn payment_id(hash: &PaymentHash) -> ldk_node::lightning::ln::channelmanager::PaymentId {
    ldk_node::lightning::ln::channelmanager::PaymentId(*hash.as_bytes())
}

/// The gate's millisatoshis as the node counts them; `None` below zero.
fn unsigned(amount: Msat) -> Option<u64> {
    u64::try_from(amount.as_i64()).ok()
}
