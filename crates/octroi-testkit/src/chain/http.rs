//! JSON-RPC, and Esplora beside it, over HTTP/1.1 on loopback, a thread for each connection: enough for a Lightning node and for curl.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use octroi_lightning::Password;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::blocks::Chain;
use super::esplora;

/// Most connections at once; a node holds one or two.
const MAX_CONNECTIONS: usize = 64;
/// Most bytes of a request's head.
const MAX_HEAD: u64 = 16 * 1024;
/// Most bytes of a request's body: the largest standard transaction, in hex, with room to spare.
const MAX_BODY: usize = 4 * 1024 * 1024;
/// An idle connection is closed after this long.
const IDLE: Duration = Duration::from_secs(60);

/// The listener; it ends when dropped.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    closed: Arc<AtomicBool>,
}

/// What every connection needs.
struct Service {
    chain: Arc<Mutex<Chain>>,
    /// The whole `Authorization` value that lets a caller in.
    authorization: String,
    connections: AtomicUsize,
}

impl Server {
    pub(super) fn start(chain: Arc<Mutex<Chain>>, user: &str, password: &Password) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let closed = Arc::new(AtomicBool::new(false));
        let authorization = format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.reveal())));
        let service = Arc::new(Service { chain, authorization, connections: AtomicUsize::new(0) });
        let stop = Arc::clone(&closed);
        thread::Builder::new().name("regtest".to_owned()).spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::Acquire) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                admit(&service, stream);
            }
        })?;
        Ok(Self { address, closed })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Release);
        // Wakes the listener, which then sees that it is over.
        drop(TcpStream::connect(self.address));
    }
}

fn admit(service: &Arc<Service>, stream: TcpStream) {
    if service.connections.fetch_add(1, Ordering::AcqRel) >= MAX_CONNECTIONS {
        service.connections.fetch_sub(1, Ordering::AcqRel);
        return;
    }
    let admitted = Arc::clone(service);
    let thread = thread::Builder::new().name("regtest-rpc".to_owned()).spawn(move || {
        // A caller that went away, or sent no HTTP, is no news.
        let _ = admitted.serve(stream);
        admitted.connections.fetch_sub(1, Ordering::AcqRel);
    });
    if thread.is_err() {
        service.connections.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Service {
    fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(IDLE))?;
        let mut reader = BufReader::new(stream.try_clone()?);
        while let Some(head) = read_head(&mut reader)? {
            if head.length > MAX_BODY {
                return write_reply(&mut stream, "413 Content Too Large", "");
            }
            let mut body = vec![0; head.length];
            reader.read_exact(&mut body)?;
            if let Some(path) = head.target.strip_prefix(esplora::BASE) {
                let (status, reply) = self.chain.lock().esplora(&head.method, path, &body);
                write_bytes(&mut stream, status, &reply)?;
                continue;
            }
            let offered = head.authorization.as_bytes();
            if verify_slices_are_equal(offered, self.authorization.as_bytes()).is_err() {
                return write_reply(&mut stream, "401 Unauthorized", "");
            }
            let (status, reply) = self.answer(&body);
            write_reply(&mut stream, status, &reply)?;
        }
        Ok(())
    }

    fn answer(&self, body: &[u8]) -> (&'static str, String) {
        let Ok(request) = serde_json::from_slice::<Value>(body) else {
            return ("400 Bad Request", String::new());
        };
        let method = request["method"].as_str().unwrap_or_default();
        let params = request["params"].as_array().map_or(&[][..], Vec::as_slice);
        let (status, reply) = match self.chain.lock().call(method, params) {
            Ok(result) => ("200 OK", json!({ "result": result, "error": null, "id": request["id"] })),
            Err(error) => {
                let error = json!({ "code": error.code, "message": error.message });
                ("500 Internal Server Error", json!({ "result": null, "error": error, "id": request["id"] }))
            }
        };
        (status, reply.to_string())
    }
}

#[derive(Default)]
struct Head {
    method: String,
    target: String,
    length: usize,
    authorization: String,
}

/// A request's head; `None` when the caller closed in between two.
fn read_head(reader: &mut impl BufRead) -> io::Result<Option<Head>> {
    let mut limited = reader.take(MAX_HEAD);
    let mut line = String::new();
    if limited.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut head = Head::default();
    let mut words = line.split(' ');
    words.next().unwrap_or_default().clone_into(&mut head.method);
    words.next().unwrap_or_default().clone_into(&mut head.target);
    loop {
        line.clear();
        if limited.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let text = line.trim_end();
        if text.is_empty() {
            return Ok(Some(head));
        }
        let Some((name, value)) = text.split_once(':') else { continue };
        if name.eq_ignore_ascii_case("content-length") {
            head.length = value.trim().parse().map_err(|_| io::ErrorKind::InvalidData)?;
        } else if name.eq_ignore_ascii_case("authorization") {
            value.trim().clone_into(&mut head.authorization);
        }
    }
}

fn write_reply(stream: &mut TcpStream, status: &str, body: &str) -> io::Result<()> {
    write_bytes(stream, status, body.as_bytes())
}

fn write_bytes(stream: &mut TcpStream, status: &str, body: &[u8]) -> io::Result<()> {
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(&[head.as_bytes(), body].concat())
}
