use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use super::{Change, Fault, Sample, serve_stdio};

/// Long enough that only a stuck test meets it.
const STUCK: Duration = Duration::from_secs(30);

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(STUCK, future).await.expect("the test is stuck")
}

async fn send(sample: &Sample, method: &str, headers: &[(&str, &str)], body: String) -> Response<Incoming> {
    let mut request = Request::builder().method(method).uri(sample.url());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let client = Client::builder(TokioExecutor::new()).build_http();
    let request = request.body(Full::new(Bytes::from(body))).expect("a request");
    soon(client.request(request)).await.expect("an answer")
}

async fn body(response: Response<Incoming>) -> Value {
    let bytes = soon(response.into_body().collect()).await.expect("a whole body").to_bytes();
    serde_json::from_slice(&bytes).expect("JSON")
}

fn modern_body(method: &str, mut params: Value) -> String {
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "progressToken": "p",
    });
    params["_meta"] = meta;
    json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}).to_string()
}

async fn modern(sample: &Sample, method: &str, params: Value) -> Response<Incoming> {
    let name = params.get("name").or_else(|| params.get("uri")).and_then(Value::as_str).map(str::to_owned);
    let mut headers = vec![("mcp-protocol-version", "2026-07-28"), ("mcp-method", method)];
    if let Some(name) = &name {
        headers.push(("mcp-name", name));
    }
    send(sample, "POST", &headers, modern_body(method, params)).await
}

async fn call(sample: &Sample, tool: &str, arguments: Value) -> Response<Incoming> {
    modern(sample, "tools/call", json!({"name": tool, "arguments": arguments})).await
}

/// Opens a legacy session and gives its id.
async fn session(sample: &Sample) -> String {
    let initialize = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "0"},
    }});
    let response = send(sample, "POST", &[], initialize.to_string()).await;
    let id = response.headers().get("mcp-session-id").expect("a session").to_str().expect("text").to_owned();
    assert_eq!(body(response).await["result"]["protocolVersion"], "2025-06-18");
    id
}

async fn legacy(
    sample: &Sample,
    session: &str,
    id: Value,
    method: &str,
    params: Value,
) -> Response<Incoming> {
    let message = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
    send(sample, "POST", &[("mcp-session-id", session)], message.to_string()).await
}

/// The next event's data, parsed; `None` at the end of the stream.
async fn event(response: &mut Response<Incoming>) -> Option<Value> {
    let frame = soon(response.frame()).await?.expect("an unbroken stream");
    let text = String::from_utf8(frame.into_data().expect("data").to_vec()).expect("UTF-8");
    let data = text.lines().find_map(|line| line.strip_prefix("data:"))?.trim().to_owned();
    Some(if data.is_empty() { Value::Null } else { serde_json::from_str(&data).expect("JSON") })
}

#[tokio::test]
async fn modern_results_say_what_they_are() {
    let sample = Sample::start().await.expect("a port");
    let discovered = body(modern(&sample, "server/discover", json!({})).await).await;
    assert_eq!(discovered["result"]["resultType"], "complete");
    assert_eq!(discovered["result"]["cacheScope"], "public");
    let called = body(call(&sample, "image_describe", json!({"url": "http://x/y.png"})).await).await;
    assert_eq!(called["id"], 7);
    assert_eq!(called["result"]["resultType"], "complete");
    assert!(called["result"].get("ttlMs").is_none());
    assert_eq!(sample.calls_of("image_describe"), 1);
}

#[tokio::test]
async fn modern_requests_are_held_to_their_headers() {
    let sample = Sample::start().await.expect("a port");
    let text = modern_body("tools/call", json!({"name": "data_query", "arguments": {"query": "q"}}));
    let version = ("mcp-protocol-version", "2026-07-28");
    let method = ("mcp-method", "tools/call");
    let bad: [&[(&str, &str)]; 4] = [
        &[method, ("mcp-name", "data_query")],
        &[version, ("mcp-name", "data_query")],
        &[version, method],
        &[version, method, ("mcp-name", "image_describe")],
    ];
    for headers in bad {
        let response = send(&sample, "POST", headers, text.clone()).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{headers:?}");
        assert_eq!(body(response).await["error"]["code"], -32020, "{headers:?}");
    }
    let wrapped = [version, method, ("mcp-name", "=?base64?ZGF0YV9xdWVyeQ==?=")];
    assert_eq!(send(&sample, "POST", &wrapped, text).await.status(), StatusCode::OK);
    assert_eq!(modern(&sample, "ping", json!({})).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(sample.calls_of("data_query"), 1, "refused calls are not counted");
}

#[tokio::test]
async fn a_legacy_session_lives_from_initialize_to_delete() {
    let sample = Sample::start().await.expect("a port");
    let ping = r#"{"jsonrpc":"2.0","id":"a","method":"ping"}"#.to_owned();
    let versioned = [("mcp-protocol-version", "2025-11-25")];
    assert_eq!(send(&sample, "POST", &versioned, ping.clone()).await.status(), StatusCode::BAD_REQUEST);
    assert_eq!(
        send(&sample, "POST", &[], ping.clone()).await.status(),
        StatusCode::OK,
        "no handshake, no session"
    );
    let id = session(&sample).await;
    let header = [("mcp-session-id", id.as_str())];
    assert_eq!(body(send(&sample, "POST", &header, ping.clone()).await).await["id"], "a");
    let mut stream = send(&sample, "GET", &header, String::new()).await;
    assert_eq!(event(&mut stream).await, Some(Value::Null), "the priming event");
    assert_eq!(send(&sample, "DELETE", &header, String::new()).await.status(), StatusCode::OK);
    assert_eq!(event(&mut stream).await, None, "the stream ends with its session");
    assert_eq!(send(&sample, "POST", &header, ping).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(send(&sample, "GET", &[], String::new()).await.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn a_get_stream_resumes_after_the_last_event() {
    let sample = Sample::start().await.expect("a port");
    let id = session(&sample).await;
    sample.announce(Change::Tools);
    sample.announce(Change::Prompts);
    let headers = [("mcp-session-id", id.as_str()), ("last-event-id", "1")];
    let mut stream = send(&sample, "GET", &headers, String::new()).await;
    assert_eq!(event(&mut stream).await, Some(Value::Null));
    assert_eq!(event(&mut stream).await.expect("an event")["method"], "notifications/prompts/list_changed");
}

#[tokio::test]
async fn a_subscription_is_acknowledged_told_and_ended() {
    let sample = Sample::start().await.expect("a port");
    let filter = json!({"notifications": {"toolsListChanged": true}});
    let mut stream = modern(&sample, "subscriptions/listen", filter).await;
    let acknowledged = event(&mut stream).await.expect("an event");
    assert_eq!(acknowledged["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(acknowledged["params"]["notifications"], json!({"toolsListChanged": true}));
    sample.announce(Change::Prompts);
    sample.announce(Change::Tools);
    let told = event(&mut stream).await.expect("an event");
    assert_eq!(told["method"], "notifications/tools/list_changed");
    assert_eq!(told["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 7);
    sample.end_subscriptions();
    let ended = event(&mut stream).await.expect("an event");
    assert_eq!(ended["result"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 7);
    assert_eq!(event(&mut stream).await, None);
}

#[tokio::test]
async fn a_slow_report_streams_its_progress() {
    let sample = Sample::start().await.expect("a port");
    let mut stream = call(&sample, "slow_report", json!({"steps": 2, "delay_ms": 0})).await;
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    for step in 1..=2 {
        let progress = event(&mut stream).await.expect("an event");
        assert_eq!(progress["params"]["progress"], step);
        assert_eq!(progress["params"]["progressToken"], "p");
    }
    assert_eq!(event(&mut stream).await.expect("an event")["id"], 7);
    assert_eq!(event(&mut stream).await, None);
}

#[tokio::test]
async fn disconnecting_cancels_in_the_modern_era_only() {
    let sample = Sample::start().await.expect("a port");
    let mut stream = call(&sample, "slow_report", json!({"steps": 1, "delay_ms": 60_000})).await;
    event(&mut stream).await.expect("an event");
    drop(stream);
    soon(sample.until(|tally| tally.cancelled == 1)).await;

    let id = session(&sample).await;
    let before = sample.tally().finished;
    let params = json!({"name": "slow_report", "arguments": {"steps": 100, "delay_ms": 1},
        "_meta": {"progressToken": 1}});
    let mut stream = legacy(&sample, &id, json!(1), "tools/call", params).await;
    event(&mut stream).await.expect("an event");
    drop(stream);
    let tally = soon(sample.until(|tally| tally.finished > before)).await;
    assert_eq!(tally.cancelled, 1, "only the modern one");
}

#[tokio::test]
async fn a_legacy_request_is_cancelled_by_its_notification() {
    let sample = Sample::start().await.expect("a port");
    let id = session(&sample).await;
    let params = json!({"name": "slow_report", "arguments": {"steps": 2, "delay_ms": 60_000},
        "_meta": {"progressToken": 1}});
    let mut stream = legacy(&sample, &id, json!("r"), "tools/call", params).await;
    event(&mut stream).await.expect("an event");
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "r"}});
    let accepted = send(&sample, "POST", &[("mcp-session-id", &id)], cancel.to_string()).await;
    assert_eq!(accepted.status(), StatusCode::ACCEPTED);
    assert_eq!(event(&mut stream).await, None, "no response follows a cancellation");
    assert_eq!(sample.tally().cancelled, 1);
}

#[tokio::test]
async fn what_arrives_can_be_looked_at() {
    let sample = Sample::start().await.expect("a port");
    let text = modern_body("tools/call", json!({"name": "echo_request", "arguments": {"ü": 1.0}}));
    let headers = [
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "echo_request"),
        ("authorization", "Bearer x"),
    ];
    let echoed = body(send(&sample, "POST", &headers, text.clone()).await).await;
    assert_eq!(echoed["result"]["structuredContent"]["body"], text);
    assert_eq!(sample.received()[0].header("authorization"), Some("Bearer x"));
    assert_eq!(sample.received()[0].body, text);
}

#[tokio::test]
async fn faults_are_as_announced() {
    let sample = Sample::start().await.expect("a port");
    let faulty = |name: &'static str| call(&sample, "data_query", json!({"query": "q", "fault": name}));
    assert_eq!(faulty("http_500").await.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(body(faulty("rpc_error").await).await["error"]["code"], -32603);
    assert_eq!(body(faulty("tool_error").await).await["result"]["isError"], true);
    assert_ne!(body(faulty("wrong_id").await).await["id"], 7);
    assert_eq!(faulty("wrong_content_type").await.headers()["content-type"], "text/html");
    for cut in ["cut_stream", "cut_body"] {
        assert!(soon(faulty(cut).await.into_body().collect()).await.is_err(), "{cut}");
    }
    let garbage = soon(faulty("garbage").await.into_body().collect()).await.expect("a body").to_bytes();
    assert!(serde_json::from_slice::<Value>(&garbage).is_err());
    assert!(soon(faulty("empty").await.into_body().collect()).await.expect("a body").to_bytes().is_empty());
    let huge = soon(faulty("huge").await.into_body().collect()).await.expect("a body").to_bytes();
    assert!(huge.len() > Fault::HUGE_BYTES);
    sample.inject(Some(Fault::Http500));
    assert_eq!(call(&sample, "unreliable", json!({})).await.status(), StatusCode::INTERNAL_SERVER_ERROR);
    sample.inject(None);
    assert_eq!(
        body(call(&sample, "unreliable", json!({"fail": true})).await).await["result"]["isError"],
        true
    );
}

#[tokio::test]
async fn a_hanging_call_is_let_go_with_its_caller() {
    let sample = Sample::start().await.expect("a port");
    tokio::select! {
        _ = call(&sample, "data_query", json!({"fault": "hang"})) => panic!("it hangs"),
        _ = soon(sample.until(|tally| tally.calls.contains_key("data_query"))) => {}
    }
    soon(sample.until(|tally| tally.cancelled == 1)).await;
}

#[tokio::test]
async fn hostile_bodies_are_refused() {
    let sample = Sample::start().await.expect("a port");
    for (text, code) in [
        ("", -32700),
        ("{", -32700),
        ("[]", -32600),
        ("1", -32600),
        ("{}", -32600),
        (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":5}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}"#, -32602),
    ] {
        let refused = body(send(&sample, "POST", &[], text.to_owned()).await).await;
        assert_eq!(refused["error"]["code"], code, "{text}");
    }
    let origin = [("origin", "http://127.0.0.1.evil.example")];
    assert_eq!(send(&sample, "POST", &origin, String::new()).await.status(), StatusCode::FORBIDDEN);
}

/// Runs the stdio server on `input` and gives every line it wrote until it had written `expected` of them.
async fn stdio(input: &[Value], expected: usize) -> Vec<String> {
    let (mut near, far) = tokio::io::duplex(1 << 20);
    let (read, write) = tokio::io::split(far);
    let server = tokio::spawn(serve_stdio(read, write));
    for message in input {
        near.write_all(format!("{message}\n").as_bytes()).await.expect("written");
    }
    let mut lines = BufReader::new(&mut near).lines();
    let mut seen = Vec::new();
    while seen.len() < expected {
        seen.push(soon(lines.next_line()).await.expect("readable").expect("a line"));
    }
    drop(near);
    soon(server).await.expect("joined").expect("served");
    seen
}

#[tokio::test]
async fn stdio_speaks_both_eras() {
    let lines = stdio(
        &[
            json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "1999"}}),
            serde_json::from_str(&modern_body("tools/list", json!({}))).expect("JSON"),
        ],
        2,
    )
    .await;
    let mut answers: Vec<Value> =
        lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    answers.sort_by_key(|answer| answer["id"].as_u64());
    assert_eq!(answers[0]["result"]["protocolVersion"], "2025-11-25");
    assert_eq!(answers[1]["result"]["resultType"], "complete");
}

#[tokio::test]
async fn a_stdio_server_can_die_in_the_middle_of_a_line() {
    let (near, far) = tokio::io::duplex(1 << 16);
    let (read, write) = tokio::io::split(far);
    let server = tokio::spawn(serve_stdio(read, write));
    let (mut from, mut to) = tokio::io::split(near);
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "unreliable", "arguments": {"fault": "cut_stream"}}});
    to.write_all(format!("{call}\n").as_bytes()).await.expect("written");
    soon(server).await.expect("joined").expect("served");
    let mut said = String::new();
    soon(from.read_to_string(&mut said)).await.expect("readable");
    assert!(!said.is_empty() && !said.ends_with('\n') && serde_json::from_str::<Value>(&said).is_err());
}
