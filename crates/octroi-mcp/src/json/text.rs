//! Strings: their ends, escapes and decoded form.

use std::borrow::Cow;

use super::JsonError;

/// Skips the four white-space bytes of RFC 8259 §2.
pub(super) fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = bytes.get(at) {
        at += 1;
    }
    at
}

/// The next byte, from `at` on, that cannot stand plainly in a string: a quote, a backslash, a control character, or the
/// end. Eight bytes at a time, since most of a large body is long strings.
pub(super) fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*chunk);
        // In each of these the lowest high bit set marks the first such byte; later ones may be false.
        let quote = (word ^ (ONES * u64::from(b'"'))).wrapping_sub(ONES) & !(word ^ (ONES * u64::from(b'"')));
        let slash =
            (word ^ (ONES * u64::from(b'\\'))).wrapping_sub(ONES) & !(word ^ (ONES * u64::from(b'\\')));
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let found = (quote | slash | control) & HIGH;
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while bytes.get(at).is_some_and(|byte| !matches!(byte, b'"' | b'\\' | 0..0x20)) {
        at += 1;
    }
    at
}

/// Checks the escape whose backslash is at `at` and returns where it ends.
pub(super) fn check_escape(bytes: &[u8], at: usize) -> Result<usize, JsonError> {
    match bytes.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => return Ok(at + 2),
        Some(b'u') => {}
        _ => return Err(JsonError::BadEscape { at }),
    }
    match hex4(bytes, at) {
        None => Err(JsonError::BadEscape { at }),
        Some(0xD800..=0xDBFF) if matches!(hex4(bytes, at + 6), Some(0xDC00..=0xDFFF)) => Ok(at + 12),
        Some(0xD800..=0xDFFF) => Err(JsonError::LoneSurrogate { at }),
        Some(_) => Ok(at + 6),
    }
}

/// The number of a `\uXXXX` at `at`.
fn hex4(bytes: &[u8], at: usize) -> Option<u32> {
    let [b'\\', b'u', digits @ ..] = bytes.get(at..at + 6)? else { return None };
    digits.iter().try_fold(0, |number, digit| Some(number * 16 + char::from(*digit).to_digit(16)?))
}

/// Where a string that opens at `at` ends (after its closing quote), in a document already checked.
pub(super) fn string_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut at = at + 1;
    loop {
        at = plain_end(bytes, at);
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// The decoded inside of a string that passed [`check_escape`]; what does not fit is kept as it stands.
pub(super) fn unescape(inner: &str) -> Cow<'_, str> {
    let mut rest = inner;
    let Some(first) = rest.find('\\') else { return Cow::Borrowed(inner) };
    let mut out = String::with_capacity(inner.len());
    let mut next = Some(first);
    while let Some(at) = next {
        out.push_str(&rest[..at]);
        let (decoded, length) = escaped_char(rest.as_bytes(), at).unwrap_or(('\\', 1));
        out.push(decoded);
        rest = &rest[at + length..];
        next = rest.find('\\');
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The character an escape stands for, and the length of the escape in bytes.
fn escaped_char(bytes: &[u8], at: usize) -> Option<(char, usize)> {
    let simple = match bytes.get(at + 1)? {
        b'u' => {
            let high = hex4(bytes, at)?;
            if let Some(single) = char::from_u32(high) {
                return Some((single, 6));
            }
            let low = hex4(bytes, at + 6)?.checked_sub(0xDC00)?;
            return Some((char::from_u32(0x10000 + (high.checked_sub(0xD800)? << 10) + low)?, 12));
        }
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        plain @ (b'"' | b'\\' | b'/') => char::from(*plain),
        _ => return None,
    };
    Some((simple, 2))
}

/// Appends `text` as a JSON string with the fewest escapes (RFC 8785 §3.2.2.2).
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut written = 0;
    loop {
        let at = plain_end(bytes, written);
        out.extend_from_slice(&bytes[written..at]);
        let Some(special) = bytes.get(at) else { break };
        match special {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            control => out.extend_from_slice(format!("\\u{control:04x}").as_bytes()),
        }
        written = at + 1;
    }
    out.push(b'"');
}
