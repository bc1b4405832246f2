//! Signing in: with a browser, as a program, and again when the token has ended.

use std::sync::Arc;

use octroi_testkit::issuer::{Issuer, TokenSpec};
use octroi_testkit::upstream::sample::Sample;
use serde_json::{Value, json};

use super::door::{Door, Resource};
use super::{Owner, Program, call};
use crate::harness::{Gate, Launch, peers};
use crate::identity::sign_in::Stand;

/// A gate that wants to know who calls, and free for those it knows.
async fn gate(issuer: &Issuer, sample: &Sample) -> Gate {
    let config = format!(
        r#"
listen = "127.0.0.1:{}"
[mcp_server]
upstream = "{}"
[[mcp_server.tools]]
name = "data_query"
requires_identity = true
requires_payment = false
[mcp_server.auth.identity]
issuer = "{}"
allow_insecure_http = true
allow_private_addresses = true
"#,
        crate::harness::money::free_port(),
        sample.url(),
        issuer.url()
    );
    Launch::new(&config, &[]).start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_signs_in_with_its_secret() {
    let issuer = Issuer::start().await.unwrap();
    let sample = Sample::start().await.unwrap();
    let gate = gate(&issuer, &sample).await;
    issuer.register_client("robot", "robot's secret", &[]);
    let owner = Owner::poor();
    let credentials = ["--client-credentials", "--client-id", "robot", "--client-secret", "robot's secret"];
    let words = ["call", gate.url.as_str(), "data_query", "--arg", "query=carts"];
    let (code, out, err) = owner.run(&[&words[..], &credentials[..]].concat()).await;
    assert!(code == 0 && out.contains("north 41 carts"), "{out}{err}");
    // The token is kept: the next call asks nobody.
    let (code, out, err) = owner.run(&[&words[..], &["--sign-in"]].concat()).await;
    assert!(code == 0 && out.contains("north 41 carts"), "{out}{err}");
    let mut bridge = owner.connect(&gate.url, &credentials);
    bridge.initialize(json!({})).await;
    let reply = bridge.ask(&call(1, "data_query", json!({"query": "carts"}))).await;
    assert!(reply.to_string().contains("north 41 carts"), "{reply}");
    assert_eq!(owner.purse().await["signed_in"], json!([gate.url]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_signs_in_with_a_browser_once() {
    let issuer = Arc::new(Issuer::start().await.unwrap());
    let door = Door::open(Arc::clone(&issuer)).await;
    let sample = Sample::start().await.unwrap();
    // What the gate's metadata names is the door; it signs with the issuer's keys.
    let front = Resource::start(&door.url, sample.url()).await;
    door.state.lock().unwrap().audience = front.url.clone();
    let owner = Owner::poor();
    let start = || Program::start(&owner.words(&["connect", &front.url]), &[("OCTROI_BROWSER", browser())]);
    let query = |id| call(id, "data_query", json!({"query": "carts"}));
    let mut bridge = start();
    bridge.initialize(json!({})).await;
    assert!(bridge.ask(&query(1)).await.to_string().contains("north 41 carts"));
    assert_eq!(door.log(), ["register", "authorize", "authorization_code"]);
    // Another process of the same owner has the token already.
    let mut other = start();
    other.initialize(json!({})).await;
    assert!(other.ask(&query(1)).await.to_string().contains("north 41 carts"));
    assert!(door.log().is_empty());
    // The token is refused: it is renewed, and nobody is asked. Both processes end with the same.
    front.revoke();
    assert!(bridge.ask(&query(2)).await.to_string().contains("north 41 carts"));
    assert!(other.ask(&query(2)).await.to_string().contains("north 41 carts"));
    assert_eq!(door.log(), ["refresh_token"]);
    // The renewal is refused, too: the person is asked again, as the client that is known.
    front.revoke();
    door.state.lock().unwrap().refresh = None;
    assert!(bridge.ask(&query(3)).await.to_string().contains("north 41 carts"));
    assert_eq!(door.log(), ["refresh_token", "authorize", "authorization_code"]);
}

/// What `OCTROI_BROWSER` names: goes where it is sent, and agrees to everything.
fn browser() -> String {
    let browser = peers::node("browser.mjs");
    let (program, mut words) = (browser.as_std().get_program(), browser.as_std().get_args());
    format!("{} {}", program.to_str().unwrap(), words.next().unwrap().to_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_known_by_its_document() {
    let issuer = Arc::new(Issuer::start().await.unwrap());
    let door = Door::open(Arc::clone(&issuer)).await;
    let sample = Sample::start().await.unwrap();
    let front = Resource::start(&door.url, sample.url()).await;
    let owner = Owner::poor();
    let place = format!("{}/client.json", door.url);
    let words = ["connect", front.url.as_str(), "--client-metadata-url", &place];
    // What is to be served there is told with what clients need.
    let (code, out, _) = owner.run(&[&words[..], &["--install"]].concat()).await;
    let document = out.split("# ").find(|block| block.starts_with("The client's metadata, to be served at"));
    let document = document.and_then(|block| serde_json::from_str(block.split_once('\n')?.1).ok());
    let document: Value = document.unwrap_or_else(|| panic!("{code}: {out}"));
    assert_eq!((code, &document["client_id"]), (0, &json!(place)));
    {
        let mut state = door.state.lock().unwrap();
        (state.audience, state.document) = (front.url.clone(), Some(document));
    }
    let mut bridge = Program::start(&owner.words(&words), &[("OCTROI_BROWSER", browser())]);
    bridge.initialize(json!({})).await;
    let reply = bridge.ask(&call(1, "data_query", json!({"query": "carts"}))).await;
    assert!(reply.to_string().contains("north 41 carts"), "{reply}");
    assert_eq!(door.log(), ["authorize", "authorization_code"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_that_is_missing_is_signed_in_for() {
    let stand = Stand::open(true).await;
    let owner = Owner::poor();
    let words = owner.words(&["connect", &stand.gate.url]);
    let mut bridge = Program::start(&words, &[("OCTROI_BROWSER", browser())]);
    let hello = bridge.initialize(json!({})).await;
    assert_eq!(hello["result"]["protocolVersion"], "2025-11-25", "{hello}");
    let reply = bridge.ask(&call(1, "data_query", json!({"query": "carts"}))).await;
    assert!(reply.to_string().contains("north 41 carts"), "{reply}");
    // Refused with 403 and the scope that it takes; asked for beside those of before.
    let announce = call(2, "announce", json!({"list": "tools"}));
    let reply = bridge.ask(&announce).await;
    assert!(reply.to_string().contains("announced"), "{reply}");
    // The token is kept: another process asks nobody.
    let mut other = Program::start(&words, &[("OCTROI_BROWSER", "false".to_owned())]);
    other.initialize(json!({})).await;
    let reply = other.ask(&announce).await;
    assert!(reply.to_string().contains("announced"), "{reply}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_from_the_environment_is_used_as_it_is() {
    let issuer = Issuer::start().await.unwrap();
    let sample = Sample::start().await.unwrap();
    let gate = gate(&issuer, &sample).await;
    let owner = Owner::poor();
    let token = issuer.token(TokenSpec::new("alice", &gate.url));
    gate.secrets.add(&token);
    let words = owner.words(&["connect", &gate.url]);
    let query = call(1, "data_query", json!({"query": "carts"}));
    let mut bridge = Program::start(&words, &[("OCTROI_TOKEN", token)]);
    bridge.initialize(json!({})).await;
    let reply = bridge.ask(&query).await;
    assert!(reply.to_string().contains("north 41 carts"), "{reply}");
    // One that is refused is said, and nobody is sent to a browser.
    let mut bridge = Program::start(&words, &[("OCTROI_TOKEN", "not.a.token".to_owned())]);
    bridge.initialize(json!({})).await;
    let reply = bridge.ask(&query).await;
    assert!(reply.to_string().contains("token") && !reply.to_string().contains("north"), "{reply}");
    assert_eq!(owner.purse().await["signed_in"], json!([]));
}
