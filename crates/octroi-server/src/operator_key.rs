//! What shows that a request to change the ledger, or to spend, comes from who runs the gate: a seal made with the gate's own master key.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The header the seal stands in: `<Unix seconds>.<64 hexadecimal digits>`.
pub const SEAL_HEADER: &str = "x-octroi-seal";
/// How far the clocks of who asks and who answers may be apart, in seconds; and how long a seal could be shown again.
pub(crate) const SEAL_SECONDS: u64 = 60;
const LABEL: &[u8] = b"octroi operator seal v1";

/// The key of the seals. Secret: wiped when dropped, not shown by `Debug`.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct OperatorKey([u8; 32]);

impl OperatorKey {
    /// A key that was derived for this purpose alone.
    #[must_use]
    pub const fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// The seal of a request with this path and body, at `now` (Unix seconds).
    #[must_use]
    pub fn seal(&self, path: &str, body: &[u8], now: u64) -> String {
        let bytes = self.mac(path, body, now).map(|mac| mac.finalize().into_bytes());
        format!("{now}.{}", bytes.map(hex::encode).unwrap_or_default())
    }

    /// Whether `seal` was made with this key for this request, not long before or after `now`. In constant time.
    #[must_use]
    pub fn is_sealed(&self, seal: &str, path: &str, body: &[u8], now: u64) -> bool {
        let Some((at, digits)) = seal.split_once('.') else { return false };
        let (Ok(at), Ok(shown)) = (at.parse::<u64>(), hex::decode(digits)) else { return false };
        at.abs_diff(now) <= SEAL_SECONDS
            && self.mac(path, body, at).is_some_and(|mac| mac.verify_slice(&shown).is_ok())
    }

    fn mac(&self, path: &str, body: &[u8], at: u64) -> Option<Hmac<Sha256>> {
        // Paths have no line ends, and the rest is the body: no two requests run into each other.
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        mac.update(LABEL);
        mac.update(format!("\n{path}\n{at}\n").as_bytes());
        mac.update(body);
        Some(mac)
    }
}

impl fmt::Debug for OperatorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OperatorKey(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_is_good_for_one_request_of_one_minute() {
        let key = OperatorKey::new([7; 32]);
        let seal = key.seal("/ledger/revoke", b"{}", 1_000);
        assert!(key.is_sealed(&seal, "/ledger/revoke", b"{}", 1_060));
        for (path, body, now) in [
            ("/ledger/restore", b"{}", 1_000),
            ("/ledger/revoke", b"[]", 1_000),
            ("/ledger/revoke", b"{}", 1_061),
        ] {
            assert!(!key.is_sealed(&seal, path, body, now), "{path} {now}");
        }
        assert!(!OperatorKey::new([8; 32]).is_sealed(&seal, "/ledger/revoke", b"{}", 1_000));
        for wrong in ["", "1000", "1000.", "x.00", &seal[..seal.len() - 2], &seal.replace("1000.", "1001.")] {
            assert!(!key.is_sealed(wrong, "/ledger/revoke", b"{}", 1_000), "{wrong}");
        }
        assert_eq!(format!("{key:?}"), "OperatorKey(secret)");
    }
}
