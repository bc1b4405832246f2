//! A caller that writes its own HTTP: nothing between the test and the wire normalises what is sent.

use std::sync::atomic::{AtomicU64, Ordering};

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};
use serde_json::{Value, json};

use super::{Gate, PATIENCE, Secrets, soon};

/// The revision of the stateless era.
pub(crate) const MODERN: &str = "2026-07-28";
/// The last revision with sessions.
pub(crate) const LEGACY: &str = "2025-11-25";

/// The headers in which credentials travel.
const CARRIERS: [&str; 6] = [
    "authorization",
    "payment-authorization",
    "macaroon",
    "grpc-metadata-macaroon",
    "x-mcp-auth-composite",
    "x-pow-solution",
];

/// A caller of one MCP endpoint.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) http: reqwest::Client,
    pub(crate) url: String,
    secrets: Secrets,
}

/// Numbers every request of the test run, so that an answer to another one is seen.
fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Caller {
    /// A caller of the gate, whose credentials the gate must not log.
    pub(crate) fn of(gate: &Gate) -> Self {
        Self::at(&gate.url, gate.secrets.clone())
    }

    /// A caller of any server.
    pub(crate) fn at(url: &str, secrets: Secrets) -> Self {
        let http = reqwest::Client::builder().timeout(PATIENCE).build().unwrap();
        Self { http, url: url.to_owned(), secrets }
    }

    /// A `tools/call` of the stateless era.
    pub(crate) fn call(&self, tool: &str, arguments: Value) -> Ask {
        self.ask("tools/call", json!({"name": tool, "arguments": arguments}))
    }

    /// A request of the stateless era.
    pub(crate) fn ask(&self, method: &str, mut params: Value) -> Ask {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        let name = ["name", "uri"].iter().find_map(|key| params[*key].as_str()).map(str::to_owned);
        let mut ask = self.plain(method, params);
        ask.push("mcp-protocol-version", MODERN);
        ask.push("mcp-method", method);
        match name {
            Some(name) => ask.header("mcp-name", &name),
            None => ask,
        }
    }

    /// A request of the eras before, inside a session.
    pub(crate) fn ask_in(&self, session: &str, method: &str, params: Value) -> Ask {
        self.plain(method, params).header("mcp-session-id", session).header("mcp-protocol-version", LEGACY)
    }

    /// Opens a session of the eras before and says that it is open.
    pub(crate) async fn initialize(&self) -> String {
        let params = json!({
            "protocolVersion": LEGACY,
            "capabilities": {},
            "clientInfo": {"name": "journey", "version": "1"},
        });
        let reply = self.plain("initialize", params).send().await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        let session = reply.headers["mcp-session-id"].to_str().unwrap().to_owned();
        let accepted =
            self.ask_in(&session, "notifications/initialized", json!({})).notification().send().await;
        assert_eq!(accepted.status, 202, "{}", accepted.text);
        session
    }

    /// A request that says nothing of versions or sessions, as somebody with `curl` would write it.
    pub(crate) fn plain(&self, method: &str, params: Value) -> Ask {
        let body = json!({"jsonrpc": "2.0", "id": next_id(), "method": method, "params": params});
        let mut ask = Ask { caller: self.clone(), body, headers: Vec::new() };
        ask.push("content-type", "application/json");
        ask.push("accept", "application/json, text/event-stream");
        ask
    }

    /// Exactly these headers and these bytes.
    pub(crate) async fn raw(&self, headers: &[(&str, &str)], body: impl Into<reqwest::Body>) -> Reply {
        let request = headers
            .iter()
            .fold(self.http.post(&self.url), |request, (name, value)| request.header(*name, *value));
        Reply::read(request.body(body).send().await.unwrap()).await
    }
}

/// A request being written.
#[derive(Clone)]
pub(crate) struct Ask {
    caller: Caller,
    pub(crate) body: Value,
    headers: Vec<(String, String)>,
}

impl Ask {
    /// Adds a header line; a name may come twice.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.push(name, value);
        self
    }

    /// Shows an access token.
    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// Shows `<macaroon>:<preimage>`.
    pub(crate) fn paid(self, credential: &str) -> Self {
        self.header("authorization", &format!("L402 {credential}"))
    }

    /// Adds a member to `params._meta`.
    pub(crate) fn meta(mut self, key: &str, value: Value) -> Self {
        self.body["params"]["_meta"][key] = value;
        self
    }

    /// Says who the client is, as every MCP library does.
    pub(crate) fn introduced(self) -> Self {
        self.meta("io.modelcontextprotocol/clientInfo", json!({"name": "journey", "version": "1"}))
    }

    /// Leaves the id out: nobody will answer.
    pub(crate) fn notification(mut self) -> Self {
        self.body.as_object_mut().unwrap().remove("id");
        self
    }

    fn push(&mut self, name: &str, value: &str) {
        if CARRIERS.contains(&name) {
            self.caller.secrets.add(value);
        }
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    fn request(&self) -> reqwest::RequestBuilder {
        let meta = &self.body["params"]["_meta"];
        for secret in [&meta["authorization"]["token"], &meta["dev.octroi/payment"]] {
            self.caller.secrets.add(&secret.to_string());
        }
        let request = self.caller.http.post(&self.caller.url);
        let request = self.headers.iter().fold(request, |request, (name, value)| request.header(name, value));
        request.body(self.body.to_string())
    }

    /// Sends it and reads the whole answer, which must be to this request.
    pub(crate) async fn send(&self) -> Reply {
        let reply = Reply::read(self.request().send().await.unwrap()).await;
        if ["result", "error"].iter().any(|key| reply.message.get(key).is_some()) {
            assert_eq!(reply.message["id"], self.body["id"], "{}", reply.text);
        }
        self.remember(&reply);
        reply
    }

    /// Sends it and gives the answer's head, its body still to come.
    pub(crate) async fn open(&self) -> reqwest::Response {
        self.request().send().await.unwrap()
    }

    /// Sends it to a gate that may be gone; whether it answered.
    pub(crate) async fn open_if_there(&self) -> bool {
        self.request().send().await.is_ok()
    }

    /// Sends it and, once `until` has come, goes away without reading the answer.
    pub(crate) async fn abandon(&self, until: impl Future) {
        let sending = self.request().send();
        tokio::select! {
            reply = sending => panic!("an answer came first: {:?}", reply.map(|reply| reply.status())),
            _ = until => {}
        }
    }

    /// Sends it to a gate that will be gone before it answers.
    pub(crate) async fn dropped(&self) {
        let reply = self.request().send().await;
        assert!(reply.is_err(), "an answer came: {:?}", reply.map(|reply| reply.status()));
    }

    /// Credentials that come back are secret too.
    fn remember(&self, reply: &Reply) {
        for token in
            [&reply.message["result"]["structuredContent"]["token"], &reply.data()["renewed"]["macaroon"]]
        {
            if let Some(token) = token.as_str() {
                self.caller.secrets.add(token);
            }
        }
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    /// The JSON-RPC message: the body, or the last event of a stream; null when it is none.
    pub(crate) message: Value,
}

/// What a 402 asks for.
#[derive(Clone, Debug)]
pub(crate) struct Challenge {
    pub(crate) macaroon: String,
    pub(crate) invoice: String,
}

impl Reply {
    async fn read(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap_or_else(|error| format!("(the body broke: {error})"));
        let data =
            text.lines().filter_map(|line| line.strip_prefix("data:")).rfind(|data| !data.trim().is_empty());
        let message = serde_json::from_str(data.unwrap_or(&text)).unwrap_or(Value::Null);
        Self { status, headers, text, message }
    }

    /// `error.data`.
    pub(crate) fn data(&self) -> &Value {
        &self.message["error"]["data"]
    }

    /// The stable reason of a refusal, empty when it is none.
    pub(crate) fn reason(&self) -> &str {
        self.data()["reason"].as_str().unwrap_or_default()
    }

    /// The text of a tool's result, which must have worked.
    #[track_caller]
    pub(crate) fn worked(&self) -> String {
        assert_eq!(self.status, 200, "{}", self.text);
        assert_ne!(self.message["result"]["isError"], true, "{}", self.text);
        let text = self.message["result"]["content"][0]["text"].as_str();
        text.unwrap_or_else(|| panic!("no result: {}", self.text)).to_owned()
    }

    /// Asserts a refusal: status and reason, the code the same number as the status.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, reason: &str) -> &Self {
        assert_eq!((self.status, self.reason()), (status, reason), "{}", self.text);
        assert_eq!(self.message["error"]["code"], status, "{}", self.text);
        self
    }

    /// The challenge of a 402, in the one form that every known client reads: the only line of its name.
    #[track_caller]
    pub(crate) fn challenge(&self) -> Challenge {
        assert_eq!(self.status, 402, "{}", self.text);
        let lines: Vec<&str> =
            self.headers.get_all(WWW_AUTHENTICATE).iter().map(|line| line.to_str().unwrap()).collect();
        let [line] = lines.as_slice() else { panic!("one challenge expected: {lines:?}") };
        let quoted: Vec<&str> = line.split('"').collect();
        let &[_, macaroon, _, invoice, ..] = quoted.as_slice() else { panic!("no challenge: {line}") };
        assert_eq!(
            *line,
            format!(r#"L402 macaroon="{macaroon}", invoice="{invoice}", version="0", token="{macaroon}""#)
        );
        assert!(invoice.starts_with("lnbcrt"), "{invoice}");
        Challenge { macaroon: macaroon.to_owned(), invoice: invoice.to_owned() }
    }
}

/// The events of an answer that is still coming.
pub(crate) struct Events {
    response: reqwest::Response,
    buffer: String,
}

impl Events {
    /// An answer that must be an event stream.
    #[track_caller]
    pub(crate) fn of(response: reqwest::Response) -> Self {
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, buffer: String::new() }
    }

    /// The next message, events without one passed over; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            while let Some((event, rest)) = self.buffer.split_once("\n\n") {
                let data = event.lines().find_map(|line| line.strip_prefix("data:")).map(str::trim);
                let message =
                    data.filter(|data| !data.is_empty()).map(|data| serde_json::from_str(data).unwrap());
                self.buffer = rest.to_owned();
                if message.is_some() {
                    return message;
                }
            }
            let chunk = soon(self.response.chunk()).await.ok()??;
            self.buffer.push_str(&String::from_utf8(chunk.to_vec()).unwrap().replace("\r\n", "\n"));
        }
    }
}
