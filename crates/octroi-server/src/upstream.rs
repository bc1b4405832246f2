//! What stands behind the decision: the MCP server itself, over HTTP or as a child process.
//!
//! Both kinds are tower services over the judged bytes. They keep three rules: the bytes of a message are forwarded as
//! they were judged, no wait and no queue is without a bound, and no answer of one caller ever reaches another.

mod body;
mod error;
mod http;
mod nothing;
pub(crate) mod stdio;

pub use body::UpstreamBody;
pub use error::{SettingsError, UpstreamError};
pub(crate) use http::is_event_stream;
pub use http::{HttpSettings, HttpUpstream};
pub use nothing::Nothing;
pub use stdio::{StdioSettings, StdioUpstream};

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use ::http::{Request, Response};
use bytes::Bytes;
use http_body_util::Full;
use tower::Service;

/// The answer of an upstream, as it comes.
pub type UpstreamFuture =
    Pin<Box<dyn Future<Output = Result<Response<UpstreamBody>, UpstreamError>> + Send + 'static>>;

/// Any upstream.
#[derive(Clone, Debug)]
pub enum Upstream {
    /// A Streamable HTTP endpoint.
    Http(HttpUpstream),
    /// A program spoken to over its standard input and output.
    Stdio(StdioUpstream),
    /// Nothing: the gate stands alone.
    Nothing(Nothing),
}

impl Upstream {
    /// Ends what runs for it: the children of a stdio server. Waits until they are gone, which is bounded by the grace
    /// they are given. Nothing to do for the others.
    pub async fn shutdown(&self) {
        if let Self::Stdio(stdio) = self {
            stdio.shutdown().await;
        }
    }
}

impl Service<Request<Full<Bytes>>> for Upstream {
    type Response = Response<UpstreamBody>;
    type Error = UpstreamError;
    type Future = UpstreamFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), UpstreamError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> UpstreamFuture {
        match self {
            Self::Http(http) => http.call(request),
            Self::Stdio(stdio) => stdio.call(request),
            Self::Nothing(nothing) => nothing.call(request),
        }
    }
}

impl From<HttpUpstream> for Upstream {
    fn from(http: HttpUpstream) -> Self {
        Self::Http(http)
    }
}

impl From<StdioUpstream> for Upstream {
    fn from(stdio: StdioUpstream) -> Self {
        Self::Stdio(stdio)
    }
}
