//! The keys the gate signs statements about callers with, and their rotation.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

use super::key::{KeyError, SigningKey};
use crate::Algorithm;

/// The gate's signing keys: one that signs, perhaps one that is about to, and those whose statements may still be about.
#[derive(Debug)]
pub struct SigningKeys {
    /// Oldest first; never empty.
    keys: RwLock<Vec<Entry>>,
    file: Option<PathBuf>,
}

#[derive(Clone, Debug)]
struct Entry {
    key: SigningKey,
    made_at: u64,
    /// When it starts to sign.
    signs_from: u64,
}

/// One key as it stands in the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    made_at: u64,
    signs_from: u64,
    /// Base64 of PKCS #8.
    private_key: String,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.private_key.zeroize();
    }
}

/// The keys cannot be kept, read or rotated.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RotationError {
    /// The key itself.
    #[error("{0}")]
    Key(#[from] KeyError),
    /// The file.
    #[error("{}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file's text is not what [`SigningKeys`] writes.
    #[error("{}: not a file of signing keys", .0.display())]
    Malformed(PathBuf),
    /// The last new key does not sign yet.
    #[error(
        "the last new key does not sign yet: wait {} s between two rotations",
        SigningKeys::OVERLAP_SECONDS
    )]
    TooSoon,
}

impl SigningKeys {
    /// How long a new key is published before it signs, and an old one after it signed for the last time, seconds:
    /// longer than upstreams keep a key set.
    pub const OVERLAP_SECONDS: u64 = 600;
    /// The largest file that is read, in bytes.
    const MAX_FILE_BYTES: u64 = 64 * 1024;

    /// One new key, in memory only: statements of before a restart cannot be checked after it.
    ///
    /// # Errors
    /// When the key cannot be made.
    pub fn generate(algorithm: Algorithm) -> Result<Self, RotationError> {
        Ok(Self::fixed(SigningKey::generate(algorithm)?))
    }

    /// One key of the operator's.
    #[must_use]
    pub fn fixed(key: SigningKey) -> Self {
        Self { keys: RwLock::new(vec![Entry { key, made_at: 0, signs_from: 0 }]), file: None }
    }

    /// The keys of a file, which is made with a new key when it does not exist, readable by its owner alone. `now` is in
    /// seconds since the Unix epoch.
    ///
    /// # Errors
    /// When it cannot be read or written, or holds something else.
    pub fn load_or_create(path: &Path, algorithm: Algorithm, now: u64) -> Result<Self, RotationError> {
        let file = Some(path.to_owned());
        match fs::metadata(path) {
            Ok(metadata) if metadata.len() > Self::MAX_FILE_BYTES => {
                Err(RotationError::Malformed(path.to_owned()))
            }
            Ok(_) => Ok(Self { keys: RwLock::new(read(path)?), file }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = SigningKey::generate(algorithm)?;
                let keys = vec![Entry { key, made_at: now, signs_from: now }];
                write(path, &keys)?;
                Ok(Self { keys: RwLock::new(keys), file })
            }
            Err(source) => Err(RotationError::File { path: path.to_owned(), source }),
        }
    }

    /// Publishes a new key, which signs once [`Self::OVERLAP_SECONDS`] have passed; the present one stays published for
    /// as long again after that. `now` is in seconds since the Unix epoch.
    ///
    /// # Errors
    /// When the key cannot be made or kept, or the last new one does not sign yet; then nothing has changed.
    pub fn rotate(&self, now: u64) -> Result<(), RotationError> {
        let mut keys = self.keys.write();
        let newest = keys.last().ok_or(KeyError::Unusable)?;
        if newest.signs_from > now {
            return Err(RotationError::TooSoon);
        }
        let key = SigningKey::generate(newest.key.algorithm())?;
        let mut next: Vec<Entry> = published(&keys, now).to_vec();
        next.push(Entry { key, made_at: now, signs_from: now.saturating_add(Self::OVERLAP_SECONDS) });
        if let Some(path) = &self.file {
            write(path, &next)?;
        }
        *keys = next;
        Ok(())
    }

    /// Rotates when the newest key is older than `seconds`; says whether it did.
    ///
    /// # Errors
    /// As [`Self::rotate`].
    pub fn rotate_when_older(&self, seconds: u64, now: u64) -> Result<bool, RotationError> {
        let made_at = self.keys.read().last().map_or(now, |newest| newest.made_at);
        if now.saturating_sub(made_at) <= seconds.max(Self::OVERLAP_SECONDS) {
            return Ok(false);
        }
        self.rotate(now).map(|()| true)
    }

    /// The public keys, for the gate to publish (RFC 7517 §5). `now` is in seconds since the Unix epoch.
    #[must_use]
    pub fn key_set(&self, now: u64) -> Value {
        let keys = self.keys.read();
        let public: Vec<_> = published(&keys, now).iter().map(|entry| entry.key.public_jwk()).collect();
        json!({ "keys": public })
    }

    /// The key that signs now: the newest that has been published for long enough.
    pub(super) fn signing(&self, now: u64) -> Option<SigningKey> {
        let keys = self.keys.read();
        let signing = keys.iter().rev().find(|entry| entry.signs_from <= now).or_else(|| keys.first());
        signing.map(|entry| entry.key.clone())
    }
}

/// The keys without those whose successor has signed for so long that none of their statements is about.
fn published(keys: &[Entry], now: u64) -> &[Entry] {
    let gone = keys
        .iter()
        .skip(1)
        .take_while(|next| next.signs_from.saturating_add(SigningKeys::OVERLAP_SECONDS) <= now)
        .count();
    &keys[gone..]
}

fn read(path: &Path) -> Result<Vec<Entry>, RotationError> {
    let file = |source| RotationError::File { path: path.to_owned(), source };
    let malformed = || RotationError::Malformed(path.to_owned());
    let text = Zeroizing::new(fs::read_to_string(path).map_err(file)?);
    let kept: Vec<Kept> = serde_json::from_str(&text).map_err(|_| malformed())?;
    if kept.is_empty() {
        return Err(malformed());
    }
    kept.iter()
        .map(|kept| {
            let der = Zeroizing::new(STANDARD.decode(&kept.private_key).map_err(|_| malformed())?);
            let key = SigningKey::from_der(&der).map_err(|_| malformed())?;
            Ok(Entry { key, made_at: kept.made_at, signs_from: kept.signs_from })
        })
        .collect()
}

/// Writes a new file and puts it in the old one's place, so that a crash leaves one of them whole.
fn write(path: &Path, keys: &[Entry]) -> Result<(), RotationError> {
    let kept: Vec<Kept> = keys
        .iter()
        .map(|entry| {
            let private_key = STANDARD.encode(&*entry.key.to_der()?);
            Ok(Kept { made_at: entry.made_at, signs_from: entry.signs_from, private_key })
        })
        .collect::<Result<_, KeyError>>()?;
    let unwritten = |source: io::Error| RotationError::File { path: path.to_owned(), source };
    let text = Zeroizing::new(serde_json::to_string(&kept).map_err(|error| unwritten(error.into()))?);
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(&beside).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.and_then(|()| fs::rename(&beside, path)).map_err(unwritten)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(keys: &SigningKeys, now: u64) -> Vec<String> {
        let set = keys.key_set(now);
        let keys = set["keys"].as_array().unwrap();
        keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_new_key_is_published_before_it_signs_and_an_old_one_after() {
        const O: u64 = SigningKeys::OVERLAP_SECONDS;
        let keys = SigningKeys::generate(Algorithm::EdDsa).unwrap();
        let signs = |now| keys.signing(now).unwrap().id().to_owned();
        let old = signs(1000);
        keys.rotate(1000).unwrap();
        assert_eq!(names(&keys, 1000).len(), 2);
        assert_eq!(signs(1000 + O - 1), old);
        assert!(matches!(keys.rotate(1000 + O - 1), Err(RotationError::TooSoon)));
        let new = signs(1000 + O);
        assert_ne!(new, old);
        assert_eq!(names(&keys, 1000 + 2 * O - 1), [old, new.clone()]);
        assert_eq!(names(&keys, 1000 + 2 * O), [new]);
        assert!(!keys.rotate_when_older(3600, 4600).unwrap() && keys.rotate_when_older(3600, 4601).unwrap());
        assert_eq!(keys.keys.read().len(), 2);
    }

    #[test]
    fn the_file_survives_and_is_nobody_else_s() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("callers.keys");
        let keys = SigningKeys::load_or_create(&path, Algorithm::Es256, 1000).unwrap();
        keys.rotate(2000).unwrap();
        let again = SigningKeys::load_or_create(&path, Algorithm::EdDsa, 3000).unwrap();
        assert_eq!(names(&again, 2000), names(&keys, 2000));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert!(!format!("{again:?}").contains("private"));
        for text in ["", "[]", "{}", r#"[{"made_at":0,"signs_from":0,"private_key":"AAAA"}]"#] {
            fs::write(&path, text).unwrap();
            let refused = SigningKeys::load_or_create(&path, Algorithm::Es256, 1000);
            assert!(matches!(refused, Err(RotationError::Malformed(_))), "{text}");
        }
    }
}
