//! The sample MCP server of the demo and of the journey tests.
//!
//! One endpoint, both eras: a request whose `params._meta` names a protocol version is stateless
//! (MCP 2026-07-28), `initialize` opens a session of the revisions before it. It is written on raw JSON and plain
//! hyper, so that nothing the gate sends is normalised before a test can look at it, and it misbehaves when told to
//! ([`Fault`]).

mod answer;
mod catalog;
mod changes;
mod fault;
mod faulty;
mod http;
mod modern;
mod state;
mod stdio;
mod tools;
mod wire;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

pub use changes::Change;
pub use fault::Fault;
pub use state::{Received, Tally};
pub use stdio::serve_stdio;

use state::State;

/// The path of the MCP endpoint.
pub const PATH: &str = "/mcp";

/// A running sample server on a loopback port; dropping it closes the port and every connection.
#[derive(Debug)]
pub struct Sample {
    address: SocketAddr,
    state: Arc<State>,
    listener: JoinHandle<()>,
}

impl Sample {
    /// Starts the server on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When no loopback port can be bound.
    pub async fn start() -> io::Result<Self> {
        Self::listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await
    }

    /// Starts the server on the address given, port 0 meaning a free one.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn listen(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State::default());
        let listener = tokio::spawn(accept(listener, Arc::clone(&state)));
        Ok(Self { address, state, listener })
    }

    /// The URL of the MCP endpoint.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}{PATH}", self.address)
    }

    /// The address it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How often `tools/call` reached each tool, faulty calls included.
    #[must_use]
    pub fn calls(&self) -> BTreeMap<String, u64> {
        self.state.tally().calls
    }

    /// How often `tools/call` reached `tool`.
    #[must_use]
    pub fn calls_of(&self, tool: &str) -> u64 {
        self.state.tally().calls.get(tool).copied().unwrap_or(0)
    }

    /// Everything counted so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.state.tally()
    }

    /// Waits until `reached` holds of the counts, so that a test need not sleep. The caller bounds the wait.
    pub async fn until(&self, reached: impl FnMut(&Tally) -> bool) -> Tally {
        self.state.until(reached).await
    }

    /// The newest requests, oldest first, as they arrived: at most [`Received::KEPT`].
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.state.received()
    }

    /// Makes every `tools/call` fail like this until told otherwise; `None` takes it back. A `fault` argument of the
    /// call itself wins.
    pub fn inject(&self, fault: Option<Fault>) {
        self.state.inject(fault);
    }

    /// Tells every subscriber and every open GET stream that a list changed.
    pub fn announce(&self, change: Change) {
        self.state.changes.announce(change);
    }

    /// Ends all sessions, as a restarted server would: later requests under them get 404.
    pub fn forget_sessions(&self) {
        self.state.sessions.clear();
    }

    /// Ends every open subscription with the graceful closing result of MCP 2026-07-28.
    pub fn end_subscriptions(&self) {
        self.state.changes.end();
    }
}

impl Drop for Sample {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

/// Connections live in this task's `JoinSet`, so that aborting it closes them too.
async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        // A connection that died between SYN and accept is not the listener's end.
        let Ok((stream, _peer)) = accepted else { continue };
        let _ = stream.set_nodelay(true);
        let state = Arc::clone(&state);
        connections.spawn(async move {
            let service = service_fn(move |request| http::serve(Arc::clone(&state), request));
            let _ = auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

#[cfg(test)]
mod tests;
