//! What stands between a client that knows nothing of money and a server that asks for it: signs in, pays, asks the owner, and
//! says in the client's own words what could not be paid.

mod attribution;
mod consent;
mod link;
mod running;
mod sessions;

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, request};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tower_layer::Layer;
use tower_service::Service;
use url::Url;

pub use link::Link;

use crate::layer::{Asks, BoxError, Carrier, PaidBody, PayLayer, PayService, Unpaid};
use crate::payer::origin;
use crate::{AgentError, Approver, Payer, Secret, SignIn, session};
pub(crate) use consent::{Consent, Deferred};
use running::Running;
use sessions::Sessions;

/// Who calls.
#[derive(Clone)]
pub enum Identity {
    /// Nobody in particular.
    None,
    /// Whoever this access token says.
    Token(Secret),
    /// Whoever signs in.
    SignIn(Arc<SignIn>),
}

/// Forwards the messages of one MCP client to one server: a service for whatever reads them, such as a front on standard input.
#[derive(Clone)]
pub struct Bridge<S> {
    pay: PayService<S>,
    shared: Arc<Shared>,
}

struct Shared {
    uri: Uri,
    /// The server's origin.
    server: String,
    identity: Identity,
    consent: Consent,
    sessions: Sessions,
    running: Running,
    link: Option<Arc<Link>>,
}

impl<S> Bridge<S> {
    /// A bridge to `endpoint` over the HTTP client `inner`. With a link, legacy clients can be asked about payments; modern ones
    /// always can.
    ///
    /// # Errors
    /// [`AgentError::Config`]: the endpoint is no address for HTTP.
    pub fn new(
        inner: S,
        endpoint: &Url,
        payer: Arc<Payer>,
        identity: Identity,
        link: Option<Arc<Link>>,
    ) -> Result<Self, AgentError> {
        let uri = endpoint.as_str().parse();
        let uri = uri.map_err(|_| AgentError::Config(format!("{endpoint} cannot be called")))?;
        let (consent, sessions, running) = (Consent::default(), Sessions::default(), Running::default());
        let server = origin(endpoint);
        let shared = Arc::new(Shared { uri, server, identity, consent, sessions, running, link });
        Ok(Self { pay: PayLayer::new(payer).layer(inner), shared })
    }

    /// A message as the client is shown it: in front of every question of the server's stands who asks, so that a person does not
    /// take it for one of the bridge's own.
    #[must_use]
    pub fn attributed<'a>(&self, message: &'a [u8]) -> Cow<'a, [u8]> {
        let consent = &self.shared.consent;
        attribution::attributed(message, &self.shared.server, |state| consent.is_open(state))
    }
}

/// What the server answered, or the bridge in its place.
type Answer<S> = Response<PaidBody<<S as Carrier<Full<Bytes>>>::Answer>>;

impl<S: Carrier<Full<Bytes>>> Service<Request<Full<Bytes>>> for Bridge<S> {
    type Response = Answer<S>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.pay.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let bridge = self.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            bridge.carry(head, body).await
        })
    }
}

impl<S: Carrier<Full<Bytes>>> Bridge<S> {
    async fn carry(mut self, mut head: request::Parts, body: Bytes) -> Result<Answer<S>, BoxError> {
        let shared = Arc::clone(&self.shared);
        head.uri = shared.uri.clone();
        let (body, granted) = shared.consent.take_answer(body);
        let deferred = Arc::new(Deferred::new(granted));
        let (modern, mut underway) = (is_modern(&head), None);
        let approver: Option<Arc<dyn Approver>> = if modern {
            Some(Arc::clone(&deferred) as _)
        } else {
            underway = shared.running.note(&body, &mut head.extensions);
            shared.link.clone().filter(|link| link.can_ask()).map(|link| link as _)
        };
        if let Some(approver) = approver {
            head.extensions.insert(Asks(approver));
        }
        let sent = self.send_again(&head, &body).await;
        drop(underway);
        let answered = match sent {
            Ok(response) => response,
            Err(error) => match error.downcast::<AgentError>() {
                Ok(error) => return Ok(say(&body, &error)),
                Err(error) => return Err(error),
            },
        };
        shared.sessions.learn(&body, &answered);
        let Some(Unpaid(why)) = answered.extensions().get::<Unpaid>().cloned() else { return Ok(answered) };
        if let Some(question) = deferred.question()
            && let Some(reply) = shared.consent.ask(&body, &question)
        {
            return Ok(reply);
        }
        Ok(say(&body, &why))
    }

    /// Sends a message; where its session is over, in a new one.
    async fn send_again(&mut self, head: &request::Parts, body: &Bytes) -> Result<Answer<S>, BoxError> {
        let shared = Arc::clone(&self.shared);
        let mut signed = head.clone();
        let session = shared.sessions.sign(&mut signed.headers);
        let answered = self.send_known(signed, body.clone()).await?;
        let Some(session) = session.filter(|_| answered.status() == StatusCode::NOT_FOUND) else {
            return Ok(answered);
        };
        if head.method == Method::DELETE {
            return Ok(answered);
        }
        let _turn = shared.sessions.turn().await;
        if shared.sessions.is_current(&session) {
            let Some((hello, ready)) = shared.sessions.hello() else { return Ok(answered) };
            let opening = Request::from_parts(sessions::without_session(head, false), ());
            let opened = self.send_known(opening.into_parts().0, hello).await?;
            let Some(fresh) = sessions::opened(opened).await else { return Ok(answered) };
            shared.sessions.replace(session, fresh);
            let mut told = sessions::without_session(head, true);
            shared.sessions.sign(&mut told.headers);
            self.send_known(told, ready).await?;
        }
        let mut signed = head.clone();
        shared.sessions.sign(&mut signed.headers);
        self.send_known(signed, body.clone()).await
    }

    /// Sends a message with the caller's token; where another one is wanted, gets it, once.
    async fn send_known(&mut self, head: request::Parts, body: Bytes) -> Result<Answer<S>, BoxError> {
        let shared = Arc::clone(&self.shared);
        let token = match &shared.identity {
            Identity::None => None,
            Identity::Token(token) => Some(token.clone()),
            Identity::SignIn(signin) => signin.token().await?,
        };
        let answered = self.send_as(head.clone(), body.clone(), token.as_ref()).await?;
        let Identity::SignIn(signin) = &shared.identity else { return Ok(answered) };
        let status = answered.status().as_u16();
        if !matches!(status, 401 | 403) {
            return Ok(answered);
        }
        let lines = answered.headers().get_all(WWW_AUTHENTICATE).iter();
        let challenges = lines.filter_map(|line| line.to_str().ok()).collect::<Vec<_>>().join("\n");
        match signin.answer(token.as_ref(), status, &challenges).await? {
            Some(better) => self.send_as(head, body, Some(&better)).await,
            None => Ok(answered),
        }
    }

    async fn send_as(
        &mut self,
        mut head: request::Parts,
        body: Bytes,
        token: Option<&Secret>,
    ) -> Result<Answer<S>, BoxError> {
        if let Some(token) = token {
            head.headers.insert(AUTHORIZATION, session::secret(&format!("Bearer {}", token.reveal()))?);
        }
        std::future::poll_fn(|cx| self.pay.poll_ready(cx)).await?;
        self.pay.call(Request::from_parts(head, Full::new(body))).await
    }
}

fn is_modern(head: &request::Parts) -> bool {
    // Of the modern era, and nothing else, is this header (MCP 2026-07-28 basic/transports).
    head.headers.contains_key("mcp-method")
}

/// What went wrong, as a reply: a model reads the text of a tool's failure, and not much else.
fn say<R>(request: &[u8], why: &AgentError) -> Response<PaidBody<R>> {
    let request: Value = serde_json::from_slice(request).unwrap_or_default();
    let id = request.get("id").cloned().unwrap_or(Value::Null);
    let text = format!("The call was not made. {why}");
    let reply = match request.get("method").and_then(Value::as_str) {
        // What was given up no model waits for.
        Some("tools/call") if !matches!(why, AgentError::GivenUp) => {
            let content = json!([{"type": "text", "text": text}]);
            json!({"jsonrpc": "2.0", "id": id, "result": {"content": content, "isError": true, "resultType": "complete"}})
        }
        _ => json!({"jsonrpc": "2.0", "id": id, "error": {"code": code(why), "message": text}}),
    };
    json_reply(&reply)
}

/// The JSON-RPC code of a failure: outside the ranges that JSON-RPC and MCP reserve, where HTTP has a number for it.
fn code(why: &AgentError) -> i64 {
    match why {
        AgentError::IdentityNeeded(_) | AgentError::SignIn(_) => 401,
        AgentError::GivenUp => 499,
        AgentError::Network(_)
        | AgentError::Timeout
        | AgentError::BadReply(_)
        | AgentError::TooLong { .. } => -32603,
        _ => 402,
    }
}

fn json_reply<R>(reply: &Value) -> Response<PaidBody<R>> {
    let mut response = Response::new(PaidBody::whole(Bytes::from(reply.to_string())));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
