//! The master key: read, or created once beside the ledger, and what is derived from it.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use octroi_l402::{MasterKeys, ReceiptKey};
use octroi_pow::Signer;
use octroi_server::OperatorKey;
use serde_json::json;
use sha2::{Digest, Sha256};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::config::{MasterKeySource, Secret, SecretsConfig};

/// Why there is no master key. The operator's to mend.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The key file cannot be read or created.
    #[error("cannot use the key file {}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A key is not 64 hexadecimal digits.
    #[error("a master key must be 64 hexadecimal digits")]
    NotAKey,
    /// Two keys are the same, or there are too many.
    #[error("[secrets] {0}")]
    Set(#[from] octroi_l402::keys::KeysError),
    /// As above, for proof of work.
    #[error("[secrets] {0}")]
    Signer(#[from] octroi_pow::SignerError),
    /// The operating system gives no randomness.
    #[error("the operating system gives no randomness")]
    Random,
}

/// Everything that signs.
pub struct Keys {
    /// For credentials.
    pub master: Arc<MasterKeys>,
    /// For puzzles.
    pub puzzles: Signer,
    /// For what the operator asks a running gate.
    pub operator: OperatorKey,
    /// Seeds of the keys that sign access tokens for work, the current one first.
    pub tokens: Vec<Zeroizing<[u8; 32]>>,
    /// For receipts.
    pub receipts: Arc<ReceiptKey>,
    /// The public keys of receipts as a JWK set: the current one, then those of the former master keys.
    pub receipt_set: String,
}

type Key = Zeroizing<[u8; 32]>;

impl Keys {
    /// Reads the keys; creates the key file where there is none.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn load(secrets: &SecretsConfig) -> Result<Self, KeyError> {
        let current = match &secrets.master_key {
            MasterKeySource::Given(secret) => parse(secret)?,
            MasterKeySource::File(path) => read_or_create(path)?,
        };
        let number = secrets.master_key_number;
        let mut master = MasterKeys::new((number, *current));
        let mut puzzles = Signer::new((number, *derived(PUZZLES, &current)));
        let mut tokens = vec![derived(TOKENS, &current)];
        let receipts = receipt_key(&current)?;
        let mut receipt_set = vec![receipts.jwk()];
        for (number, previous) in &secrets.previous_keys {
            let key = parse(previous)?;
            master = master.with_previous((*number, *key))?;
            puzzles = puzzles.with_previous((*number, *derived(PUZZLES, &key)))?;
            tokens.push(derived(TOKENS, &key));
            receipt_set.push(receipt_key(&key)?.jwk());
        }
        let operator = OperatorKey::new(*derived(OPERATOR, &current));
        let receipt_set = json!({"keys": receipt_set}).to_string();
        Ok(Self {
            master: Arc::new(master),
            puzzles,
            operator,
            tokens,
            receipts: Arc::new(receipts),
            receipt_set,
        })
    }
}

const PUZZLES: &[u8] = b"octroi puzzle key v1";
const OPERATOR: &[u8] = b"octroi operator key v1";
const TOKENS: &[u8] = b"octroi access token key v1";
const RECEIPTS: &[u8] = b"octroi receipt key v1";

/// A key of its own for each purpose. Labels are constant and keys of fixed length, so that no two inputs run into each other.
fn derived(label: &[u8], key: &Key) -> Key {
    let mut hasher = Sha256::new();
    hasher.update(label);
    hasher.update(key.as_slice());
    Zeroizing::new(hasher.finalize().into())
}

fn receipt_key(key: &Key) -> Result<ReceiptKey, KeyError> {
    ReceiptKey::from_seed(&derived(RECEIPTS, key)).ok_or(KeyError::NotAKey)
}

fn parse(secret: &Secret) -> Result<Key, KeyError> {
    secret.hex_key().ok_or(KeyError::NotAKey)
}

/// Makes a key file; never writes over one.
///
/// # Errors
/// [`KeyError`], also where there is a file already.
pub fn create_key(path: &Path) -> Result<(), KeyError> {
    create(path).map(|_| ())
}

fn read_or_create(path: &Path) -> Result<Key, KeyError> {
    let failed = |source| KeyError::File { path: path.to_owned(), source };
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&Secret::new(text.trim())),
        Err(error) if error.kind() == ErrorKind::NotFound => create(path),
        Err(error) => Err(failed(error)),
    }
}

fn create(path: &Path) -> Result<Key, KeyError> {
    let failed = |source| KeyError::File { path: path.to_owned(), source };
    let mut key: Key = Zeroizing::new([0; 32]);
    getrandom::fill(key.as_mut_slice()).map_err(|_| KeyError::Random)?;
    // `create_new`: of two gates started at once, one creates the key and the other one fails instead of signing
    // with a key that is overwritten.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    let text = Zeroizing::new(hex::encode(key.as_slice()));
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_key_file_is_created_once_and_only_for_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("octroi.key");
        let first = read_or_create(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(*first, *read_or_create(&path).unwrap());
    }

    #[test]
    fn a_damaged_key_file_is_refused_and_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("octroi.key");
        std::fs::write(&path, "not a key").unwrap();
        assert!(matches!(read_or_create(&path), Err(KeyError::NotAKey)));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "not a key");
    }
}
