//! The answer's body, whatever it comes from.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use super::{UpstreamError, stdio::EventStream};

/// What an upstream answers, frame by frame as it comes.
#[derive(Debug)]
pub struct UpstreamBody(Kind);

#[derive(Debug)]
enum Kind {
    Whole(Option<Bytes>),
    Http(HttpBody),
    Events(Box<EventStream>),
}

impl UpstreamBody {
    /// A body that is all here.
    pub(super) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self(Kind::Whole(Some(bytes.into()).filter(|bytes: &Bytes| !bytes.is_empty())))
    }

    /// A body that still comes over HTTP: `idle` bounds each wait, `max` all of it in bytes.
    pub(super) fn incoming(incoming: Incoming, idle: Duration, max: u64) -> Self {
        Self(Kind::Http(HttpBody { incoming, idle: Idle::new(idle), left: max, max }))
    }

    /// The messages of a child process as server-sent events.
    pub(super) fn events(events: EventStream) -> Self {
        Self(Kind::Events(Box::new(events)))
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = UpstreamError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UpstreamError>>> {
        match &mut self.0 {
            Kind::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Kind::Http(http) => http.poll_frame(cx),
            Kind::Events(events) => {
                events.poll_event(cx).map(|event| event.map(|event| event.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Whole(bytes) => bytes.is_none(),
            Kind::Http(http) => http.incoming.is_end_stream(),
            Kind::Events(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Kind::Http(http) => http.incoming.size_hint(),
            Kind::Events(_) => SizeHint::new(),
        }
    }
}

#[derive(Debug)]
struct HttpBody {
    incoming: Incoming,
    idle: Idle,
    left: u64,
    max: u64,
}

impl HttpBody {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UpstreamError>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(cx) else {
            ready!(self.idle.poll(cx));
            return Poll::Ready(Some(Err(UpstreamError::IdleTimeout { after: self.idle.after })));
        };
        self.idle.moved();
        let Some(frame) = frame else { return Poll::Ready(None) };
        let frame = frame.map_err(|error| UpstreamError::Broken(error.into()))?;
        if let Some(data) = frame.data_ref() {
            let Some(left) = self.left.checked_sub(data.len() as u64) else {
                let max = usize::try_from(self.max).unwrap_or(usize::MAX);
                return Poll::Ready(Some(Err(UpstreamError::TooLarge { max })));
            };
            self.left = left;
        }
        Poll::Ready(Some(Ok(frame)))
    }
}

/// A bound on each wait of a stream. The timer exists only once something was waited for, and is set anew only when the
/// next wait begins, so that an answer that is already here costs none.
#[derive(Debug)]
pub(super) struct Idle {
    after: Duration,
    waiting: bool,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Idle {
    pub(super) fn new(after: Duration) -> Self {
        Self { after, waiting: false, timer: None }
    }

    /// The bound.
    pub(super) fn after(&self) -> Duration {
        self.after
    }

    /// Something came.
    pub(super) fn moved(&mut self) {
        self.waiting = false;
    }

    /// Ready when nothing has come for too long.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let after = self.after;
        let timer = self.timer.get_or_insert_with(|| {
            self.waiting = true;
            Box::pin(tokio::time::sleep(after))
        });
        if !self.waiting {
            self.waiting = true;
            let now = Instant::now();
            timer.as_mut().reset(now.checked_add(after).unwrap_or(now));
        }
        timer.as_mut().poll(cx)
    }
}
