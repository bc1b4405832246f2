//! A flat index of all values of a document, made in one pass, so that visiting every level costs no re-reading.

use std::{borrow::Cow, ops::Range};

use smallvec::SmallVec;

use super::{string, text, walk};

/// The values of a valid document in the order they open; the whole document is node 0.
pub(crate) struct Tape<'a> {
    doc: &'a [u8],
    nodes: SmallVec<[Node; 24]>,
}

struct Node {
    /// The raw key of a member, else empty.
    key: Range<usize>,
    value: Range<usize>,
    /// The node after this one and everything in it.
    after: usize,
}

impl<'a> Tape<'a> {
    /// Indexes a document; `None` if it is deeper than `max_depth` or its brackets or strings do not end.
    pub(crate) fn new(doc: &'a [u8], max_depth: usize) -> Option<Self> {
        let mut nodes: SmallVec<[Node; 24]> = SmallVec::new();
        let mut open: SmallVec<[usize; 16]> = SmallVec::new();
        let mut key = 0..0;
        let mut at = text::skip_space(doc, 0);
        while let Some(byte) = doc.get(at) {
            let end = match byte {
                b',' | b':' | b' ' | b'\n' | b'\r' | b'\t' => {
                    at += 1;
                    continue;
                }
                b'}' | b']' => {
                    at += 1;
                    let count = nodes.len();
                    let node = nodes.get_mut(open.pop()?)?;
                    node.value.end = at;
                    node.after = count;
                    continue;
                }
                b'{' | b'[' => {
                    if open.len() == max_depth {
                        return None;
                    }
                    open.push(nodes.len());
                    at + 1
                }
                b'"' => text::string_end(doc, at)?,
                _ => walk::scalar_end(doc, at),
            };
            let in_object = !matches!(byte, b'{' | b'[') && Self::opens_object(doc, &nodes, &open);
            if in_object && key.is_empty() {
                key = at..end;
            } else {
                let after = nodes.len() + 1;
                nodes.push(Node { key: std::mem::take(&mut key), value: at..end, after });
            }
            at = end;
        }
        (open.is_empty() && !nodes.is_empty()).then_some(Self { doc, nodes })
    }

    fn opens_object(doc: &[u8], nodes: &[Node], open: &[usize]) -> bool {
        let innermost = open.last().and_then(|node| nodes.get(*node));
        innermost.is_some_and(|node| doc.get(node.value.start) == Some(&b'{'))
    }

    /// The raw value of a node.
    pub(crate) fn raw(&self, node: usize) -> &'a [u8] {
        self.nodes.get(node).and_then(|node| self.doc.get(node.value.clone())).unwrap_or_default()
    }

    /// The decoded key of a node that is a member.
    pub(crate) fn key(&self, node: usize) -> Cow<'a, str> {
        let raw = self.nodes.get(node).and_then(|node| self.doc.get(node.key.clone()));
        raw.and_then(string).unwrap_or_default()
    }

    /// The nodes directly inside a node.
    pub(crate) fn children(&self, node: usize) -> impl Iterator<Item = usize> {
        let end = self.nodes.get(node).map_or(0, |node| node.after);
        let mut child = node + 1;
        std::iter::from_fn(move || {
            let this = (child < end).then_some(child)?;
            child = self.nodes.get(this)?.after;
            Some(this)
        })
    }
}
