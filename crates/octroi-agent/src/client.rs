//! An HTTP client as a tower service: for the bridge, and for programs that have none of their own.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use reqwest::{Body, redirect};
use tower_service::Service;

use crate::AgentError;
use crate::http::{CONNECT_WAIT, failed, stay_at_home};

/// How long a server may be silent: a tool may take its time, and a stream sends keep-alives.
const SILENCE_WAIT: Duration = Duration::from_secs(1800);
/// The first wait before a server that could not be reached is tried again; it doubles.
const RECONNECT_FIRST: Duration = Duration::from_millis(100);
/// How often it is tried again. Only where no connection was made, so that nothing is sent twice.
const RECONNECTS: u32 = 5;

/// Sends requests over TLS or in the clear, with redirects only within their origin. Answers are passed on as they come.
#[derive(Clone)]
pub struct HttpClient(reqwest::Client);

impl HttpClient {
    /// A client with a pool of its own.
    ///
    /// # Errors
    /// [`AgentError::Config`]: TLS cannot be set up.
    pub fn new() -> Result<Self, AgentError> {
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_WAIT)
            .read_timeout(SILENCE_WAIT)
            .redirect(redirect::Policy::custom(stay_at_home))
            .user_agent(concat!("octroi/", env!("CARGO_PKG_VERSION")))
            .build();
        client.map(Self).map_err(|error| AgentError::Config(format!("TLS: {error}")))
    }

    async fn send(self, request: Request<Full<Bytes>>) -> Result<Response<Body>, AgentError> {
        let (head, body) = request.into_parts();
        let body = match body.collect().await {
            Ok(body) => body.to_bytes(),
            Err(never) => match never {},
        };
        let mut wait = RECONNECT_FIRST;
        for left in (0..=RECONNECTS).rev() {
            let request = Request::from_parts(head.clone(), Body::from(body.clone()));
            let request = reqwest::Request::try_from(request);
            let request = request.map_err(|error| AgentError::Config(error.without_url().to_string()))?;
            match self.0.execute(request).await {
                Ok(response) => return Ok(response.into()),
                Err(error) if error.is_connect() && !error.is_timeout() && left > 0 => {
                    tokio::time::sleep(wait).await;
                    wait *= 2;
                }
                Err(error) => return Err(failed(error)),
            }
        }
        Err(AgentError::Timeout)
    }
}

impl Service<Request<Full<Bytes>>> for HttpClient {
    type Response = Response<Body>;
    type Error = AgentError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, AgentError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), AgentError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        Box::pin(self.clone().send(request))
    }
}
