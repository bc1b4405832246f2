//! Until when each invoice made here can be paid.
//!
//! ldk-node keeps a record of every invoice for ever, in memory and on disk, and does not keep its expiry. A gate
//! that answers refusals with invoices makes many that are never paid, so ours are counted, and dropped in the end.

use std::collections::HashMap;
use std::sync::Arc;

use ldk_node::io::sqlite_store::SqliteStore;
use ldk_node::lightning::util::persist::KVStoreSync;
use octroi_l402::PaymentHash;
use parking_lot::Mutex;

use super::{NAMESPACE, storage};
use crate::NodeError;

/// Most invoices on record, paid and unpaid.
pub(super) const MAX_INVOICES: usize = 200_000;

/// How long a record outlives its invoice's expiry, in seconds. A payee accepts money up to two hours late (its
/// clock is the chain's), and a paid record is what refuses a second payment of the same invoice.
const RETENTION_SECS: u64 = 7 * 24 * 3600;

const INVOICES: &str = "invoices";

pub(super) struct Invoices {
    store: Arc<SqliteStore>,
    expiries: Mutex<HashMap<PaymentHash, u64>>,
}

impl Invoices {
    pub(super) fn load(store: Arc<SqliteStore>) -> Result<Self, NodeError> {
        let mut expiries = HashMap::new();
        for key in KVStoreSync::list(&*store, NAMESPACE, INVOICES).map_err(storage)? {
            let bytes = KVStoreSync::read(&*store, NAMESPACE, INVOICES, &key).map_err(storage)?;
            let expires_at = std::str::from_utf8(&bytes).ok().and_then(|text| text.parse().ok());
            let (Ok(hash), Some(expires_at)) = (key.parse(), expires_at) else {
                return Err(NodeError::Storage(format!("the record of invoice {key} is damaged")));
            };
            expiries.insert(hash, expires_at);
        }
        Ok(Self { store, expiries: Mutex::new(expiries) })
    }

    /// Whether one more fits.
    pub(super) fn has_room(&self) -> bool {
        self.expiries.lock().len() < MAX_INVOICES
    }

    pub(super) fn insert(&self, hash: PaymentHash, expires_at: u64) -> Result<(), NodeError> {
        let record = expires_at.to_string().into_bytes();
        KVStoreSync::write(&*self.store, NAMESPACE, INVOICES, &hash.to_string(), record).map_err(storage)?;
        self.expiries.lock().insert(hash, expires_at);
        Ok(())
    }

    pub(super) fn remove(&self, hash: &PaymentHash) -> Result<(), NodeError> {
        KVStoreSync::remove(&*self.store, NAMESPACE, INVOICES, &hash.to_string(), false).map_err(storage)?;
        self.expiries.lock().remove(hash);
        Ok(())
    }

    pub(super) fn expires_at(&self, hash: &PaymentHash) -> Option<u64> {
        self.expiries.lock().get(hash).copied()
    }

    /// Those whose time is over for so long that their records can go.
    pub(super) fn overdue(&self, now: u64) -> Vec<PaymentHash> {
        let expiries = self.expiries.lock();
        let over = |expires_at: u64| expires_at.saturating_add(RETENTION_SECS) < now;
        expiries.iter().filter(|&(_, &at)| over(at)).map(|(hash, _)| *hash).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiries_survive_a_restart_and_end_after_their_retention() {
        let dir = tempfile::tempdir().unwrap();
        let open = || {
            Invoices::load(Arc::new(SqliteStore::new(dir.path().to_path_buf(), None, None).unwrap())).unwrap()
        };
        let (old, new) = (PaymentHash::from_bytes([1; 32]), PaymentHash::from_bytes([2; 32]));
        let invoices = open();
        invoices.insert(old, 1_000).unwrap();
        invoices.insert(new, 2_000).unwrap();
        drop(invoices);

        let invoices = open();
        assert_eq!((invoices.expires_at(&old), invoices.expires_at(&new)), (Some(1_000), Some(2_000)));
        assert_eq!(invoices.overdue(1_000 + RETENTION_SECS), []);
        assert_eq!(invoices.overdue(1_001 + RETENTION_SECS), [old]);
        invoices.remove(&old).unwrap();
        drop(invoices);
        assert_eq!(open().expires_at(&old), None);
    }
}
