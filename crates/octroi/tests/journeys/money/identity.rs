//! Who calls is judged before what it costs, and a refusal says what to do next.

use octroi_testkit::issuer::TokenSpec;
use serde_json::{Value, json};

use crate::harness::{Market, Reply};

/// The only `WWW-Authenticate` line, which no payment challenge may share.
#[track_caller]
fn bearer_challenge(reply: &Reply) -> &str {
    let lines: Vec<_> = reply.headers.get_all("www-authenticate").iter().collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    let line = lines[0].to_str().unwrap();
    assert!(line.starts_with("Bearer ") && !line.contains("L402"), "{line}");
    line
}

#[tokio::test(flavor = "multi_thread")]
async fn identity_comes_before_payment() {
    let market = Market::open(&[]).await;
    let caller = &market.caller;
    let describe = || caller.call("image_describe", json!({"url": "http://x/y.png"}));

    let listed = caller.ask("tools/list", json!({})).send().await;
    let tools = listed.message["result"]["tools"].as_array().unwrap();
    let tool = |name: &str| tools.iter().find(|tool| tool["name"] == name).unwrap_or(&Value::Null);
    let price = &tool("image_describe")["_meta"]["dev.octroi/price"];
    assert_eq!((&price["msat"], &price["methods"]), (&json!(3000), &json!(["l402"])), "{price}");
    let price = &tool("data_query")["_meta"]["dev.octroi/price"];
    assert_eq!((&price["msat"], &price["methods"]), (&json!(1700), &json!(["l402", "pow"])), "{price}");
    for own in ["challenge", "verify", "status"] {
        assert_ne!(tool(own), &Value::Null, "{own} is not listed: {}", listed.text);
    }

    let reply = describe().send().await;
    let metadata = format!("{}/.well-known/oauth-protected-resource", market.gate.admin);
    reply.refused(401, "MISSING_TOKEN");
    assert!(bearer_challenge(&reply).contains(&format!("resource_metadata=\"{metadata}/mcp\"")), "{reply:?}");
    assert!(!bearer_challenge(&reply).contains("error="), "{reply:?}");
    for url in [format!("{metadata}/mcp"), metadata] {
        let document: Value = reqwest::get(&url).await.unwrap().json().await.unwrap();
        assert_eq!(document["resource"], market.gate.url, "{url}");
        assert_eq!(document["authorization_servers"], json!([market.issuer.url()]), "{url}");
    }

    let good = TokenSpec::new("alice", &market.gate.url);
    let issuer = &market.issuer;
    for (what, token) in [
        ("no token at all", "not-a-token-whatever-it-looks-like".to_owned()),
        ("expired", issuer.token(good.clone().issued_at(1_600_000_000))),
        ("for another server", issuer.token(TokenSpec::new("alice", "https://other.example.com/mcp"))),
        ("of another issuer", issuer.token(good.clone().claim("iss", "https://evil.example.com"))),
        ("unsigned", issuer.unsigned_token(good.clone())),
        ("keyed with the public key", issuer.token_keyed_with_public_key(good.clone())),
        ("signed by a stranger", issuer.token_of_a_stranger(good.clone()).unwrap()),
        ("altered", issuer.altered_token(good.clone())),
    ] {
        let reply = describe().bearer(&token).send().await;
        assert_eq!((reply.status, reply.reason()), (401, "INVALID_TOKEN"), "{what}: {}", reply.text);
        assert!(bearer_challenge(&reply).contains("error=\"invalid_token\""), "{what}: {reply:?}");
    }

    let token = market.token("alice");
    let unscoped = caller.call("announce", json!({"list": "tools"}));
    let reply = unscoped.clone().bearer(&token).send().await;
    reply.refused(403, "INSUFFICIENT_SCOPE");
    let line = bearer_challenge(&reply);
    assert!(
        line.contains("error=\"insufficient_scope\"") && line.contains("scope=\"announce:write\""),
        "{line}"
    );
    let scoped = issuer.token(good.scopes(&["announce:write"]));
    assert_eq!(unscoped.bearer(&scoped).send().await.worked(), "announced");

    let reply = describe().bearer(&token).send().await;
    reply.refused(402, "PAYMENT_REQUIRED").challenge();
    caller.call("nobody_knows", json!({})).bearer(&token).send().await.refused(403, "TOOL_FORBIDDEN");
    assert_eq!(market.sample.calls_of("image_describe"), 0);
    assert_eq!(market.sample.calls_of("nobody_knows"), 0);
}
