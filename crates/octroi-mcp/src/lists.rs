//! Reading and rewriting the raw results of lists: whatever is not touched stays byte for byte.

use std::{borrow::Cow, ops::Range};

use crate::json::{self, Change};

/// Which list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum List {
    /// `tools/list`: tools by `name`.
    Tools,
    /// `resources/list`: resources by `uri`.
    Resources,
    /// `resources/templates/list`: templates by `uriTemplate`.
    Templates,
    /// `prompts/list`: prompts by `name`.
    Prompts,
}

impl List {
    /// The list a method asks for.
    #[must_use]
    pub fn of_method(method: &str) -> Option<Self> {
        Some(match method {
            "tools/list" => Self::Tools,
            "resources/list" => Self::Resources,
            "resources/templates/list" => Self::Templates,
            "prompts/list" => Self::Prompts,
            _ => return None,
        })
    }

    /// The member of the result that holds the entries.
    const fn member(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Resources => "resources",
            Self::Templates => "resourceTemplates",
            Self::Prompts => "prompts",
        }
    }

    /// The member that names an entry.
    const fn name(self) -> &'static str {
        match self {
            Self::Tools | Self::Prompts => "name",
            Self::Resources => "uri",
            Self::Templates => "uriTemplate",
        }
    }
}

/// One entry of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<'a> {
    /// What it is called by, decoded: a name, a URI, or a template of URIs.
    pub name: Cow<'a, str>,
    /// The raw object.
    pub raw: &'a [u8],
    /// Where it stands in the result.
    pub span: Range<usize>,
}

/// What to do with one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// Leave it byte for byte.
    Keep,
    /// Leave it out.
    Drop,
    /// Set these members of its `_meta` (key, raw JSON value), keeping the others.
    Meta(Vec<(String, Vec<u8>)>),
}

/// The entries of a raw, validated result of `kind`. Items that are not named by a string are skipped.
pub fn entries(kind: List, result: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    let list = list(kind, result);
    let start = list.as_ref().map_or(0, |list| list.start);
    let raw = list.and_then(|list| result.get(list)).unwrap_or_default();
    json::items(raw).filter_map(move |item| {
        let name = json::string(json::get(item.value, kind.name())?)?;
        Some(Entry { name, raw: item.value, span: start + item.span.start..start + item.span.end })
    })
}

/// Rewrites a raw, validated result of `kind`: `edit` decides on each entry, then the raw objects in `append` follow.
/// `None` when nothing changes or there is no list: forward the same bytes. An entry that is not named by a string is kept as
/// it is.
#[must_use]
pub fn rewrite(
    kind: List,
    result: &[u8],
    mut edit: impl FnMut(&Entry<'_>) -> Edit,
    append: &[Vec<u8>],
) -> Option<Vec<u8>> {
    let list = list(kind, result)?;
    let mut kept = json::items(result.get(list.clone())?).count();
    let mut changes = Vec::new();
    for entry in entries(kind, result) {
        match edit(&entry) {
            Edit::Keep => {}
            Edit::Drop => {
                kept -= 1;
                changes.push((entry.span, Change::Remove));
            }
            Edit::Meta(members) => changes.push((entry.span, Change::Put(with_meta(entry.raw, &members)))),
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

/// Where the array of entries stands.
fn list(kind: List, result: &[u8]) -> Option<Range<usize>> {
    json::members(result)
        .find(|member| member.key == kind.member() && member.value.starts_with(b"["))
        .map(|member| member.value_span)
}

#[cfg(test)]
mod tests;
