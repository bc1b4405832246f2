//! What must hold for any bytes at all. The fuzz target and the property tests call this; nothing else does.

use http::{HeaderMap, HeaderName, HeaderValue};
use octroi_mcp::json::Limits;
use octroi_mcp::message::{self, Message};

use crate::credentials::{self, META_KEYS};
use crate::forward::RequestHeaders;

/// Headers that a caller may write anything into.
const HEADERS: [&str; 8] = [
    "authorization",
    "payment-authorization",
    "macaroon",
    "x-mcp-auth-composite",
    "x-pow-solution",
    "octroi-calls",
    "cookie",
    "mcp-name",
];

/// Reading credentials never panics, whatever the headers (one a line, `name: value`, the first 64) and the body say; no
/// credential header is left for the upstream, and no `_meta` key of the gate's.
///
/// # Panics
/// When one of these does not hold.
pub fn credentials(headers: &str, body: &[u8]) {
    let mut map = HeaderMap::new();
    for line in headers.lines().take(64) {
        let Some((name, value)) = line.split_once(':') else { continue };
        let Ok(value) = HeaderValue::from_bytes(value.trim().as_bytes()) else { continue };
        // A digit names one of the interesting headers.
        let name = match name.as_bytes() {
            [digit] if digit.is_ascii_digit() => HEADERS[usize::from(digit - b'0') % HEADERS.len()],
            _ => name,
        };
        if let Ok(name) = name.parse::<HeaderName>() {
            map.append(name, value);
        }
    }
    let _ = credentials::read_headers(&map);
    if let Ok(message) = message::scan(body, &Limits::default()) {
        let _ = credentials::read(&map, &message);
        nothing_is_left(&message);
    }
    RequestHeaders::default().keep_allowed(&mut map);
    for name in ["authorization", "payment-authorization", "macaroon", "cookie", "x-mcp-auth-composite"] {
        assert!(!map.contains_key(name), "{name} would reach the upstream");
    }
}

fn nothing_is_left(message: &Message<'_>) {
    let Some(stripped) = message::without_meta(message, &META_KEYS) else { return };
    let again = message::scan(&stripped, &Limits::default());
    let meta = again.as_ref().ok().and_then(|message| message.params.meta.as_ref());
    assert!(meta.is_some(), "a message without credentials is a message");
    assert!(meta.is_some_and(|meta| META_KEYS.iter().all(|key| meta.get(key).is_none())));
}
