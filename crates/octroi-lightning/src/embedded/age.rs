//! How an old copy of a node is known.
//!
//! The store counts the node's starts and stops, and a file beside the folder notes the count. A folder that counts less than the
//! file says was put back from a copy, and the node has run since: its channels are old, and a channel with an old state loses
//! its money to the peer. Where the file is gone too, as on another machine, only the peers know.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ldk_node::lightning::io::ErrorKind as LdkErrorKind;
use ldk_node::lightning::util::persist::KVStoreSync;

use super::folder::private_file;
use super::store::Store;
use super::{NAMESPACE, storage};
use crate::NodeError;

const KEY: &str = "age";

/// A node that runs, and how often it has been started and stopped.
pub(super) struct Age {
    store: Arc<Store>,
    note: PathBuf,
    started: u64,
}

/// Refuses a store that is older than the note beside its folder.
///
/// # Errors
/// [`NodeError::Stale`]; [`NodeError::Storage`] when either cannot be read.
pub(super) fn check(store: &Store, dir: &Path) -> Result<(), NodeError> {
    let (age, note) = (of_store(store)?, note_of(dir));
    match noted(&note)? {
        Some(noted) if age < noted => Err(stale(dir, &note, age, noted)),
        _ => Ok(()),
    }
}

/// What the note beside a folder says; `None` where there is none.
///
/// # Errors
/// [`NodeError::Storage`] when it cannot be read.
pub(super) fn noted(note: &Path) -> Result<Option<u64>, NodeError> {
    match fs::read_to_string(note) {
        Ok(text) => text.trim().parse().map(Some).map_err(|_| {
            NodeError::Storage(format!("{} is damaged; see docs/lightning.md, Backup", note.display()))
        }),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(storage(error)),
    }
}

/// The file beside a node's folder.
pub(super) fn note_of(dir: &Path) -> PathBuf {
    let mut name = dir.file_name().unwrap_or_default().to_owned();
    name.push(".age");
    dir.with_file_name(name)
}

pub(super) fn stale(dir: &Path, note: &Path, age: u64, noted: u64) -> NodeError {
    NodeError::Stale(format!(
        "{} is an older copy of this node: it has been started and stopped {noted} times since it was made, and {age} times when \
         the copy was made. Its channels have moved on, and a node that goes on from an old state loses their money. Put the newest \
         copy there. If there is none, see docs/lightning.md, \"An old copy\"; {} is what knows",
        dir.display(),
        note.display()
    ))
}

fn of_store(store: &Store) -> Result<u64, NodeError> {
    match KVStoreSync::read(store, NAMESPACE, "", KEY) {
        Ok(bytes) => std::str::from_utf8(&bytes)
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| NodeError::Storage("the record of the node's age is damaged".to_owned())),
        Err(error) if error.kind() == LdkErrorKind::NotFound => Ok(0),
        Err(error) => Err(storage(error)),
    }
}

impl Age {
    /// Counts a start, on disk before the node says anything to a peer.
    pub(super) fn begin(store: Arc<Store>, dir: &Path) -> Result<Self, NodeError> {
        let age = Self { started: of_store(&store)? + 1, store, note: note_of(dir) };
        age.write(age.started).map_err(storage)?;
        Ok(age)
    }

    /// Counts the stop, so that a copy of the running folder is known as old, too.
    pub(super) fn end(&self) {
        if let Err(error) = self.write(self.started + 1) {
            tracing::warn!(%error, "the Lightning node's age was not noted");
        }
    }

    /// The store first: a note that is ahead would condemn a good folder.
    fn write(&self, age: u64) -> io::Result<()> {
        KVStoreSync::write(&*self.store, NAMESPACE, "", KEY, age.to_string().into_bytes())?;
        if let Err(error) = write_note(&self.note, age) {
            // A folder of its own mount has nothing beside it that may be written.
            tracing::warn!(file = %self.note.display(), %error, "an old copy of the Lightning node could not be told from it");
        }
        Ok(())
    }
}

fn write_note(note: &Path, age: u64) -> io::Result<()> {
    let mut next = note.as_os_str().to_owned();
    next.push(".new");
    let next = PathBuf::from(next);
    let mut file = private_file(&next)?;
    file.write_all(format!("{age}\n").as_bytes())?;
    file.sync_all()?;
    fs::rename(next, note)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_good_until_the_node_runs_again() {
        let parent = tempfile::tempdir().unwrap();
        let (dir, copy) = (parent.path().join("node"), parent.path().join("copy"));
        let store = || Arc::new(Store::plain(&dir, None).unwrap());
        let put = |from: &Path, to: &Path| {
            let _ = fs::remove_dir_all(to);
            fs::create_dir(to).unwrap();
            for entry in fs::read_dir(from).unwrap() {
                let entry = entry.unwrap();
                fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
            }
        };
        fs::create_dir(&dir).unwrap();
        check(&store(), &dir).unwrap();
        Age::begin(store(), &dir).unwrap().end();
        put(&dir, &copy);
        check(&store(), &dir).unwrap();
        put(&copy, &dir);
        check(&store(), &dir).unwrap();

        let running = Age::begin(store(), &dir).unwrap();
        let live = parent.path().join("live");
        put(&dir, &live);
        // A crash: no end. The folder itself is not old.
        drop(running);
        check(&store(), &dir).unwrap();
        Age::begin(store(), &dir).unwrap().end();
        for old in [&copy, &live] {
            put(old, &dir);
            assert!(matches!(check(&store(), &dir), Err(NodeError::Stale(_))), "{}", old.display());
        }
        fs::remove_dir_all(&dir).unwrap();
        fs::create_dir(&dir).unwrap();
        assert!(check(&store(), &dir).is_err(), "a node that is gone is not made anew unasked");
        fs::write(note_of(&dir), "what").unwrap();
        assert!(matches!(check(&store(), &dir), Err(NodeError::Storage(_))));
        fs::remove_file(note_of(&dir)).unwrap();
        check(&store(), &dir).unwrap();
    }
}
