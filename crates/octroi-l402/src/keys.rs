//! Where signing keys come from: a few numbered master keys, and one root key per token derived from them.
//!
//! Nothing is stored per token. The number of the master key is the first four bytes (big-endian) of the token id,
//! so that a new master key can be put in front while tokens made under the old one are still good. Dropping an old
//! master key revokes every token made under it.

use std::fmt;

use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::TokenId;

/// The most master keys that can be held at once: the current one and those it replaced.
pub const MAX_MASTER_KEYS: usize = 8;

/// Says what the derived bytes are for, so that the same master key can serve other purposes under other labels.
const ROOT_KEY_LABEL: &[u8] = b"octroi root key v1";

/// Why a set of master keys cannot stand. The fault is in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// Two master keys carry the same number, so a token id would not say which one made it.
    #[error("two master keys have the number {0}")]
    SameNumber(u32),
    /// More than [`MAX_MASTER_KEYS`].
    #[error("more than {MAX_MASTER_KEYS} master keys")]
    TooMany,
}

/// The master keys: the current one, which new tokens are made under, and older ones still honoured.
#[derive(Clone)]
pub struct MasterKeys {
    // The current key is first. Each is kept as HMAC state already keyed, which saves two compressions a token;
    // the state is wiped when dropped (feature `zeroize` of `hmac` and `sha2`).
    keys: Vec<(u32, Hmac<Sha256>)>,
}

impl MasterKeys {
    /// The `current` key and its number. New token ids carry this number.
    #[must_use]
    pub fn new(current: (u32, [u8; 32])) -> Self {
        Self { keys: vec![keyed(current)] }
    }

    /// Adds a key that is no longer used to make tokens but still honoured.
    ///
    /// # Errors
    /// [`KeysError`] when the number is taken or there are too many.
    pub fn with_previous(mut self, previous: (u32, [u8; 32])) -> Result<Self, KeysError> {
        if self.keys.iter().any(|(number, _)| *number == previous.0) {
            return Err(KeysError::SameNumber(previous.0));
        }
        if self.keys.len() == MAX_MASTER_KEYS {
            return Err(KeysError::TooMany);
        }
        self.keys.push(keyed(previous));
        Ok(self)
    }

    /// A token id under the current key, from 28 bytes of randomness.
    #[must_use]
    pub fn new_token_id(&self, random: [u8; 28]) -> TokenId {
        let number = self.keys.first().map_or(0, |(number, _)| *number);
        let mut id = [0; 32];
        id[..4].copy_from_slice(&number.to_be_bytes());
        id[4..].copy_from_slice(&random);
        TokenId::from_bytes(id)
    }

    /// A token id under the current key, with randomness from the operating system.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn generate_token_id(&self) -> Result<TokenId, getrandom::Error> {
        let mut random = [0; 28];
        getrandom::fill(&mut random)?;
        Ok(self.new_token_id(random))
    }

    /// The root key of a token, or `None` where its id names a master key that is not (or no longer) held.
    ///
    /// `HMAC-SHA256(master, "octroi root key v1" ‖ token id)`.
    #[must_use]
    pub fn root_key(&self, token: &TokenId) -> Option<RootKey> {
        self.derived(ROOT_KEY_LABEL, token).map(RootKey)
    }

    /// `HMAC-SHA256(master, label ‖ token id)`, under the master key that the token id names.
    pub(crate) fn derived(&self, label: &[u8], token: &TokenId) -> Option<[u8; 32]> {
        let (number, _) = token.as_bytes().split_first_chunk::<4>()?;
        let number = u32::from_be_bytes(*number);
        let (_, master) = self.keys.iter().find(|(held, _)| *held == number)?;
        let mut mac = master.clone();
        mac.update(label);
        mac.update(token.as_bytes());
        Some(mac.finalize().into_bytes().into())
    }
}

impl fmt::Debug for MasterKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<u32> = self.keys.iter().map(|(number, _)| *number).collect();
        f.debug_struct("MasterKeys").field("numbers", &numbers).finish_non_exhaustive()
    }
}

fn keyed((number, mut key): (u32, [u8; 32])) -> (u32, Hmac<Sha256>) {
    let state = crate::macaroon::hmac_keyed(&key);
    key.zeroize();
    (number, state)
}

/// The key one token is signed with. Secret: wiped when dropped, not shown by `Debug`.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct RootKey([u8; 32]);

impl RootKey {
    /// Wraps the 32 bytes as they are.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootKey(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> MasterKeys {
        MasterKeys::new((7, [0x42; 32]))
    }

    /// `printf 'octroi root key v1\0\0\0\7%s' "$(printf '\5%.0s' {1..28})"` through
    /// `openssl dgst -sha256 -mac hmac -macopt hexkey:4242…42` (the zeros go in as a file).
    #[test]
    fn the_root_key_of_a_token() {
        let token = keys().new_token_id([5; 28]);
        assert_eq!(token.to_string(), format!("00000007{}", "05".repeat(28)));
        let root = keys().root_key(&token).map(|root| hex::encode(root.as_bytes()));
        assert_eq!(root.as_deref(), Some("259686125ddd7bf192c208cb015010fd3e5d373c447a32e3c35a20b50e0dd5ca"));
    }

    #[test]
    fn a_token_names_the_key_it_was_made_under() {
        let token = keys().new_token_id([5; 28]);
        let rotated = MasterKeys::new((8, [0x88; 32])).with_previous((7, [0x42; 32])).unwrap();
        let root = |keys: &MasterKeys| keys.root_key(&token).map(|root| *root.as_bytes());
        assert_eq!(root(&rotated), root(&keys()));
        assert_eq!(root(&MasterKeys::new((8, [0x42; 32]))), None);
        assert_ne!(rotated.generate_token_id().unwrap(), rotated.generate_token_id().unwrap());
        assert!(rotated.root_key(&rotated.generate_token_id().unwrap()).is_some());
    }

    #[test]
    fn numbers_are_unique_and_keys_bounded() {
        assert_eq!(keys().with_previous((7, [0; 32])).unwrap_err(), KeysError::SameNumber(7));
        let others = 100..100 + MAX_MASTER_KEYS as u32 - 1;
        let full = others.fold(keys(), |held, number| held.with_previous((number, [0; 32])).unwrap());
        assert_eq!(full.with_previous((1, [0; 32])).unwrap_err(), KeysError::TooMany);
    }
}
