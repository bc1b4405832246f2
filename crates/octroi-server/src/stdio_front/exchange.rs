//! One request and its answer, turned into lines.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full, Limited};
use octroi_gate::{BoxError, Inner};
use octroi_mcp::{
    era::Era,
    json,
    message::Id,
    reply,
    sse::{Frame, Parser},
};

use super::desk::{Begun, Desk};
use crate::upstream::{
    is_event_stream,
    stdio::envelope::{Envelope, IdKey, Kind},
};

/// What a request must be answered with.
pub(super) struct Asked {
    /// Its id, raw.
    pub(super) id: Bytes,
    pub(super) era: Era,
    /// It is `initialize`.
    pub(super) opens: bool,
}

/// Calls the service.
pub(super) async fn call<S, B>(mut service: S, request: Request<Full<Bytes>>) -> Result<Response<B>, BoxError>
where
    S: Inner<B> + Clone,
{
    std::future::poll_fn(|cx| service.poll_ready(cx)).await.map_err(Into::into)?;
    service.call(request).await.map_err(Into::into)
}

/// Makes a request and writes what comes of it: exactly one reply, unless the client cancels.
pub(super) async fn run<S, B>(
    service: S,
    desk: Arc<Desk>,
    request: Request<Full<Bytes>>,
    asked: Asked,
    begun: Begun,
) where
    S: Inner<B> + Clone,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let answered = async {
        match call(service, request).await {
            Ok(response) => asked.relay(&desk, response).await,
            Err(error) => {
                tracing::warn!(%error, "the gate did not answer");
                Err("the gate did not answer".to_owned())
            }
        }
    };
    let answered = tokio::select! {
        biased;
        () = begun.cancelled.cancelled() => return,
        answered = answered => answered,
    };
    if let Err(text) = answered {
        desk.say(reply::error(Id::from_raw(&asked.id), -32603, &text, None)).await;
    }
}

impl Asked {
    /// Writes the messages of a response. An error is the text for a caller that got no reply.
    async fn relay<B>(&self, desk: &Desk, response: Response<B>) -> Result<(), String>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        let (head, body) = response.into_parts();
        desk.check_session(self.era, head.status);
        if head.status.is_success() && is_event_stream(&head.headers) {
            return self.relay_events(desk, &head.headers, body).await;
        }
        let max = desk.settings.max_message_bytes;
        let body = Limited::new(body, max).collect().await;
        let body = body.map_err(|_| "the answer broke off or is too long".to_owned())?.to_bytes();
        let reply = Envelope::read(&body).filter(|envelope| envelope.kind == Kind::Reply);
        let Some(reply) = reply else { return Err(status_text(head.status)) };
        self.opened(desk, &head.headers, &reply);
        if self.is_answered_by(&reply) {
            desk.say(body.to_vec()).await;
        } else if reply.id.is_none() && reply.at(&["error"]).is_some() {
            // A refusal by somebody who did not read the id; here it belongs to this request and no other.
            desk.say(json::with_member(body.trim_ascii(), "id", &self.id)).await;
        } else {
            return Err("the answer belongs to another request".to_owned());
        }
        Ok(())
    }

    async fn relay_events<B>(&self, desk: &Desk, headers: &HeaderMap, body: B) -> Result<(), String>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        let mut events = Events::new(body, desk.settings.max_message_bytes);
        while let Some(frames) = events.next().await {
            for frame in frames {
                let Some(message) = message_of(&frame) else { continue };
                let answers = Envelope::read(message).is_some_and(|envelope| {
                    self.opened(desk, headers, &envelope);
                    self.is_answered_by(&envelope)
                });
                desk.say(message.to_vec()).await;
                if answers {
                    return Ok(());
                }
            }
        }
        Err("the answer broke off".to_owned())
    }

    fn is_answered_by(&self, envelope: &Envelope<'_>) -> bool {
        envelope.kind == Kind::Reply && envelope.id_key() == IdKey::of(&self.id)
    }

    /// Takes up the session that a successful `initialize` opened.
    fn opened(&self, desk: &Desk, headers: &HeaderMap, reply: &Envelope<'_>) {
        if !self.opens || !self.is_answered_by(reply) || reply.at(&["result"]).is_none() {
            return;
        }
        desk.open_session(headers);
        if let Some(version) = reply.at(&["result", "protocolVersion"]).and_then(|(raw, _)| json::string(raw))
        {
            desk.settle_version(&version);
        }
    }
}

/// The frames of an event stream as they come.
pub(super) struct Events<B> {
    body: B,
    parser: Parser,
}

impl<B> Events<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    /// `max` bounds one event, in bytes; some room is left for what surrounds its data.
    pub(super) fn new(body: B, max: usize) -> Self {
        const AROUND: usize = 4 * 1024;
        Self { body, parser: Parser::new(max.saturating_add(AROUND)) }
    }

    /// The frames that the next piece completes, which may be none; `None` when the stream is over or broken.
    pub(super) async fn next(&mut self) -> Option<Vec<Frame>> {
        let frame = self.body.frame().await?.ok()?;
        let Some(data) = frame.data_ref() else { return Some(Vec::new()) };
        self.parser.push(data).ok()
    }
}

/// The message of a frame; `None` for comments, empty events, and what is no message.
pub(super) fn message_of(frame: &Frame) -> Option<&[u8]> {
    let data = frame.data.as_deref()?;
    Envelope::read(data)?;
    Some(data)
}

fn status_text(status: StatusCode) -> String {
    match status.canonical_reason() {
        Some(reason) => format!("no reply: HTTP {} {reason}", status.as_u16()),
        None => format!("no reply: HTTP {}", status.as_u16()),
    }
}
