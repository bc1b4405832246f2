//! The one place of the binary that asks what time it is.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since the Unix epoch; 0 before it.
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs())
}
