//! The strict, borrowed JSON walker that everything else here is built on.
//!
//! [`validate`] accepts exactly the documents of RFC 8259 that every reader understands alike: UTF-8 without a byte
//! order mark, no duplicate keys at any level (compared decoded: `"na\u006de"` is `"name"`), no lone surrogates, bounded
//! depth and size. Numbers are kept as text, so none is too large. The other functions walk or edit a document that
//! passed; on one that did not they stop early or return nonsense, but never panic and never loop.

mod edit;
mod reader;
pub(crate) mod tape;
mod text;
mod walk;

pub(crate) use edit::{Change, apply};
pub use edit::{with_member, without};
pub use reader::validate;
pub(crate) use reader::{Key, Reader};
pub use text::write_string;
pub(crate) use walk::Members;
pub use walk::{get, items, members, string};

use std::{borrow::Cow, fmt, ops::Range};

/// Bounds on one document. The size in bytes is bounded by whoever read it from the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Deepest nesting of objects and arrays; never more than [`Limits::DEEPEST`] is honoured, because the walk recurses.
    pub max_depth: u16,
    /// Most object members and array items together, in the whole document.
    pub max_members: u32,
}

impl Limits {
    /// The depth no configuration can exceed.
    pub const DEEPEST: u16 = 256;
}

impl Default for Limits {
    /// 64 levels, 65 536 members.
    fn default() -> Self {
        Self { max_depth: 64, max_members: 65_536 }
    }
}

/// Why a document was refused; `at` is a byte offset into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not UTF-8 (RFC 8259 §8.1).
    #[error("the document is not UTF-8 at byte {at}")]
    BadUtf8 {
        /// First offending byte.
        at: usize,
    },
    /// Against the grammar of RFC 8259, which includes a byte order mark and raw control characters in strings.
    #[error("the document is not JSON at byte {at}")]
    Syntax {
        /// First byte that fits no rule.
        at: usize,
    },
    /// An unknown escape, or `\u` without four hexadecimal digits.
    #[error("the document has a bad escape at byte {at}")]
    BadEscape {
        /// The backslash.
        at: usize,
    },
    /// Half of a surrogate pair: readers disagree on what it decodes to.
    #[error("the document has a lone surrogate at byte {at}")]
    LoneSurrogate {
        /// The backslash.
        at: usize,
    },
    /// The same key twice in one object: readers disagree on which one counts.
    #[error("the document repeats a key at byte {at}")]
    DuplicateKey {
        /// The opening quote of a repetition.
        at: usize,
    },
    /// Deeper than [`Limits::max_depth`].
    #[error("the document is nested too deeply at byte {at}")]
    TooDeep {
        /// The bracket that was one too many.
        at: usize,
    },
    /// More than [`Limits::max_members`].
    #[error("the document has too many members at byte {at}")]
    TooManyMembers {
        /// The member that was one too many.
        at: usize,
    },
    /// Something follows the one value a document holds.
    #[error("something follows the document at byte {at}")]
    TrailingData {
        /// Its first byte.
        at: usize,
    },
}

/// One member of an object. Spans are offsets into the slice that was walked (into the whole body when it comes from
/// [`crate::message::Meta`]). `Debug` leaves the value out: it may be a credential.
#[derive(Clone, PartialEq, Eq)]
pub struct Member<'a> {
    /// The decoded key.
    pub key: Cow<'a, str>,
    /// The raw value, without surrounding white space.
    pub value: &'a [u8],
    /// Where `"key": value` stands, from the opening quote to the last byte of the value.
    pub span: Range<usize>,
    /// Where the value stands.
    pub value_span: Range<usize>,
}

impl fmt::Debug for Member<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").field("key", &self.key).field("span", &self.span).finish_non_exhaustive()
    }
}

/// One item of an array; the span is an offset into the slice that was walked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item<'a> {
    /// The raw item, without surrounding white space.
    pub value: &'a [u8],
    /// Where it stands.
    pub span: Range<usize>,
}

#[cfg(test)]
pub(crate) mod tests;
