//! Policies in Cedar.

use std::fmt;
use std::path::PathBuf;
#[cfg(feature = "cedar")]
use std::sync::Arc;

/// Policies that calls must pass besides the rules: parsed, validated, ready to be asked.
#[derive(Clone)]
pub struct CedarConfig {
    /// Where they were read.
    pub path: PathBuf,
    /// How many there are.
    pub count: usize,
    /// The policies.
    #[cfg(feature = "cedar")]
    pub policies: Arc<octroi_gate::cedar::CedarPolicy>,
}

impl fmt::Debug for CedarConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CedarConfig")
            .field("path", &self.path)
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}
