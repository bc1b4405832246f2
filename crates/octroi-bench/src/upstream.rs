//! The MCP server behind the gate: stateless, one JSON answer, as quick as hyper is or as slow as it is told to be.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;

use crate::failure::Measured;
use crate::serve;

/// The answer to every call.
pub(crate) const ANSWER: &str = r#"{"jsonrpc":"2.0","id":7,"result":{"resultType":"complete","content":[{"type":"text","text":"A grey cat on a red sofa, asleep; a window behind it, and rain on the window."}],"isError":false}}"#;

/// A running server.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    /// How long it works on each call, in milliseconds.
    works: Arc<AtomicU64>,
}

impl Upstream {
    pub(crate) fn start() -> Measured<Self> {
        let works = Arc::new(AtomicU64::new(0));
        let shared = Arc::clone(&works);
        let address = serve::start(move |_| {
            move |request| {
                let works = Duration::from_millis(shared.load(Ordering::Relaxed));
                answer(request, works)
            }
        })?;
        Ok(Self { address, works })
    }

    /// From now on every call takes so long.
    pub(crate) fn take(&self, works: Duration) {
        self.works.store(works.as_millis() as u64, Ordering::Relaxed);
    }
}

async fn answer(request: Request<Incoming>, works: Duration) -> Response<Full<Bytes>> {
    let sound = is_modern_call(request.headers());
    let read = request.into_body().collect().await;
    if !sound || read.is_err() {
        let mut refused = Response::new(Full::default());
        *refused.status_mut() = StatusCode::BAD_REQUEST;
        return refused;
    }
    if !works.is_zero() {
        tokio::time::sleep(works).await;
    }
    let mut reply = Response::new(Full::new(Bytes::from_static(ANSWER.as_bytes())));
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply
}

/// What a server of MCP 2026-07-28 looks at first (basic/transports).
fn is_modern_call(headers: &HeaderMap) -> bool {
    headers.get("mcp-protocol-version").is_some_and(|version| version == "2026-07-28")
        && headers.get("mcp-method").is_some_and(|method| method == "tools/call")
}
