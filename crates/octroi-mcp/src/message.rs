//! One JSON-RPC message as a client posts it: scanned once, borrowed from the body.

mod error;
mod lookalike;
mod params;
mod scan;

pub use error::ScanError;
pub use params::{Meta, Params};
pub use scan::scan;

use std::{borrow::Cow, fmt, ops::Range};

use smallvec::SmallVec;

use crate::json;

/// What a message is (JSON-RPC 2.0 §4, §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A method with an id: it wants a reply.
    Request,
    /// A method without an id.
    Notification,
    /// The answer of a legacy client to a request of the server.
    Response,
}

/// The raw bytes of a request id, a JSON string or integer, to be echoed byte for byte. Integers of any size are kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Id<'a>(&'a [u8]);

impl<'a> Id<'a> {
    /// The id as it stands in the body, quotes included.
    #[must_use]
    pub fn as_raw(&self) -> &'a [u8] {
        self.0
    }

    /// Takes a raw JSON value as an id. `None` for anything but one string or one integer without fraction or exponent.
    #[must_use]
    pub fn from_raw(raw: &'a [u8]) -> Option<Self> {
        let valid = match raw {
            [b'"', .., b'"'] => raw.len() > 1,
            [b'-', digits @ ..] | digits => !digits.is_empty() && digits.iter().all(u8::is_ascii_digit),
        };
        valid.then_some(Self(raw))
    }

    /// Whether both say the same: as decoded text for strings, digit for digit for integers.
    #[must_use]
    pub fn same(&self, other: &Id<'_>) -> bool {
        self.0 == other.0 || json::string(self.0).is_some_and(|text| json::string(other.0) == Some(text))
    }
}

impl fmt::Debug for Id<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.0))
    }
}

/// One scanned message. Everything borrows from the body, which is what must be forwarded. `Debug` shows what was asked
/// for and leaves out what the caller wrote into it: there may be credentials among it.
#[derive(Clone)]
pub struct Message<'a> {
    /// Request, notification or response.
    pub kind: Kind,
    /// The id; always there for a request or a response, never for a notification.
    pub id: Option<Id<'a>>,
    /// The method; empty for a response.
    pub method: Cow<'a, str>,
    /// What was read from `params`.
    pub params: Params<'a>,
    /// The raw `result` of a response.
    pub result: Option<&'a [u8]>,
    /// The raw `error` of a response.
    pub error: Option<&'a [u8]>,
    /// The whole body.
    pub raw: &'a [u8],
}

impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Message");
        shown.field("kind", &self.kind).field("id", &self.id).field("method", &self.method);
        shown.field("params", &self.params).field("bytes", &self.raw.len()).finish_non_exhaustive()
    }
}

/// The body without the named members of `params._meta`; every other byte is kept, and a `_meta` left without members
/// stays as `{}`. `None` when it has none of them: forward [`Message::raw`].
#[must_use]
pub fn without_meta(msg: &Message<'_>, keys: &[&str]) -> Option<Vec<u8>> {
    let members = msg.params.meta.as_ref()?.members();
    let named = members.iter().filter(|member| keys.contains(&&*member.key));
    let spans: SmallVec<[_; 4]> = named.map(|member| member.span.clone()).collect();
    (!spans.is_empty()).then(|| json::without(msg.raw, &spans))
}

/// The body with the members `drop` of `params._meta` left out and those of `set` (key, raw JSON value) put there, which no
/// other member of their name survives. `_meta`, and `params`, are added where missing; every other byte is kept.
#[must_use]
pub fn with_meta(msg: &Message<'_>, drop: &[&str], set: &[(&str, &[u8])]) -> Vec<u8> {
    let mut added = Vec::new();
    for (key, value) in set {
        added.extend_from_slice(if added.is_empty() { b"" } else { b"," });
        json::write_string(&mut added, key);
        added.push(b':');
        added.extend_from_slice(value);
    }
    let Some(meta) = &msg.params.meta else {
        let meta = [b"{", added.as_slice(), b"}"].concat();
        let params = json::with_member(msg.params.raw.unwrap_or(b"{}"), "_meta", &meta);
        return json::with_member(msg.raw, "params", &params);
    };
    let goes = |key: &str| drop.contains(&key) || set.iter().any(|(new, _)| *new == key);
    let mut changes: Vec<(Range<usize>, json::Change)> = meta
        .members()
        .iter()
        .filter(|member| goes(&member.key))
        .map(|member| (member.span.clone(), json::Change::Remove))
        .collect();
    if !added.is_empty() && changes.len() < meta.members().len() {
        added.insert(0, b',');
    }
    let end = meta.span().end - 1;
    changes.push((end..end, json::Change::Put(added)));
    json::apply(msg.raw, &changes)
}

#[cfg(test)]
mod tests;
