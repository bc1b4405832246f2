//! The body of a reply on its way to the caller.
//!
//! A JSON reply is small and has been judged as a whole before it gets here. A stream (SSE) is passed on chunk by
//! chunk as it comes; beside the pump a parser watches for the event that ends the call, so that the hold is captured or voided
//! at that moment.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use octroi_mcp::json;
use octroi_mcp::message::Id;
use octroi_mcp::reply;
use octroi_mcp::sse::{self, Parser};
use tokio::time::{Instant, Sleep};

use crate::charge::{Answered, Charge};
use crate::listing::{Amended, Listing};

/// Errors of bodies, whatever made them.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How long a stream may be silent before a comment is sent, so that no proxy on the way thinks it dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long the rest of a legacy reply is read after its caller went away.
const DRAIN_MAX: Duration = Duration::from_secs(600);

/// The body of a reply.
pub struct GateBody<B: Body<Data = Bytes> + Send + Unpin + 'static>(Inner<B>);

enum Inner<B: Body<Data = Bytes> + Send + Unpin + 'static> {
    Whole(Option<Bytes>),
    Plain(B),
    Events(Box<Events<B>>),
}

impl<B: Body<Data = Bytes> + Send + Unpin + 'static> GateBody<B> {
    /// A body that is there as a whole.
    pub fn whole(bytes: Bytes) -> Self {
        Self(Inner::Whole(Some(bytes)))
    }

    /// A body that is passed on as it comes.
    pub(crate) fn plain(body: B) -> Self {
        Self(Inner::Plain(body))
    }

    /// A stream of events.
    pub(crate) fn events(body: B, watch: Watch) -> Self {
        Self(Inner::Events(Box::new(Events::new(body, watch))))
    }
}

/// What is done with a stream besides passing it on.
pub(crate) struct Watch {
    /// The charge that the reply among the events settles.
    pub(crate) charge: Option<Due>,
    /// The list to amend in the final event.
    pub(crate) listing: Option<Listing>,
    /// Whether the caller going away leaves the upstream at work (legacy) or ends it (modern).
    pub(crate) survives_caller: bool,
    /// Longest single event, in bytes.
    pub(crate) event_bytes_max: usize,
}

/// A charge that waits for the reply to one request.
pub(crate) struct Due {
    charge: Charge,
    /// The request's id, as it stands in the request.
    request_id: Box<[u8]>,
}

impl Due {
    /// A charge that only the reply to this request settles.
    pub(crate) fn on_reply(charge: Charge, request_id: Option<Id<'_>>) -> Self {
        Self { charge, request_id: request_id.map(|id| id.as_raw().into()).unwrap_or_default() }
    }

    /// Ends the charge as the outcome of a reply demands, and gives the reply with its receipt where there is one.
    fn settle(self, message: &[u8], bytes: u64) -> Option<Vec<u8>> {
        let answered = Answered { bytes, result: json::get(message, "result") };
        let result = self.charge.settle(reply::outcome(message), answered).result?;
        Some(json::with_member(message, "result", &result))
    }

    fn is_answered_by(&self, message: &[u8]) -> bool {
        Id::from_raw(&self.request_id).is_some_and(|id| reply::answers(message, id))
    }
}

struct Events<B: Body<Data = Bytes> + Send + Unpin + 'static> {
    /// `None` once it has ended.
    body: Option<B>,
    watch: Watch,
    parser: Parser,
    keep_alive: Pin<Box<Sleep>>,
    first_byte_left: bool,
    /// What the upstream has sent.
    bytes: u64,
    /// Whether an event may be changed, so that an incomplete one is held back until the rest of it is here.
    rewrites: bool,
}

impl<B: Body<Data = Bytes> + Send + Unpin + 'static> Events<B> {
    fn new(body: B, watch: Watch) -> Self {
        let parser = Parser::new(watch.event_bytes_max);
        let keep_alive = Box::pin(tokio::time::sleep(KEEP_ALIVE));
        let rewrites =
            watch.listing.is_some() || watch.charge.as_ref().is_some_and(|due| due.charge.rewrites());
        Self { body: Some(body), watch, parser, keep_alive, first_byte_left: false, bytes: 0, rewrites }
    }

    /// Looks at a chunk and says what goes to the caller for it.
    fn pass(&mut self, chunk: Bytes) -> Result<Bytes, BoxError> {
        let frames = self.parser.push(&chunk)?;
        let Some(listing) = self.watch.listing.take() else {
            self.bytes += chunk.len() as u64;
            if self.rewrites {
                return Ok(self.receipted(&frames));
            }
            for data in frames.iter().filter_map(|frame| frame.data.as_deref()) {
                settle(&mut self.watch.charge, data, self.bytes);
            }
            return Ok(chunk);
        };
        // Amending a list holds an incomplete event back until the rest of it is here.
        let mut out = BytesMut::new();
        for frame in frames {
            match frame.data.as_deref().map_or(Amended::Same, |data| listing.amend(data)) {
                Amended::Changed(data) => {
                    out.extend_from_slice(&again(&frame, &data));
                }
                Amended::Same => out.extend_from_slice(&frame.bytes),
                Amended::Unreadable => return Err("the server's list cannot be read".into()),
            }
        }
        self.watch.listing = Some(listing);
        Ok(out.freeze())
    }

    /// The frames as they came, but for the reply, which gets its receipt.
    fn receipted(&mut self, frames: &[sse::Frame]) -> Bytes {
        let mut out = BytesMut::new();
        for frame in frames {
            let data = frame.data.as_deref();
            match data.and_then(|data| settle(&mut self.watch.charge, data, self.bytes)) {
                Some(data) => out.extend_from_slice(&again(frame, &data)),
                None => out.extend_from_slice(&frame.bytes),
            }
        }
        out.freeze()
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>>
    where
        B::Error: Into<BoxError>,
    {
        loop {
            let Some(body) = &mut self.body else { return Poll::Ready(None) };
            match Pin::new(body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    let Ok(chunk) = frame.into_data() else { continue };
                    match self.pass(chunk) {
                        Ok(out) if out.is_empty() => continue,
                        Ok(out) => return Poll::Ready(Some(Ok(self.send(out)))),
                        Err(error) => return Poll::Ready(self.fail(error)),
                    }
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(self.fail(error.into())),
                Poll::Ready(None) => return Poll::Ready(self.finish()),
                Poll::Pending => {}
            }
            ready!(self.keep_alive.as_mut().poll(cx));
            self.keep_alive.as_mut().reset(Instant::now() + KEEP_ALIVE);
            // Only between events: inside one, a comment line would become part of it.
            if self.parser.rest().is_empty() {
                // Not the first byte: a caller who has seen only this has seen nothing of the answer.
                return Poll::Ready(Some(Ok(Frame::data(sse::comment("keep-alive").into()))));
            }
        }
    }

    fn send(&mut self, out: Bytes) -> Frame<Bytes> {
        self.first_byte_left = true;
        self.keep_alive.as_mut().reset(Instant::now() + KEEP_ALIVE);
        Frame::data(out)
    }

    /// The upstream broke the stream: the call has failed, whatever was already said.
    fn fail(&mut self, error: BoxError) -> Option<Result<Frame<Bytes>, BoxError>> {
        self.body = None;
        if let Some(mut due) = self.watch.charge.take() {
            due.charge.upstream_failed();
            due.charge.void();
        }
        Some(Err(error))
    }

    /// The upstream ended the stream: without a final event the call has failed.
    fn finish(&mut self) -> Option<Result<Frame<Bytes>, BoxError>> {
        self.body = None;
        if let Some(due) = self.watch.charge.take() {
            due.charge.void();
        }
        let rest = self.parser.rest();
        let held_back = self.rewrites && !rest.is_empty();
        held_back.then(|| Ok(Frame::data(Bytes::copy_from_slice(rest))))
    }
}

/// An event with other data.
fn again(frame: &sse::Frame, data: &[u8]) -> Vec<u8> {
    let id = frame.id.as_deref().and_then(|id| std::str::from_utf8(id).ok());
    let event = frame.event.as_deref().and_then(|event| std::str::from_utf8(event).ok());
    sse::event(data, id, event)
}

/// Ends the charge where `message` is the reply it waits for, and gives the reply with its receipt where there is one; any
/// other message on the way to it ends nothing.
fn settle(due: &mut Option<Due>, message: &[u8], bytes: u64) -> Option<Vec<u8>> {
    due.take_if(|due| due.is_answered_by(message))?.settle(message, bytes)
}

impl<B: Body<Data = Bytes> + Send + Unpin + 'static> Drop for Events<B> {
    fn drop(&mut self) {
        let due = self.watch.charge.take();
        let wanted = self.first_byte_left && due.as_ref().is_some_and(|due| due.charge.is_kept());
        if wanted && let Some(body) = self.body.take() {
            let parser = std::mem::replace(&mut self.parser, Parser::new(0));
            return read_on(body, parser, due, self.bytes);
        }
        if let Some(due) = due {
            // The caller went away. Before the first byte it had nothing; after it, it may have had everything it wanted.
            if self.first_byte_left {
                due.charge.capture(Answered { bytes: self.bytes, result: None });
            } else {
                due.charge.void();
            }
        }
        if self.watch.survives_caller
            && let Some(body) = self.body.take()
        {
            drain(body);
        }
    }
}

/// The caller went away in the middle of a stream, and may ask for the same call again: what is left is read for it, and
/// its reply kept. Where none comes the call has failed; where it takes too long it is charged as if nobody would ask.
fn read_on<B>(mut body: B, mut parser: Parser, mut due: Option<Due>, mut bytes: u64)
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    runtime.spawn(async move {
        let rest = async {
            while let Some(Ok(frame)) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
                let Ok(chunk) = frame.into_data() else { continue };
                bytes += chunk.len() as u64;
                let Ok(frames) = parser.push(&chunk) else { break };
                for data in frames.iter().filter_map(|frame| frame.data.as_deref()) {
                    settle(&mut due, data, bytes);
                }
                if due.is_none() {
                    break;
                }
            }
        };
        let in_time = tokio::time::timeout(DRAIN_MAX, rest).await.is_ok();
        if let Some(due) = due {
            if in_time {
                due.charge.void()
            } else {
                due.charge.capture(Answered { bytes, result: None })
            };
        }
    });
}

/// Reads a body to its end in the background, so that a legacy upstream does not see its caller's disconnect
/// (MCP 2025-11-25 basic/transports: a disconnect SHOULD NOT be read as cancellation).
pub(crate) fn drain<B: Body<Data = Bytes> + Send + Unpin + 'static>(mut body: B) {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    runtime.spawn(async move {
        let rest = async {
            while let Some(Ok(frame)) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
                if let Ok(mut data) = frame.into_data() {
                    data.advance(data.len());
                }
            }
        };
        // Bounded: an upstream that never ends its stream is left after this time.
        let _ = tokio::time::timeout(DRAIN_MAX, rest).await;
    });
}

impl<B> Body for GateBody<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.0 {
            Inner::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Inner::Plain(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Inner::Events(events) => events.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Whole(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Inner::Plain(body) => body.is_end_stream(),
            Inner::Events(events) => events.body.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Inner::Plain(body) => body.size_hint(),
            Inner::Events(_) => SizeHint::default(),
        }
    }
}
