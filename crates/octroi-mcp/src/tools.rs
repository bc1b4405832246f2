//! Reading and rewriting a raw `tools/list` result: whatever is not touched stays byte for byte.

use std::{borrow::Cow, ops::Range};

use crate::json::{self, Change};

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
pub fn tools(result: &[u8]) -> impl Iterator<Item = Tool<'_>> {
    let list = list(result);
    let start = list.as_ref().map_or(0, |list| list.start);
    let raw = list.and_then(|list| result.get(list)).unwrap_or_default();
    json::items(raw).filter_map(move |item| {
        let name = json::string(json::get(item.value, "name")?)?;
        Some(Tool { name, raw: item.value, span: start + item.span.start..start + item.span.end })
    })
}

/// Rewrites a raw, validated `tools/list` result: `edit` decides on each tool, then the raw tool objects in `append`
/// follow. `None` when nothing changes or there is no list: forward the same bytes. A tool without a string `name` is kept
/// as it is.
#[must_use]
pub fn rewrite(
    result: &[u8],
    mut edit: impl FnMut(&Tool<'_>) -> Edit,
    append: &[Vec<u8>],
) -> Option<Vec<u8>> {
    let list = list(result)?;
    let mut kept = json::items(result.get(list.clone())?).count();
    let mut changes = Vec::new();
    for tool in tools(result) {
        match edit(&tool) {
            Edit::Keep => {}
            Edit::Drop => {
                kept -= 1;
                changes.push((tool.span, Change::Remove));
            }
            Edit::Meta(entries) => changes.push((tool.span, Change::Put(with_meta(tool.raw, &entries)))),
        }
    }
    if !append.is_empty() {
        let mut added = append.join(&b","[..]);
        if kept > 0 {
            added.insert(0, b',');
        }
        let end = list.end - 1;
        changes.push((end..end, Change::Put(added)));
    }
    (!changes.is_empty()).then(|| json::apply(result, &changes))
}

/// Any raw object with members of its `_meta` set, keeping the others; `_meta` is added when missing or not an object.
#[must_use]
pub fn with_meta(raw_object: &[u8], entries: &[(String, Vec<u8>)]) -> Vec<u8> {
    let found = json::get(raw_object, "_meta").filter(|meta| meta.starts_with(b"{"));
    let mut meta = found.unwrap_or(b"{}").to_vec();
    for (key, value) in entries {
        meta = json::with_member(&meta, key, value);
    }
    json::with_member(raw_object, "_meta", &meta)
}

/// Where the array of tools stands.
fn list(result: &[u8]) -> Option<Range<usize>> {
    json::members(result)
        .find(|member| member.key == "tools" && member.value.starts_with(b"["))
        .map(|member| member.value_span)
}

#[cfg(test)]
mod tests;
