//! The key file of a node: its seed, and the keys of its database, sealed under a passphrase.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use argon2::{Algorithm, Argon2, Params, Version};
use bip39::Mnemonic;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::super::folder::{private_file, take};
use super::super::storage;
use super::{KEY_LEN, Sealer, cipher, open_with, seal};
use crate::{NodeError, Password};

/// The file's name in the node's folder.
pub(in super::super) const KEY_FILE: &str = "octroi-keys.json";

/// Most bytes of it that are read.
const FILE_MAX: u64 = 16 * 1024;

/// What the sealed part is bound to.
const WHAT: &str = "octroi lightning keys v1";

/// What guessing costs: 64 MiB and three passes for each guess (RFC 9106 §4, the second recommended option, on one lane).
const COST: Cost = Cost { memory_kib: 64 * 1024, passes: 3, lanes: 1 };

/// The most that a file may ask for; beyond this it was not written here.
const COST_MAX: Cost = Cost { memory_kib: 1024 * 1024, passes: 64, lanes: 16 };

const SALT_LEN: usize = 16;
const SEED_LEN: usize = 64;

/// What the key file holds. Secret: wiped when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(in super::super) struct Keys {
    /// ldk-node's seed, from which everything that signs is derived.
    pub(in super::super) seed: [u8; SEED_LEN],
    names: [u8; KEY_LEN],
    values: [u8; KEY_LEN],
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    version: u32,
    argon2id: Cost,
    /// Hexadecimal, as the next.
    salt: String,
    sealed: String,
}

impl Keys {
    /// Keys around a seed that is there already.
    pub(in super::super) fn around(seed: &[u8; SEED_LEN]) -> Result<Self, NodeError> {
        let mut keys = Self { seed: *seed, names: [0; KEY_LEN], values: [0; KEY_LEN] };
        getrandom::fill(&mut keys.names).and_then(|()| getrandom::fill(&mut keys.values)).map_err(storage)?;
        Ok(keys)
    }

    /// What seals the database.
    pub(in super::super) fn sealer(&self) -> Result<Sealer, NodeError> {
        Sealer::new(&self.names, &self.values).map_err(storage)
    }

    fn to_bytes(&self) -> Vec<u8> {
        [&self.seed[..], &self.names, &self.values].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (seed, keys) = bytes.split_first_chunk()?;
        let (names, values) = keys.split_first_chunk()?;
        Some(Self { seed: *seed, names: *names, values: values.try_into().ok()? })
    }
}

/// Makes a new node's keys in a folder that has none, and gives the 24 words (BIP 39) that its seed is made from. They are shown this
/// once: no file keeps them. With `words`, of a node that was there before, no new ones are made.
///
/// # Errors
/// [`NodeError::Config`] where there is a node already, or the words are no BIP 39 phrase; [`NodeError::Storage`].
pub fn init(dir: &Path, passphrase: &Password, words: Option<&Password>) -> Result<Password, NodeError> {
    let _lock = take(dir)?;
    for name in [KEY_FILE, super::PLAIN_SEED, super::SEALED_DB] {
        if dir.join(name).exists() {
            return Err(NodeError::Config(format!("there is a Lightning node in {} already", dir.display())));
        }
    }
    let words = match words {
        // Which word is wrong is not said: it would stand in a terminal's history, and in logs.
        Some(words) => Mnemonic::parse_normalized(words.reveal().trim())
            .map_err(|_| NodeError::Config("these are not the words of a seed (BIP 39)".to_owned()))?,
        None => ldk_node::generate_entropy_mnemonic(None),
    };
    let seed = Zeroizing::new(words.to_seed_normalized(""));
    create(dir, passphrase, &Keys::around(&seed)?)?;
    Ok(Password::new(words.to_string()))
}

/// Puts the keys of a folder under another passphrase. The seed and the keys of the database stay what they were, and the process may
/// die at any moment of it: then either the one or the other passphrase opens them. A copy of the folder from before, and a disk that
/// keeps old blocks, still opens with the passphrase from before.
///
/// # Errors
/// [`NodeError::Config`] when `from` is wrong, `to` is empty, or the folder is not encrypted; [`NodeError::Storage`] when a node runs on
/// the folder, or it cannot be written. The passphrase is what it was then.
pub fn change_passphrase(dir: &Path, from: &Password, to: &Password) -> Result<(), NodeError> {
    if to.reveal().is_empty() {
        return Err(NodeError::Config("an empty passphrase protects nothing".to_owned()));
    }
    let none = || {
        let dir = dir.display();
        NodeError::Config(format!(
            "there are no encrypted keys in {dir}: a node is encrypted when it is started with a passphrase"
        ))
    };
    if !dir.join(KEY_FILE).exists() {
        return Err(none());
    }
    let _lock = take(dir)?;
    let keys = open(dir, from)?.ok_or_else(none)?;
    let next = write_next(dir, to, &keys)?;
    // What cannot be opened must not take the place of what can.
    let read = open_file(&next, to)?;
    if read.is_none_or(|read| read.to_bytes() != keys.to_bytes()) {
        return Err(NodeError::Storage(format!("{} could not be read again", next.display())));
    }
    put_in_place(dir, &next)
}

/// Writes the key file, whole or not at all.
pub(in super::super) fn create(dir: &Path, passphrase: &Password, keys: &Keys) -> Result<(), NodeError> {
    let next = write_next(dir, passphrase, keys)?;
    put_in_place(dir, &next)
}

/// Writes it beside its place, flushed.
fn write_next(dir: &Path, passphrase: &Password, keys: &Keys) -> Result<PathBuf, NodeError> {
    let mut salt = [0; SALT_LEN];
    getrandom::fill(&mut salt).map_err(storage)?;
    let key = derive(passphrase, &salt, COST)?;
    let sealed = seal(&cipher(&key).map_err(storage)?, WHAT, keys.to_bytes()).map_err(storage)?;
    let file = KeyFile { version: 1, argon2id: COST, salt: hex::encode(salt), sealed: hex::encode(sealed) };
    let text = serde_json::to_string_pretty(&file).map_err(storage)?;
    let next = dir.join(format!("{KEY_FILE}.new"));
    let mut file = private_file(&next).map_err(storage)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(storage)?;
    Ok(next)
}

fn put_in_place(dir: &Path, next: &Path) -> Result<(), NodeError> {
    fs::rename(next, dir.join(KEY_FILE)).and_then(|()| fs::File::open(dir)?.sync_all()).map_err(storage)
}

/// Reads the key file; `None` where there is none.
///
/// # Errors
/// [`NodeError::Config`] when the passphrase is wrong, [`NodeError::Storage`] when the file is damaged.
pub(in super::super) fn open(dir: &Path, passphrase: &Password) -> Result<Option<Keys>, NodeError> {
    open_file(&dir.join(KEY_FILE), passphrase)
}

fn open_file(path: &Path, passphrase: &Password) -> Result<Option<Keys>, NodeError> {
    let damaged = || NodeError::Storage(format!("{} is damaged", path.display()));
    match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(storage(error)),
        Ok(found) if found.len() > FILE_MAX => return Err(damaged()),
        Ok(_) => {}
    }
    let file: KeyFile = serde_json::from_slice(&fs::read(path).map_err(storage)?).map_err(|_| damaged())?;
    let cost = file.argon2id;
    let too_dear =
        cost.memory_kib > COST_MAX.memory_kib || cost.passes > COST_MAX.passes || cost.lanes > COST_MAX.lanes;
    if file.version != 1 || too_dear {
        return Err(damaged());
    }
    let (salt, sealed) = (hex::decode(&file.salt), hex::decode(&file.sealed));
    let (Ok(salt), Ok(sealed)) = (salt, sealed) else { return Err(damaged()) };
    let key = derive(passphrase, &salt, cost)?;
    let opened = open_with(&cipher(&key).map_err(storage)?, WHAT, &sealed).map_err(|_| {
        NodeError::Config(format!(
            "the passphrase does not open the Lightning node's keys in {}",
            path.display()
        ))
    })?;
    Keys::from_bytes(&opened).map(Some).ok_or_else(damaged)
}

fn derive(passphrase: &Password, salt: &[u8], cost: Cost) -> Result<Zeroizing<[u8; KEY_LEN]>, NodeError> {
    let wrong = |error: argon2::Error| NodeError::Storage(format!("the key file's cost: {error}"));
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(KEY_LEN)).map_err(wrong)?;
    let mut key = Zeroizing::new([0; KEY_LEN]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.reveal().as_bytes(), salt, key.as_mut_slice())
        .map_err(wrong)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passphrase(text: &str) -> Password {
        Password::new(text)
    }

    #[test]
    fn the_words_are_given_once_and_make_the_same_node_again() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (dir.path().join("first"), dir.path().join("second"));
        let words = init(&first, &passphrase("correct horse"), None).unwrap();
        assert_eq!(words.reveal().split(' ').count(), 24);
        assert!(matches!(init(&first, &passphrase("x"), None), Err(NodeError::Config(_))));
        let shouted = Password::new(format!(" {}\n", words.reveal()));
        init(&second, &passphrase("another"), Some(&shouted)).unwrap();
        let seed = |dir: &Path, text| open(dir, &passphrase(text)).unwrap().unwrap().seed;
        assert_eq!(seed(&first, "correct horse"), seed(&second, "another"));
        let not_words = Password::new("abandon abandon");
        let error = init(&dir.path().join("third"), &passphrase("x"), Some(&not_words)).unwrap_err();
        assert!(!error.to_string().contains("abandon"), "{error}");
    }

    #[test]
    fn another_passphrase_or_a_changed_file_opens_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert!(open(dir.path(), &passphrase("none")).unwrap().is_none());
        let keys = Keys::around(&[7; SEED_LEN]).unwrap();
        create(dir.path(), &passphrase("right"), &keys).unwrap();
        let path = dir.path().join(KEY_FILE);
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains(&hex::encode([7; 16])), "the seed is not to be seen");
        let error = open(dir.path(), &passphrase("wrong")).err().unwrap();
        assert!(matches!(&error, NodeError::Config(text) if !text.contains("wrong")), "{error}");
        for (from, to) in [("65536", "65535"), ("65536", "4000000"), ("\"version\": 1", "\"version\": 2")] {
            fs::write(&path, text.replace(from, to)).unwrap();
            assert!(open(dir.path(), &passphrase("right")).is_err(), "{to}");
        }
        fs::write(&path, &text[..text.len() / 2]).unwrap();
        assert!(matches!(open(dir.path(), &passphrase("right")), Err(NodeError::Storage(_))));
        fs::write(&path, text).unwrap();
        assert_eq!(open(dir.path(), &passphrase("right")).unwrap().unwrap().seed, [7; SEED_LEN]);
    }

    #[test]
    fn a_passphrase_is_changed_and_a_crash_leaves_the_one_or_the_other() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let (old, new) = (passphrase("old"), passphrase("new"));
        assert!(matches!(change_passphrase(dir, &old, &new), Err(NodeError::Config(_))), "nothing there");
        create(dir, &old, &Keys::around(&[7; SEED_LEN]).unwrap()).unwrap();
        for (from, to) in [("wrong", "new"), ("old", "")] {
            let refused = change_passphrase(dir, &passphrase(from), &passphrase(to));
            assert!(matches!(refused, Err(NodeError::Config(_))), "{from} {to}");
        }
        let lock = take(dir).unwrap();
        assert!(matches!(change_passphrase(dir, &old, &new), Err(NodeError::Storage(_))), "a node runs");
        drop(lock);
        let names = open(dir, &old).unwrap().unwrap().names;
        // Killed while it wrote beside its place, and before it was put there.
        fs::write(dir.join(format!("{KEY_FILE}.new")), "{\"version\"").unwrap();
        assert!(open(dir, &old).is_ok());
        write_next(dir, &new, &open(dir, &old).unwrap().unwrap()).unwrap();
        assert!(open(dir, &old).is_ok() && open(dir, &new).is_err());
        change_passphrase(dir, &old, &new).unwrap();
        assert!(open(dir, &old).is_err());
        let keys = open(dir, &new).unwrap().unwrap();
        assert_eq!((keys.seed, keys.names), ([7; SEED_LEN], names), "the same node, the same database");
        assert!(!dir.join(format!("{KEY_FILE}.new")).exists());
    }
}
