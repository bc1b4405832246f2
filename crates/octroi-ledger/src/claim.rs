//! Calls that may be tried again: each runs once, and later tries get the first answer.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use tokio::sync::Notify;

use crate::engine::Entry;
use crate::state::Shared;

/// Longest media type of an answer that is kept, in bytes.
pub const MAX_ANSWER_MEDIA: usize = 128;

/// What a call was answered.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// A number that means something to who keeps it: the HTTP status.
    pub status: u16,
    /// The media type of the body. At most [`MAX_ANSWER_MEDIA`] bytes; longer is cut.
    pub media: String,
    /// The body; `None` where it was too long to keep ([`LedgerConfig::kept_body`](crate::LedgerConfig::kept_body)), or ended in the middle.
    pub body: Option<Vec<u8>>,
}

impl fmt::Debug for Answer {
    /// Without the body, which is the caller's alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.body.as_ref().map(Vec::len);
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("body_bytes", &bytes)
            .finish_non_exhaustive()
    }
}

impl Answer {
    /// Within its bounds: of a body, so many bytes.
    pub(crate) fn bounded(mut self, most: usize) -> Self {
        if self.body.as_ref().is_some_and(|body| body.len() > most) {
            self.body = None;
        }
        let mut end = self.media.len().min(MAX_ANSWER_MEDIA);
        while !self.media.is_char_boundary(end) {
            end -= 1;
        }
        self.media.truncate(end);
        self
    }
}

/// What the ledger says to somebody who wants to make a call.
#[derive(Debug)]
pub enum Claimed {
    /// Nobody has made it. Until the claim is dropped nobody else can, on any gate.
    New(Claim),
    /// It is under way, and did not end while it was waited for.
    Running,
    /// It was made, and charged: this is what it was answered.
    Done(Answer),
    /// Another call was made under the same key.
    Conflict,
    /// It was made, and charged to a credential that has been revoked since: its answer is given to nobody.
    Revoked,
}

/// The right to make one call. Dropped, the call counts as never made;
/// [`OpenHold::capture_and_keep`](crate::OpenHold::capture_and_keep) keeps its answer instead.
#[must_use = "a claim that is dropped is given up"]
pub struct Claim {
    pub(crate) shared: Arc<Shared>,
    pub(crate) key: [u8; 32],
    pub(crate) request: [u8; 32],
    /// Whether the database knows of it and must be told when it is given up.
    pub(crate) stored: bool,
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim").finish_non_exhaustive()
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.shared.unclaim(&self.key);
        if self.stored {
            self.shared.tell(Entry::Unclaim(self.key));
        }
    }
}

/// The calls of this gate that may be tried again and have not ended.
#[derive(Debug, Default)]
pub(crate) struct Claims(HashMap<[u8; 32], Running>);

#[derive(Debug)]
struct Running {
    request: [u8; 32],
    ended: Arc<Notify>,
}

/// What this gate alone knows of a key.
pub(crate) enum Here {
    Free,
    Conflict,
    Running(Arc<Notify>),
}

impl Claims {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Claims the key, where nobody here has.
    pub(crate) fn claim(&mut self, key: [u8; 32], request: [u8; 32]) -> Here {
        match self.0.get(&key) {
            Some(running) if running.request != request => Here::Conflict,
            Some(running) => Here::Running(Arc::clone(&running.ended)),
            None => {
                self.0.insert(key, Running { request, ended: Arc::new(Notify::new()) });
                Here::Free
            }
        }
    }

    pub(crate) fn has(&self, key: &[u8; 32]) -> bool {
        self.0.contains_key(key)
    }

    /// The claim has ended; who is to be told.
    pub(crate) fn end(&mut self, key: &[u8; 32]) -> Option<Arc<Notify>> {
        self.0.remove(key).map(|running| running.ended)
    }
}
