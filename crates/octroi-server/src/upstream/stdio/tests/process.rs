//! Children that misbehave, and their end.

use super::*;

#[tokio::test]
async fn a_crash_loop_is_slowed_down_for_both_eras() {
    let settings = StdioSettings { env: vec![("CRASH".into(), "1".into())], ..settings() };
    let upstream = StdioUpstream::new("test", settings).unwrap();
    assert!(matches!(post(&upstream, None, modern(1, "echo", json!({}))).await, Err(UpstreamError::Exited)));
    let busy = loop {
        // The death is written down a moment after its callers are told.
        match post(&upstream, None, modern(2, "echo", json!({}))).await {
            Ok(busy) => break busy,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    assert_eq!(busy.status(), 503);
    let seconds: u64 = busy.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((29..=60).contains(&seconds), "{seconds}");
    assert_eq!(body(busy).await["id"], 2);
    let message = json!({"jsonrpc": "2.0", "id": 3, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}});
    assert_eq!(post(&upstream, None, message).await.unwrap().status(), 503);
}

#[tokio::test]
async fn a_program_that_cannot_start_is_not_tried_again_and_again() {
    let settings = StdioSettings { command: vec!["/nonexistent/program".into()], ..settings() };
    let upstream = StdioUpstream::new("test", settings).unwrap();
    assert!(matches!(
        post(&upstream, None, modern(1, "echo", json!({}))).await,
        Err(UpstreamError::Spawn(_))
    ));
    assert_eq!(post(&upstream, None, modern(1, "echo", json!({}))).await.unwrap().status(), 503);
    assert_eq!(
        StdioUpstream::new("test", StdioSettings { command: vec![], ..self::settings() }).unwrap_err(),
        SettingsError::Command
    );
}

#[tokio::test]
async fn a_dead_shared_child_is_started_again() {
    let settings = StdioSettings { restart_min: Duration::ZERO, restart_max: Duration::ZERO, ..settings() };
    let upstream = StdioUpstream::new("test", settings).unwrap();
    let before = body(post(&upstream, None, modern(1, "echo", json!({}))).await.unwrap()).await;
    assert!(matches!(post(&upstream, None, modern(1, "die", json!({}))).await, Err(UpstreamError::Exited)));
    let after = body(post(&upstream, None, modern(1, "echo", json!({}))).await.unwrap()).await;
    assert_ne!(before["result"]["pid"], after["result"]["pid"]);
}

#[tokio::test]
async fn too_long_a_line_ends_the_child() {
    let upstream = upstream();
    assert!(matches!(post(&upstream, None, modern(1, "long", json!({}))).await, Err(UpstreamError::Exited)));
}

#[tokio::test]
async fn what_is_no_message_is_ignored() {
    let upstream = upstream();
    let reply = body(post(&upstream, None, modern(1, "junk", json!({}))).await.unwrap()).await;
    assert_eq!(reply["id"], 1);
}

#[tokio::test]
async fn a_slow_reader_loses_only_its_own_stream() {
    let upstream = upstream();
    let mut message = modern(1, "flood", json!({}));
    message["params"]["_meta"]["progressToken"] = 1.into();
    let mut slow = Events::of(post(&upstream, None, message).await.unwrap());
    // Nobody reads `slow` meanwhile, and yet this is answered.
    let other = body(post(&upstream, None, modern(2, "echo", json!({}))).await.unwrap()).await;
    assert_eq!(other["id"], 2);
    let end = loop {
        match slow.next().await {
            Some(Ok(_)) => {}
            end => break end,
        }
    };
    assert!(matches!(end, Some(Err(UpstreamError::Lagged))));
    assert!(slow.next().await.is_none());
}

#[tokio::test]
async fn silence_is_bounded_and_cancels() {
    let settings = StdioSettings { first_byte_timeout: Duration::from_millis(300), ..settings() };
    let upstream = StdioUpstream::new("test", settings).unwrap();
    let silent = post(&upstream, None, modern(1, "hold", json!({}))).await;
    assert!(matches!(silent, Err(UpstreamError::FirstByteTimeout { .. })));
    assert_eq!(upstream.0.shared.waiting(), 0);
}

#[tokio::test]
async fn a_stubborn_child_is_killed_with_its_descendants() {
    let upstream = upstream();
    let reply = body(post(&upstream, None, modern(1, "stubborn", json!({}))).await.unwrap()).await;
    let (child, grandchild) = (&reply["result"]["pid"], &reply["result"]["grandchild"]);
    assert!(runs(child) && runs(grandchild));
    upstream.shutdown().await;
    assert!(!runs(child));
    // Nobody here can wait for it: it dies of the signal when its turn comes.
    let gone = async {
        while runs(grandchild) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), gone).await.unwrap();
    assert!(matches!(post(&upstream, None, modern(1, "echo", json!({}))).await, Err(UpstreamError::Exited)));
}

#[tokio::test]
async fn dropping_the_upstream_ends_its_children() {
    let upstream = upstream();
    let reply = body(post(&upstream, None, modern(1, "echo", json!({}))).await.unwrap()).await;
    let tasks = upstream.0.nursery.tasks.clone();
    drop(upstream);
    tasks.close();
    tasks.wait().await;
    assert!(!runs(&reply["result"]["pid"]));
}

#[tokio::test]
async fn the_environment_is_cleared() {
    let settings = StdioSettings { env: vec![("CONFIGURED".into(), "yes".into())], ..settings() };
    let upstream = StdioUpstream::new("test", settings.clone()).unwrap();
    let reply = body(post(&upstream, None, modern(1, "echo", json!({}))).await.unwrap()).await;
    let names: Vec<String> = serde_json::from_value(reply["result"]["env"].clone()).unwrap();
    assert!(names.contains(&"CONFIGURED".to_owned()) && names.contains(&"PATH".to_owned()));
    assert!(!names.iter().any(|name| name.starts_with("CARGO_MANIFEST")), "{names:?}");
    let shown = format!("{settings:?}");
    assert!(shown.contains("CONFIGURED") && !shown.contains("yes"), "{shown}");
}

#[tokio::test]
async fn bad_bodies_are_refused() {
    let upstream = upstream();
    for bad in ["", "[]", "{", r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#] {
        assert_eq!(send(&upstream, Method::POST, None, bad).await.unwrap().status(), 400);
    }
    let unsupported = r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2030-01-01"}}}"#;
    let response = send(&upstream, Method::POST, None, unsupported).await.unwrap();
    assert_eq!(response.status(), 400);
    assert_eq!(body(response).await["error"]["code"], -32022);
}
