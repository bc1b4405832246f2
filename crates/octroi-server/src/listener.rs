//! Accepting connections and serving them, bounded and stoppable.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::routes::Routes;

/// How long a client may take to send its request's headers.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);
/// How long open exchanges may take to end once the gate is asked to stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the listener's timer fires, for no other reason than to be the next one due. Each call sets and drops timeouts of
/// seconds and minutes; one that is due before every other timer makes tokio wake its own reactor through the kernel,
/// and with this one there never is such a timeout.
const TICK: Duration = Duration::from_secs(1);
/// How long to wait when the system has no file for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Most HTTP/2 streams one connection may have open.
const STREAMS_MAX: u32 = 256;
/// Longest request header block, in bytes: tokens are at most 16 KiB, macaroons 4 KiB.
const HEADER_BYTES_MAX: u32 = 64 * 1024;

/// A bound listener that has not begun to serve.
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    connections: Arc<Semaphore>,
}

impl Listener {
    /// Binds `address`; port 0 asks the system for a free one. At most `connections_max` connections are open at once,
    /// further ones wait to be accepted.
    ///
    /// # Errors
    /// The system refuses the address.
    pub async fn bind(address: SocketAddr, connections_max: usize) -> std::io::Result<Self> {
        let socket = TcpListener::bind(address).await?;
        let address = socket.local_addr()?;
        Ok(Self { socket, address, connections: Arc::new(Semaphore::new(connections_max)) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves `routes` until `stop` resolves, then lets open exchanges end.
    pub async fn serve(self, routes: Arc<Routes>, stop: impl Future<Output = ()>) {
        let graceful = GracefulShutdown::new();
        let mut stop = std::pin::pin!(stop);
        let server = Arc::new(server());
        let mut tick = tokio::time::interval(TICK);
        loop {
            let connection = tokio::select! {
                connection = self.accept() => connection,
                _ = tick.tick() => continue,
                () = &mut stop => break,
            };
            let Some((stream, peer, permit)) = connection else { continue };
            let routes = Arc::clone(&routes);
            let service = service_fn(move |request| {
                let routes = Arc::clone(&routes);
                async move { Ok::<_, Infallible>(routes.answer(request, peer).await) }
            });
            let served = server.serve_connection(TokioIo::new(stream), service).into_owned();
            let served = graceful.watch(served);
            tokio::spawn(async move {
                // A connection that breaks is the peer's affair; what it held is settled by the exchange itself.
                let _ = served.await;
                drop(permit);
            });
        }
        drop(self.socket);
        if tokio::time::timeout(DRAIN_TIMEOUT, graceful.shutdown()).await.is_err() {
            tracing::info!("stopping with exchanges still open");
        }
    }

    async fn accept(&self) -> Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
        let permit = Arc::clone(&self.connections).acquire_owned().await.ok()?;
        match self.socket.accept().await {
            Ok((stream, peer)) => {
                // Replies are whole messages; waiting to fill a segment only adds latency.
                let _ = stream.set_nodelay(true);
                Some((stream, peer, permit))
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                None
            }
        }
    }
}

fn server() -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADER_BYTES_MAX as usize);
    server
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADER_BYTES_MAX);
    server
}
