//! The HTTP server under the wallet's API.

use std::convert::Infallible;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use octroi_lightning::Password;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use super::Wallet;
use super::form::Form;
use super::replies::Refusal;
use super::websocket;
use crate::node_apis::Fault;
use crate::node_apis::server::{Body, cut_off, dribble};

/// Most connections at once; more wait to be accepted.
const MAX_CONNECTIONS: usize = 64;
/// Most bytes of a request's body: an invoice and some words.
const MAX_BODY: usize = 16 * 1024;
/// A caller who does not finish a request's head in this time is sent away.
const HEAD: Duration = Duration::from_secs(10);
/// The pause when the system has no more connections to give.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// The `Authorization` value of who knows `password`.
pub(super) fn authorization(password: &Password) -> String {
    format!("Basic {}", STANDARD.encode(format!(":{}", password.reveal())))
}

/// Listens on a free loopback port; the task ends every connection when it is aborted.
pub(super) async fn start(wallet: Arc<Wallet>) -> io::Result<(String, JoinHandle<()>)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let url = format!("http://{}", listener.local_addr()?);
    Ok((url, tokio::spawn(accept(listener, wallet))))
}

async fn accept(listener: TcpListener, wallet: Arc<Wallet>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(EXHAUSTED).await;
            continue;
        };
        let wallet = Arc::clone(&wallet);
        connections.spawn(async move {
            connection(stream, wallet).await;
            drop(place);
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: TcpStream, wallet: Arc<Wallet>) {
    let service = service_fn(move |request| {
        let wallet = Arc::clone(&wallet);
        async move { Ok::<_, Infallible>(respond(&wallet, request).await) }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD);
    // A caller that went away, or sent no HTTP, is no news.
    let _ = server.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
}

async fn respond(wallet: &Wallet, request: Request<Incoming>) -> Response<Body> {
    let fault = wallet.faults.take();
    wallet.faults.lag().await;
    if let Some(Fault::Answer(status, text)) = fault {
        let mut response = Response::new(whole(text));
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        return response;
    }
    let response = match admitted(wallet, request).await {
        Ok(response) => response,
        Err(refusal) => refusal.into_response(),
    };
    wallet.faults.until_let_go().await;
    match fault {
        Some(Fault::Slow(by)) => tokio::time::sleep(by).await,
        Some(Fault::CutOff) => return cut_off(),
        Some(Fault::Dribble) => return dribble(),
        _ => {}
    }
    response.map(whole)
}

fn whole(text: String) -> Body {
    text.map_err(|never| match never {}).boxed_unsync()
}

async fn admitted(wallet: &Wallet, request: Request<Incoming>) -> Result<Response<String>, Refusal> {
    let offered = request.headers().get(header::AUTHORIZATION).map_or(&[][..], |value| value.as_bytes());
    let is = |known: &str| verify_slices_are_equal(offered, known.as_bytes()).is_ok();
    let spends = request.uri().path() == "/payinvoice";
    if !(is(&wallet.authorization) || (is(&wallet.limited) && !spends)) {
        let sentence = "Invalid authentication (use basic auth with the http password)".to_owned();
        return Err(Refusal::new(StatusCode::UNAUTHORIZED, sentence));
    }
    if request.uri().path() == "/websocket" {
        return websocket::accept(wallet, request);
    }
    let (head, body) = request.into_parts();
    let too_large = |_| Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "the request is too large".to_owned());
    let body = Limited::new(body, MAX_BODY).collect().await.map_err(too_large)?.to_bytes();
    let form = match head.method {
        Method::GET => Form::parse(head.uri.query().unwrap_or_default().as_bytes()),
        _ => Form::parse(&body),
    };
    wallet.answer(&head.method, head.uri.path(), &form).await
}
