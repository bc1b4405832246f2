//! The load: kept connections, each sending its next call when it has the answer to the last.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::failure::{Failure, Measured};
use crate::stats::percentile;
use crate::upstream::ANSWER;

/// Longest reply that is read, in bytes.
const REPLY_MAX: usize = 16 * 1024;
/// How long the last answers of a run may take.
const GRACE: Duration = Duration::from_secs(10);

/// What is sent, and where to.
#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) to: SocketAddr,
    /// Sent in turn, over and over.
    pub(crate) requests: Arc<Vec<Vec<u8>>>,
    pub(crate) connections: usize,
}

/// What one run of a load showed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Run {
    pub(crate) calls: u64,
    pub(crate) calls_per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

/// Sends the load for `lasts` and demands the upstream's own answer to every call.
pub(crate) fn run(load: &Load, lasts: Duration) -> Measured<Run> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::of("the load"))?;
    let local = tokio::task::LocalSet::new();
    let start = Instant::now();
    let calls = async {
        let tasks: Vec<_> = (0..load.connections)
            .map(|number| tokio::task::spawn_local(caller(load.clone(), number, start + lasts)))
            .collect();
        let mut waits = Vec::new();
        for task in tasks {
            waits.append(&mut task.await.map_err(Failure::of("a caller"))??);
        }
        Ok::<_, Failure>(waits)
    };
    let waits = local.block_on(&runtime, async { tokio::time::timeout(lasts + GRACE, calls).await });
    let mut waits = waits.map_err(|_| Failure::new("a call was never answered"))??;
    let lasted = start.elapsed().as_secs_f64();
    waits.sort_unstable();
    Ok(Run {
        calls: waits.len() as u64,
        calls_per_second: waits.len() as f64 / lasted,
        p50_us: percentile(&waits, 0.5) as f64 / 1e3,
        p99_us: percentile(&waits, 0.99) as f64 / 1e3,
    })
}

/// One connection; gives the wait for each answer, in nanoseconds.
async fn caller(load: Load, number: usize, until: Instant) -> Measured<Vec<u64>> {
    let mut connection = Connection::open(load.to).await?;
    let mut waits = Vec::new();
    let mut next = number * load.requests.len() / load.connections;
    while Instant::now() < until {
        let start = Instant::now();
        let (status, body) = connection.call(&load.requests[next]).await?;
        waits.push(start.elapsed().as_nanos() as u64);
        if status != 200 || !is_the_upstreams(&body) {
            let body = String::from_utf8_lossy(&body).into_owned();
            return Err(Failure::new(format!("a call was answered {status}: {body}")));
        }
        next = (next + 1) % load.requests.len();
    }
    Ok(waits)
}

/// Whether this is the upstream's answer, to which the gate may add its receipt and nothing else.
fn is_the_upstreams(body: &[u8]) -> bool {
    const ENDS: &[u8] = b"}}";
    const RECEIPT: &[u8] = b",\"_meta\":{\"dev.octroi/receipt\":{";
    let answer = ANSWER.as_bytes().strip_suffix(ENDS).unwrap_or_default();
    body.strip_prefix(answer).is_some_and(|rest| rest == ENDS || rest.starts_with(RECEIPT))
}

/// The status of a single call: whether a row measures what it says.
pub(crate) fn status(to: SocketAddr, request: &[u8]) -> Measured<u16> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::of("a call"))?;
    runtime.block_on(async { Ok(Connection::open(to).await?.call(request).await?.0) })
}

/// One kept connection.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(to: SocketAddr) -> Measured<Self> {
        let stream = TcpStream::connect(to).await.map_err(Failure::of("a connection"))?;
        stream.set_nodelay(true).map_err(Failure::of("a connection"))?;
        Ok(Self { stream, buffer: Vec::with_capacity(REPLY_MAX) })
    }

    /// One call: its status and body.
    pub(crate) async fn call(&mut self, request: &[u8]) -> Measured<(u16, Vec<u8>)> {
        self.stream.write_all(request).await.map_err(Failure::of("sending a call"))?;
        self.buffer.clear();
        let (status, body) = loop {
            let read = self.stream.read_buf(&mut self.buffer);
            let read = read.await.map_err(Failure::of("an answer"))?;
            if read == 0 || self.buffer.len() > REPLY_MAX {
                return Err(Failure::new("a connection was closed before its answer"));
            }
            if let Some(found) = reply(&self.buffer)? {
                break found;
            }
        };
        Ok((status, self.buffer[body].to_vec()))
    }
}

/// The status and the place of the body, once all of it is there.
fn reply(bytes: &[u8]) -> Measured<Option<(u16, std::ops::Range<usize>)>> {
    let Some(end) = memmem::find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&bytes[..end]).map_err(Failure::of("an answer"))?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.get(9..12)?.parse().ok());
    let length: Option<usize> = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    let (Some(status), Some(length)) = (status, length) else {
        return Err(Failure::new(format!("an answer without a status or a length: {head}")));
    };
    let body = end + 4..end + 4 + length;
    Ok((bytes.len() >= body.end).then_some((status, body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_complete_with_its_last_byte() {
        let whole = b"HTTP/1.1 402 Payment Required\r\ncontent-type: x\r\nContent-Length: 3\r\n\r\nabc";
        for end in 0..whole.len() {
            assert!(matches!(reply(&whole[..end]), Ok(None)), "{end}");
        }
        let Ok(Some((status, body))) = reply(whole) else { panic!("a reply") };
        assert_eq!((status, &whole[body]), (402, &b"abc"[..]));
        assert!(reply(b"HTTP/1.1 200 OK\r\n\r\n").is_err(), "no length");
    }
}
