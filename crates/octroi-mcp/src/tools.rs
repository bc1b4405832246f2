//! Reading and rewriting a raw `tools/list` result: whatever is not touched stays byte for byte.
use std::{borrow::Cow, ops::Range};

/// One tool of a `tools/list` result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool<'a> {
    /// Its name, decoded.
    pub name: Cow<'a, str>,
    /// The raw object.
    pub raw: &'a [u8],
    /// Where it stands in the result.
    pub span: Range<usize>,
}

/// What to do with one tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// Leave it byte for byte.
    Keep,
    /// Leave it out.
    Drop,
    /// Set these members of its `_meta` (key, raw JSON value), keeping the others.
    Meta(Vec<(String, Vec<u8>)>),
}

/// The tools of a raw, validated `tools/list` result. Items without a string `name` are skipped.
pub fn tools(_result: &[u8]) -> impl Iterator<Item = Tool<'_>> {
    std::iter::empty()
}

/// Rewrites a raw, validated `tools/list` result: `edit` decides on each tool, then the raw tool objects in `append`
/// follow. `None` when nothing changes: forward the same bytes. A tool without a string `name` is kept as it is.
#[must_use]
pub fn rewrite(_result: &[u8], _edit: impl FnMut(&Tool<'_>) -> Edit, _append: &[Vec<u8>]) -> Option<Vec<u8>> {
    todo!()
}

/// Any raw object with members of its `_meta` set, keeping the others; `_meta` is added when missing or not an object.
#[must_use]
pub fn with_meta(_raw_object: &[u8], _entries: &[(String, Vec<u8>)]) -> Vec<u8> {
    todo!()
}
