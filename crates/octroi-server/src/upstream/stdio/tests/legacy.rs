//! One child per session.

use super::*;

async fn tool(upstream: &StdioUpstream, session: &str, id: impl Into<Value>, name: &str) -> Value {
    body(post(upstream, Some(session), legacy(id, name, json!({}))).await.unwrap()).await
}

#[tokio::test]
async fn each_session_has_its_own_child() {
    let upstream = upstream();
    let (one, two) = (open(&upstream).await, open(&upstream).await);
    assert_ne!(one, two);
    let first = tool(&upstream, &one, 1, "echo").await;
    let second = tool(&upstream, &two, 1, "echo").await;
    assert_eq!(first["result"]["id"], 1, "ids are not touched");
    assert_ne!(first["result"]["pid"], second["result"]["pid"]);
}

#[tokio::test]
async fn a_session_must_be_named_and_known() {
    let upstream = upstream();
    let message = legacy(3, "echo", json!({}));
    let missing = post(&upstream, None, message.clone()).await.unwrap();
    assert_eq!(missing.status(), 400);
    assert_eq!(body(missing).await["id"], 3);
    assert_eq!(post(&upstream, Some("0".repeat(32).as_str()), message).await.unwrap().status(), 404);
    assert_eq!(send(&upstream, Method::GET, None, "").await.unwrap().status(), 400);
    assert_eq!(send(&upstream, Method::DELETE, Some("x"), "").await.unwrap().status(), 404);
    assert_eq!(send(&upstream, Method::PUT, None, "").await.unwrap().status(), 405);
}

#[tokio::test]
async fn deleting_ends_the_child() {
    let upstream = upstream();
    let session = open(&upstream).await;
    let pid = tool(&upstream, &session, 1, "echo").await["result"]["pid"].clone();
    assert_eq!(send(&upstream, Method::DELETE, Some(&session), "").await.unwrap().status(), 204);
    assert_eq!(post(&upstream, Some(&session), legacy(1, "echo", json!({}))).await.unwrap().status(), 404);
    upstream.shutdown().await;
    assert!(!runs(&pid));
}

#[tokio::test]
async fn sessions_are_bounded() {
    let upstream = StdioUpstream::new("test", StdioSettings { max_sessions: 1, ..settings() }).unwrap();
    let session = open(&upstream).await;
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}});
    let full = post(&upstream, None, message).await.unwrap();
    assert_eq!(full.status(), 503);
    assert!(full.headers().contains_key("retry-after"));
    tool(&upstream, &session, 1, "echo").await;
}

#[tokio::test]
async fn a_refused_initialize_leaves_no_session() {
    let upstream = upstream();
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "unwanted", "version": "1"}}});
    let response = post(&upstream, None, message).await.unwrap();
    assert!(!response.headers().contains_key(headers::SESSION_ID));
    assert_eq!(body(response).await["error"]["message"], "go away");
    upstream.shutdown().await;
}

#[tokio::test]
async fn what_comes_unasked_waits_for_the_server_stream() {
    let upstream = upstream();
    let session = open(&upstream).await;
    let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    assert_eq!(post(&upstream, Some(&session), initialized).await.unwrap().status(), 202);
    while upstream.0.shelf.find(&named(&session)).unwrap().kept() == 0 {
        tokio::task::yield_now().await;
    }
    let mut stream = Events::of(send(&upstream, Method::GET, Some(&session), "").await.unwrap());
    assert_eq!(stream.message().await["id"], "roots");
    tool(&upstream, &session, 2, "log").await;
    assert_eq!(stream.message().await["method"], "notifications/message");
    let newer = Events::of(send(&upstream, Method::GET, Some(&session), "").await.unwrap());
    assert!(stream.next().await.is_none(), "the newer stream takes over");
    send(&upstream, Method::DELETE, Some(&session), "").await.unwrap();
    assert!(newer.rest().await.is_empty());
}

#[tokio::test]
async fn without_a_server_stream_the_server_asks_in_the_requests_own() {
    let upstream = upstream();
    let session = open(&upstream).await;
    let mut events =
        Events::of(post(&upstream, Some(&session), legacy("q", "ask", json!({}))).await.unwrap());
    assert_eq!(events.message().await["method"], "roots/list");
    let answer = json!({"jsonrpc": "2.0", "id": "s1", "result": {"roots": []}});
    assert_eq!(post(&upstream, Some(&session), answer).await.unwrap().status(), 202);
    let rest = events.rest().await;
    assert_eq!(rest, [json!({"jsonrpc": "2.0", "id": "q", "result": {"answer": {"roots": []}}})]);
}

#[tokio::test]
async fn progress_finds_its_request_among_several() {
    let upstream = upstream();
    let session = open(&upstream).await;
    let mut hold = Box::pin(post(&upstream, Some(&session), legacy(1, "hold", json!({}))));
    assert!(futures_util::poll!(hold.as_mut()).is_pending());
    let mut message = legacy(2, "progress", json!({}));
    message["params"]["_meta"]["progressToken"] = 99.into();
    let events = Events::of(post(&upstream, Some(&session), message).await.unwrap()).rest().await;
    assert_eq!(events[0]["params"]["progressToken"], 99);
    assert_eq!(events[1]["id"], 2);
    tool(&upstream, &session, 3, "release").await;
    assert_eq!(body(hold.await.unwrap()).await["id"], 1);
}

#[tokio::test]
async fn going_away_does_not_cancel() {
    let upstream = upstream();
    let session = open(&upstream).await;
    let mut held = Box::pin(post(&upstream, Some(&session), legacy(1, "hold", json!({}))));
    assert!(futures_util::poll!(held.as_mut()).is_pending());
    let again = post(&upstream, Some(&session), legacy(1, "echo", json!({}))).await.unwrap();
    assert_eq!(again.status(), 400, "the id is in use");
    drop(held);
    assert_eq!(tool(&upstream, &session, 2, "seen").await["result"]["seen"], json!([]));
    tool(&upstream, &session, 3, "release").await;
    tool(&upstream, &session, 1, "echo").await;
}

#[tokio::test]
async fn when_the_child_dies_so_does_the_session() {
    let upstream = upstream();
    let session = open(&upstream).await;
    let stream = Events::of(send(&upstream, Method::GET, Some(&session), "").await.unwrap());
    let mut held = Box::pin(post(&upstream, Some(&session), legacy(1, "hold", json!({}))));
    assert!(futures_util::poll!(held.as_mut()).is_pending());
    let died = post(&upstream, Some(&session), legacy(2, "die", json!({}))).await;
    assert!(matches!(died, Err(UpstreamError::Exited)));
    assert!(matches!(held.await, Err(UpstreamError::Exited)));
    assert!(stream.rest().await.is_empty());
    let gone = post(&upstream, Some(&session), legacy(3, "echo", json!({}))).await.unwrap();
    assert_eq!(gone.status(), 404);
}

#[tokio::test]
async fn a_stream_that_had_begun_ends_with_an_error_for_its_request() {
    let upstream = upstream();
    let session = open(&upstream).await;
    let mut events =
        Events::of(post(&upstream, Some(&session), legacy("q", "ask", json!({}))).await.unwrap());
    events.message().await;
    drop(post(&upstream, Some(&session), legacy(2, "die", json!({}))).await);
    let rest = events.rest().await;
    assert_eq!((rest.len(), &rest[0]["id"], &rest[0]["error"]["code"]), (1, &json!("q"), &json!(-32603)));
}

#[tokio::test]
async fn an_unused_session_ends() {
    let settings = StdioSettings { session_idle: Duration::from_millis(50), ..settings() };
    let upstream = StdioUpstream::new("test", settings).unwrap();
    let session = open(&upstream).await;
    let stream = Events::of(send(&upstream, Method::GET, Some(&session), "").await.unwrap());
    drop(stream);
    while upstream.0.shelf.find(&named(&session)).is_ok() {
        tokio::task::yield_now().await;
    }
    assert_eq!(post(&upstream, Some(&session), legacy(1, "echo", json!({}))).await.unwrap().status(), 404);
}

fn named(session: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(headers::SESSION_ID, session.parse().unwrap());
    headers
}
