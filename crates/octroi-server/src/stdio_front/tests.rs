//! A scripted gate behind a front, driven line by line.

use std::{
    convert::Infallible,
    sync::atomic::{AtomicUsize, Ordering},
    task::{Context, Poll},
};

use http::{HeaderMap, Method, StatusCode};
use http_body_util::{BodyExt, combinators::BoxBody};
use octroi_mcp::{headers, sse};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, DuplexStream, Lines as ClientLines, ReadHalf, WriteHalf},
    sync::mpsc,
    task::JoinHandle,
};

use http::{Request, Response};
use http_body_util::Full;
use tower::Service;

use super::*;

type Reply = Response<BoxBody<Bytes, Infallible>>;

/// What the gate saw and still serves.
#[derive(Default)]
struct Seen {
    requests: Mutex<Vec<(Method, HeaderMap, Value)>>,
    running: AtomicUsize,
    /// Feeds the server stream.
    stream: Mutex<Option<mpsc::Sender<Bytes>>>,
    streams: AtomicUsize,
    lost: std::sync::atomic::AtomicBool,
}

#[derive(Clone, Default)]
struct Scripted(Arc<Seen>);

impl Service<Request<Full<Bytes>>> for Scripted {
    type Response = Reply;
    type Error = Infallible;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Reply, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let seen = Arc::clone(&self.0);
        Box::pin(async move { Ok(seen.answer(request).await) })
    }
}

struct Running<'a>(&'a AtomicUsize);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Seen {
    async fn answer(&self, request: Request<Full<Bytes>>) -> Reply {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let message: Value = serde_json::from_slice(&body).unwrap_or_default();
        self.requests.lock().push((head.method.clone(), head.headers, message.clone()));
        self.running.fetch_add(1, Ordering::SeqCst);
        let _running = Running(&self.running);
        if head.method == Method::GET {
            self.streams.fetch_add(1, Ordering::SeqCst);
            let (sender, queue) = mpsc::channel(8);
            *self.stream.lock() = Some(sender);
            return events(Fed(queue).boxed());
        }
        if head.method == Method::DELETE || message.get("id").is_none() || message.get("method").is_none() {
            return status(if head.method == Method::DELETE { 204 } else { 202 });
        }
        if self.lost.load(Ordering::SeqCst) {
            return whole(
                404,
                json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32001, "message": "no session"}}),
            );
        }
        let id = &message["id"];
        match message["params"]["name"].as_str().unwrap_or_default() {
            "hang" => std::future::pending().await,
            "plain 502" => status(502),
            "no id" => {
                whole(401, json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32000, "message": "who"}}))
            }
            "other id" => whole(200, json!({"jsonrpc": "2.0", "id": "other", "result": {}})),
            "pretty" => {
                let text = format!(
                    "{{\n  \"jsonrpc\": \"2.0\",\r\n  \"id\": {id}, \"result\": {{\"s\":\"\\n\"}}\n}}"
                );
                typed(200, "application/json", Full::new(text.into()).boxed())
            }
            "stream" | "cut" => {
                let mut text = b": keep-alive\n\nid: 1\ndata:\n\n".to_vec();
                text.extend(sse::event(br#"{"jsonrpc":"2.0","method":"notifications/message"}"#, None, None));
                if message["params"]["name"] == "stream" {
                    let reply = json!({"jsonrpc": "2.0", "id": id, "result": {}}).to_string();
                    text.extend(sse::event(reply.as_bytes(), None, None));
                }
                events(Full::new(Bytes::from(text)).boxed())
            }
            _ => {
                let result = json!({"protocolVersion": "2025-11-25"});
                let mut response = whole(200, json!({"jsonrpc": "2.0", "id": id, "result": result}));
                if message["method"] == "initialize" {
                    response.headers_mut().insert(headers::SESSION_ID, "s-1".parse().unwrap());
                }
                response
            }
        }
    }
}

struct Fed(mpsc::Receiver<Bytes>);

impl Body for Fed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|bytes| bytes.map(|bytes| Ok(hyper::body::Frame::data(bytes))))
    }
}

fn typed(status: u16, kind: &'static str, body: BoxBody<Bytes, Infallible>) -> Reply {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response.headers_mut().insert("content-type", kind.parse().unwrap());
    response
}

fn status(status: u16) -> Reply {
    typed(status, "text/plain", Full::new(Bytes::new()).boxed())
}

fn whole(status: u16, body: Value) -> Reply {
    typed(status, "application/json", Full::new(body.to_string().into()).boxed())
}

fn events(body: BoxBody<Bytes, Infallible>) -> Reply {
    typed(200, "text/event-stream", body)
}

/// The client's end.
struct Client {
    gate: Scripted,
    input: WriteHalf<DuplexStream>,
    output: ClientLines<BufReader<ReadHalf<DuplexStream>>>,
    served: JoinHandle<io::Result<()>>,
}

fn client(max_in_flight: usize) -> Client {
    let settings = FrontSettings {
        max_message_bytes: 10_000,
        max_in_flight,
        drain: Duration::from_millis(100),
        reconnect_min: Duration::ZERO,
        reconnect_max: Duration::from_millis(10),
    };
    let gate = Scripted::default();
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let (input, output) = tokio::io::split(theirs);
    let served = tokio::spawn(serve(gate.clone(), input, output, settings));
    let (output, input) = tokio::io::split(ours);
    Client { gate, input, output: BufReader::new(output).lines(), served }
}

impl Client {
    async fn write(&mut self, line: &str) {
        self.input.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    async fn read(&mut self) -> Value {
        serde_json::from_str(&self.output.next_line().await.unwrap().unwrap()).unwrap()
    }

    async fn ask(&mut self, message: Value) -> Value {
        self.write(&message.to_string()).await;
        self.read().await
    }

    /// Ends the input; everything written after.
    async fn end(mut self) -> Vec<String> {
        self.input.shutdown().await.unwrap();
        let mut rest = Vec::new();
        while let Some(line) = self.output.next_line().await.unwrap() {
            rest.push(line);
        }
        self.served.await.unwrap().unwrap();
        rest
    }
}

fn modern(id: impl Into<Value>, name: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": id.into(), "method": "tools/call", "params": {"name": name, "_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}}})
}

fn legacy(id: impl Into<Value>, name: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": id.into(), "method": "tools/call", "params": {"name": name}})
}

async fn handshake(client: &mut Client) {
    let opened = client
        .ask(json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}}))
        .await;
    assert_eq!(opened["id"], 0);
    client.write(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).await;
    until(|| client.gate.0.stream.lock().is_some()).await;
}

async fn until(mut reached: impl FnMut() -> bool) {
    while !reached() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_modern_request_is_what_a_client_would_send() {
    let mut client = client(8);
    assert_eq!(client.ask(modern("a", "größe")).await["id"], "a");
    let (method, sent, body) = client.gate.0.requests.lock()[0].clone();
    assert_eq!((method, &body["id"]), (Method::POST, &json!("a")));
    assert_eq!(sent[headers::METHOD], "tools/call");
    assert_eq!(sent[headers::NAME], "=?base64?Z3LDtsOfZQ==?=");
    assert_eq!(sent["accept"], "application/json, text/event-stream");
    assert!(client.end().await.is_empty());
}

#[tokio::test]
async fn a_legacy_session_is_kept_streamed_and_ended() {
    let mut client = client(8);
    handshake(&mut client).await;
    client.ask(legacy(1, "x")).await;
    let feed = client.gate.0.stream.lock().take().unwrap();
    feed.send(Bytes::from_static(
        b"id: 41\ndata: {\"jsonrpc\":\"2.0\",\"id\":\"r\",\"method\":\"ping\"}\n\n",
    ))
    .await
    .unwrap();
    assert_eq!(client.read().await["id"], "r");
    drop(feed);
    until(|| client.gate.0.streams.load(Ordering::SeqCst) == 2).await;
    client.write(r#"{"jsonrpc":"2.0","id":"r","result":{}}"#).await;
    let gate = client.gate.clone();
    assert!(client.end().await.is_empty());
    let requests = gate.0.requests.lock();
    let first = &requests[0];
    assert!(!first.1.contains_key(headers::SESSION_ID));
    for (method, sent, _) in &requests[1..] {
        assert_eq!(sent[headers::SESSION_ID], "s-1", "{method}");
        assert_eq!(sent[headers::PROTOCOL_VERSION], "2025-11-25");
    }
    let gets: Vec<_> = requests.iter().filter(|(method, ..)| method == Method::GET).collect();
    assert_eq!(gets[1].1[headers::LAST_EVENT_ID], "41");
    assert_eq!(requests.last().unwrap().0, Method::DELETE);
}

#[tokio::test]
async fn a_lost_session_is_told_and_forgotten() {
    let mut client = client(8);
    handshake(&mut client).await;
    client.gate.0.lost.store(true, Ordering::SeqCst);
    let lost = client.ask(legacy(5, "x")).await;
    assert_eq!((&lost["id"], &lost["error"]["code"]), (&json!(5), &json!(-32001)));
    let gate = client.gate.clone();
    assert!(client.end().await.is_empty());
    assert!(!gate.0.requests.lock().iter().any(|(method, ..)| method == Method::DELETE));
}

#[tokio::test]
async fn every_request_gets_exactly_one_reply() {
    let mut client = client(8);
    assert_eq!(
        client.ask(modern(1, "plain 502")).await["error"]["message"],
        "no reply: HTTP 502 Bad Gateway"
    );
    let unread = client.ask(modern(2, "no id")).await;
    assert_eq!((&unread["id"], &unread["error"]["message"]), (&json!(2), &json!("who")));
    assert_eq!(client.ask(modern(3, "other id")).await["id"], 3);
    assert_eq!(client.ask(modern(4, "pretty")).await["result"]["s"], "\n");
    assert_eq!(client.ask(modern(5, "stream")).await["method"], "notifications/message");
    assert_eq!(client.read().await["id"], 5);
    assert_eq!(client.ask(modern(6, "cut")).await["method"], "notifications/message");
    assert_eq!(client.read().await["error"]["message"], "the answer broke off");
    assert!(client.end().await.is_empty());
}

#[tokio::test]
async fn cancelling_drops_the_request_and_nothing_is_written() {
    let mut client = client(8);
    client.write(&modern("h", "hang").to_string()).await;
    until(|| client.gate.0.running.load(Ordering::SeqCst) == 1).await;
    let again = client.ask(modern("h", "x")).await;
    assert_eq!(again["error"]["code"], -32600, "the id is in use");
    client.write(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"h"}}"#).await;
    until(|| client.gate.0.running.load(Ordering::SeqCst) == 0).await;
    let requests = client.gate.0.requests.lock().len();
    assert_eq!(requests, 1, "the notification itself stays here");
    assert!(client.end().await.is_empty());
}

#[tokio::test]
async fn too_much_at_once_is_refused_not_queued() {
    let mut client = client(1);
    client.write(&modern(1, "hang").to_string()).await;
    until(|| client.gate.0.running.load(Ordering::SeqCst) == 1).await;
    assert_eq!(client.ask(modern(2, "x")).await["error"]["message"], "too many requests at once");
    // The end does not wait for ever either.
    assert!(client.end().await.is_empty());
}

#[tokio::test]
async fn bad_lines_are_answered_and_not_forwarded() {
    let mut client = client(8);
    let long = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{}"}}"#, "x".repeat(20_000));
    for (line, code) in [("{", -32700), ("[]", -32600), (long.as_str(), -32600)] {
        client.write(line).await;
        let refused = client.read().await;
        assert_eq!((&refused["id"], &refused["error"]["code"]), (&Value::Null, &json!(code)));
    }
    assert!(client.gate.0.requests.lock().is_empty());
    assert!(client.end().await.is_empty());
}
