//! Turns to buy: one buyer at a time for one thing, in this process and in every other one with the same purse.

use std::fs::{File, OpenOptions, TryLockError};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, OwnedMutexGuard};

use super::PurseError;

/// How many things can be bought at once.
const LANES: usize = 128;
/// The longest wait for another process: longer than a payment may take.
const WAIT_MAX: Duration = Duration::from_secs(150);
/// How often another process's lock is looked at. The system has no lock that can be waited for without a thread.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Hands turns out.
pub(super) struct Turns {
    lanes: [Arc<Mutex<()>>; LANES],
    /// Where the lock files lie; none for a purse in memory.
    folder: Option<PathBuf>,
}

/// A turn; over when dropped, or when the process ends.
pub(crate) struct Turn {
    _file: Option<File>,
    _lane: OwnedMutexGuard<()>,
}

impl Turns {
    pub(super) fn in_memory() -> Self {
        Self { lanes: lanes(), folder: None }
    }

    /// Lock files lie in a folder beside the purse.
    pub(super) fn beside(path: &Path) -> Result<Self, PurseError> {
        let mut name = path.as_os_str().to_owned();
        name.push(".turns");
        let folder = PathBuf::from(name);
        std::fs::create_dir_all(&folder)?;
        Ok(Self { lanes: lanes(), folder: Some(folder) })
    }

    /// Waits for the turn to buy `subject`.
    pub(super) async fn wait(&self, subject: &(impl Hash + ?Sized)) -> Result<Turn, PurseError> {
        let number = lane(subject);
        let lane = Arc::clone(&self.lanes[number]).lock_owned().await;
        let Some(folder) = &self.folder else { return Ok(Turn { _file: None, _lane: lane }) };
        let path = folder.join(format!("{number:03}.lock"));
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        let until = Instant::now() + WAIT_MAX;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Turn { _file: Some(file), _lane: lane }),
                Err(TryLockError::WouldBlock) if Instant::now() < until => {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                Err(TryLockError::WouldBlock) => return Err(PurseError::Busy),
                Err(TryLockError::Error(error)) => return Err(error.into()),
            }
        }
    }
}

fn lanes() -> [Arc<Mutex<()>>; LANES] {
    std::array::from_fn(|_| Arc::default())
}

/// The same for every process of one build; with two builds side by side the ledger of spends still counts each once.
fn lane(subject: &(impl Hash + ?Sized)) -> usize {
    let mut hasher = DefaultHasher::new();
    subject.hash(&mut hasher);
    usize::try_from(hasher.finish() % LANES as u64).unwrap_or(0)
}
