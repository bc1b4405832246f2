//! The strict reader: one pass that checks everything and hands out what the envelope asks for.

use std::{borrow::Cow, ops::Range};

use smallvec::SmallVec;

use super::{JsonError, Limits, text};

/// Objects with up to this many members are checked for duplicates pair by pair as they are read; larger ones are sorted
/// when they close, so that no object costs more than `n log n`.
const PAIRWISE: usize = 16;

/// Checks a whole document.
///
/// # Errors
/// The first thing wrong with it, as [`JsonError`].
pub fn validate(doc: &[u8], limits: &Limits) -> Result<(), JsonError> {
    let mut reader = Reader::new(doc, limits)?;
    reader.value()?;
    reader.end()
}

/// A member's key as it is read.
#[derive(Debug, Clone)]
pub(crate) struct Key<'a> {
    /// Decoded.
    pub(crate) text: Cow<'a, str>,
    /// Offset of the opening quote.
    pub(crate) at: usize,
}

/// A cursor over one document. Each call consumes and checks exactly one thing.
pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth_left: u16,
    members_left: u32,
    /// Keys of all objects that are open, innermost last.
    seen: SmallVec<[Key<'a>; 32]>,
}

impl<'a> Reader<'a> {
    /// A reader at the start of a document, which is checked to be UTF-8.
    pub(crate) fn new(doc: &'a [u8], limits: &Limits) -> Result<Self, JsonError> {
        let text =
            std::str::from_utf8(doc).map_err(|error| JsonError::BadUtf8 { at: error.valid_up_to() })?;
        Ok(Self {
            text,
            at: 0,
            depth_left: limits.max_depth.min(Limits::DEEPEST),
            members_left: limits.max_members,
            seen: SmallVec::new(),
        })
    }

    /// The first byte of what comes next, white space skipped.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        self.at = text::skip_space(self.bytes(), self.at);
        self.byte()
    }

    /// Consumes any value and tells where it stands.
    pub(crate) fn value(&mut self) -> Result<Range<usize>, JsonError> {
        let first = self.peek();
        let start = self.at;
        match first {
            Some(b'{') => return self.object(|reader, _| reader.value().map(drop)),
            Some(b'[') => self.array()?,
            Some(b'"') => {
                self.string()?;
            }
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b't') => self.literal(b"true")?,
            Some(b'f') => self.literal(b"false")?,
            Some(b'n') => self.literal(b"null")?,
            _ => return self.syntax(),
        }
        Ok(start..self.at)
    }

    /// Consumes any value and returns its raw bytes.
    pub(crate) fn raw(&mut self) -> Result<&'a [u8], JsonError> {
        let span = self.value()?;
        Ok(&self.text.as_bytes()[span])
    }

    /// Consumes an object; `each` is called after each key and must consume the value. Tells where the object stands.
    pub(crate) fn object<E: From<JsonError>>(
        &mut self,
        mut each: impl FnMut(&mut Self, Key<'a>) -> Result<(), E>,
    ) -> Result<Range<usize>, E> {
        let first = self.peek();
        let start = self.at;
        if first != Some(b'{') {
            return Ok(self.syntax()?);
        }
        self.open()?;
        let outer = self.seen.len();
        let mut next = self.peek();
        if next != Some(b'}') {
            loop {
                if next != Some(b'"') {
                    return Ok(self.syntax()?);
                }
                let key = self.key(outer)?;
                each(self, key)?;
                match self.peek() {
                    Some(b',') => self.at += 1,
                    Some(b'}') => break,
                    _ => return Ok(self.syntax()?),
                }
                next = self.peek();
            }
        }
        self.forget(outer)?;
        self.close();
        Ok(start..self.at)
    }

    /// Checks that nothing follows the document.
    pub(crate) fn end(&mut self) -> Result<(), JsonError> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(JsonError::TrailingData { at: self.at }),
        }
    }

    /// The raw bytes of a span this reader told.
    pub(crate) fn slice(&self, span: Range<usize>) -> &'a [u8] {
        &self.text.as_bytes()[span]
    }

    fn array(&mut self) -> Result<(), JsonError> {
        self.open()?;
        if self.peek() != Some(b']') {
            loop {
                self.count()?;
                self.value()?;
                match self.peek() {
                    Some(b',') => self.at += 1,
                    Some(b']') => break,
                    _ => return self.syntax(),
                }
            }
        }
        self.close();
        Ok(())
    }

    /// A key and its colon; refuses one that the object, whose keys begin at `outer`, already has.
    fn key(&mut self, outer: usize) -> Result<Key<'a>, JsonError> {
        self.count()?;
        let at = self.at;
        let (inner, escaped) = self.string()?;
        let text: &'a str = self.text;
        let inner = &text[inner];
        let key = Key { text: if escaped { text::unescape(inner) } else { Cow::Borrowed(inner) }, at };
        let siblings = self.seen.get(outer..).unwrap_or_default();
        if siblings.len() < PAIRWISE && siblings.iter().any(|seen| seen.text == key.text) {
            return Err(JsonError::DuplicateKey { at });
        }
        if self.peek() != Some(b':') {
            return self.syntax();
        }
        self.at += 1;
        self.seen.push(key.clone());
        Ok(key)
    }

    /// Ends an object whose keys begin at `outer`.
    fn forget(&mut self, outer: usize) -> Result<(), JsonError> {
        let keys = self.seen.get_mut(outer..).unwrap_or_default();
        if keys.len() > PAIRWISE {
            keys.sort_unstable_by(|a, b| a.text.cmp(&b.text).then(a.at.cmp(&b.at)));
            let repeated = keys.windows(2).find(|pair| pair[0].text == pair[1].text);
            if let Some(pair) = repeated {
                return Err(JsonError::DuplicateKey { at: pair[1].at });
            }
        }
        self.seen.truncate(outer);
        Ok(())
    }

    /// Consumes a string; returns where its inside stands and whether it has escapes.
    fn string(&mut self) -> Result<(Range<usize>, bool), JsonError> {
        let bytes = self.text.as_bytes();
        let start = self.at + 1;
        let mut at = start;
        let mut escaped = false;
        loop {
            at = text::plain_end(bytes, at);
            match bytes.get(at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    at = text::check_escape(bytes, at)?;
                }
                _ => return Err(JsonError::Syntax { at }),
            }
        }
        self.at = at + 1;
        Ok((start..at, escaped))
    }

    /// Consumes a number (RFC 8259 §6) of any size.
    fn number(&mut self) -> Result<(), JsonError> {
        if self.byte() == Some(b'-') {
            self.at += 1;
        }
        if self.byte() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.byte(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.byte(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        while matches!(self.byte(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { self.syntax() } else { Ok(()) }
    }

    fn literal(&mut self, word: &[u8]) -> Result<(), JsonError> {
        for expected in word {
            if self.byte() != Some(*expected) {
                return self.syntax();
            }
            self.at += 1;
        }
        Ok(())
    }

    fn open(&mut self) -> Result<(), JsonError> {
        let Some(left) = self.depth_left.checked_sub(1) else {
            return Err(JsonError::TooDeep { at: self.at });
        };
        self.depth_left = left;
        self.at += 1;
        Ok(())
    }

    fn close(&mut self) {
        self.depth_left += 1;
        self.at += 1;
    }

    fn count(&mut self) -> Result<(), JsonError> {
        let Some(left) = self.members_left.checked_sub(1) else {
            return Err(JsonError::TooManyMembers { at: self.at });
        };
        self.members_left = left;
        Ok(())
    }

    fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    fn byte(&self) -> Option<u8> {
        self.bytes().get(self.at).copied()
    }

    fn syntax<T>(&self) -> Result<T, JsonError> {
        Err(JsonError::Syntax { at: self.at })
    }
}
