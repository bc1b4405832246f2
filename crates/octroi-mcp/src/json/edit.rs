//! Editing by span: commas are kept right, every other byte is kept as it was.

use std::ops::Range;

use super::{members, text};

/// What becomes of one span of a document.
#[derive(Debug)]
pub(crate) enum Change {
    /// A member or item leaves, with one comma.
    Remove,
    /// The span becomes these bytes; an empty span inserts them.
    Put(Vec<u8>),
}

/// The document without the members (or array items) at `spans`, each removed together with one comma. The spans must not
/// overlap; they may come in any order.
#[must_use]
pub fn without(doc: &[u8], spans: &[Range<usize>]) -> Vec<u8> {
    let mut changes: Vec<_> = spans.iter().map(|span| (span.clone(), Change::Remove)).collect();
    changes.sort_unstable_by_key(|(span, _)| span.start);
    apply(doc, &changes)
}

/// The object with `key` set to `raw_value`: replaced where it stands, else appended.
#[must_use]
pub fn with_member(raw_object: &[u8], key: &str, raw_value: &[u8]) -> Vec<u8> {
    let mut empty = true;
    for member in members(raw_object) {
        if member.key == key {
            return apply(raw_object, &[(member.value_span, Change::Put(raw_value.to_vec()))]);
        }
        empty = false;
    }
    let mut added = Vec::with_capacity(key.len() + raw_value.len() + 4);
    if !empty {
        added.push(b',');
    }
    text::write_string(&mut added, key);
    added.push(b':');
    added.extend_from_slice(raw_value);
    let close = raw_object.iter().rposition(|byte| *byte == b'}').unwrap_or(raw_object.len());
    let end = close - trailing_space(raw_object.get(..close).unwrap_or_default());
    apply(raw_object, &[(end..end, Change::Put(added))])
}

/// Applies changes, which must be in order and must not overlap, in one pass.
pub(crate) fn apply(doc: &[u8], changes: &[(Range<usize>, Change)]) -> Vec<u8> {
    let grown: usize = changes.iter().map(|(_, change)| change.len()).sum();
    let mut out = Vec::with_capacity(doc.len() + grown);
    let mut done = 0;
    for (span, change) in changes {
        out.extend_from_slice(doc.get(done..span.start).unwrap_or_default());
        done = done.max(span.end);
        let Change::Put(bytes) = change else {
            let next = text::skip_space(doc, done);
            if doc.get(next) == Some(&b',') {
                done = next + 1;
            } else {
                drop_comma(&mut out);
            }
            continue;
        };
        out.extend_from_slice(bytes);
    }
    out.extend_from_slice(doc.get(done..).unwrap_or_default());
    out
}

/// Takes back the comma before a member that was the last one.
fn drop_comma(out: &mut Vec<u8>) {
    let end = out.len() - trailing_space(out);
    if end > 0 && out[end - 1] == b',' {
        out.truncate(end - 1);
    }
}

fn trailing_space(bytes: &[u8]) -> usize {
    bytes.iter().rev().take_while(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t')).count()
}

impl Change {
    fn len(&self) -> usize {
        match self {
            Self::Remove => 0,
            Self::Put(bytes) => bytes.len(),
        }
    }
}
