//! A JSON pointer (RFC 6901) into raw JSON, which is not parsed beyond the way to the value.

use octroi_mcp::json;

/// Most steps of a pointer.
const STEPS_MAX: usize = 16;

/// Why text is no pointer. The operator's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PointerError {
    /// It does not start with `/`, or names nothing.
    #[error("a JSON pointer starts with / and names a member, like /structuredContent/usage/tokens")]
    Form,
    /// `~` stands for itself only as `~0`, and for `/` as `~1` (RFC 6901 §3).
    #[error("a ~ in a JSON pointer is written ~0, a / in a name ~1")]
    Escape,
    /// More than a pointer into a result ever needs.
    #[error("a JSON pointer of more than {STEPS_MAX} steps")]
    TooLong,
}

/// The way to one value of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer {
    text: String,
    steps: Vec<String>,
}

impl Pointer {
    /// Reads a pointer.
    ///
    /// # Errors
    /// [`PointerError`].
    pub fn parse(text: &str) -> Result<Self, PointerError> {
        let rest = text.strip_prefix('/').filter(|rest| !rest.is_empty()).ok_or(PointerError::Form)?;
        let steps: Vec<String> =
            rest.split('/').map(unescape).collect::<Option<_>>().ok_or(PointerError::Escape)?;
        if steps.len() > STEPS_MAX {
            return Err(PointerError::TooLong);
        }
        Ok(Self { text: text.to_owned(), steps })
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The raw value it leads to in a raw document.
    #[must_use]
    pub fn find<'a>(&self, raw: &'a [u8]) -> Option<&'a [u8]> {
        self.steps.iter().try_fold(raw, |value, step| match value.first()? {
            b'{' => json::get(value, step),
            b'[' => json::items(value).nth(index(step)?).map(|item| item.value),
            _ => None,
        })
    }
}

/// An index in its one spelling: digits without a leading zero (RFC 6901 §4).
fn index(step: &str) -> Option<usize> {
    let plain = step == "0" || (!step.starts_with('0') && step.bytes().all(|byte| byte.is_ascii_digit()));
    step.parse().ok().filter(|_| plain)
}

fn unescape(step: &str) -> Option<String> {
    let mut text = String::with_capacity(step.len());
    let mut rest = step.chars();
    while let Some(c) = rest.next() {
        text.push(match c {
            '~' => match rest.next()? {
                '0' => '~',
                '1' => '/',
                _ => return None,
            },
            other => other,
        });
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leads_to_what_it_names() {
        let document = br#"{"a":{"b/c":[10,{"~":true}]},"":{"x":1},"n":7}"#;
        for (pointer, found) in [
            ("/a/b~1c/0", Some("10")),
            ("/a/b~1c/1/~0", Some("true")),
            ("//x", Some("1")),
            ("/n", Some("7")),
            ("/n/x", None),
            ("/a/b~1c/2", None),
            ("/a/b~1c/01", None),
            ("/a/b~1c/+1", None),
            ("/missing", None),
        ] {
            let value = Pointer::parse(pointer).unwrap().find(document);
            assert_eq!(value, found.map(str::as_bytes), "{pointer}");
        }
    }

    #[test]
    fn what_is_no_pointer_is_refused() {
        assert_eq!(Pointer::parse("usage/tokens"), Err(PointerError::Form));
        assert_eq!(Pointer::parse("/"), Err(PointerError::Form));
        assert_eq!(Pointer::parse(""), Err(PointerError::Form));
        assert_eq!(Pointer::parse("/a~2"), Err(PointerError::Escape));
        assert_eq!(Pointer::parse("/a~"), Err(PointerError::Escape));
        assert_eq!(Pointer::parse(&"/a".repeat(STEPS_MAX + 1)), Err(PointerError::TooLong));
    }
}
