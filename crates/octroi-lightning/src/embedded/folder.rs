//! A node's folder: one node at a time, for its owner's eyes only, and how it is copied.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::path::Path;

use super::storage;
use crate::NodeError;

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

/// Copies a node's folder, keys and channels and all, into a new one, while no node runs on it.
///
/// A copy is good until the node runs again: **a node started from an older copy can lose the money of its channels**. From an
/// old copy only the coins on chain are safe; peers close channels for a node that asks them to.
///
/// # Errors
/// [`NodeError::Storage`] when a node runs on the folder, there is none in it, or the copy cannot be written.
pub fn backup(from: &Path, to: &Path) -> Result<(), NodeError> {
    if !from.is_dir() {
        return Err(NodeError::Storage(format!("there is no node in {}", from.display())));
    }
    let _lock = take(from)?;
    if to.exists() {
        return Err(NodeError::Storage(format!("{} is there already", to.display())));
    }
    private_dir(to).and_then(|()| copy(from, to)).map_err(storage)
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            private_dir(&target)?;
            copy(&entry.path(), &target)?;
        } else if entry.file_name() != LOCK {
            std::fs::copy(entry.path(), &target)?;
            File::open(&target)?.sync_all()?;
        }
    }
    File::open(to)?.sync_all()
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
        let (node, copy) = (dir.path().join("node"), dir.path().join("copy"));
        assert!(backup(&node, &copy).is_err(), "nothing there");
        let lock = take(&node).unwrap();
        assert!(take(&node).is_err());
        assert!(backup(&node, &copy).is_err());
        std::fs::create_dir(node.join("sub")).unwrap();
        std::fs::write(node.join("sub/keys_seed"), "seed").unwrap();
        drop(lock);
        backup(&node, &copy).unwrap();
        assert_eq!(std::fs::read_to_string(copy.join("sub/keys_seed")).unwrap(), "seed");
        assert!(backup(&node, &copy).is_err(), "never over another");
    }
}
