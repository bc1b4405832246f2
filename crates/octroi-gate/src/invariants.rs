//! What must hold for any bytes at all. The fuzz target and the property tests call this; nothing else does.

use http::{HeaderMap, HeaderName, HeaderValue};
use octroi_l402::Msat;
use octroi_mcp::json::Limits;
use octroi_mcp::message::{self, Message};

use crate::credentials::{self, Carriers, META_KEYS};
use crate::forward::RequestHeaders;
use crate::price::{Formula, SOURCE_MAX};
use crate::till::{AccessTokens, WorkClaims};

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
    let _ = credentials::read_headers(&map, Carriers::ALL);
    if let Ok(message) = message::scan(body, &Limits::default()) {
        let _ = credentials::read(&map, &message, Carriers::ALL);
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

/// A formula of any form, on the first line, is judged without a panic; where it is one, any arguments behind it make a price that
/// is not negative, the same each time, or none. Without loops, and within its bounds, it cannot take long.
///
/// # Panics
/// When one of these does not hold.
pub fn formula(text: &str) {
    let (source, arguments) = text.split_once('\n').unwrap_or((text, "{}"));
    let Ok(formula) = Formula::compile(source) else { return };
    assert!(source.len() <= SOURCE_MAX);
    assert_eq!(Formula::compile(formula.source()).as_ref(), Ok(&formula));
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"t","arguments":{arguments}}}}}"#
    );
    // Arguments are judged by the scan before anything looks at them.
    let Ok(message) = message::scan(body.as_bytes(), &Limits::default()) else { return };
    let price = formula.evaluate(message.params.arguments);
    assert!(price.as_ref().is_ok_and(|price| *price >= Msat::ZERO) || price.is_err());
    assert_eq!(formula.evaluate(message.params.arguments), price);
}

/// An access token for work is checked without a panic, whatever it says; only one that was signed here is taken, and no
/// change to such a one is.
///
/// # Panics
/// When one of these does not hold.
pub fn work_token(text: &str) {
    let Ok(tokens) = AccessTokens::new("https://gate.example.com", &[[7; 32]]) else { return };
    assert!(tokens.check(text, None, 0).is_err(), "nobody signed this");
    let claims = WorkClaims {
        audience: "https://gate.example.com/mcp",
        principal: None,
        challenge_id: [1; 16],
        service: "mcp",
        tool: Some(text),
        calls: 1,
        bits: 20.0,
        issued_at: 0,
        expires_at: 300,
    };
    let Some(token) = tokens.issue(&claims) else { return };
    // A name of any length is written; one too long to be looked at is not.
    let Ok(read) = tokens.check(&token, None, 1) else {
        assert!(text.len() > 256, "a good token is refused");
        return;
    };
    assert_eq!(read["octroi"]["tool"].as_str(), Some(text));
    let changed = format!("{}{token}", text.chars().next().map(String::from).unwrap_or_default());
    assert_eq!(tokens.check(&changed, None, 1).is_ok(), changed == token);
}
