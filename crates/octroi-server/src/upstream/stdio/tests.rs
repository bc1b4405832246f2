//! Against a scripted child (`child.py`).

mod legacy;
mod modern;
mod process;

use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;

const SCRIPT: &str = include_str!("child.py");

fn settings() -> StdioSettings {
    StdioSettings {
        command: ["python3", "-u", "-c", SCRIPT].map(str::to_owned).to_vec(),
        env: Vec::new(),
        cwd: None,
        first_byte_timeout: Duration::from_secs(30),
        idle_timeout: Duration::from_secs(30),
        max_sessions: 4,
        session_idle: Duration::from_secs(300),
        max_message_bytes: 1024 * 1024,
        restart_min: Duration::from_secs(60),
        restart_max: Duration::from_secs(600),
    }
}

fn upstream() -> StdioUpstream {
    StdioUpstream::new("test", settings()).unwrap()
}

type Answer = Result<Response<UpstreamBody>, UpstreamError>;

async fn send(upstream: &StdioUpstream, method: Method, session: Option<&str>, body: &str) -> Answer {
    let mut request = Request::new(Full::new(Bytes::copy_from_slice(body.as_bytes())));
    *request.method_mut() = method;
    if let Some(session) = session {
        request.headers_mut().insert(headers::SESSION_ID, session.parse().unwrap());
    }
    upstream.clone().oneshot(request).await
}

async fn post(upstream: &StdioUpstream, session: Option<&str>, message: Value) -> Answer {
    send(upstream, Method::POST, session, &message.to_string()).await
}

/// A request of a modern client.
fn modern(id: impl Into<Value>, tool: &str, arguments: Value) -> Value {
    let mut message = json!({"jsonrpc": "2.0", "id": id.into(), "method": "tools/call",
        "params": {"name": tool, "arguments": arguments}});
    stamp(&mut message);
    message
}

fn stamp(message: &mut Value) {
    message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = "2026-07-28".into();
    message["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
}

fn legacy(id: impl Into<Value>, tool: &str, arguments: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id.into(), "method": "tools/call", "params": {"name": tool, "arguments": arguments}})
}

async fn body(response: Response<UpstreamBody>) -> Value {
    assert_eq!(response.headers()["content-type"], "application/json");
    serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
}

/// The messages of a stream, one by one.
struct Events(UpstreamBody);

impl Events {
    fn of(response: Response<UpstreamBody>) -> Self {
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        Self(response.into_body())
    }

    async fn next(&mut self) -> Option<Result<Value, UpstreamError>> {
        let frame = match self.0.frame().await? {
            Ok(frame) => frame.into_data().unwrap(),
            Err(error) => return Some(Err(error)),
        };
        let text = std::str::from_utf8(&frame).unwrap();
        let data = text.strip_prefix("data: ").or_else(|| text.strip_prefix("data:")).unwrap().trim_end();
        Some(Ok(serde_json::from_str(data).unwrap()))
    }

    async fn message(&mut self) -> Value {
        self.next().await.unwrap().unwrap()
    }

    async fn rest(mut self) -> Vec<Value> {
        let mut all = Vec::new();
        while let Some(message) = self.next().await {
            all.push(message.unwrap());
        }
        all
    }
}

async fn open(upstream: &StdioUpstream) -> String {
    let message = json!({"jsonrpc": "2.0", "id": "i", "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}});
    let response = post(upstream, None, message).await.unwrap();
    assert_eq!(response.status(), 200);
    let session = response.headers()[headers::SESSION_ID].to_str().unwrap().to_owned();
    assert_eq!(session.len(), 32);
    assert_eq!(body(response).await["result"]["protocolVersion"], "2025-11-25");
    session
}

/// Whether a process runs; a dead one that nobody has waited for does not.
fn runs(pid: &Value) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'))
}
