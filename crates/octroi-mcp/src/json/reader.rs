//! The strict reader.
use super::{JsonError, Limits};

/// Checks a whole document.
///
/// # Errors
/// The first thing wrong with it, as [`JsonError`].
pub fn validate(_doc: &[u8], _limits: &Limits) -> Result<(), JsonError> {
    todo!()
}
pub(crate) struct Reader;
pub(crate) struct Key;
