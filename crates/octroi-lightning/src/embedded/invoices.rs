//! Until when each invoice made here can be paid.
//!
//! ldk-node keeps a record of every invoice for ever, in memory and on disk, and does not keep its expiry. A gate
//! that answers refusals with invoices makes many that are never paid, so ours are counted, and dropped in the end.

use std::collections::HashMap;
use std::sync::Arc;

use ldk_node::lightning::util::persist::KVStoreSync;
use octroi_l402::PaymentHash;
use parking_lot::Mutex;

use super::store::Store;
use super::{NAMESPACE, storage};
use crate::NodeError;

/// Most invoices on record, paid and unpaid.
pub(super) const MAX_INVOICES: usize = 200_000;

/// How long the record of a paid invoice outlives its expiry, in seconds: it is what refuses a second payment.
const PAID_RETENTION_SECS: u64 = 7 * 24 * 3600;

/// How long the record of an unpaid one does. Without a record a late payment, which a payee accepts for two hours (its
/// clock is the chain's), is a settlement all the same: LDK derives an invoice's secret anew.
const UNPAID_RETENTION_SECS: u64 = 60;

const INVOICES: &str = "invoices";

pub(super) struct Invoices {
    store: Arc<Store>,
    expiries: Mutex<HashMap<PaymentHash, u64>>,
}

impl Invoices {
    pub(super) fn load(store: Arc<Store>) -> Result<Self, NodeError> {
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
        self.len() < MAX_INVOICES
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

    /// Those whose time is over for so long that their records can go; `is_paid` is asked about what expired lately.
    pub(super) fn overdue(&self, now: u64, is_paid: impl Fn(&PaymentHash) -> bool) -> Vec<PaymentHash> {
        let expired: Vec<(PaymentHash, u64)> = {
            let expiries = self.expiries.lock();
            let over = |at: u64| at.saturating_add(UNPAID_RETENTION_SECS) < now;
            expiries.iter().filter(|&(_, &at)| over(at)).map(|(hash, at)| (*hash, *at)).collect()
        };
        let may_go =
            |(hash, at): &(PaymentHash, u64)| at.saturating_add(PAID_RETENTION_SECS) < now || !is_paid(hash);
        expired.into_iter().filter(may_go).map(|(hash, _)| hash).collect()
    }

    /// How many are on record.
    pub(super) fn len(&self) -> usize {
        self.expiries.lock().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiries_survive_a_restart_and_end_after_their_retention() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Invoices::load(Arc::new(Store::plain(dir.path(), None).unwrap())).unwrap();
        let (old, new) = (PaymentHash::from_bytes([1; 32]), PaymentHash::from_bytes([2; 32]));
        let invoices = open();
        invoices.insert(old, 1_000).unwrap();
        invoices.insert(new, 2_000).unwrap();
        drop(invoices);

        let invoices = open();
        assert_eq!((invoices.expires_at(&old), invoices.expires_at(&new)), (Some(1_000), Some(2_000)));
        assert_eq!(invoices.overdue(1_000 + UNPAID_RETENTION_SECS, |_| false), []);
        assert_eq!(invoices.overdue(1_001 + UNPAID_RETENTION_SECS, |_| false), [old]);
        assert_eq!(invoices.overdue(1_000 + PAID_RETENTION_SECS, |_| true), []);
        assert_eq!(invoices.overdue(1_001 + PAID_RETENTION_SECS, |_| true), [old]);
        invoices.remove(&old).unwrap();
        drop(invoices);
        assert_eq!(open().expires_at(&old), None);
    }
}
