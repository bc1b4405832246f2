//! The one pass over the body.
use super::{Message, ScanError};
use crate::json::Limits;

/// Scans a body as one JSON-RPC message.
///
/// # Errors
/// The first reason to refuse it, as [`ScanError`].
pub fn scan<'a>(_body: &'a [u8], _limits: &Limits) -> Result<Message<'a>, ScanError> {
    todo!()
}
