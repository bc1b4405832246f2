//! A purse's file: JSON, readable by its owner alone, replaced as a whole, used by one process at a time.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use super::{Contents, PurseError};

/// Most bytes of a purse that are read: far more than its bounds allow to be written.
const FILE_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// The version of the form.
const VERSION: u32 = 1;

/// What stands in the file.
#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    version: u32,
    #[serde(flatten)]
    contents: T,
}

pub(super) struct PurseFile {
    path: PathBuf,
    /// Locked as long as it is open. A file of its own, because the purse itself is replaced at every change.
    _lock: File,
}

impl PurseFile {
    pub(super) fn open(path: &Path) -> Result<Self, PurseError> {
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        let lock = owner_only(OpenOptions::new().create(true).truncate(false).write(true)).open(name)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(PurseError::Busy),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }

    pub(super) fn read(&self) -> Result<Contents, PurseError> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Contents::default()),
            Err(error) => return Err(error.into()),
        };
        let mut bytes = Zeroizing::new(Vec::new());
        file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
        // serde's words could quote the file, which is secret: only the place is told.
        let read: Versioned<Contents> = serde_json::from_slice(&bytes).map_err(|error| {
            PurseError::Format(format!("line {}, column {}", error.line(), error.column()))
        })?;
        match read.version {
            VERSION => Ok(read.contents),
            other => Err(PurseError::Format(format!("version {other}"))),
        }
    }

    /// On disk, whole, when it returns: a crash leaves the old or the new file.
    pub(super) fn write(&self, contents: &Contents) -> Result<(), PurseError> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        // Made with mode 0600.
        let mut next = NamedTempFile::new_in(folder.unwrap_or_else(|| Path::new(".")))?;
        let json = serde_json::to_vec_pretty(&Versioned { version: VERSION, contents });
        let json = Zeroizing::new(json.map_err(|error| PurseError::Format(error.to_string()))?);
        next.write_all(&json)?;
        next.as_file().sync_all()?;
        next.persist(&self.path).map_err(|error| error.error)?;
        Ok(())
    }
}

#[cfg(unix)]
fn owner_only(options: &mut OpenOptions) -> &mut OpenOptions {
    use std::os::unix::fs::OpenOptionsExt as _;
    options.mode(0o600)
}

#[cfg(not(unix))]
fn owner_only(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}
