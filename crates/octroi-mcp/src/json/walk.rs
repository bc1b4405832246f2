//! Walking a document that is already known to be valid. Nested values are skipped, not looked into.

use std::borrow::Cow;

use super::{Item, Member, text};

/// The members of an object, in order. Nothing for any other value.
pub fn members(raw_object: &[u8]) -> impl Iterator<Item = Member<'_>> {
    Members::new(raw_object)
}

/// The items of an array, in order. Nothing for any other value.
pub fn items(raw_array: &[u8]) -> impl Iterator<Item = Item<'_>> {
    let mut walk = Walk::new(raw_array, b'[', b']');
    std::iter::from_fn(move || {
        walk.enter()?;
        let start = walk.at;
        let span = start..walk.value_end(start)?;
        walk.at = span.end;
        Some(Item { value: raw_array.get(span.clone())?, span })
    })
}

/// The text of a string value, borrowed unless it has escapes. `None` for any other value.
#[must_use]
pub fn string(raw: &[u8]) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    Some(text::unescape(std::str::from_utf8(inner).ok()?))
}

/// The raw value of one member of an object.
#[must_use]
pub fn get<'a>(raw_object: &'a [u8], key: &str) -> Option<&'a [u8]> {
    members(raw_object).find(|member| member.key == key).map(|member| member.value)
}

/// The members of an object; afterwards it can tell whether the object was whole.
pub(crate) struct Members<'a> {
    walk: Walk<'a>,
}

impl<'a> Members<'a> {
    pub(crate) fn new(raw: &'a [u8]) -> Self {
        Self { walk: Walk::new(raw, b'{', b'}') }
    }

    /// After the last member: whether the object ended properly and only white space follows.
    pub(crate) fn ended_well(&self) -> bool {
        self.walk.closed && text::skip_space(self.walk.raw, self.walk.at) == self.walk.raw.len()
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = Member<'a>;

    fn next(&mut self) -> Option<Member<'a>> {
        let walk = &mut self.walk;
        walk.enter()?;
        let start = walk.at;
        let key_end = (walk.raw.get(start) == Some(&b'"')).then(|| text::string_end(walk.raw, start))??;
        let key = string(walk.raw.get(start..key_end)?)?;
        let colon = text::skip_space(walk.raw, key_end);
        if walk.raw.get(colon) != Some(&b':') {
            return None;
        }
        let value_start = text::skip_space(walk.raw, colon + 1);
        let value_span = value_start..walk.value_end(value_start)?;
        walk.at = value_span.end;
        let value = walk.raw.get(value_span.clone())?;
        Some(Member { key, value, span: start..value_span.end, value_span })
    }
}

/// A position in one container.
struct Walk<'a> {
    raw: &'a [u8],
    at: usize,
    open: u8,
    close: u8,
    entered: bool,
    closed: bool,
}

impl<'a> Walk<'a> {
    fn new(raw: &'a [u8], open: u8, close: u8) -> Self {
        Self { raw, at: 0, open, close, entered: false, closed: false }
    }

    /// Moves to the next member or item; `None` at the end, and for ever after it.
    fn enter(&mut self) -> Option<()> {
        if self.closed {
            return None;
        }
        let mark = text::skip_space(self.raw, self.at);
        let separator = if self.entered { b',' } else { self.open };
        let found = *self.raw.get(mark)?;
        if found == self.close && self.entered {
            return self.finish(mark);
        }
        if found != separator {
            return None;
        }
        self.at = text::skip_space(self.raw, mark + 1);
        if !self.entered && self.raw.get(self.at) == Some(&self.close) {
            return self.finish(self.at);
        }
        self.entered = true;
        Some(())
    }

    fn finish(&mut self, mark: usize) -> Option<()> {
        self.closed = true;
        self.at = mark + 1;
        None
    }

    /// Where the value that starts at `at` ends. Brackets are counted, so depth costs nothing.
    fn value_end(&self, at: usize) -> Option<usize> {
        match self.raw.get(at)? {
            b'"' => text::string_end(self.raw, at),
            b'{' | b'[' => container_end(self.raw, at),
            b',' | b':' | b'}' | b']' => None,
            _ => Some(scalar_end(self.raw, at)),
        }
    }
}

/// Where a number or literal ends.
pub(super) fn scalar_end(raw: &[u8], at: usize) -> usize {
    let rest = raw.get(at..).unwrap_or_default();
    let ends = |byte: &u8| {
        matches!(byte, b',' | b':' | b'}' | b']' | b'{' | b'[' | b'"' | b' ' | b'\n' | b'\r' | b'\t')
    };
    rest.iter().position(ends).map_or(raw.len(), |length| at + length)
}

fn container_end(raw: &[u8], start: usize) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = start;
    loop {
        match raw.get(at)? {
            b'"' => {
                at = text::string_end(raw, at)?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
}
