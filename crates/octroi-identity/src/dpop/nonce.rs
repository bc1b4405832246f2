//! Nonces that nobody has to remember (RFC 9449 §8.2, §9).

use aws_lc_rs::hmac::{self, Key};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// How long a nonce is given out, seconds. It is accepted for as long again.
const PERIOD_SECONDS: u64 = 120;

/// Nonces are the MAC of the period they are given out in, under a key that lives as long as the process.
pub(super) struct Nonces(Key);

impl Nonces {
    /// `None` when the machine gives no randomness.
    pub(super) fn new() -> Option<Self> {
        Key::generate(hmac::HMAC_SHA256, &aws_lc_rs::rand::SystemRandom::new()).ok().map(Self)
    }

    /// The nonce to use at this time.
    pub(super) fn at(&self, now: u64) -> String {
        let period = now / PERIOD_SECONDS;
        URL_SAFE_NO_PAD.encode(hmac::sign(&self.0, &period.to_be_bytes()))
    }

    /// Whether a nonce is that of this period or of the one before.
    pub(super) fn accept(&self, nonce: &str, now: u64) -> bool {
        let Ok(nonce) = URL_SAFE_NO_PAD.decode(nonce) else { return false };
        let period = now / PERIOD_SECONDS;
        [period, period.saturating_sub(1)]
            .iter()
            .any(|period| hmac::verify(&self.0, &period.to_be_bytes(), &nonce).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_good_for_its_period_and_the_next() {
        let nonces = Nonces::new().unwrap();
        let nonce = nonces.at(1200);
        assert_eq!(nonce, nonces.at(1319));
        assert!(nonces.accept(&nonce, 1200) && nonces.accept(&nonce, 1439));
        assert!(!nonces.accept(&nonce, 1440) && !nonces.accept(&nonce, 1199));
        assert!(!nonces.accept("", 1200) && !nonces.accept(&nonce[..10], 1200));
        assert!(!Nonces::new().unwrap().accept(&nonce, 1200));
    }
}
