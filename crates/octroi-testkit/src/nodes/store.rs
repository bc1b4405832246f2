//! Where test nodes keep their databases.

use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// Memory with a file system's face, where there is one: a Lightning payment waits for several disk syncs.
const MEMORY: &str = "/dev/shm";

/// A folder for the stores of nodes.
pub struct StoreDir {
    path: PathBuf,
    /// Removes a folder that was made here.
    _owned: Option<TempDir>,
}

impl StoreDir {
    /// A new folder, in memory when the machine has such; removed when dropped.
    ///
    /// # Errors
    /// When no folder can be made.
    pub fn temporary() -> io::Result<Self> {
        let mut builder = tempfile::Builder::new();
        let builder = builder.prefix("octroi-");
        let dir = builder.tempdir_in(MEMORY).or_else(|_| builder.tempdir())?;
        Ok(Self { path: dir.path().to_owned(), _owned: Some(dir) })
    }

    /// A folder of the caller's, which stays.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), _owned: None }
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}
