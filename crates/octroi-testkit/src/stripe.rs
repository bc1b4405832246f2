//! Stripe's meter events, as far as a gate uses them: `POST /v1/billing/meter_events`, with what goes wrong on purpose.
//!
//! It answers as Stripe does: keys and meters and customers it does not know are refused in Stripe's words, an identifier is
//! taken once, and the answer to an `Idempotency-Key` is repeated, a failure too.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};

/// Its secret key.
pub const KEY: &str = "sk_test_4eC39HqLyjWDarjtT1zdp7dc";
/// The event name of its one meter.
pub const EVENT: &str = "octroi_msat";

/// Most bytes of a request's body.
const MAX_BODY: usize = 64 * 1024;
/// The oldest event it takes, and how far ahead its clock may be, in seconds.
const PAST: u64 = 35 * 86_400;
const AHEAD: u64 = 300;

/// What becomes of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// This status, `Retry-After` in seconds, and body; the request is not looked at.
    Answer(u16, Option<u32>, String),
    /// The event is taken, and the connection ends without an answer.
    LoseAnswer,
    /// The event is taken, and nothing is answered until [`Stripe::release`].
    Withhold,
    /// The answer comes so much later.
    Slow(Duration),
}

/// An event that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeterEvent {
    /// What makes it unique.
    pub identifier: String,
    /// Whom it is for.
    pub customer: String,
    /// How much.
    pub value: i64,
    /// When, in Unix seconds.
    pub timestamp: u64,
}

#[derive(Default)]
struct State {
    taken: Mutex<Vec<MeterEvent>>,
    answered: Mutex<HashMap<String, (StatusCode, String)>>,
    faults: Mutex<VecDeque<Fault>>,
    requests: Mutex<u64>,
    customers: Mutex<Vec<String>>,
    released: Notify,
    changed: Notify,
}

/// A running server.
pub struct Stripe {
    /// Where it is: `http://127.0.0.1:PORT`.
    pub url: String,
    state: Arc<State>,
    task: JoinHandle<()>,
}

impl Drop for Stripe {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Stripe {
    /// Starts one that knows these customers.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start(customers: &[&str]) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("http://127.0.0.1:{}", listener.local_addr()?.port());
        let customers = Mutex::new(customers.iter().map(|name| (*name).to_owned()).collect());
        let state = Arc::new(State { customers, ..State::default() });
        let task = tokio::spawn(accept(listener, Arc::clone(&state)));
        Ok(Self { url, state, task })
    }

    /// From now on it knows this customer, too.
    pub fn add_customer(&self, customer: &str) {
        self.state.customers.lock().push(customer.to_owned());
    }

    /// Spoils the next request that nothing is planned for yet.
    pub fn plan(&self, fault: Fault) {
        self.state.faults.lock().push_back(fault);
    }

    /// What was taken, in its order.
    #[must_use]
    pub fn taken(&self) -> Vec<MeterEvent> {
        self.state.taken.lock().clone()
    }

    /// How many requests came.
    #[must_use]
    pub fn requests(&self) -> u64 {
        *self.state.requests.lock()
    }

    /// Waits until what is known fits. Bound it by a timeout.
    pub async fn until(&self, fits: impl Fn(&[MeterEvent], u64) -> bool) {
        loop {
            let changed = self.state.changed.notified();
            if fits(&self.taken(), self.requests()) {
                return;
            }
            changed.await;
        }
    }

    /// Answers what was withheld.
    pub fn release(&self) {
        self.state.released.notify_waiters();
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        connections.spawn(async move {
            let service = service_fn(move |request| {
                let state = Arc::clone(&state);
                async move { respond(&state, request).await }
            });
            // A caller that went away, or sent no HTTP, is no news.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

/// An answer that is never given: the connection ends instead.
#[derive(Debug, thiserror::Error)]
#[error("cut off")]
struct CutOff;

async fn respond(state: &State, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, CutOff> {
    let fault = state.faults.lock().pop_front();
    let (head, body) = request.into_parts();
    let body = Limited::new(body, MAX_BODY).collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let (status, text, after) = match &fault {
        Some(Fault::Answer(status, after, text)) => {
            (StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), text.clone(), *after)
        }
        _ => {
            let (status, text) = once(state, &head.method, head.uri.path(), &head.headers, &body);
            (status, text, None)
        }
    };
    *state.requests.lock() += 1;
    state.changed.notify_waiters();
    match fault {
        Some(Fault::LoseAnswer) => return Err(CutOff),
        Some(Fault::Withhold) => state.released.notified().await,
        Some(Fault::Slow(by)) => tokio::time::sleep(by).await,
        _ => {}
    }
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    if let Some(after) = after {
        headers.insert(header::RETRY_AFTER, header::HeaderValue::from(after));
    }
    Ok(response)
}

/// The answer to an `Idempotency-Key` is given again, whatever it was.
fn once(
    state: &State,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> (StatusCode, String) {
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok()).unwrap_or_default().to_owned();
    if let Some(answer) = state.answered.lock().get(&key) {
        return answer.clone();
    }
    let (status, value) = answer(state, method, path, headers, body);
    let answer = (status, value.to_string());
    if !key.is_empty() && status != StatusCode::UNAUTHORIZED {
        state.answered.lock().insert(key, answer.clone());
    }
    answer
}

fn refusal(status: StatusCode, message: &str, param: &str, code: &str) -> (StatusCode, Value) {
    let mut error = json!({"message": message, "type": "invalid_request_error"});
    for (name, value) in [("param", param), ("code", code)] {
        if !value.is_empty() {
            error[name] = value.into();
        }
    }
    (status, json!({"error": error}))
}

fn answer(
    state: &State,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> (StatusCode, Value) {
    let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if shown != format!("Bearer {KEY}") {
        return refusal(StatusCode::UNAUTHORIZED, "Invalid API Key provided: sk_test_****", "", "");
    }
    if (method, path) != (&Method::POST, "/v1/billing/meter_events") {
        return refusal(StatusCode::NOT_FOUND, "Unrecognized request URL", "", "");
    }
    let bad = |message: &str, param: &str, code: &str| refusal(StatusCode::BAD_REQUEST, message, param, code);
    let form: HashMap<String, String> = url::form_urlencoded::parse(body).into_owned().collect();
    let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    let known = ["event_name", "identifier", "timestamp", "payload[stripe_customer_id]", "payload[value]"];
    if let Some(other) = form.keys().find(|name| !known.contains(&name.as_str())) {
        return bad(&format!("Received unknown parameter: {other}"), other, "parameter_unknown");
    }
    if field("event_name") != EVENT {
        let text = format!("No active meter found corresponding to event name {}.", field("event_name"));
        return bad(&text, "event_name", "");
    }
    let (Ok(value), Ok(timestamp)) =
        (field("payload[value]").parse::<i64>(), field("timestamp").parse::<u64>())
    else {
        return bad("Invalid integer", "payload[value]", "parameter_invalid_integer");
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    if timestamp + PAST < now || timestamp > now + AHEAD {
        return bad(
            "Event timestamp must be within the past 35 calendar days",
            "timestamp",
            "timestamp_too_far_in_past",
        );
    }
    let customer = field("payload[stripe_customer_id]");
    if !state.customers.lock().iter().any(|known| known == customer) {
        let text = format!("No such customer: '{customer}'");
        return bad(&text, "payload[stripe_customer_id]", "resource_missing");
    }
    let identifier = field("identifier");
    if identifier.is_empty() || identifier.len() > 100 {
        return bad("Invalid string", "identifier", "");
    }
    let mut taken = state.taken.lock();
    if taken.iter().any(|event| event.identifier == identifier) {
        return bad(&format!("An event already exists with identifier {identifier}."), "identifier", "");
    }
    taken.push(MeterEvent {
        identifier: identifier.to_owned(),
        customer: customer.to_owned(),
        value,
        timestamp,
    });
    let event = json!({
        "object": "billing.meter_event",
        "created": now,
        "event_name": EVENT,
        "identifier": identifier,
        "livemode": false,
        "payload": {"stripe_customer_id": customer, "value": value.to_string()},
        "timestamp": timestamp,
    });
    (StatusCode::OK, event)
}
