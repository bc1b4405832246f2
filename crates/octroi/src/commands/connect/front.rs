//! Standard input and output: the client's messages go to the service, and the bridge's own questions among its answers.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use octroi_agent::Link;
use octroi_gate::{BoxError, Inner};
use octroi_server::stdio_front::{self, FrontSettings};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, DuplexStream};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;

use super::super::serve::stop_signal;

/// How many questions may wait to be written.
pub(in super::super) const OWN_QUEUE: usize = 16;
/// Bytes between standard input or output and the front.
const PIPE: usize = 256 * 1024;

/// How long the last answers may take to be written.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long a client that is gone is served at most, whatever its server does: calls under way may finish ([`FRONT`]), and the
/// session is ended.
const GONE_WAIT: Duration = Duration::from_secs(35);

/// The bounds of the one client.
const FRONT: FrontSettings = FrontSettings {
    max_message_bytes: 16 * 1024 * 1024,
    max_in_flight: 256,
    drain: Duration::from_secs(30),
    reconnect_min: Duration::from_millis(200),
    reconnect_max: Duration::from_secs(10),
};

/// Serves the client on standard input and output until it goes away, or the process is told to stop. `shown` is how the client is
/// shown each message of the service.
pub(in super::super) async fn over_stdio<S, B>(
    service: S,
    link: Arc<Link>,
    own: mpsc::Receiver<Vec<u8>>,
    shown: impl Fn(&[u8]) -> Cow<'_, [u8]> + Send + 'static,
) where
    S: Inner<B> + Clone,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let (front_in, to_front) = tokio::io::duplex(PIPE);
    let (front_out, from_front) = tokio::io::duplex(PIPE);
    let out = Arc::new(Mutex::new(tokio::io::stdout()));
    let mut reading = tokio::spawn(read(tokio::io::stdin(), to_front, link));
    let asking = tokio::spawn(ask(own, Arc::clone(&out)));
    let writing = tokio::spawn(write(from_front, out, shown));
    tokio::select! {
        ended = stdio_front::serve(service, front_in, front_out, FRONT) => {
            if let Err(error) = ended {
                tracing::warn!(%error, "standard input or output broke");
            }
        }
        () = stop_signal() => {}
        () = long_gone(&mut reading) => {}
    }
    asking.abort();
    reading.abort();
    // What the front said last is still on its way out; where it was stopped, calls under way may have more to say than is waited for.
    let _ = tokio::time::timeout(LAST_WORDS, writing).await;
}

/// Comes to its end when the client has been gone for a while, which ends the front, too, unless it waits for its server.
async fn long_gone(reading: &mut JoinHandle<std::io::Result<()>>) {
    // Gone in whatever way.
    let _ = reading.await;
    tokio::time::sleep(GONE_WAIT).await;
}

/// Hands the client's lines on, but for the answers to our own questions. A line too long to be looked at is passed on in
/// pieces: the front refuses it.
async fn read(
    input: impl AsyncRead + Unpin,
    mut front: DuplexStream,
    link: Arc<Link>,
) -> std::io::Result<()> {
    let mut input = BufReader::with_capacity(64 * 1024, input);
    let (mut line, mut passing) = (Vec::new(), false);
    loop {
        let piece = input.fill_buf().await?;
        if piece.is_empty() {
            return front.write_all(&line).await;
        }
        let end = memchr::memchr(b'\n', piece).map(|at| at + 1);
        let taken = end.unwrap_or(piece.len());
        line.extend_from_slice(&piece[..taken]);
        input.consume(taken);
        if end.is_none() && line.len() <= FRONT.max_message_bytes && !passing {
            continue;
        }
        if passing || !link.sees(&line) {
            front.write_all(&line).await?;
        }
        passing = end.is_none();
        line.clear();
    }
}

/// Writes our own questions, one line each.
async fn ask(mut own: mpsc::Receiver<Vec<u8>>, out: Arc<Mutex<impl AsyncWrite + Unpin>>) {
    while let Some(mut line) = own.recv().await {
        line.push(b'\n');
        let mut out = out.lock().await;
        // A client that is gone needs no question.
        if out.write_all(&line).await.is_err() || out.flush().await.is_err() {
            return;
        }
    }
}

/// Writes what the front says, whole lines at a time, and as the client is to be shown it.
async fn write(
    front: DuplexStream,
    out: Arc<Mutex<impl AsyncWrite + Unpin>>,
    shown: impl Fn(&[u8]) -> Cow<'_, [u8]>,
) -> std::io::Result<()> {
    let mut front = BufReader::with_capacity(64 * 1024, front);
    // The beginning of a line that is not whole yet, which the front bounds; and what is written at once.
    let (mut begun, mut text) = (Vec::new(), Vec::new());
    loop {
        let piece = front.fill_buf().await?;
        if piece.is_empty() {
            return Ok(());
        }
        let taken = piece.len();
        let mut lines = piece;
        while let Some(end) = memchr::memchr(b'\n', lines) {
            let (line, more) = lines.split_at(end + 1);
            if begun.is_empty() {
                text.extend_from_slice(&shown(line));
            } else {
                begun.extend_from_slice(line);
                text.extend_from_slice(&shown(&begun));
                begun.clear();
            }
            lines = more;
        }
        begun.extend_from_slice(lines);
        front.consume(taken);
        if !text.is_empty() {
            let mut out = out.lock().await;
            out.write_all(&text).await?;
            out.flush().await?;
            text.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &[u8]) -> Cow<'_, [u8]> {
        assert!(line.ends_with(b"\n") && memchr::memchr_iter(b'\n', line).count() == 1);
        Cow::Owned([b"> ", line].concat())
    }

    #[tokio::test]
    async fn lines_are_shown_whole_however_they_come() {
        let said = b"one\ntwo, and longer\n\nthree\n";
        for size in 1..said.len() {
            let (mut front, from_front) = tokio::io::duplex(size);
            let out = Arc::new(Mutex::new(Vec::new()));
            let saying = async {
                for piece in said.chunks(size) {
                    front.write_all(piece).await.unwrap();
                }
                drop(front);
            };
            let (written, ()) = tokio::join!(write(from_front, Arc::clone(&out), shown), saying);
            written.unwrap();
            assert_eq!(*out.lock().await, b"> one\n> two, and longer\n> \n> three\n");
        }
    }
}
