//! The gate for a client that starts its servers as programs: one JSON message per line in, one per line out.
//!
//! Each line becomes the HTTP request that a client of Streamable HTTP would have made, and goes through the very same
//! service, in process. Nothing is decided here.

mod desk;
mod exchange;
mod request;
mod stream;

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body::Body;
use octroi_gate::{BoxError, Inner};
use octroi_mcp::{
    era::{self, Era},
    json::Limits,
    message::{self, Kind, Message},
    reply,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, BufReader},
    time::timeout,
};

use crate::upstream::stdio::{
    envelope::IdKey,
    lines::{Line, Lines},
};
use desk::Desk;

/// How long a message that gets no reply may keep the ones behind it waiting.
const TELL_TIMEOUT: Duration = Duration::from_secs(30);

/// Bounds of one stdio client.
#[derive(Clone, Copy, Debug)]
pub struct FrontSettings {
    /// Longest line in either direction, in bytes.
    pub max_message_bytes: usize,
    /// Most requests served at once; more are refused with an error.
    pub max_in_flight: usize,
    /// How long requests may still run after the end of the input.
    pub drain: Duration,
    /// The first wait before a broken server stream is opened again; it doubles.
    pub reconnect_min: Duration,
    /// The longest such wait.
    pub reconnect_max: Duration,
}

/// Serves one client until its input ends; then lets running requests finish, ends the session, and returns.
///
/// Requests run side by side. A notification or response is handed over before the next line is read, so that what
/// depends on it comes after it.
///
/// # Errors
/// The input cannot be read, or the output cannot be written.
pub async fn serve<S, B>(
    service: S,
    input: impl AsyncRead + Unpin,
    output: impl AsyncWrite + Send + Unpin + 'static,
    settings: FrontSettings,
) -> io::Result<()>
where
    S: Inner<B> + Clone,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let (desk, mut writer) = Desk::open(settings, output);
    let mut lines = Lines::new(BufReader::new(input), settings.max_message_bytes);
    let ended = loop {
        let line = tokio::select! {
            line = lines.next() => line,
            written = &mut writer => return written.unwrap_or_else(|error| Err(io::Error::other(error))),
        };
        match line {
            Ok(Some(Line::Whole(line))) => take(&service, &desk, line.into()).await,
            Ok(Some(Line::TooLong(_))) => {
                let text = format!("a message may have at most {} bytes", settings.max_message_bytes);
                desk.say(reply::error(None, -32600, &text, None)).await;
            }
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    desk.drain().await;
    if let Some(farewell) = desk.farewell() {
        drop(timeout(TELL_TIMEOUT, exchange::call(service, farewell)).await);
    }
    drop(desk);
    let written = writer.await.unwrap_or_else(|error| Err(io::Error::other(error)));
    ended.and(written)
}

/// One line of the client.
async fn take<S, B>(service: &S, desk: &Arc<Desk>, body: Bytes)
where
    S: Inner<B> + Clone,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let message = match message::scan(&body, &Limits::default()) {
        Ok(message) => message,
        Err(error) => {
            return desk.say(reply::error(error.id(&body), error.code(), &error.to_string(), None)).await;
        }
    };
    // On stdio a client cancels with a message, over HTTP by closing the request (MCP 2026-07-28 basic/patterns/cancellation).
    if message.method == "notifications/cancelled" && desk.cancel(&message) {
        return;
    }
    let era = match era::era(&message, None) {
        Ok((era, _)) => era,
        Err(error) if message.kind == Kind::Request => {
            let data = error.data();
            return desk
                .say(reply::error(message.id, error.code(), &error.to_string(), data.as_deref()))
                .await;
        }
        Err(_) => return,
    };
    let Some(id) = message.id.filter(|_| message.kind == Kind::Request) else {
        return tell(service, desk, &message, era, &body).await;
    };
    let Some(key) = IdKey::of(id.as_raw()) else { return };
    let begun = match desk.begin(key, era) {
        Ok(begun) => begun,
        Err(refused) => return desk.say(reply::error(Some(id), -32600, refused, None)).await,
    };
    let request = desk.request(&message, era, body.clone());
    let opens = message.method == "initialize";
    let asked = exchange::Asked { id: Bytes::copy_from_slice(id.as_raw()), era, opens };
    let work = exchange::run(service.clone(), Arc::clone(desk), request, asked, begun);
    if opens {
        // What follows needs the session.
        work.await;
    } else {
        desk.spawn(work);
    }
}

/// A notification, or the answer to a request of the server.
async fn tell<S, B>(service: &S, desk: &Arc<Desk>, message: &Message<'_>, era: Era, body: &Bytes)
where
    S: Inner<B> + Clone,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let request = desk.request(message, era, body.clone());
    let told = timeout(TELL_TIMEOUT, exchange::call(service.clone(), request)).await;
    let accepted = match told {
        Ok(Ok(response)) => {
            desk.check_session(era, response.status());
            response.status().is_success()
        }
        _ => false,
    };
    if !accepted {
        tracing::warn!(method = %message.method, "a message without a reply was not accepted");
    } else if message.method == "notifications/initialized" {
        desk.spawn(stream::listen(service.clone(), Arc::clone(desk), desk.new_stream()));
    }
}

#[cfg(test)]
mod tests;
