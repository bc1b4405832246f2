//! What is not a well-formed call is refused with the status and code that MCP fixes, and the upstream hears nothing.

use octroi_testkit::upstream::sample::Sample;
use serde_json::json;

use crate::harness::{Caller, Gate, LEGACY, MODERN, Reply};

/// The smallest bound the configuration takes, so that a body beyond it is quickly made.
const BODY_BYTES_MAX: usize = 1024 * 16;

struct Door {
    sample: Sample,
    _gate: Gate,
    caller: Caller,
}

impl Door {
    async fn open() -> Self {
        let sample = Sample::start().await.unwrap();
        let config = format!(
            "listen = \"127.0.0.1:0\"\n[mcp_server]\nupstream = \"{}\"\ndefault = \"free\"\n\
             limits = {{ max_body_bytes = {BODY_BYTES_MAX} }}\n",
            sample.url()
        );
        let gate = Gate::serve(&config).await;
        let caller = Caller::of(&gate);
        Self { sample, _gate: gate, caller }
    }

    /// Sends this and expects that status and code.
    async fn refuses(
        &self,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
        status: u16,
        code: i64,
    ) -> Reply {
        let reply = self.caller.raw(headers, body.as_ref().to_vec()).await;
        let shown = String::from_utf8_lossy(&body.as_ref()[..body.as_ref().len().min(200)]).into_owned();
        assert_eq!(
            (reply.status, &reply.message["error"]["code"]),
            (status, &json!(code)),
            "{shown}: {}",
            reply.text
        );
        reply
    }
}

const JSON: (&str, &str) = ("content-type", "application/json");
const BOTH: (&str, &str) = ("accept", "application/json, text/event-stream");
const PLAIN: [(&str, &str); 2] = [JSON, BOTH];

/// A modern call of `data_query`.
fn modern_call() -> String {
    json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "data_query",
        "arguments": {"query": "carts"},
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientCapabilities": {},
        },
    }})
    .to_string()
}

const MIRRORED: [(&str, &str); 5] =
    [JSON, BOTH, ("mcp-protocol-version", MODERN), ("mcp-method", "tools/call"), ("mcp-name", "data_query")];

/// The mirrored headers with one of them replaced, or left out.
fn mirrored_but(name: &str, value: Option<&'static str>) -> Vec<(&'static str, &'static str)> {
    let others = MIRRORED.into_iter().filter(|(other, _)| *other != name);
    let name = MIRRORED.into_iter().find(|(other, _)| *other == name).map(|(name, _)| name).unwrap();
    others.chain(value.map(|value| (name, value))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_message_is_refused() {
    let door = Door::open().await;
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"data_query","arguments":{"query":"q"}}}"#;
    for duplicated in [
        call.replace(r#""id":1"#, r#""id":1,"id":2"#),
        call.replace(r#""method":"tools/call""#, r#""method":"tools/call","method":"ping""#),
        call.replace(r#""name":"data_query""#, r#""name":"status","name":"data_query""#),
        // The same key in another spelling.
        call.replace(r#""name":"data_query""#, r#""name":"status","n\u0061me":"data_query""#),
        call.replace(r#""query":"q""#, r#""query":"q","query":"r""#),
    ] {
        // A document that says two things is no JSON that anybody can judge (RFC 8259 §4, I-JSON).
        door.refuses(&PLAIN, duplicated, 400, -32700).await;
    }
    door.refuses(&PLAIN, format!("[{call}]"), 400, -32600).await;
    door.refuses(&PLAIN, "[]", 400, -32600).await;
    door.refuses(&PLAIN, "", 400, -32700).await;
    door.refuses(&PLAIN, &call[..call.len() - 1], 400, -32700).await;
    door.refuses(&PLAIN, call.replace(r#""q""#, "'q'"), 400, -32700).await;
    door.refuses(&PLAIN, call.replace('q', "\u{1}"), 400, -32700).await;
    let mut bad_utf8 = call.as_bytes().to_vec();
    let at = call.find("\"q\"").unwrap() + 1;
    bad_utf8[at] = 0xff;
    door.refuses(&PLAIN, bad_utf8, 400, -32700).await;
    let deep = call.replace(r#""q""#, &format!("{}{}", "[".repeat(2000), "]".repeat(2000)));
    door.refuses(&PLAIN, deep, 400, -32700).await;
    let long = call.replace(r#""q""#, &format!("\"{}\"", "q".repeat(BODY_BYTES_MAX)));
    door.refuses(&PLAIN, long, 413, -32600).await;
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp"] {
        door.refuses(&[("content-type", content_type), BOTH], call, 415, -32600).await;
    }
    door.refuses(&[BOTH], call, 415, -32600).await;
    assert_eq!(door.sample.received().len(), 0, "the upstream heard of a refused message");
    assert_eq!(door.sample.calls().len(), 0);
    let passed = door.caller.raw(&PLAIN, call).await;
    assert_eq!(passed.status, 200, "{}", passed.text);
    assert_eq!(
        door.sample.received()[0].body,
        call.as_bytes(),
        "the judged bytes are not the forwarded ones"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_contradict_the_body_are_refused() {
    let door = Door::open().await;
    let call = modern_call();
    for headers in [
        mirrored_but("mcp-name", Some("status")),
        mirrored_but("mcp-name", None),
        mirrored_but("mcp-name", Some("=?base64?c3RhdHVz?=")),
        mirrored_but("mcp-name", Some("=?base64?!?=")),
        mirrored_but("mcp-method", Some("tools/list")),
        mirrored_but("mcp-method", Some("Tools/Call")),
        mirrored_but("mcp-method", None),
        mirrored_but("mcp-protocol-version", Some(LEGACY)),
        mirrored_but("mcp-protocol-version", None),
        [&MIRRORED[..], &[("mcp-name", "status")]].concat(),
        [&MIRRORED[..], &[("mcp-param-query", "=?base64?*?=")]].concat(),
    ] {
        let reply = door.refuses(&headers, &call, 400, -32020).await;
        assert_eq!(reply.message["id"], 1);
    }
    // Two versions are a mismatch, whatever becomes of either.
    door.refuses(&MIRRORED, call.replace(MODERN, "v999.0.0"), 400, -32020).await;
    assert_eq!(door.sample.received().len(), 0, "the upstream heard of a refused message");
    let wrapped = mirrored_but("mcp-name", Some("=?base64?ZGF0YV9xdWVyeQ==?="));
    assert_eq!(door.caller.raw(&wrapped, call.clone()).await.status, 200);
    assert_eq!(door.sample.calls_of("data_query"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_that_nobody_speaks_are_refused() {
    let door = Door::open().await;
    let unknown = modern_call().replace(MODERN, "2031-01-01");
    let reply =
        door.refuses(&mirrored_but("mcp-protocol-version", Some("2031-01-01")), unknown, 400, -32022).await;
    let data = reply.data();
    assert_eq!(data["requested"], "2031-01-01");
    assert!(data["supported"].as_array().unwrap().contains(&json!(MODERN)), "{data}");
    let without = modern_call().replace("io.modelcontextprotocol/clientCapabilities", "capabilities");
    door.refuses(&MIRRORED, without, 400, -32602).await;
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    door.refuses(&[JSON, BOTH, ("mcp-protocol-version", "1999-01-01")], ping, 400, -32600).await;
    assert_eq!(door.sample.received().len(), 0, "the upstream heard of a refused message");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_page_is_not_let_in() {
    let door = Door::open().await;
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    for header in [
        ("origin", "https://evil.example.com"),
        ("origin", "null"),
        ("origin", "http://localhost.evil.example.com"),
        ("host", "evil.example.com"),
        ("host", "127.0.0.1.evil.example.com:80"),
    ] {
        let reply = door.caller.raw(&[JSON, BOTH, header], ping).await;
        assert_eq!(reply.status, 403, "{header:?}: {}", reply.text);
        assert!(!reply.headers.contains_key("access-control-allow-origin"), "{header:?}");
    }
    assert_eq!(door.sample.received().len(), 0, "the upstream heard of a refused message");
    let local = door.caller.raw(&[JSON, BOTH, ("origin", "http://localhost:6274")], ping).await;
    assert_eq!(local.status, 200, "{}", local.text);
    assert_eq!(local.headers["access-control-allow-origin"], "http://localhost:6274");
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_members_and_ids_survive_byte_for_byte() {
    let door = Door::open().await;
    let odd = r#" {"id" : "é\u00e9/\/","jsonrpc":"2.0", "method":"tools/call","x":[1e300,-0.0],
        "params":{"future":{"a":1.50},"name":"echo_request","arguments":{},"_meta":{"org.example/x": {"k" : 1}}} }"#;
    let reply = door.caller.raw(&PLAIN, odd).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(reply.message["id"], "éé//");
    assert_eq!(door.sample.received()[0].body, odd.as_bytes());
}
