//! Against a server of this process, scripted by path.

use std::{convert::Infallible, net::SocketAddr};

use http_body_util::{BodyExt, StreamBody, combinators::BoxBody};
use hyper::{body::Frame, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc,
};
use tower::ServiceExt;

use super::*;

const TINY: Duration = Duration::from_millis(50);
const AMPLE: Duration = Duration::from_secs(30);

type Pieces = mpsc::Sender<Result<Frame<Bytes>, std::io::Error>>;

fn settings(url: &str) -> HttpSettings {
    HttpSettings {
        url: url.parse().unwrap(),
        connect_timeout: AMPLE,
        first_byte_timeout: AMPLE,
        idle_timeout: AMPLE,
        stream_idle_timeout: AMPLE,
        max_response_bytes: 1_000,
        pool_max_idle: 4,
        pool_idle_timeout: AMPLE,
    }
}

/// Answers with what it got; the path says how.
async fn answer(request: Request<Incoming>) -> Result<Response<BoxBody<Bytes, std::io::Error>>, Infallible> {
    let (head, body) = request.into_parts();
    let got = body.collect().await.unwrap().to_bytes();
    let (pieces, queue) = mpsc::channel(8);
    let mut response = Response::new(StreamBody::new(Queue(queue)).boxed());
    match head.uri.path() {
        "/hang" => std::future::pending().await,
        "/redirect" => {
            *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
            response.headers_mut().insert("location", HeaderValue::from_static("http://127.0.0.1:1/"));
        }
        "/stall" => {
            piece(&pieces, "{").await;
            tokio::spawn(async move { pieces.closed().await });
        }
        "/events" => {
            response
                .headers_mut()
                .insert(CONTENT_TYPE, HeaderValue::from_static("Text/Event-Stream; charset=utf-8"));
            piece(&pieces, "data: 1\n\n").await;
            tokio::spawn(async move { pieces.closed().await });
        }
        "/cut" => {
            piece(&pieces, "{").await;
            pieces.send(Err(std::io::Error::other("cut"))).await.unwrap();
        }
        "/long" => piece(&pieces, &"x".repeat(1_001)).await,
        _ => {
            let seen =
                format!("{} {} {:?} {}", head.method, head.uri, head.headers, String::from_utf8_lossy(&got));
            piece(&pieces, &seen).await;
        }
    }
    Ok(response)
}

async fn piece(pieces: &Pieces, text: &str) {
    pieces.send(Ok(Frame::data(Bytes::copy_from_slice(text.as_bytes())))).await.unwrap();
}

struct Queue(mpsc::Receiver<Result<Frame<Bytes>, std::io::Error>>);

impl futures_util::Stream for Queue {
    type Item = Result<Frame<Bytes>, std::io::Error>;

    fn poll_next(mut self: std::pin::Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx)
    }
}

async fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)));
        }
    });
    address
}

async fn call(
    settings: &HttpSettings,
    request: Request<Full<Bytes>>,
) -> Result<Response<UpstreamBody>, UpstreamError> {
    HttpUpstream::new(settings).unwrap().oneshot(request).await
}

fn post(body: &'static str) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(Bytes::from_static(body.as_bytes())));
    *request.method_mut() = Method::POST;
    request
}

async fn text(response: Response<UpstreamBody>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn only_address_and_connection_change() {
    let address = server().await;
    let mut request = post("{ \"a\" : 1 }");
    *request.uri_mut() = Uri::from_static("https://gate.example.com/other?x=1");
    *request.version_mut() = Version::HTTP_2;
    for (name, value) in
        [("host", "gate.example.com"), ("content-length", "9999"), ("connection", "close"), ("x-kept", "yes")]
    {
        request.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    let seen = text(call(&settings(&format!("http://{address}/mcp?k=v")), request).await.unwrap()).await;
    assert!(seen.starts_with("POST /mcp?k=v "), "{seen}");
    assert!(seen.ends_with(" { \"a\" : 1 }"), "{seen}");
    for part in [
        format!("\"host\": \"{address}\""),
        "\"content-length\": \"11\"".into(),
        "\"x-kept\": \"yes\"".into(),
    ] {
        assert!(seen.contains(&part), "{part} in {seen}");
    }
    assert!(seen.contains("\"accept\": \"application/json, text/event-stream\""), "{seen}");
    assert!(!seen.contains("gate.example.com") && !seen.contains("\"connection\""), "{seen}");
}

#[tokio::test]
async fn what_the_caller_accepts_is_kept() {
    let address = server().await;
    let mut request = post("");
    *request.method_mut() = Method::GET;
    let seen = text(call(&settings(&format!("http://{address}/")), request).await.unwrap()).await;
    assert!(seen.contains("\"accept\": \"text/event-stream\""), "{seen}");
    let mut request = post("");
    request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
    let seen = text(call(&settings(&format!("http://{address}/")), request).await.unwrap()).await;
    assert!(seen.contains("\"accept\": \"application/json\""), "{seen}");
}

#[tokio::test]
async fn a_redirect_is_neither_followed_nor_handed_on() {
    let address = server().await;
    let error = call(&settings(&format!("http://{address}/redirect")), post("")).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Redirect { status: StatusCode::TEMPORARY_REDIRECT }));
}

#[tokio::test]
async fn a_silent_server_is_given_up() {
    let address = server().await;
    let settings = HttpSettings { first_byte_timeout: TINY, ..settings(&format!("http://{address}/hang")) };
    assert!(matches!(call(&settings, post("")).await, Err(UpstreamError::FirstByteTimeout { after: TINY })));
}

#[tokio::test]
async fn a_stalled_answer_is_given_up_but_a_silent_stream_is_not() {
    let address = server().await;
    let stalled = HttpSettings { idle_timeout: TINY, ..settings(&format!("http://{address}/stall")) };
    let error = call(&stalled, post("")).await.unwrap().into_body().collect().await.unwrap_err();
    assert!(matches!(error, UpstreamError::IdleTimeout { after: TINY }));

    let silent = HttpSettings { idle_timeout: TINY, ..settings(&format!("http://{address}/events")) };
    let mut body = call(&silent, post("")).await.unwrap().into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "data: 1\n\n");
    assert!(tokio::time::timeout(TINY * 4, body.frame()).await.is_err(), "it is still open");

    let bounded = HttpSettings { stream_idle_timeout: TINY, ..settings(&format!("http://{address}/events")) };
    let error = call(&bounded, post("")).await.unwrap().into_body().collect().await.unwrap_err();
    assert!(matches!(error, UpstreamError::IdleTimeout { .. }));
}

#[tokio::test]
async fn a_cut_answer_is_an_error() {
    let address = server().await;
    let response = call(&settings(&format!("http://{address}/cut")), post("")).await;
    let error = match response {
        Ok(response) => response.into_body().collect().await.unwrap_err(),
        Err(error) => error,
    };
    assert!(matches!(error, UpstreamError::Broken(_)));
}

#[tokio::test]
async fn an_answer_is_bounded() {
    let address = server().await;
    let response = call(&settings(&format!("http://{address}/long")), post("")).await.unwrap();
    let error = response.into_body().collect().await.unwrap_err();
    assert!(matches!(error, UpstreamError::TooLarge { max: 1_000 }));
    // One that announces its length is not even begun.
    let declared = raw(b"HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n".to_vec()).await;
    assert!(matches!(
        call(&settings(&declared), post("")).await,
        Err(UpstreamError::TooLarge { max: 1_000 })
    ));
}

/// A server that answers every connection with these bytes.
async fn raw(bytes: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(&bytes).await;
            // Kept open until the client closes.
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    });
    format!("http://{address}/mcp")
}

#[tokio::test]
async fn hostile_heads_are_refused() {
    let huge = format!("HTTP/1.1 200 OK\r\nx-huge: {}\r\n\r\n", "x".repeat(2 * HEAD_MAX));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(1_000));
    for bytes in [huge, many, "this is no HTTP\r\n\r\n".into()] {
        let url = raw(bytes.into_bytes()).await;
        assert!(matches!(call(&settings(&url), post("")).await, Err(UpstreamError::Broken(_))));
    }
}

#[tokio::test]
async fn nobody_is_there() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = call(&settings(&format!("http://{address}/")), post("")).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Connect(_)));
}

#[test]
fn settings_are_checked() {
    let refused = |url: &str| HttpUpstream::new(&settings(url)).err();
    assert_eq!(refused("https://example.com/mcp"), None);
    assert_eq!(refused("ftp://example.com/"), Some(SettingsError::Url));
    assert_eq!(refused("http://me:secret@example.com/"), Some(SettingsError::Credentials));
}
