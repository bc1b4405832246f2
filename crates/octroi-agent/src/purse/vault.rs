//! What makes the purse's secrets unreadable on disk: AES-256-GCM under a key that lies beside it or is typed in.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, RandomizedNonceKey};
use aws_lc_rs::{pbkdf2, rand};
use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use super::PurseError;
use crate::Secret;

/// Length of the key, in bytes.
const KEY_LEN: usize = 32;
/// Length of the salt that goes with a passphrase, in bytes.
pub(super) const SALT_LEN: usize = 16;
/// Rounds of PBKDF2-HMAC-SHA256 (OWASP's figure of 2023).
const ROUNDS: NonZeroU32 = match NonZeroU32::new(600_000) {
    Some(rounds) => rounds,
    None => NonZeroU32::MIN,
};
/// Most bytes of a key file that are read.
const KEY_FILE_MAX: u64 = 1024;
/// Length of a nonce and of a tag, in bytes.
const NONCE_LEN: usize = 12;

/// Where the key of a purse comes from.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// A file with 64 hex digits that only its owner can read; made with a new key where there is none.
    File(PathBuf),
    /// 64 hex digits.
    Hex(Secret),
    /// A passphrase of any length; the salt lies in the purse.
    Passphrase(Secret),
}

impl KeySource {
    /// The key file that belongs to the purse at `path`: its name with `.key` behind it.
    #[must_use]
    pub fn beside(path: &Path) -> Self {
        let mut name = path.as_os_str().to_owned();
        name.push(".key");
        Self::File(name.into())
    }
}

/// Seals and opens.
pub(super) struct Vault(RandomizedNonceKey);

impl Vault {
    /// A vault whose key is forgotten with it.
    pub(super) fn forgetful() -> Result<Self, PurseError> {
        Self::of(&*random::<KEY_LEN>()?)
    }

    /// The vault of a key source; `salt` is the purse's own.
    pub(super) fn open(source: &KeySource, salt: &[u8]) -> Result<Self, PurseError> {
        match source {
            KeySource::File(path) => Self::of(&*key_file(path)?),
            KeySource::Hex(text) => Self::of(&*hex_key(text.reveal())?),
            KeySource::Passphrase(words) => {
                let mut key = Zeroizing::new([0; KEY_LEN]);
                let words = words.reveal().as_bytes();
                pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ROUNDS, salt, words, &mut *key);
                Self::of(&key)
            }
        }
    }

    fn of(key: &[u8; KEY_LEN]) -> Result<Self, PurseError> {
        RandomizedNonceKey::new(&AES_256_GCM, key).map(Self).map_err(|_| PurseError::WrongKey)
    }

    /// Nonce, ciphertext and tag. `what` says where it belongs, so that nothing sealed can be put elsewhere.
    pub(super) fn seal(&self, what: &str, plain: &[u8]) -> Result<Vec<u8>, PurseError> {
        let mut text = Zeroizing::new(Vec::with_capacity(plain.len() + 2 * NONCE_LEN));
        text.extend_from_slice(plain);
        let aad = Aad::from(what.as_bytes());
        let nonce = self.0.seal_in_place_append_tag(aad, &mut *text).map_err(|_| PurseError::WrongKey)?;
        let mut sealed = nonce.as_ref().to_vec();
        sealed.extend_from_slice(&text);
        Ok(sealed)
    }

    /// What was sealed for `what`.
    pub(super) fn open_sealed(&self, what: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, PurseError> {
        let (nonce, text) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(PurseError::WrongKey)?;
        let mut text = Zeroizing::new(text.to_vec());
        let plain = self.0.open_in_place(nonce.into(), Aad::from(what.as_bytes()), &mut text);
        let length = plain.map_err(|_| PurseError::WrongKey)?.len();
        text.truncate(length);
        Ok(text)
    }
}

/// Random bytes from the operating system.
pub(super) fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, PurseError> {
    let mut bytes = Zeroizing::new([0; N]);
    rand::fill(&mut *bytes)
        .map_err(|_| PurseError::Key("the operating system gives no randomness".to_owned()))?;
    Ok(bytes)
}

/// The key in the file at `path`; several processes that make it at once agree on one.
fn key_file(path: &Path) -> Result<Zeroizing<[u8; KEY_LEN]>, PurseError> {
    match File::open(path) {
        Ok(file) => read_key(file, path),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            // Made with mode 0600, complete before it has its name.
            let mut next = NamedTempFile::new_in(folder.unwrap_or_else(|| Path::new(".")))?;
            let key = random::<KEY_LEN>()?;
            next.write_all(Zeroizing::new(hex::encode(*key)).as_bytes())?;
            next.as_file().sync_all()?;
            match next.persist_noclobber(path) {
                Ok(_) => Ok(key),
                Err(other) if other.error.kind() == ErrorKind::AlreadyExists => {
                    read_key(File::open(path)?, path)
                }
                Err(other) => Err(other.error.into()),
            }
        }
        Err(error) => Err(error.into()),
    }
}

fn read_key(file: File, path: &Path) -> Result<Zeroizing<[u8; KEY_LEN]>, PurseError> {
    if !is_private(&file)? {
        return Err(PurseError::Key(format!("{} can be read by others than its owner", path.display())));
    }
    let mut text = Zeroizing::new(String::new());
    file.take(KEY_FILE_MAX).read_to_string(&mut text)?;
    hex_key(text.trim())
}

fn hex_key(text: &str) -> Result<Zeroizing<[u8; KEY_LEN]>, PurseError> {
    let mut key = Zeroizing::new([0; KEY_LEN]);
    hex::decode_to_slice(text.trim(), &mut *key)
        .map_err(|_| PurseError::Key("a key has 64 hex digits".to_owned()))?;
    Ok(key)
}

/// Makes an empty file that only its owner can read, where there is none.
pub(super) fn touch_private(path: &Path) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).append(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(path).map(drop)
}

#[cfg(unix)]
fn is_private(file: &File) -> std::io::Result<bool> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(file.metadata()?.permissions().mode() & 0o077 == 0)
}

#[cfg(not(unix))]
fn is_private(_: &File) -> std::io::Result<bool> {
    Ok(true)
}
