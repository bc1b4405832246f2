//! Small secrets that only whoever holds the master keys can read, kept where others can.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use zeroize::Zeroizing;

use crate::{MasterKeys, TokenId};

/// What is sealed belongs to one token, and is read under no other.
const LABEL: &[u8] = b"octroi sealed v1";

/// The secret could not be sealed: no such master key is held, or the system gives no randomness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the secret could not be sealed")]
pub struct SealError;

/// The sealed secret is not one for this token under these keys, or was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sealed secret cannot be read")]
pub struct UnsealError;

impl MasterKeys {
    /// Seals `secret` for `token`: AES-256-GCM under `HMAC-SHA256(master, "octroi sealing key v1" ‖ token id)`, with a random nonce in
    /// front. It stands as long as the master key that the token was made under.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn seal(&self, token: &TokenId, secret: &[u8]) -> Result<Vec<u8>, SealError> {
        let key = self.sealing_key(token).ok_or(SealError)?;
        // Never grown, so that no copy of the secret is left behind.
        let mut text = Zeroizing::new(Vec::with_capacity(secret.len() + AES_256_GCM.tag_len()));
        text.extend_from_slice(secret);
        let nonce = key.seal_in_place_append_tag(about(token), &mut *text).map_err(|_| SealError)?;
        let nonce: &[u8] = nonce.as_ref();
        Ok([nonce, &text].concat())
    }

    /// Reads what [`MasterKeys::seal`] made for `token`.
    ///
    /// # Errors
    /// [`UnsealError`].
    pub fn unseal(&self, token: &TokenId, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, UnsealError> {
        let key = self.sealing_key(token).ok_or(UnsealError)?;
        let (nonce, text) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(UnsealError)?;
        let mut text = Zeroizing::new(text.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = key.open_in_place(nonce, about(token), &mut text).map_err(|_| UnsealError)?.len();
        text.truncate(length);
        Ok(text)
    }

    fn sealing_key(&self, token: &TokenId) -> Option<RandomizedNonceKey> {
        let key = Zeroizing::new(self.derived(SEALING_KEY_LABEL, token)?);
        RandomizedNonceKey::new(&AES_256_GCM, &*key).ok()
    }
}

/// Says what the derived bytes are for.
const SEALING_KEY_LABEL: &[u8] = b"octroi sealing key v1";

fn about(token: &TokenId) -> Aad<Vec<u8>> {
    Aad::from([LABEL, token.as_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keys() -> MasterKeys {
        MasterKeys::new((7, [0x42; 32]))
    }

    #[test]
    fn what_is_sealed_shows_nothing_and_opens_for_its_token_alone() {
        let keys = keys();
        let (token, other) = (keys.new_token_id([5; 28]), keys.new_token_id([6; 28]));
        let sealed = keys.seal(&token, b"eyJhbGciOi").unwrap();
        assert_eq!(keys.unseal(&token, &sealed).unwrap().as_slice(), b"eyJhbGciOi");
        assert!(!sealed.windows(5).any(|window| window == b"eyJhb"));
        assert_ne!(keys.seal(&token, b"eyJhbGciOi").unwrap(), sealed, "each has a nonce of its own");
        assert_eq!(keys.unseal(&other, &sealed), Err(UnsealError));
        let rotated = MasterKeys::new((8, [1; 32])).with_previous((7, [0x42; 32])).unwrap();
        assert!(rotated.unseal(&token, &sealed).is_ok());
        for stranger in [MasterKeys::new((7, [0x43; 32])), MasterKeys::new((8, [0x42; 32]))] {
            assert_eq!(stranger.unseal(&token, &sealed), Err(UnsealError));
        }
        assert_eq!(MasterKeys::new((8, [0x42; 32])).seal(&token, b"x"), Err(SealError));
    }

    proptest! {
        #[test]
        fn a_change_anywhere_is_seen(secret: Vec<u8>, place: prop::sample::Index, bit in 0..8_u8, cut: prop::sample::Index) {
            let keys = keys();
            let token = keys.new_token_id([5; 28]);
            let mut sealed = keys.seal(&token, &secret).unwrap();
            let read = keys.unseal(&token, &sealed).unwrap();
            prop_assert_eq!(read.as_slice(), &secret[..]);
            prop_assert!(keys.unseal(&token, &sealed[..cut.index(sealed.len())]).is_err());
            let place = place.index(sealed.len());
            sealed[place] ^= 1 << bit;
            prop_assert!(keys.unseal(&token, &sealed).is_err());
        }
    }
}
