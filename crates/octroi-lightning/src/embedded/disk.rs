//! What a test may put between a node's store and its disk.

use std::fmt;
use std::io;
use std::sync::Arc;

/// What a record of the store is to LDK.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RecordKind {
    /// LDK's list of its channels (`ChannelManager`).
    Channels,
    /// One channel's own state, which is on disk before the peer hears of it (`ChannelMonitor`, and changes of one).
    Channel,
    /// Anything else: coins, payments, events, invoices.
    Other,
}

impl RecordKind {
    /// The node stands still until it is on disk: LDK gives a channel up, or the whole process, when it hears that it is not.
    pub(super) const fn is_vital(self) -> bool {
        matches!(self, Self::Channels | Self::Channel)
    }
}

/// A disk that fails, or ends the process, at a chosen write. Called by the thread that writes.
pub trait FaultyDisk: Send + Sync {
    /// These records are about to be written, as one transaction.
    ///
    /// # Errors
    /// What the disk is to say instead of writing them.
    fn writing(&self, records: &[RecordKind]) -> io::Result<()>;

    /// They are on disk; whoever wrote them does not know it yet.
    fn written(&self, records: &[RecordKind]);
}

/// Where [`EmbeddedConfig`](super::EmbeddedConfig) keeps it.
#[derive(Clone)]
pub struct Disk(pub(super) Arc<dyn FaultyDisk>);

impl Disk {
    /// A disk that is the real one where this lets it.
    #[must_use]
    pub fn new(faulty: Arc<dyn FaultyDisk>) -> Self {
        Self(faulty)
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Disk")
    }
}
