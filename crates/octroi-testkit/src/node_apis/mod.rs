//! The APIs of other people's Lightning nodes, on loopback, in front of a real node of the testkit: so that an adapter
//! can be paid, cut off, kept waiting and lied to.
//!
//! LND, Core Lightning and phoenixd are in none of the registries that the tests install from (Debian, PyPI, npm, crates.io).
//! LNbits is, so the contract is tested against the program itself, too, and it against these APIs as their client.
//!
//! Each is built from the documented endpoints that the adapters use, with their field names, number formats, statuses
//! and error forms. What they share: a [`Stand`] remembers invoices and numbers what settled, and [`Faults`] spoil what
//! a test wants spoilt.

mod cln;
mod faults;
mod lnbits;
mod lnd;
mod lnurl;
pub mod nwc;
pub(crate) mod server;
mod stand;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use octroi_l402::{Msat, PaymentHash};
use octroi_lightning::LightningNode;
use tokio::task::AbortHandle;

pub use self::faults::{Fault, Faults, Telling};
use self::stand::Stand;

/// A node's API; it ends when dropped.
pub struct NodeApi {
    /// Where it answers.
    pub url: String,
    /// The server's certificate (PEM); empty where there is no TLS.
    pub certificate: String,
    /// What lets a caller in: a macaroon in hex, a rune, a key.
    pub credential: String,
    /// One of the same kind that allows to see who the node is, and nothing else; empty where there is no such thing.
    pub weak: String,
    /// What is to go wrong.
    pub faults: Arc<Faults>,
    stand: Arc<Stand>,
    tasks: Vec<AbortHandle>,
}

impl NodeApi {
    /// How many invoices were made over the API and not deleted, paid ones included.
    #[must_use]
    pub fn invoices(&self) -> usize {
        self.stand.invoices()
    }

    /// The node was set up anew, or restored from an old copy: it knows none of its invoices and payments, and counts from the first
    /// number again. Invoices that it made before are paid all the same.
    pub fn counts_anew(&self) {
        self.stand.forget_everything();
        self.faults.cut_streams();
    }

    /// The API says from now on that so much came for an invoice, whatever the node behind it knows: more than was asked
    /// for, later than it could be paid, a second time.
    pub fn arrives(&self, payment_hash: PaymentHash, amount: Msat) {
        self.stand.arrived(payment_hash, amount, stand::now());
    }
}

impl Drop for NodeApi {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// The secret of every API here.
const CREDENTIAL: &str = "0201036c6e6420c0ffee";

/// LND's REST interface, over TLS with a certificate of its own. It is the one consumer of the node's settlements.
///
/// # Errors
/// When no loopback port can be had.
pub async fn lnd(node: Arc<dyn LightningNode>) -> io::Result<NodeApi> {
    let (stand, faults) = (Stand::of(node), Arc::<Faults>::default());
    serve(lnd::Lnd { stand: Arc::clone(&stand.0), faults: Arc::clone(&faults) }, faults, true, stand).await
}

/// Core Lightning's clnrest, over TLS with a certificate of its own. As [`lnd`].
///
/// # Errors
/// When no loopback port can be had.
pub async fn clnrest(node: Arc<dyn LightningNode>) -> io::Result<NodeApi> {
    let (stand, faults) = (Stand::of(node), Arc::<Faults>::default());
    serve(
        cln::Rest(cln::Methods { stand: Arc::clone(&stand.0), faults: Arc::clone(&faults) }),
        faults,
        true,
        stand,
    )
    .await
}

/// Core Lightning's Unix socket at `path`. As [`lnd`].
///
/// # Errors
/// When the socket cannot be made.
pub async fn cln_socket(node: Arc<dyn LightningNode>, path: PathBuf) -> io::Result<NodeApi> {
    let (stand, faults) = (Stand::of(node), Arc::<Faults>::default());
    let methods = Arc::new(cln::Methods { stand: Arc::clone(&stand.0), faults: Arc::clone(&faults) });
    let task = cln::listen(methods, Arc::clone(&faults), &path)?;
    let tasks = vec![stand.1, task.abort_handle()];
    let url = path.display().to_string();
    let (certificate, credential, weak) = Default::default();
    Ok(NodeApi { url, certificate, credential, weak, faults, stand: stand.0, tasks })
}

/// One wallet at an LNbits. As [`lnd`], without TLS.
///
/// # Errors
/// When no loopback port can be had.
pub async fn lnbits(node: Arc<dyn LightningNode>) -> io::Result<NodeApi> {
    let (stand, faults) = (Stand::of(node), Arc::<Faults>::default());
    serve(lnbits::Lnbits { stand: Arc::clone(&stand.0), faults: Arc::clone(&faults) }, faults, false, stand)
        .await
}

/// A Lightning Address with LUD-21; its terms stand at `url`. As [`lnd`], without TLS.
///
/// # Errors
/// When no loopback port can be had.
pub async fn lnurl(node: Arc<dyn LightningNode>) -> io::Result<NodeApi> {
    let (stand, faults) = (Stand::of(node), Arc::<Faults>::default());
    let mut api = serve(
        lnurl::Lnurl { stand: Arc::clone(&stand.0), faults: Arc::clone(&faults) },
        faults,
        false,
        stand,
    )
    .await?;
    api.url.push_str(lnurl::TERMS);
    Ok(api)
}

async fn serve(
    api: impl server::Api,
    faults: Arc<Faults>,
    tls: bool,
    (stand, settlements): (Arc<Stand>, AbortHandle),
) -> io::Result<NodeApi> {
    let weak = api.weak();
    let served = server::start(Arc::new(api), Arc::clone(&faults), tls).await?;
    Ok(NodeApi {
        weak,
        url: served.url,
        certificate: served.certificate,
        credential: CREDENTIAL.to_owned(),
        faults,
        stand,
        tasks: vec![settlements, served.task.abort_handle()],
    })
}
