//! An MCP server of both eras on the Rust SDK, with everything the MCP conformance suite's server scenarios ask for.
//!
//! `octroi-conformance-upstream [--listen ADDR]` prints its URL as the first line and serves until it is ended. What
//! the suite finds here directly it must find through the gate as well; nothing here knows of the gate.

#![expect(deprecated, reason = "the legacy era has logging and sampling, and the suite asks for them")]

mod asking;
mod catalog;
mod handler;
mod plain;
mod talking;
mod tasks;

use std::convert::Infallible;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rmcp::ErrorData;
use rmcp::transport::StreamableHttpService;
use rmcp::transport::streamable_http_server::StreamableHttpServerConfig;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use serde_json::Value;
use tokio::net::TcpListener;

use handler::Upstream;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let address = match arguments.as_slice() {
        [] => "127.0.0.1:0",
        ["--listen", address] => address,
        _ => {
            eprintln!("usage: octroi-conformance-upstream [--listen ADDR]");
            return ExitCode::from(2);
        }
    };
    match serve(address).await {
        Ok(never) => match never {},
        Err(error) => {
            eprintln!("octroi-conformance-upstream: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(address: &str) -> io::Result<Infallible> {
    let listener = TcpListener::bind(address).await?;
    println!("http://{}/mcp", listener.local_addr()?);
    let upstream = Upstream::default();
    let service = StreamableHttpService::new(
        move || Ok(upstream.clone()),
        Arc::new(LocalSessionManager::default()),
        StreamableHttpServerConfig::default(),
    );
    loop {
        let Ok((stream, _peer)) = listener.accept().await else { continue };
        let service = service.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let service = service.clone();
                async move { Ok::<_, Infallible>(service.handle(request).await) }
            });
            let _ = auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// The SDK's type for this JSON: its types are large and change often, the wire form is what the suite looks at.
fn typed<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, ErrorData> {
    serde_json::from_value(value).map_err(|error| ErrorData::internal_error(error.to_string(), None))
}

/// A result of that type; the SDK takes `resultType` off again for clients of a revision that does not know it.
fn complete<T: serde::de::DeserializeOwned>(mut result: Value) -> Result<T, ErrorData> {
    result["resultType"] = "complete".into();
    typed(result)
}
