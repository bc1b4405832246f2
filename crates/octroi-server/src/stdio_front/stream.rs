//! The server stream of a legacy session: opened with GET, opened again when it breaks.

use std::{ops::ControlFlow, sync::Arc};

use bytes::Bytes;
use http::StatusCode;
use http_body::Body;
use octroi_gate::{BoxError, Inner};
use octroi_mcp::era::Era;
use tokio_util::sync::CancellationToken;

use super::{
    desk::Desk,
    exchange::{Events, call, message_of},
    request,
};
use crate::upstream::{is_event_stream, stdio::jitter};

/// Writes what the server sends unasked, until the stream is not wanted any more or the server has none.
pub(super) async fn listen<S, B>(service: S, desk: Arc<Desk>, stop: CancellationToken)
where
    S: Inner<B> + Clone,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    stop.run_until_cancelled(follow(service, &desk)).await;
}

async fn follow<S, B>(service: S, desk: &Desk)
where
    S: Inner<B> + Clone,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let settings = &desk.settings;
    let mut wait = settings.reconnect_min;
    let mut last_event = None;
    loop {
        match once(service.clone(), desk, &mut last_event).await {
            ControlFlow::Break(()) => return,
            // It worked for a while.
            ControlFlow::Continue(true) => wait = settings.reconnect_min,
            ControlFlow::Continue(false) => {}
        }
        tokio::time::sleep(wait.mul_f64(0.5 + jitter() / 2.0)).await;
        wait = wait.saturating_mul(2).min(settings.reconnect_max);
    }
}

/// One connection. Goes on with whether any event came; breaks when there is nothing to try again.
async fn once<S, B>(service: S, desk: &Desk, last_event: &mut Option<Vec<u8>>) -> ControlFlow<(), bool>
where
    S: Inner<B> + Clone,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let mut request = request::get(last_event.as_deref());
    desk.sign(request.headers_mut());
    let Ok(response) = call(service, request).await else { return ControlFlow::Continue(false) };
    let (head, body) = response.into_parts();
    if !head.status.is_success() {
        desk.check_session(Era::Legacy, head.status);
        // 405: there is no such stream. Any other fault of the request would be the same again.
        let lasting = head.status.is_client_error() && head.status != StatusCode::TOO_MANY_REQUESTS;
        return if lasting { ControlFlow::Break(()) } else { ControlFlow::Continue(false) };
    }
    if !is_event_stream(&head.headers) {
        return ControlFlow::Break(());
    }
    let mut came = false;
    let mut events = Events::new(body, desk.settings.max_message_bytes);
    while let Some(frames) = events.next().await {
        for frame in frames {
            came = true;
            if let Some(id) = &frame.id {
                *last_event = Some(id.clone()).filter(|id| !id.is_empty());
            }
            if let Some(message) = message_of(&frame) {
                desk.say(message.to_vec()).await;
            }
        }
    }
    ControlFlow::Continue(came)
}
