//! HTTP servers on this machine: the MCP server behind the gate, and the issuer of tokens.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::failure::{Failure, Measured};

/// Serves `answer` on a free loopback port, from one thread of its own, for as long as the process lives.
pub(crate) fn start<A, F>(answer: impl FnOnce(SocketAddr) -> A + Send + 'static) -> Measured<SocketAddr>
where
    A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Full<Bytes>>> + 'static,
{
    let failed = "a server for the measurement";
    let socket = std::net::TcpListener::bind(("127.0.0.1", 0)).map_err(Failure::of(failed))?;
    socket.set_nonblocking(true).map_err(Failure::of(failed))?;
    let address = socket.local_addr().map_err(Failure::of(failed))?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::of(failed))?;
    std::thread::Builder::new()
        .name("bench-server".to_owned())
        .spawn(move || {
            let answer = answer(address);
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime, async move {
                let Ok(listener) = TcpListener::from_std(socket) else { return };
                while let Ok((stream, _)) = listener.accept().await {
                    let _ = stream.set_nodelay(true);
                    let answer = answer.clone();
                    let service = service_fn(move |request| {
                        let reply = answer(request);
                        async move { Ok::<_, Infallible>(reply.await) }
                    });
                    tokio::task::spawn_local(
                        http1::Builder::new().serve_connection(TokioIo::new(stream), service),
                    );
                }
            });
        })
        .map_err(Failure::of(failed))?;
    Ok(address)
}
