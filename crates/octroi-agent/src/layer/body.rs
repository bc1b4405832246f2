//! The body of an answer: passed on as it comes, and watched for what is not charged: a failure, or no reply at all.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use memchr::memmem;
use octroi_l402::PaymentHash;

use super::BoxError;
use crate::Purse;

/// What a reply says that was not charged, as JSON is commonly written. In a text these quotes would be escaped; in a nested
/// object they mean that one call too many is believed to be left, which the server corrects.
const FAILURES: [&[u8]; 5] = [
    b"\"isError\":true",
    b"\"isError\": true",
    b"\"error\":{\"code\"",
    b"\"error\": {\"code\"",
    b"\"resultType\":\"input_required\"",
];
/// What every reply has, and nothing else on its way. In a text its quotes would be escaped.
const REPLIES: [&[u8]; 2] = [b"\"result\"", b"\"error\""];
/// As much of the end of a piece as a pattern may need.
const OVERLAP: usize = 32;

/// The body of an answer that went through a [`super::PayService`].
pub struct PaidBody<B> {
    inner: Inner<B>,
    watch: Option<Watch>,
}

enum Inner<B> {
    Whole(Option<Bytes>),
    Passing(B),
}

/// Gives a call back to the purse when the reply says that it failed, or whoever reads it goes away before it came. A stream that
/// is read to its end without a reply counts as one: the server has the last word.
struct Watch {
    purse: Arc<Purse>,
    hash: PaymentHash,
    tail: Vec<u8>,
    /// The reply came, or the end.
    over: bool,
}

impl<B> PaidBody<B> {
    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self { inner: Inner::Whole(Some(bytes)), watch: None }
    }

    pub(super) fn passing(body: B) -> Self {
        Self { inner: Inner::Passing(body), watch: None }
    }

    /// What is known before it is read.
    pub(super) fn tells_failure(&self) -> bool {
        matches!(&self.inner, Inner::Whole(Some(bytes)) if fails(bytes))
    }

    pub(super) fn watched(mut self, watched: Option<(Arc<Purse>, PaymentHash)>) -> Self {
        if let (Inner::Passing(_), Some((purse, hash))) = (&self.inner, watched) {
            self.watch = Some(Watch { purse, hash, tail: Vec::new(), over: false });
        }
        self
    }
}

fn holds(bytes: &[u8], patterns: &[&[u8]]) -> bool {
    patterns.iter().any(|pattern| memmem::find(bytes, pattern).is_some())
}

fn fails(bytes: &[u8]) -> bool {
    holds(bytes, &FAILURES)
}

impl Watch {
    /// Looks at the next piece; whether it tells the failure.
    fn sees(&mut self, piece: &[u8]) -> bool {
        let head = &piece[..piece.len().min(OVERLAP)];
        self.tail.extend_from_slice(head);
        let found = fails(&self.tail) || fails(piece);
        self.over = self.over || holds(&self.tail, &REPLIES) || holds(piece, &REPLIES);
        if piece.len() > head.len() {
            self.tail.clear();
            self.tail.extend_from_slice(&piece[piece.len() - OVERLAP..]);
        } else {
            let old = self.tail.len().saturating_sub(OVERLAP);
            self.tail.drain(..old);
        }
        found
    }

    fn give_back(&self) {
        if let Err(error) = self.purse.give_back(&self.hash) {
            tracing::warn!(%error, "a call that was not charged could not be put back into the purse");
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if !self.over {
            self.give_back();
        }
    }
}

impl<B> Body for PaidBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let frame = match &mut this.inner {
            Inner::Whole(bytes) => {
                let bytes = bytes.take().filter(|bytes| !bytes.is_empty());
                return Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))));
            }
            Inner::Passing(body) => ready!(Pin::new(body).poll_frame(cx)),
        };
        if let Some(watch) = &mut this.watch {
            match &frame {
                Some(Ok(frame)) => {
                    if frame.data_ref().is_some_and(|piece| watch.sees(piece)) {
                        watch.give_back();
                        watch.over = true;
                        this.watch = None;
                    } else if matches!(&this.inner, Inner::Passing(body) if body.is_end_stream()) {
                        watch.over = true;
                    }
                }
                // Broken off: as if nobody had read on.
                Some(Err(_)) => this.watch = None,
                None => watch.over = true,
            }
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Inner::Whole(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Inner::Passing(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Inner::Passing(body) => body.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_seen_wherever_the_pieces_break() {
        let reply = b"data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"content\":[],\"isError\":true}}\n\n";
        for at in 0..reply.len() {
            let purse = Arc::new(Purse::in_memory().unwrap());
            let hash = PaymentHash::from_bytes([0; 32]);
            let mut watch = Watch { purse, hash, tail: Vec::new(), over: false };
            let (one, two) = reply.split_at(at);
            assert!(watch.sees(one) | watch.sees(two), "{at}");
            assert!(watch.over, "{at}");
        }
        assert!(!fails(b"{\"text\":\"\\\"isError\\\":true\"}"));
    }

    #[test]
    fn a_reply_is_not_what_is_told_on_the_way_to_it() {
        let told =
            br#"data: {"jsonrpc":"2.0","method":"notifications/message","params":{"data":"{\"result\":1}"}}"#;
        assert!(!holds(told, &REPLIES));
    }
}
