//! A node's folder: one node at a time, for its owner's eyes only, and how it is copied.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use ldk_node::io::sqlite_store::SQLITE_DB_FILE_NAME;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::sealed::{KEY_FILE, PLAIN_SEED, SEALED_DB};
use super::{age, storage};
use crate::NodeError;
use crate::node::unix_now;

/// Read at once when a file is copied, in bytes.
const COPIED_AT_ONCE: usize = 64 * 1024;

/// Held by whoever uses the folder.
const LOCK: &str = "octroi.lock";

/// The right to use a folder; given back when dropped, or when the process ends however it ends.
pub(super) struct FolderLock {
    _file: File,
}

/// Makes the folder, if need be, and takes it.
///
/// # Errors
/// [`NodeError::Storage`] when another node or a backup has it: two nodes on one folder lose money.
pub(super) fn take(dir: &Path) -> Result<FolderLock, NodeError> {
    private_dir(dir).map_err(storage)?;
    let file =
        OpenOptions::new().create(true).truncate(false).write(true).open(dir.join(LOCK)).map_err(storage)?;
    file.try_lock().map_err(|_| {
        NodeError::Storage(format!("another Lightning node, or a backup, uses {}", dir.display()))
    })?;
    Ok(FolderLock { _file: file })
}

/// What a copy says of itself.
const MANIFEST: &str = "octroi-backup.json";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    version: u32,
    /// Seconds since the Unix epoch.
    made_at: u64,
    /// How often the node had been started and stopped; `None` where that was not noted.
    age: Option<u64>,
    /// SHA-256 of every file, in hexadecimal.
    files: BTreeMap<String, String>,
}

/// Copies a node's folder, keys and channels and all, into a new one, while no node runs on it.
///
/// A copy is good until the node runs again: **a node started from an older copy can lose the money of its channels**. From an
/// old copy only the coins on chain are safe; peers close channels for a node that asks them to.
///
/// # Errors
/// [`NodeError::Storage`] when a node runs on the folder, there is none in it, or the copy cannot be written.
pub fn backup(from: &Path, to: &Path) -> Result<(), NodeError> {
    if !has_node(from) {
        return Err(NodeError::Storage(format!("there is no node in {}", from.display())));
    }
    let _lock = take(from)?;
    if to.exists() {
        return Err(NodeError::Storage(format!("{} is there already", to.display())));
    }
    let age = age::noted(&age::note_of(from))?;
    private_dir(to).map_err(storage)?;
    let files = copy(from, to, &names(from).map_err(storage)?).map_err(storage)?;
    let manifest = Manifest { version: 1, made_at: unix_now(), age, files };
    let text = serde_json::to_string_pretty(&manifest).map_err(storage)?;
    let mut file = private_file(&to.join(MANIFEST)).map_err(storage)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(storage)?;
    File::open(to).and_then(|dir| dir.sync_all()).map_err(storage)
}

/// Puts a copy that [`backup`] made in the place of a node's folder, where none is.
///
/// # Errors
/// [`NodeError::Storage`] when the copy is not whole, or a node is there already; [`NodeError::Stale`] when it is known that the node
/// has run since the copy was made.
pub fn restore(from: &Path, to: &Path) -> Result<(), NodeError> {
    let missing = |error| NodeError::Storage(format!("{} is no backup: {error}", from.display()));
    let text = std::fs::read_to_string(from.join(MANIFEST)).map_err(missing)?;
    let manifest: Manifest = serde_json::from_str(&text).map_err(|error| missing(error.into()))?;
    if manifest.version != 1 {
        return Err(NodeError::Storage(format!("{} is of another version", from.display())));
    }
    if has_node(to) {
        return Err(NodeError::Storage(format!(
            "there is a node in {} already; move it away first",
            to.display()
        )));
    }
    let note = age::note_of(to);
    if let (Some(age), Some(noted)) = (manifest.age, age::noted(&note)?)
        && age < noted
    {
        return Err(age::stale(from, &note, age, noted));
    }
    let _lock = take(to)?;
    let plain = |name: &String| !name.contains(['/', '\\']) && name != "..";
    let names: Vec<String> = manifest.files.keys().filter(|name| plain(name)).cloned().collect();
    let copied = copy(from, to, &names).map_err(storage);
    if copied.as_ref().is_ok_and(|files| *files == manifest.files) {
        return Ok(());
    }
    for name in &names {
        let _ = std::fs::remove_file(to.join(name));
    }
    copied?;
    Err(NodeError::Storage(format!(
        "{} is damaged: its files are not those it was made with",
        from.display()
    )))
}

/// Whether keys or channels are in a folder.
fn has_node(dir: &Path) -> bool {
    [KEY_FILE, SEALED_DB, PLAIN_SEED, SQLITE_DB_FILE_NAME].iter().any(|name| dir.join(name).exists())
}

/// The files of a folder; a node has no folders in it.
fn names(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().into_string().map_err(|_| io::ErrorKind::InvalidData)?;
        if entry.file_type()?.is_file() && name != LOCK && name != MANIFEST {
            names.push(name);
        }
    }
    Ok(names)
}

/// Copies these files, on disk when this returns, and says what was copied.
fn copy(from: &Path, to: &Path, names: &[String]) -> io::Result<BTreeMap<String, String>> {
    let mut copied = BTreeMap::new();
    for name in names {
        let (mut source, mut target) = (File::open(from.join(name))?, private_file(&to.join(name))?);
        let mut hasher = Sha256::new();
        let mut buffer = Zeroizing::new(vec![0; COPIED_AT_ONCE]);
        loop {
            let read = source.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            hasher.update(&buffer[..read]);
            target.write_all(&buffer[..read])?;
        }
        target.sync_all()?;
        copied.insert(name.clone(), hex::encode(hasher.finalize()));
    }
    File::open(to)?.sync_all()?;
    Ok(copied)
}

/// A new file, empty, for its owner's eyes only.
pub(super) fn private_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options.open(path)
}

/// Holds the node's seed: for its owner's eyes only, also when it was there before.
fn private_dir(dir: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::fs::Permissions;
        use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
        const OWNER_ONLY: u32 = 0o700;
        DirBuilder::new().recursive(true).mode(OWNER_ONLY).create(dir)?;
        std::fs::set_permissions(dir, Permissions::from_mode(OWNER_ONLY))
    }
    #[cfg(not(unix))]
    DirBuilder::new().recursive(true).create(dir)
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_folder_is_its_owners_alone_even_when_it_was_not() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("a/b");
        std::fs::create_dir_all(&inner).unwrap();
        std::fs::set_permissions(&inner, Permissions::from_mode(0o755)).unwrap();
        private_dir(&inner).unwrap();
        assert_eq!(std::fs::metadata(&inner).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_folder_has_one_user_and_a_copy_is_whole_and_new() {
        let dir = tempfile::tempdir().unwrap();
        let (node, copy, other) =
            (dir.path().join("node"), dir.path().join("copy"), dir.path().join("other"));
        assert!(backup(&node, &copy).is_err(), "nothing there");
        let lock = take(&node).unwrap();
        std::fs::write(node.join(PLAIN_SEED), "seed").unwrap();
        std::fs::write(age::note_of(&node), "4").unwrap();
        assert!(take(&node).is_err());
        assert!(backup(&node, &copy).is_err());
        drop(lock);
        backup(&node, &copy).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&copy), mode(&copy.join(PLAIN_SEED))), (0o700, 0o600));
        assert!(backup(&node, &copy).is_err(), "never over another");

        assert!(restore(&copy, &node).is_err(), "never over a node");
        restore(&copy, &other).unwrap();
        assert_eq!(std::fs::read_to_string(other.join(PLAIN_SEED)).unwrap(), "seed");
        std::fs::remove_dir_all(&other).unwrap();
        std::fs::write(age::note_of(&other), "5").unwrap();
        assert!(matches!(restore(&copy, &other), Err(NodeError::Stale(_))), "the node has run since");
        assert!(!has_node(&other));
        std::fs::remove_file(age::note_of(&other)).unwrap();
        std::fs::write(copy.join(PLAIN_SEED), "sown").unwrap();
        assert!(matches!(restore(&copy, &other), Err(NodeError::Storage(_))), "damaged");
        assert!(!has_node(&other), "nothing half is left");
        std::fs::remove_file(copy.join(PLAIN_SEED)).unwrap();
        assert!(restore(&copy, &other).is_err() && !has_node(&other));
    }
}
