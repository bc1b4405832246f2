//! What is read from, and changed in, a message on its way to or from a child: by span, everything else byte for byte.

use std::ops::Range;

use bytes::Bytes;
use octroi_mcp::{json, message::Id};

/// The key of the listen request that a stream's messages belong to (MCP 2026-07-28 basic/patterns/subscriptions).
pub(crate) const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";

/// An id or progress token that compares by what it says: `"a"` and `"\u0061"` are the same, `1` and `"1"` are not.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum IdKey {
    /// The digits of an integer.
    Number(Box<[u8]>),
    /// The decoded text.
    Text(Box<str>),
}

impl IdKey {
    /// The key of a raw JSON value, `None` when that can be no id.
    pub(crate) fn of(raw: &[u8]) -> Option<Self> {
        let id = Id::from_raw(raw)?;
        Some(match json::string(id.as_raw()) {
            Some(text) => Self::Text(text.into()),
            None => Self::Number(id.as_raw().into()),
        })
    }
}

/// What a message is, as its top level tells.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A method with an id.
    Request,
    /// A method without one.
    Notification,
    /// A result or error.
    Reply,
}

/// Where the parts of one message stand that decide its way.
#[derive(Debug)]
pub(crate) struct Envelope<'a> {
    pub(crate) line: &'a [u8],
    pub(crate) kind: Kind,
    pub(crate) method: Option<String>,
    pub(crate) id: Option<Range<usize>>,
}

impl<'a> Envelope<'a> {
    /// Reads the top level; `None` for what is no JSON-RPC 2.0 message. Deeper faults are the reader's to find.
    pub(crate) fn read(line: &'a [u8]) -> Option<Self> {
        let whole = line.trim_ascii();
        if !(whole.starts_with(b"{") && whole.ends_with(b"}")) || std::str::from_utf8(line).is_err() {
            return None;
        }
        let (mut version, mut answered, mut method, mut id) = (false, false, None, None);
        for member in json::members(line) {
            match &*member.key {
                "jsonrpc" => version = member.value == b"\"2.0\"",
                "method" => method = Some(json::string(member.value)?.into_owned()),
                "id" if member.value != b"null" => id = Some(member.value_span),
                "result" | "error" => answered = true,
                _ => {}
            }
        }
        let kind = match (&method, answered, id.is_some()) {
            (Some(_), false, true) => Kind::Request,
            (Some(_), false, false) => Kind::Notification,
            (None, true, _) => Kind::Reply,
            _ => return None,
        };
        version.then_some(Self { line, kind, method, id })
    }

    /// The raw id.
    pub(crate) fn id(&self) -> Option<&'a [u8]> {
        self.line.get(self.id.clone()?)
    }

    /// The id as a key.
    pub(crate) fn id_key(&self) -> Option<IdKey> {
        IdKey::of(self.id()?)
    }

    /// The value at `path`, and where it stands.
    pub(crate) fn at(&self, path: &[&str]) -> Option<(&'a [u8], Range<usize>)> {
        let span = span_of(self.line, path)?;
        Some((self.line.get(span.clone())?, span))
    }

    /// The code of an error reply.
    pub(crate) fn error_code(&self) -> Option<i64> {
        std::str::from_utf8(self.at(&["error", "code"])?.0).ok()?.parse().ok()
    }
}

/// Where the value at `path` stands in a document.
pub(crate) fn span_of(doc: &[u8], path: &[&str]) -> Option<Range<usize>> {
    let mut span = 0..doc.len();
    for key in path {
        let found = json::members(doc.get(span.clone())?).find(|member| member.key == *key)?.value_span;
        span = span.start + found.start..span.start + found.end;
    }
    Some(span)
}

/// The document with each span replaced. The spans must not overlap; they may come in any order.
pub(crate) fn splice(doc: &[u8], mut changes: Vec<(Range<usize>, &[u8])>) -> Vec<u8> {
    changes.sort_unstable_by_key(|(span, _)| span.start);
    let grown: usize = changes.iter().map(|(_, bytes)| bytes.len()).sum();
    let mut out = Vec::with_capacity(doc.len() + grown + 1);
    let mut done = 0;
    for (span, bytes) in changes {
        out.extend_from_slice(doc.get(done..span.start).unwrap_or_default());
        out.extend_from_slice(bytes);
        done = span.end;
    }
    out.extend_from_slice(doc.get(done..).unwrap_or_default());
    out
}

/// `notifications/cancelled` for the request with this raw id, as a line.
pub(crate) fn cancelled(raw_id: &[u8]) -> Bytes {
    let mut message =
        br#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"#.to_vec();
    message.extend_from_slice(raw_id);
    message.extend_from_slice(b"}}");
    to_line(message)
}

/// One message as one line, with its line end. In JSON a bare line end can only be white space, so a space says the same.
pub(crate) fn to_line(mut message: Vec<u8>) -> Bytes {
    for byte in &mut message {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    message.push(b'\n');
    message.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn kinds_are_told_by_the_top_level() {
        let kind = |line: &str| Envelope::read(line.as_bytes()).map(|envelope| envelope.kind);
        assert_eq!(kind(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#), Some(Kind::Request));
        assert_eq!(kind(r#"{"jsonrpc":"2.0","method":"notifications/x"}"#), Some(Kind::Notification));
        assert_eq!(kind(r#" {"id":"a","result":{"method":"x"},"jsonrpc":"2.0"} "#), Some(Kind::Reply));
        assert_eq!(kind(r#"{"jsonrpc":"2.0","id":null,"error":{}}"#), Some(Kind::Reply));
        for bad in
            ["", "{", "null", "Server started", "[]", r#"{"id":1,"result":{}}"#, r#"{"jsonrpc":"2.0"}"#]
        {
            assert_eq!(kind(bad), None, "{bad}");
        }
        assert_eq!(kind(r#"{"jsonrpc":"2.0","id":1,"method":"x","result":{}}"#), None);
        assert!(Envelope::read(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"\xff\"}").is_none());
    }

    #[test]
    fn ids_compare_by_what_they_say() {
        assert_eq!(IdKey::of(br#""a""#), IdKey::of(br#""\u0061""#));
        assert_ne!(IdKey::of(b"1"), IdKey::of(br#""1""#));
        assert_eq!(IdKey::of(b"1.5"), None);
        assert_eq!(IdKey::of(b"null"), None);
    }

    #[test]
    fn only_what_is_named_changes() {
        let doc =
            br#"{ "id" : 7, "params": {"x":[ 1.0e5 ], "_meta":{"progressToken":"t"}},"jsonrpc":"2.0" }"#;
        let id = span_of(doc, &["id"]).unwrap();
        let token = span_of(doc, &["params", "_meta", "progressToken"]).unwrap();
        let changed = splice(doc, vec![(token, b"99"), (id, b"99")]);
        let expected =
            br#"{ "id" : 99, "params": {"x":[ 1.0e5 ], "_meta":{"progressToken":99}},"jsonrpc":"2.0" }"#;
        assert_eq!(String::from_utf8_lossy(&changed), String::from_utf8_lossy(expected));
        assert_eq!(span_of(doc, &["params", "name"]), None);
        assert_eq!(span_of(doc, &["id", "name"]), None);
    }

    #[test]
    fn a_message_is_one_line() {
        assert_eq!(&to_line(b"{\r\n \"a\":\"b\\n\"\n}".to_vec())[..], b"{   \"a\":\"b\\n\" }\n");
    }

    proptest! {
        #[test]
        fn reading_never_panics(line in proptest::collection::vec(any::<u8>(), 0..100)) {
            if let Some(envelope) = Envelope::read(&line) {
                drop((envelope.id_key(), envelope.error_code(), envelope.at(&["result", "_meta"])));
            }
        }

        #[test]
        fn an_id_is_put_back_as_it_was(before in "[a-z ]{0,9}", number in any::<u64>(), text in "[^\\\\\"\\x00-\\x1f]{0,9}") {
            let doc = format!(r#"{{"jsonrpc":"2.0","note":"{before}","id":"{text}","method":"m"}}"#);
            let ours = number.to_string();
            let sent = splice(doc.as_bytes(), vec![(span_of(doc.as_bytes(), &["id"]).unwrap(), ours.as_bytes())]);
            let envelope = Envelope::read(&sent).unwrap();
            prop_assert_eq!(envelope.id(), Some(ours.as_bytes()));
            let raw = format!("\"{text}\"");
            let back = splice(&sent, vec![(envelope.id.clone().unwrap(), raw.as_bytes())]);
            prop_assert_eq!(back, doc.into_bytes());
        }
    }
}
