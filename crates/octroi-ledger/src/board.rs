//! What gates on one database tell each other beside the money.
//!
//! Nothing here is money, and no call that is paid for waits for it. All of it ends by itself, and a database that dies may forget it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::postgres::PostgresBoard;

/// Longest note, in bytes.
pub const MAX_NOTE: usize = 32 * 1024;
/// Most callers whose failures are told or heard of at once.
pub const MAX_STRIKES: usize = 4_096;

/// Where gates on one database leave notes for each other. Clones share it.
#[derive(Clone)]
pub struct Board(pub(crate) Arc<PostgresBoard>);

/// The database does not answer, or refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the ledger's database: {0}")]
pub struct BoardError(pub(crate) String);

/// What one gate adds to what is known of a caller whose payments fail. Times in Unix milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strike {
    /// Who: a digest.
    pub who: [u8; 16],
    /// How much later it will be calm than was told last, in milliseconds; below 0: how much sooner.
    pub longer: i64,
    /// Until when it waits.
    pub waits_until: u64,
}

/// What all gates together know of such a caller. Times in Unix milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Who: a digest.
    pub who: [u8; 16],
    /// When the last of its points will be gone.
    pub calm_at: u64,
    /// Until when it waits.
    pub waits_until: u64,
}

impl fmt::Debug for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Board").finish_non_exhaustive()
    }
}

impl Board {
    /// Leaves a note for every gate until the Unix second `until`, in place of an earlier one under this key. Whoever can read the
    /// database can read it: seal it. At most [`MAX_NOTE`] bytes.
    ///
    /// # Errors
    /// It was not left.
    pub async fn pin(&self, key: &[u8; 32], sealed: &[u8], until: u64) -> Result<(), BoardError> {
        self.0.pin(key, sealed, until).await
    }

    /// The note under this key, if it has not ended at `now` (Unix seconds).
    ///
    /// # Errors
    /// Nobody can say.
    pub async fn find(&self, key: &[u8; 32], now: u64) -> Result<Option<Vec<u8>>, BoardError> {
        self.0.find(key, now).await
    }

    /// Tells of at most [`MAX_STRIKES`] failing callers, each once, and hears what is known of them now, and of at most as many of whom any gate told
    /// `lately`, by the database's clock. Nobody is calm later than `longest` milliseconds after `now` (Unix milliseconds).
    ///
    /// # Errors
    /// Nothing was told.
    pub async fn share(
        &self,
        strikes: &[Strike],
        lately: Duration,
        now: u64,
        longest: u64,
    ) -> Result<Vec<Standing>, BoardError> {
        self.0.share(strikes, lately, now, longest).await
    }

    /// Forgets what has ended at `now` (Unix milliseconds).
    ///
    /// # Errors
    /// Nothing was forgotten.
    pub async fn sweep(&self, now: u64) -> Result<(), BoardError> {
        self.0.sweep(now).await
    }
}
