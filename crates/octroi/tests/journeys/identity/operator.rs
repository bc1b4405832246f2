//! What an operator tells a running gate with `octroi identity`.

use std::process::Command;

use serde_json::json;

use super::{Scene, header};

/// Runs `octroi identity` on the gate: the exit code, and what it says where that belongs.
async fn identity(scene: &Scene, words: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_octroi"));
    command.arg("identity").args(words).args(["--admin", &scene.gate.admin]);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = if output.status.success() { output.stdout } else { output.stderr };
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_revoked_is_refused_from_the_next_call_on() {
    let scene = Scene::open("default = \"identified\"", "", "", "").await;
    let query = |token: &str| scene.caller.call("data_query", json!({"query": "carts"})).bearer(token);
    let (leaked, other) = (scene.token(|spec| spec), scene.token(|spec| spec.scopes(&["read"])));
    let bob = scene.token(|spec| spec.claim("sub", "bob"));
    for token in [&leaked, &other, &bob] {
        query(token).send().await.worked();
    }

    // A token is named by what stands in a file, and does not travel.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("leaked.jwt");
    std::fs::write(&file, format!("{leaked}\n")).unwrap();
    let named = format!("file:{}", file.display());
    assert_eq!(identity(&scene, &["revoke", "--token", &named]).await, (Some(0), "revoked\n".to_owned()));
    query(&leaked).send().await.refused(401, "INVALID_TOKEN");
    query(&other).send().await.worked();

    let alice = ["revoke", "--issuer", scene.issuer.url(), "--subject", "alice"];
    assert_eq!(identity(&scene, &alice).await, (Some(0), "revoked\n".to_owned()));
    query(&other).send().await.refused(401, "INVALID_TOKEN");
    query(&bob).send().await.worked();

    assert_eq!(identity(&scene, &["forget"]).await, (Some(0), "forgotten\n".to_owned()));
    query(&bob).send().await.worked();
    query(&leaked).send().await.refused(401, "INVALID_TOKEN");

    let (code, said) = identity(&scene, &["revoke", "--token-sha256", "1234"]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("64 hexadecimal digits"), "{said}");
    for wrong in
        [vec!["revoke"], vec!["revoke", "--subject", "alice"], [&alice[..], &["--token", &named]].concat()]
    {
        let (code, said) = identity(&scene, &wrong).await;
        assert_eq!(code, Some(2), "{wrong:?}: {said}");
    }
    let (code, said) = identity(&scene, &["rotate"]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("signs no statements"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_is_published_before_it_signs() {
    let forward = "[mcp_server.auth.identity.forward]\njwt = true\njwt_audience = \"the-server\"\n";
    let scene = Scene::open("default = \"free\"", "", forward, "").await;
    let keys = async || -> Vec<String> {
        let url = format!("{}/.well-known/octroi/callers.json", scene.gate.admin);
        let published: serde_json::Value = reqwest::get(url).await.unwrap().json().await.unwrap();
        let keys = published["keys"].as_array().unwrap();
        keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    };
    let before = keys().await;
    let (code, said) = identity(&scene, &["rotate"]).await;
    assert_eq!(code, Some(0), "{said}");
    let after = keys().await;
    assert_eq!((before.len(), after.len()), (1, 2));
    assert!(after.contains(&before[0]));
    let (headers, _) =
        scene.echoed(scene.caller.call("echo_request", json!({})).bearer(&scene.token(|spec| spec))).await;
    let statement = header(&headers, "octroi-caller").unwrap();
    let head = statement.split('.').next().unwrap();
    let head = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, head).unwrap();
    let head: serde_json::Value = serde_json::from_slice(&head).unwrap();
    assert_eq!(head["kid"], before[0].as_str(), "servers have not seen the new one yet");
}
