//! One child for all.

use super::*;

#[tokio::test]
async fn the_same_id_of_two_callers_stays_apart() {
    let upstream = upstream();
    let first = post(&upstream, None, modern(7, "hold", json!({})));
    let second = post(&upstream, None, modern("7", "hold", json!({})));
    let third = post(&upstream, None, modern(7, "hold", json!({})));
    let release = async {
        // The calls before it are queued first: `join` polls in order, and the queue keeps it.
        post(&upstream, None, modern(8, "release", json!({}))).await
    };
    let (first, second, third, release) = tokio::join!(first, second, third, release);
    let (first, second, third) =
        (body(first.unwrap()).await, body(second.unwrap()).await, body(third.unwrap()).await);
    assert_eq!((&first["id"], &second["id"], &third["id"]), (&json!(7), &json!("7"), &json!(7)));
    let ours = [&first, &second, &third].map(|reply| reply["result"]["held"].as_u64().unwrap());
    assert!(ours[0] < ours[1] && ours[1] < ours[2], "each got its own: {ours:?}");
    assert_eq!(body(release.unwrap()).await["id"], 8);
}

#[tokio::test]
async fn everything_but_id_and_token_is_forwarded_byte_for_byte() {
    let upstream = upstream();
    let meta = r#""_meta":{"progressToken":"tok","io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;
    let message = format!(
        "{{\n \"params\" : {{\"arguments\":{{\"n\":1.50e2,\"s\":\"\\u00e9\\n\"}},\"name\":\"echo\",{meta}}},\r\n\"id\":\"\\u0061\",\"method\":\"tools/call\",\"jsonrpc\":\"2.0\"}}"
    );
    let response = send(&upstream, Method::POST, None, &message).await.unwrap();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    assert!(text.contains(r#""id": "\u0061""#), "the caller's own spelling: {text}");
    let reply: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(reply["result"]["id"], reply["result"]["token"]);
    assert!(reply["result"]["id"].is_u64());
    assert_eq!(reply["result"]["arguments"], json!({"n": 150.0, "s": "é\n"}));
}

#[tokio::test]
async fn progress_carries_the_callers_token() {
    let upstream = upstream();
    let mut message = modern(1, "progress", json!({"steps": 3}));
    message["params"]["_meta"]["progressToken"] = "mine".into();
    let events = Events::of(post(&upstream, None, message).await.unwrap()).rest().await;
    assert_eq!(events.len(), 4);
    assert!(events[..3].iter().all(|event| event["params"]["progressToken"] == "mine"));
    assert_eq!(events[3]["id"], 1);
}

#[tokio::test]
async fn what_could_be_anybodys_reaches_nobody() {
    let upstream = upstream();
    // A log message names no request; progress that was not asked for has no token of ours.
    for tool in ["log", "progress"] {
        let reply = body(post(&upstream, None, modern(1, tool, json!({}))).await.unwrap()).await;
        assert_eq!(reply["id"], 1, "{tool}");
    }
}

#[tokio::test]
async fn closing_a_request_cancels_it() {
    let upstream = upstream();
    let mut held = Box::pin(post(&upstream, None, modern("x", "hold", json!({}))));
    // Polled once: it is registered and queued, and waits.
    assert!(futures_util::poll!(held.as_mut()).is_pending());
    assert_eq!(upstream.0.shared.waiting(), 1);
    drop(held);
    assert_eq!(upstream.0.shared.waiting(), 0);
    let seen = body(post(&upstream, None, modern("y", "seen", json!({}))).await.unwrap()).await;
    assert_eq!(seen["result"]["seen"][0]["method"], "notifications/cancelled");
    assert_eq!(seen["result"]["seen"][0]["params"], json!({"requestId": 1}));
    let released = body(post(&upstream, None, modern("z", "release", json!({}))).await.unwrap()).await;
    assert_eq!(released["id"], "z", "the late reply goes nowhere");
}

#[tokio::test]
async fn a_callers_own_cancelled_notification_stays_here() {
    let upstream = upstream();
    post(&upstream, None, modern(1, "echo", json!({}))).await.unwrap();
    let mut message =
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}});
    stamp(&mut message);
    let response = post(&upstream, None, message).await.unwrap();
    assert_eq!(response.status(), 202);
    let seen = body(post(&upstream, None, modern(2, "seen", json!({}))).await.unwrap()).await;
    assert_eq!(seen["result"]["seen"], json!([]));
}

fn listen(id: impl Into<Value>) -> Value {
    let mut message =
        json!({"jsonrpc": "2.0", "id": id.into(), "method": "subscriptions/listen", "params": {}});
    stamp(&mut message);
    message
}

#[tokio::test]
async fn subscriptions_are_told_apart_and_carry_the_callers_id() {
    const ID: &str = "io.modelcontextprotocol/subscriptionId";
    let upstream = upstream();
    let mut one = Events::of(post(&upstream, None, listen("sub")).await.unwrap());
    let mut two = Events::of(post(&upstream, None, listen(5)).await.unwrap());
    assert_eq!(one.message().await["params"]["_meta"][ID], "sub");
    assert_eq!(two.message().await["params"]["_meta"][ID], 5);
    post(&upstream, None, modern(1, "announce", json!({}))).await.unwrap();
    assert_eq!(one.message().await["params"]["_meta"][ID], "sub");
    assert_eq!(two.message().await["params"]["_meta"][ID], 5);
    drop(two);
    post(&upstream, None, modern(1, "unlisten", json!({}))).await.unwrap();
    let end = one.rest().await;
    assert_eq!(end[0]["params"]["requestId"], "sub");
    assert_eq!((&end[1]["id"], &end[1]["result"]["_meta"][ID]), (&json!("sub"), &json!("sub")));
    assert_eq!(end.len(), 2);
}

#[tokio::test]
async fn errors_travel_under_their_status() {
    let upstream = upstream();
    for (code, status) in [(-32601, 404), (-32021, 400), (-32000, 200)] {
        let response = post(&upstream, None, modern(1, "fail", json!({"code": code}))).await.unwrap();
        assert_eq!(response.status(), status);
        assert_eq!(body(response).await["error"]["code"], code);
    }
}

#[tokio::test]
async fn a_server_that_asks_is_refused() {
    let upstream = upstream();
    let mut asked = Box::pin(post(&upstream, None, modern("a", "ask", json!({}))));
    assert!(futures_util::poll!(asked.as_mut()).is_pending());
    // The script takes only a result for an answer: the refusal ends it, and with it the call.
    assert!(matches!(asked.await, Err(UpstreamError::Exited)));
}

#[tokio::test]
async fn sessions_do_not_exist() {
    let upstream = upstream();
    for method in [Method::GET, Method::DELETE] {
        let mut request = Request::new(Full::new(Bytes::new()));
        *request.method_mut() = method;
        request.headers_mut().insert(headers::PROTOCOL_VERSION, "2026-07-28".parse().unwrap());
        assert_eq!(upstream.clone().oneshot(request).await.unwrap().status(), 405);
    }
    let message = json!({"jsonrpc": "2.0", "id": 1, "result": {}});
    assert_eq!(post(&upstream, None, message).await.unwrap().status(), 400);
}
