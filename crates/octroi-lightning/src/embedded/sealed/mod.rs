//! What makes a node's folder unreadable to whoever copies the disk.
//!
//! A [key file](keys) holds the node's seed and two keys, sealed under a passphrase (Argon2id). The keys seal every record of
//! the node's database, names as well as values ([`Sealer`]), so that what can be seen is how many records there are and how
//! long they are. A folder from before it had a passphrase is [converted](convert).

mod convert;
mod keys;

use std::io;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

pub(super) use convert::{PLAIN_SEED, SEALED_DB, convert};
pub(super) use keys::{KEY_FILE, Keys, create, open};
pub use keys::{change_passphrase, init};

/// Length of a nonce, in bytes.
const NONCE_LEN: usize = 12;

/// Length of a key, in bytes.
pub(super) const KEY_LEN: usize = 32;

/// Seals and opens the records of a database: AES-256-GCM-SIV (RFC 8452).
///
/// Values have a random nonce. Names have none, so that one can be found again; this mode allows it, and shows no more than
/// that two names are equal.
pub(super) struct Sealer {
    names: LessSafeKey,
    values: LessSafeKey,
}

/// Where a record stands: namespaces and key of LDK's store.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) primary: &'a str,
    pub(super) secondary: &'a str,
    pub(super) key: &'a str,
}

/// A place as it stands in the database.
pub(super) struct SealedPlace {
    pub(super) primary: String,
    pub(super) secondary: String,
    pub(super) key: String,
}

impl Sealer {
    pub(super) fn new(names: &[u8; KEY_LEN], values: &[u8; KEY_LEN]) -> io::Result<Self> {
        Ok(Self { names: cipher(names)?, values: cipher(values)? })
    }

    /// The namespaces of a place, sealed. Empty ones stay empty: LDK's store demands it of them together.
    pub(super) fn namespaces(&self, primary: &str, secondary: &str) -> io::Result<(String, String)> {
        Ok((self.name("", primary)?, self.name(&format!("/{primary}"), secondary)?))
    }

    pub(super) fn place(&self, place: Place<'_>) -> io::Result<SealedPlace> {
        let (primary, secondary) = self.namespaces(place.primary, place.secondary)?;
        let key = self.name(&folder(place.primary, place.secondary), place.key)?;
        Ok(SealedPlace { primary, secondary, key })
    }

    /// The key that stands sealed under these namespaces.
    pub(super) fn open_key(&self, primary: &str, secondary: &str, sealed: &str) -> io::Result<String> {
        let mut text = URL_SAFE_NO_PAD.decode(sealed).map_err(|_| damaged())?;
        let within = folder(primary, secondary);
        let name = self.names.open_in_place(nonce([0; NONCE_LEN]), Aad::from(within.as_bytes()), &mut text);
        let name = name.map_err(|_| damaged())?.to_vec();
        String::from_utf8(name).map_err(|_| damaged())
    }

    /// Nonce, ciphertext and tag. The record can be opened in its own place only.
    pub(super) fn seal(&self, place: Place<'_>, value: Vec<u8>) -> io::Result<Vec<u8>> {
        seal(&self.values, &full(place), value)
    }

    /// What was sealed for this place.
    pub(super) fn open(&self, place: Place<'_>, sealed: &[u8]) -> io::Result<Vec<u8>> {
        open_with(&self.values, &full(place), sealed).map(|plain| plain.to_vec())
    }

    fn name(&self, within: &str, name: &str) -> io::Result<String> {
        if name.is_empty() {
            return Ok(String::new());
        }
        let mut text = name.as_bytes().to_vec();
        let aad = Aad::from(within.as_bytes());
        self.names.seal_in_place_append_tag(nonce([0; NONCE_LEN]), aad, &mut text).map_err(|_| damaged())?;
        Ok(URL_SAFE_NO_PAD.encode(text))
    }
}

/// Seals `plain` for `what` with a random nonce, which stands in front.
pub(super) fn seal(key: &LessSafeKey, what: &str, plain: Vec<u8>) -> io::Result<Vec<u8>> {
    let mut random = [0; NONCE_LEN];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let mut text = Zeroizing::new(plain);
    key.seal_in_place_append_tag(nonce(random), Aad::from(what.as_bytes()), &mut *text)
        .map_err(|_| damaged())?;
    Ok([&random[..], &text].concat())
}

/// What was sealed for `what`.
pub(super) fn open_with(key: &LessSafeKey, what: &str, sealed: &[u8]) -> io::Result<Zeroizing<Vec<u8>>> {
    let (random, text) = sealed.split_first_chunk::<NONCE_LEN>().ok_or_else(damaged)?;
    let mut text = Zeroizing::new(text.to_vec());
    let plain = key.open_in_place(nonce(*random), Aad::from(what.as_bytes()), &mut text);
    let length = plain.map_err(|_| damaged())?.len();
    text.truncate(length);
    Ok(text)
}

pub(super) fn cipher(key: &[u8; KEY_LEN]) -> io::Result<LessSafeKey> {
    UnboundKey::new(&AES_256_GCM_SIV, key).map(LessSafeKey::new).map_err(|_| damaged())
}

fn nonce(bytes: [u8; NONCE_LEN]) -> Nonce {
    Nonce::assume_unique_for_key(bytes)
}

/// Namespaces have no slashes.
fn folder(primary: &str, secondary: &str) -> String {
    format!("/{primary}/{secondary}")
}

fn full(place: Place<'_>) -> String {
    format!("/{}/{}/{}", place.primary, place.secondary, place.key)
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a sealed record is damaged, or was sealed with another key")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sealer(byte: u8) -> Sealer {
        Sealer::new(&[byte; KEY_LEN], &[byte + 1; KEY_LEN]).unwrap()
    }

    fn place<'a>(primary: &'a str, secondary: &'a str, key: &'a str) -> Place<'a> {
        Place { primary, secondary, key }
    }

    #[test]
    fn a_record_opens_in_its_own_place_with_its_own_key_only() {
        let sealer = sealer(1);
        let here = place("monitors", "", "a");
        let sealed = sealer.seal(here, b"state".to_vec()).unwrap();
        assert_ne!(sealer.seal(here, b"state".to_vec()).unwrap(), sealed, "a nonce of its own");
        assert_eq!(sealer.open(here, &sealed).unwrap(), b"state");
        for elsewhere in [place("monitors", "", "b"), place("monitors", "a", ""), place("", "", "a")] {
            assert!(sealer.open(elsewhere, &sealed).is_err());
        }
        assert!(super::tests::sealer(2).open(here, &sealed).is_err());
        for at in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            assert!(sealer.open(here, &damaged).is_err(), "byte {at}");
            assert!(sealer.open(here, &sealed[..at]).is_err());
        }
    }

    #[test]
    fn the_longest_name_that_ldk_uses_fits_into_its_store() {
        // An outpoint: a transaction's id, and the number of an output.
        let name = format!("{}_65535", "f".repeat(64));
        let sealed = sealer(1).place(place("monitor_updates", &name, &name)).unwrap();
        assert!(sealed.secondary.len() <= 120 && sealed.key.len() <= 120);
        assert!(!sealed.primary.contains("monitor"));
    }

    proptest! {
        #[test]
        fn names_are_found_again_and_read_again(
            primary in "[a-z_]{1,30}", secondary in "[a-z_]{0,30}", key in "[A-Za-z0-9_-]{1,70}",
        ) {
            let sealer = sealer(7);
            let sealed = sealer.place(place(&primary, &secondary, &key)).unwrap();
            prop_assert_eq!(&sealed.key, &sealer.place(place(&primary, &secondary, &key)).unwrap().key);
            prop_assert_eq!(sealer.open_key(&primary, &secondary, &sealed.key).unwrap(), key);
            prop_assert!(sealer.open_key(&primary, "elsewhere!", &sealed.key).is_err());
            prop_assert_eq!(sealed.secondary.is_empty(), secondary.is_empty());
        }
    }
}
