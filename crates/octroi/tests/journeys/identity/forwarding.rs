//! What the server behind the gate learns of its callers, and that it learns it from the gate alone.

use std::time::Duration;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use octroi_identity::{IdentityConfig, Provider, TokenType, Verifier};
use octroi_testkit::issuer::{Endpoint, Fault};
use serde_json::{Value, json};

use super::{Scene, header, now};
use crate::harness::{Launch, soon};

const FORWARD: &str = r#"
[mcp_server.auth.identity.forward]
jwt = true
jwt_audience = "the-server"
meta = true
auth_user = true
headers = { x-user = "subject", x-roles = "roles", x-mail = "verified_email" }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_is_introduced_by_the_gate_and_by_nobody_else() {
    let scene = Scene::open("default = \"free\"", "", FORWARD, "").await;
    let token = scene
        .token(|spec| spec.scopes(&["read"]).claim("roles", json!(["editor"])).claim("given_name", "Alice"));
    let spoofed = || {
        scene
            .caller
            .call("echo_request", json!({}))
            .header("octroi-caller", "eyJhbGciOiJub25lIn0.e30.")
            .header("x-user", "root")
            .header("x-roles", "admin")
            .header("x-mail", "root@acme.example")
            .meta("dev.octroi/caller", json!({"sub": "root"}))
            .meta("authUser", json!({"sub": "root"}))
    };

    let (headers, body) = scene.echoed(spoofed().bearer(&token)).await;
    assert_eq!(header(&headers, "x-user"), Some("alice"));
    assert_eq!(header(&headers, "x-roles"), Some("editor"));
    assert_eq!((header(&headers, "x-mail"), header(&headers, "authorization")), (None, None));
    let meta = &body["params"]["_meta"];
    assert_eq!(
        (&meta["dev.octroi/caller"]["sub"], &meta["authUser"]["sub"]),
        (&json!("alice"), &json!("alice"))
    );
    assert_eq!(meta["authUser"]["firstName"], "Alice");
    assert!(meta["io.modelcontextprotocol/protocolVersion"].is_string(), "everything else stays: {body}");
    assert!(!body.to_string().contains(&token) && !headers.to_string().contains(&token));

    // A server checks the statement with the keys that the gate publishes.
    let keys = format!("{}/.well-known/octroi/callers.json", scene.gate.admin);
    let mut provider = Provider::jwks(&scene.gate.admin, &keys);
    provider.types = vec![TokenType::Other("octroi-caller+jwt".to_owned())];
    let verifier =
        Verifier::connect(IdentityConfig::new(provider, vec!["the-server".to_owned()])).await.unwrap();
    let statement = header(&headers, "octroi-caller").unwrap();
    let caller = verifier.verify(statement, now()).await.unwrap();
    assert_eq!(caller.subject, "alice");
    assert!(caller.expires_at <= now() + 60);

    // Nobody is introduced as nobody, whatever was claimed.
    let (headers, body) = scene.echoed(spoofed()).await;
    for name in ["octroi-caller", "x-user", "x-roles", "x-mail"] {
        assert_eq!(header(&headers, name), None, "{name}");
    }
    let meta = &body["params"]["_meta"];
    assert_eq!((&meta["dev.octroi/caller"], &meta["authUser"]), (&Value::Null, &Value::Null));

    let metadata = format!("{}/.well-known/oauth-protected-resource/mcp", scene.gate.admin);
    let document: Value = reqwest::get(&metadata).await.unwrap().json().await.unwrap();
    assert_eq!(document["jwks_uri"], keys);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_forwarding_what_a_caller_claims_is_taken_off_all_the_same() {
    let scene = Scene::open("default = \"free\"", "", "", "").await;
    let ask = scene.caller.call("echo_request", json!({})).meta("dev.octroi/caller", json!({"sub": "root"}));
    let (headers, body) = scene.echoed(ask.header("octroi-caller", "x")).await;
    assert_eq!(header(&headers, "octroi-caller"), None);
    assert_eq!(body["params"]["_meta"]["dev.octroi/caller"], Value::Null);
}

const OBO: &str = r#"
[mcp_server.auth.identity.obo]
token_endpoint = "{token_endpoint}"
client_id = "gate"
client_secret = "the-gate-s-own-secret"
audience = "https://server.example.com/mcp"
scopes = ["records:read"]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_server_gets_a_token_of_its_own_on_the_caller_s_behalf() {
    let scene = Scene::open("default = \"free\"", OBO, "", "").await;
    scene.issuer.register_client("gate", "the-gate-s-own-secret", &["records:read"]);
    let token = scene.token(|spec| spec);
    let echo = || scene.caller.call("echo_request", json!({}));

    let (headers, _) = scene.echoed(echo().bearer(&token)).await;
    let sent = header(&headers, "authorization").and_then(|line| line.strip_prefix("Bearer ")).unwrap();
    assert_ne!(sent, token);
    let audience = vec!["https://server.example.com/mcp".to_owned()];
    let verifier =
        Verifier::connect(IdentityConfig::new(Provider::oidc(scene.issuer.url()), audience)).await.unwrap();
    let caller = verifier.verify(sent, now()).await.unwrap();
    assert_eq!(
        (caller.subject.as_str(), caller.act.first().and_then(|act| act.subject.as_deref())),
        ("alice", Some("gate"))
    );
    assert!(caller.scopes.has("records:read"));
    // The exchange is remembered, and who shows no token causes none.
    let before = scene.issuer.requests(Endpoint::Token);
    scene.echoed(echo().bearer(&token)).await;
    let (headers, _) = scene.echoed(echo()).await;
    assert_eq!((header(&headers, "authorization"), scene.issuer.requests(Endpoint::Token)), (None, before));

    // Where there is no token, the server is not called.
    let calls = scene.sample.calls_of("echo_request");
    scene.issuer.set_fault(Endpoint::Token, Fault::Status(500));
    let other = scene.token(|spec| spec.scopes(&["other"]));
    echo().bearer(&other).send().await.refused(502, "UPSTREAM_UNAVAILABLE");
    scene.issuer.set_fault(Endpoint::Token, Fault::None);
    let chain = json!({"sub": "a", "act": {"sub": "b", "act": {"sub": "c", "act": {"sub": "d", "act": {"sub": "e"}}}}});
    let handed_on = scene.token(|spec| spec.claim("act", chain));
    let reply = echo().bearer(&handed_on).send().await;
    assert_eq!((reply.status, reply.reason()), (403, "TOOL_FORBIDDEN"), "{}", reply.text);
    assert_eq!(scene.sample.calls_of("echo_request"), calls);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_whose_token_the_issuer_no_longer_takes_is_told_to_sign_in_again() {
    let scene = Scene::open("default = \"free\"", OBO, "", "").await;
    scene.issuer.register_client("gate", "the-gate-s-own-secret", &["records:read"]);
    let echo = || scene.caller.call("echo_request", json!({}));
    // The gate still has the key that the issuer withdraws.
    let (first, second) = (scene.token(|spec| spec), scene.token(|spec| spec.scopes(&["read"])));
    scene.echoed(echo().bearer(&first)).await;
    let withdrawn = scene.issuer.signing_key_id();
    scene.issuer.rotate_keys().unwrap();
    scene.issuer.withdraw_key(&withdrawn);
    let calls = scene.sample.calls_of("echo_request");
    let reply = echo().bearer(&second).send().await;
    assert_eq!((reply.status, reply.reason()), (401, "INVALID_TOKEN"), "{}", reply.text);
    let line = reply.headers["www-authenticate"].to_str().unwrap();
    assert!(
        line.starts_with("Bearer error=\"invalid_token\"") && line.contains("resource_metadata="),
        "{line}"
    );
    assert_eq!(scene.sample.calls_of("echo_request"), calls);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gate_proves_who_it_is_by_a_key_that_never_travels() {
    const ID: &str = "the-key-of-the-gate";
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let (pem, jwk) = written(&key, ID);
    let secret = "client_secret = \"the-gate-s-own-secret\"";
    assert!(OBO.contains(secret));
    let obo = OBO.replace(secret, &format!("client_key = \"file:client-key.pem\"\nclient_key_id = \"{ID}\""));
    let keep = |launch: &Launch| std::fs::write(launch.folder().join("client-key.pem"), pem).unwrap();
    let scene = Scene::open_after("default = \"free\"", &obo, "", "", keep).await;
    let token = scene.token(|spec| spec);
    let echo = || scene.caller.call("echo_request", json!({})).bearer(&token);
    echo().send().await.refused(502, "UPSTREAM_UNAVAILABLE");
    scene.issuer.register_client_key("gate", jwk, &["records:read"]);
    let (headers, _) = scene.echoed(echo()).await;
    assert!(header(&headers, "authorization").is_some_and(|line| line.starts_with("Bearer ")));
}

/// A key as its owner keeps it (PKCS #8 in PEM), and as everybody may know it (RFC 7517).
fn written(key: &EcdsaKeyPair, id: &str) -> (String, Value) {
    let der = key.to_pkcs8v1().unwrap();
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        STANDARD.encode(der.as_ref())
    );
    let (x, y) = key.public_key().as_ref()[1..].split_at(32);
    let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
    (pem, json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "kid": id, "x": x, "y": y}))
}

/// A prepaid credential worth a satoshi.
fn voucher(launch: &Launch) -> String {
    let mut mint = std::process::Command::new(env!("CARGO_BIN_EXE_octroi"));
    mint.args(["token", "mint", "octroi.toml", "--sats", "1", "--ttl", "1h"]).current_dir(launch.folder());
    let minted = mint.output().unwrap();
    assert!(minted.status.success(), "{}", String::from_utf8_lossy(&minted.stderr));
    String::from_utf8(minted.stdout).unwrap().trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_given_again_needs_no_token_for_the_server() {
    let price = "[mcp_server.auth.payment]\npricing = { echo_request = { sats = 1 } }\n";
    let mut credential = String::new();
    let keep = |launch: &Launch| credential = voucher(launch);
    let scene = Scene::open_after("default = \"free\"", OBO, price, "", keep).await;
    scene.issuer.register_client("gate", "the-gate-s-own-secret", &["records:read"]);
    let token = scene.token(|spec| spec);
    let call = scene.caller.call("echo_request", json!({})).bearer(&token).paid(&credential);
    let call = call.header("idempotency-key", "once");
    call.send().await.worked();
    let asked = scene.issuer.requests(Endpoint::Token);
    let mut forget = std::process::Command::new(env!("CARGO_BIN_EXE_octroi"));
    forget.args(["identity", "forget", "--admin", &scene.gate.admin]);
    assert!(forget.output().unwrap().status.success());
    let again = call.send().await;
    again.worked();
    assert_eq!(again.headers["octroi-replayed"], "true");
    assert_eq!(scene.issuer.requests(Endpoint::Token), asked, "nobody was asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_forwarded_for_want_of_a_token_is_not_charged() {
    let price = "[mcp_server.auth.payment]\npricing = { echo_request = { sats = 1 } }\n";
    let mut credential = String::new();
    let keep = |launch: &Launch| credential = voucher(launch);
    let scene = Scene::open_after("default = \"free\"", OBO, price, "", keep).await;
    let token = scene.token(|spec| spec);
    let echo = || scene.caller.call("echo_request", json!({})).bearer(&token).paid(&credential);
    let ledger = async |end: &str, calls: u64| {
        soon(async {
            loop {
                let ledger = scene.gate.ledger().await;
                if ledger[end] == calls && ledger["open_holds"] == 0 {
                    return ledger;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
    };
    // The gate is no client of the issuer yet.
    for failed in 1..=2 {
        echo().send().await.refused(502, "UPSTREAM_UNAVAILABLE");
        let ledger = ledger("voided", failed).await;
        assert_eq!(
            (&ledger["captured"], &ledger["credit_msat"]),
            (&json!(0), &json!(1000)),
            "held and given back: {ledger}"
        );
    }
    assert_eq!(scene.sample.calls_of("echo_request"), 0);
    scene.issuer.register_client("gate", "the-gate-s-own-secret", &["records:read"]);
    echo().send().await.worked();
    let ledger = ledger("captured", 1).await;
    assert_eq!((&ledger["voided"], &ledger["credit_msat"]), (&json!(2), &json!(0)), "{ledger}");
    assert_eq!(scene.sample.calls_of("echo_request"), 1);
}
