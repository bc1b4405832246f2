//! The HTTP server under every API here.

use std::convert::Infallible;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::stream;
use http::request::Parts;
use http::{Request, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::CREDENTIAL;
use super::faults::{Fault, Faults};

/// Most bytes of a request's body.
const MAX_BODY: usize = 64 * 1024;

/// The pause between two bytes of an answer that never ends.
pub(super) const DRIBBLE: Duration = Duration::from_millis(50);

pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// What an API answers.
pub(super) enum Answer {
    Whole(StatusCode, Value),
    /// One line after the other, until the sender goes away.
    Lines(mpsc::Receiver<String>),
}

impl Answer {
    pub(super) const fn ok(value: Value) -> Self {
        Self::Whole(StatusCode::OK, value)
    }
}

#[async_trait::async_trait]
pub(super) trait Api: Send + Sync + 'static {
    /// The header that holds the credential; empty where nobody is asked for one.
    fn credential_header(&self) -> &'static str;

    /// What is said to somebody without the credential.
    fn stranger(&self) -> Answer;

    /// A credential that allows to see who the node is, and nothing else; empty where there is no such thing.
    fn weak(&self) -> String {
        String::new()
    }

    /// What is said to its bearer; `None` for what it allows.
    fn too_weak(&self, _head: &Parts) -> Option<Answer> {
        None
    }

    async fn answer(&self, head: &Parts, body: &[u8], base: &str) -> Answer;
}

pub(super) struct Served {
    pub(super) url: String,
    pub(super) certificate: String,
    pub(super) task: JoinHandle<()>,
}

pub(super) async fn start(api: Arc<dyn Api>, faults: Arc<Faults>, tls: bool) -> io::Result<Served> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let port = listener.local_addr()?.port();
    let (acceptor, certificate) =
        if tls { certified().map(|(a, c)| (Some(a), c))? } else { (None, String::new()) };
    let url = format!("http{}://127.0.0.1:{port}", if tls { "s" } else { "" });
    let task = tokio::spawn(accept(listener, acceptor, api, faults, url.clone()));
    Ok(Served { url, certificate, task })
}

/// As LND does it: a key of its own, and a certificate that only it has signed.
fn certified() -> io::Result<(TlsAcceptor, String)> {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).map_err(io::Error::other)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .map_err(io::Error::other)?;
    Ok((TlsAcceptor::from(Arc::new(config)), pem(cert.der())))
}

/// RFC 7468 §5.1, on one line: every reader takes it.
fn pem(der: &[u8]) -> String {
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(der))
}

async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    api: Arc<dyn Api>,
    faults: Arc<Faults>,
    base: String,
) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (api, faults, base, tls) = (Arc::clone(&api), Arc::clone(&faults), base.clone(), tls.clone());
        connections.spawn(connection(stream, tls, api, faults, base));
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    api: Arc<dyn Api>,
    faults: Arc<Faults>,
    base: String,
) {
    let service = service_fn(move |request| {
        let (api, faults, base) = (Arc::clone(&api), Arc::clone(&faults), base.clone());
        async move { Ok::<_, Infallible>(respond(api.as_ref(), &faults, request, &base).await) }
    });
    // A caller that went away, or sent no HTTP, is no news.
    match tls {
        Some(tls) => {
            if let Ok(stream) = tls.accept(stream).await {
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            }
        }
        None => {
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        }
    }
}

async fn respond(api: &dyn Api, faults: &Faults, request: Request<Incoming>, base: &str) -> Response<Body> {
    let fault = faults.take();
    faults.lag().await;
    if let Some(Fault::Answer(status, text)) = &fault {
        let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        return whole(status, text.clone());
    }
    let (head, body) = request.into_parts();
    let name = api.credential_header();
    let shown = || head.headers.get(name).map(|value| value.as_bytes());
    let weak = api.weak();
    let refused = match shown() {
        _ if name.is_empty() => None,
        Some(credential) if credential == CREDENTIAL.as_bytes() => None,
        Some(credential) if !weak.is_empty() && credential == weak.as_bytes() => api.too_weak(&head),
        _ => Some(api.stranger()),
    };
    let answer = if let Some(refused) = refused {
        refused
    } else {
        match Limited::new(body, MAX_BODY).collect().await {
            Ok(body) => {
                let (mut cuts, body) = (faults.cuts(), body.to_bytes());
                tokio::select! {
                    answer = api.answer(&head, &body, base) => answer,
                    _ = cuts.changed() => return cut_off(),
                }
            }
            Err(_) => Answer::Whole(StatusCode::PAYLOAD_TOO_LARGE, Value::Null),
        }
    };
    faults.until_let_go().await;
    match fault {
        Some(Fault::Slow(by)) => tokio::time::sleep(by).await,
        Some(Fault::CutOff) => return cut_off(),
        Some(Fault::Dribble) => return dribble(),
        _ => {}
    }
    match answer {
        Answer::Whole(status, value) => whole(status, value.to_string()),
        Answer::Lines(lines) => Response::new(lines_body(lines, faults.cuts())),
    }
}

fn whole(status: StatusCode, text: String) -> Response<Body> {
    let body = Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// A head, half a body, and the end of the connection.
pub(crate) fn cut_off() -> Response<Body> {
    let pieces = [Ok(Frame::data(Bytes::from_static(b"{\"res"))), Err(io::Error::other("cut off"))];
    Response::new(BodyExt::boxed_unsync(StreamBody::new(stream::iter(pieces))))
}

/// A head, and then a byte at a time, for as long as somebody listens.
pub(crate) fn dribble() -> Response<Body> {
    let pieces = stream::unfold((), |()| async {
        tokio::time::sleep(DRIBBLE).await;
        Some((Ok(Frame::data(Bytes::from_static(b" "))), ()))
    });
    Response::new(BodyExt::boxed_unsync(StreamBody::new(pieces)))
}

fn lines_body(lines: mpsc::Receiver<String>, cuts: watch::Receiver<u64>) -> Body {
    let pieces = stream::unfold(Some((lines, cuts)), |state| async move {
        let (mut lines, mut cuts) = state?;
        tokio::select! {
            line = lines.recv() => {
                let frame = Frame::data(Bytes::from(line? + "\n"));
                Some((Ok(frame), Some((lines, cuts))))
            }
            _ = cuts.changed() => Some((Err(io::Error::other("cut off")), None)),
        }
    });
    BodyExt::boxed_unsync(StreamBody::new(pieces))
}
