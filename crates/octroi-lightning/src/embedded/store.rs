//! The node's store: LDK's names over the [`Database`], every record sealed where the node has a passphrase.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use ldk_node::io::sqlite_store::SQLITE_DB_FILE_NAME;
// LDK has a name of its own for errors of input and output.
use ldk_node::lightning::io;
use ldk_node::lightning::util::persist::{
    ARCHIVED_CHANNEL_MONITOR_PERSISTENCE_PRIMARY_NAMESPACE, CHANNEL_MANAGER_PERSISTENCE_KEY,
    CHANNEL_MONITOR_PERSISTENCE_PRIMARY_NAMESPACE, CHANNEL_MONITOR_UPDATE_PERSISTENCE_PRIMARY_NAMESPACE,
    KVStore, KVStoreSync,
};
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::database::Database;
use super::disk::{Disk, RecordKind};
use super::sealed::{self, Place, SealedPlace, Sealer};
use crate::{NodeError, Password};

type Later<T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send>>;

/// What a folder holds.
pub(super) struct Opened {
    pub(super) store: Arc<Store>,
    /// `None`: ldk-node keeps its seed itself, in the open.
    pub(super) seed: Option<Zeroizing<[u8; 64]>>,
}

/// Opens the folder of a node, sealing it first if it has a passphrase and is not sealed.
///
/// # Errors
/// [`NodeError::Config`] for a wrong or a missing passphrase, [`NodeError::Storage`].
pub(super) fn open(
    dir: &Path,
    passphrase: Option<&Password>,
    disk: Option<Disk>,
) -> Result<Opened, NodeError> {
    let Some(passphrase) = passphrase else {
        if dir.join(sealed::KEY_FILE).exists() {
            return Err(NodeError::Config(format!(
                "the Lightning node in {} is encrypted: set its passphrase",
                dir.display()
            )));
        }
        return Ok(Opened { store: Arc::new(Store::plain(dir, disk)?), seed: None });
    };
    let keys = sealed::convert(dir, passphrase)?;
    let sealer = Some(Arc::new(keys.sealer()?));
    let store = Store { inner: database(dir, sealed::SEALED_DB, disk)?, sealer };
    Ok(Opened { store: Arc::new(store), seed: Some(Zeroizing::new(keys.seed)) })
}

fn database(dir: &Path, file: &str, disk: Option<Disk>) -> Result<Database, NodeError> {
    let path = dir.join(file);
    Database::open(&path, disk).map_err(|error| NodeError::Storage(format!("{}: {error}", path.display())))
}

/// ldk-node's store, and ours.
pub(super) struct Store {
    inner: Database,
    sealer: Option<Arc<Sealer>>,
}

impl Store {
    /// The store of a node without a passphrase.
    pub(super) fn plain(dir: &Path, disk: Option<Disk>) -> Result<Self, NodeError> {
        Ok(Self { inner: database(dir, SQLITE_DB_FILE_NAME, disk)?, sealer: None })
    }

    /// Why the disk takes no writes, while it takes none.
    pub(super) fn stalled(&self) -> watch::Receiver<Option<String>> {
        self.inner.stalled()
    }

    /// Lets the file go; nothing is read or written any more.
    pub(super) fn close(&self) {
        self.inner.close();
    }

    /// Where a record stands in the database.
    fn place(&self, place: Place<'_>) -> io::Result<SealedPlace> {
        match &self.sealer {
            Some(sealer) => Ok(sealer.place(place)?),
            None => Ok(SealedPlace {
                primary: place.primary.to_owned(),
                secondary: place.secondary.to_owned(),
                key: place.key.to_owned(),
            }),
        }
    }

    fn seal(&self, place: Place<'_>, value: Vec<u8>) -> io::Result<(SealedPlace, Vec<u8>)> {
        let value = match &self.sealer {
            Some(sealer) => sealer.seal(place, value)?,
            None => value,
        };
        Ok((self.place(place)?, value))
    }
}

fn opened(sealer: Option<&Arc<Sealer>>, place: Place<'_>, value: Vec<u8>) -> io::Result<Vec<u8>> {
    match sealer {
        Some(sealer) => Ok(sealer.open(place, &value)?),
        None => Ok(value),
    }
}

fn keys(
    sealer: Option<&Arc<Sealer>>,
    primary: &str,
    secondary: &str,
    found: Vec<String>,
) -> io::Result<Vec<String>> {
    match sealer {
        Some(sealer) => found.iter().map(|key| Ok(sealer.open_key(primary, secondary, key)?)).collect(),
        None => Ok(found),
    }
}

fn namespaces(sealer: Option<&Arc<Sealer>>, primary: &str, secondary: &str) -> io::Result<(String, String)> {
    match sealer {
        Some(sealer) => Ok(sealer.namespaces(primary, secondary)?),
        None => Ok((primary.to_owned(), secondary.to_owned())),
    }
}

/// What LDK keeps here.
fn kind(place: Place<'_>) -> RecordKind {
    match place.primary {
        "" if place.key == CHANNEL_MANAGER_PERSISTENCE_KEY => RecordKind::Channels,
        CHANNEL_MONITOR_PERSISTENCE_PRIMARY_NAMESPACE
        | CHANNEL_MONITOR_UPDATE_PERSISTENCE_PRIMARY_NAMESPACE
        | ARCHIVED_CHANNEL_MONITOR_PERSISTENCE_PRIMARY_NAMESPACE => RecordKind::Channel,
        _ => RecordKind::Other,
    }
}

impl KVStoreSync for Store {
    fn read(&self, primary: &str, secondary: &str, key: &str) -> io::Result<Vec<u8>> {
        let place = Place { primary, secondary, key };
        opened(self.sealer.as_ref(), place, self.inner.read(&self.place(place)?)?)
    }

    fn write(&self, primary: &str, secondary: &str, key: &str, value: Vec<u8>) -> io::Result<()> {
        let place = Place { primary, secondary, key };
        let (at, value) = self.seal(place, value)?;
        Ok(self.inner.change(kind(place), at, Some(value))?)
    }

    fn remove(&self, primary: &str, secondary: &str, key: &str, _lazy: bool) -> io::Result<()> {
        let place = Place { primary, secondary, key };
        Ok(self.inner.change(kind(place), self.place(place)?, None)?)
    }

    fn list(&self, primary: &str, secondary: &str) -> io::Result<Vec<String>> {
        let sealer = self.sealer.as_ref();
        let (at, below) = namespaces(sealer, primary, secondary)?;
        keys(sealer, primary, secondary, self.inner.list(&at, &below)?)
    }
}

/// Reading is quick, and done at starts; changes take their places in the order of the calls.
impl KVStore for Store {
    fn read(&self, primary: &str, secondary: &str, key: &str) -> Later<Vec<u8>> {
        let read = KVStoreSync::read(self, primary, secondary, key);
        Box::pin(std::future::ready(read))
    }

    fn write(&self, primary: &str, secondary: &str, key: &str, value: Vec<u8>) -> Later<()> {
        let place = Place { primary, secondary, key };
        let changing =
            self.seal(place, value).map(|(at, value)| self.inner.change_later(kind(place), at, Some(value)));
        Box::pin(async move { Ok(changing?.await?) })
    }

    fn remove(&self, primary: &str, secondary: &str, key: &str, _lazy: bool) -> Later<()> {
        let place = Place { primary, secondary, key };
        let changing = self.place(place).map(|at| self.inner.change_later(kind(place), at, None));
        Box::pin(async move { Ok(changing?.await?) })
    }

    fn list(&self, primary: &str, secondary: &str) -> Later<Vec<String>> {
        let listed = KVStoreSync::list(self, primary, secondary);
        Box::pin(std::future::ready(listed))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const RECORDS: [(&str, &str, &str, &str); 4] = [
        ("", "", "manager", "the channels"),
        ("monitors", "", "ab_0", "a channel"),
        ("monitor_updates", "ab_0", "1", "a change"),
        ("octroi", "invoices", "cd", "12345"),
    ];

    fn fill(store: &Store) {
        for (primary, secondary, key, value) in RECORDS {
            KVStoreSync::write(store, primary, secondary, key, value.as_bytes().to_vec()).unwrap();
        }
    }

    fn has_all(store: &Store) {
        for (primary, secondary, key, value) in RECORDS {
            assert_eq!(KVStoreSync::read(store, primary, secondary, key).unwrap(), value.as_bytes());
            assert_eq!(KVStoreSync::list(store, primary, secondary).unwrap(), [key]);
        }
    }

    /// Whether any file of the folder holds this text.
    fn holds(dir: &Path, text: &str) -> bool {
        let bytes = text.as_bytes();
        fs::read_dir(dir).unwrap().any(|entry| {
            let content = fs::read(entry.unwrap().path()).unwrap_or_default();
            content.windows(bytes.len()).any(|window| window == bytes)
        })
    }

    fn sealed(dir: &Path, passphrase: &str) -> Result<Opened, NodeError> {
        open(dir, Some(&Password::new(passphrase)), None)
    }

    #[tokio::test]
    async fn a_sealed_store_is_a_store_and_shows_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let Opened { store, seed } = sealed(dir.path(), "open sesame").unwrap();
        fill(&store);
        has_all(&store);
        KVStore::write(&*store, "a", "b", "c", b"later".to_vec()).await.unwrap();
        assert_eq!(KVStore::read(&*store, "a", "b", "c").await.unwrap(), b"later");
        assert_eq!(KVStore::list(&*store, "a", "b").await.unwrap(), ["c"]);
        KVStore::remove(&*store, "a", "b", "c", false).await.unwrap();
        let gone = KVStore::read(&*store, "a", "b", "c").await.unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::NotFound);
        drop(store);
        for (primary, _, key, value) in RECORDS {
            assert!(!holds(dir.path(), value), "{value}");
            assert!(primary.len() < 6 || !holds(dir.path(), primary), "{primary}");
            assert!(key.len() < 6 || !holds(dir.path(), key), "{key}");
        }
        let again = sealed(dir.path(), "open sesame").unwrap();
        assert_eq!(again.seed, seed);
        has_all(&again.store);
        assert!(matches!(sealed(dir.path(), "open, wheat"), Err(NodeError::Config(_))));
        assert!(matches!(open(dir.path(), None, None), Err(NodeError::Config(_))), "no new node beside it");
    }

    /// A folder as ldk-node leaves it, and its seed.
    fn plain_folder() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(sealed::PLAIN_SEED), [9; 64]).unwrap();
        fill(&Store::plain(dir.path(), None).unwrap());
        assert!(holds(dir.path(), "a channel"));
        dir
    }

    fn is_converted(dir: &Path) {
        let converted = sealed(dir, "now").unwrap();
        assert_eq!(converted.seed.as_deref(), Some(&[9; 64]), "the same node");
        has_all(&converted.store);
        assert!(!holds(dir, "a channel") && !dir.join(sealed::PLAIN_SEED).exists());
    }

    #[test]
    fn a_plain_store_is_sealed_when_a_passphrase_is_set() {
        let dir = plain_folder();
        has_all(&open(dir.path(), None, None).unwrap().store);
        is_converted(dir.path());
        is_converted(dir.path());
    }

    #[test]
    fn sealing_goes_on_wherever_it_was_killed() {
        // After the keys, in the middle of the copy: the copy begins anew.
        let dir = plain_folder();
        let keys = sealed::Keys::around(&[9; 64]).unwrap();
        sealed::create(dir.path(), &Password::new("now"), &keys).unwrap();
        fs::write(dir.path().join("octroi-sealed.sqlite.new"), "half").unwrap();
        assert!(matches!(sealed(dir.path(), "other"), Err(NodeError::Config(_))));
        assert!(holds(dir.path(), "a channel"), "nothing went");
        is_converted(dir.path());

        // After the copy, before the plain files are gone: what is sealed counts.
        let (dir, copy) = (plain_folder(), tempfile::tempdir().unwrap());
        for entry in fs::read_dir(dir.path()).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
        }
        let store = sealed(dir.path(), "now").unwrap().store;
        KVStoreSync::write(&*store, "octroi", "", "later", b"news".to_vec()).unwrap();
        drop(store);
        for name in [SQLITE_DB_FILE_NAME, sealed::PLAIN_SEED] {
            fs::copy(copy.path().join(name), dir.path().join(name)).unwrap();
        }
        is_converted(dir.path());
        let store = sealed(dir.path(), "now").unwrap().store;
        assert_eq!(KVStoreSync::read(&*store, "octroi", "", "later").unwrap(), b"news");
    }

    #[test]
    fn keys_that_are_lost_are_not_made_anew() {
        let dir = plain_folder();
        drop(sealed(dir.path(), "now").unwrap());
        fs::remove_file(dir.path().join(sealed::KEY_FILE)).unwrap();
        assert!(matches!(sealed(dir.path(), "now"), Err(NodeError::Storage(_))));
        let dir = plain_folder();
        fs::remove_file(dir.path().join(sealed::PLAIN_SEED)).unwrap();
        assert!(matches!(sealed(dir.path(), "now"), Err(NodeError::Storage(_))));
    }
}
