//! Scopes that contain others, roles, policies in Cedar, and lists that show each caller its own.

use octroi_testkit::issuer::TokenSpec;
use serde_json::{Value, json};

use super::Scene;
use crate::harness::Caller;

const RULES: &str = r#"
[[mcp_server.tools]]
name = "image_describe"
scopes = ["read"]
[[mcp_server.tools]]
name = "announce"
roles = ["editor", "admin"]
organisations = ["acme"]
[mcp_server.auth.cedar]
policies = "policies.cedar"
arguments = { data_query = { query = "String" } }
"#;

const POLICIES: &str = r#"
permit (principal, action, resource);

@advice("salaries are for the board")
forbid (principal, action == Action::"call", resource == Tool::"data_query")
when { context.arguments has query && context.arguments.query like "*salaries*" }
unless { principal in Group::"board" };

forbid (principal is Anonymous, action, resource == Tool::"echo_request");
"#;

async fn scene(lists: &str) -> Scene {
    let server = format!("default = \"free\"\nlists = \"{lists}\"");
    let identity = "scope_hierarchy = { admin = [\"write\"], write = [\"read\"] }";
    Scene::open(&server, identity, RULES, POLICIES).await
}

async fn names(caller: &Caller, method: &str, token: Option<&str>) -> (Vec<String>, Value, Option<String>) {
    let ask = caller.ask(method, json!({}));
    let ask = match token {
        Some(token) => ask.bearer(token),
        None => ask,
    };
    let reply = ask.send().await;
    let cache = reply.headers.get("cache-control").map(|value| value.to_str().unwrap().to_owned());
    let tools = reply.message["result"]["tools"].as_array().cloned().unwrap_or_default();
    let names = tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect();
    (names, reply.message["result"].clone(), cache)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_caller_may_call_and_sees_what_is_its_own() {
    let scene = scene("filtered").await;
    let caller = &scene.caller;
    let editor =
        scene.token(|spec| spec.scopes(&["admin"]).claim("roles", json!(["editor"])).claim("org_id", "acme"));
    let plain = scene.token(|spec| spec);

    // A scope opens what the scopes it contains open.
    let describe = || caller.call("image_describe", json!({"url": "http://x/y.png"}));
    describe().bearer(&editor).send().await.worked();
    describe().bearer(&plain).send().await.refused(403, "INSUFFICIENT_SCOPE");
    describe().send().await.refused(401, "MISSING_TOKEN");
    // One of the roles, and the organisation.
    let announce = || caller.call("announce", json!({"list": "tools"}));
    announce().bearer(&editor).send().await.worked();
    let refused = announce().bearer(&plain).send().await;
    assert!(
        refused.refused(403, "TOOL_FORBIDDEN").text.contains("the organisation acme"),
        "{}",
        refused.text
    );
    assert!(!refused.headers.contains_key("www-authenticate"), "another token would not help: {refused:?}");
    // A policy judges by an argument, and says why.
    let query = |what: &str| caller.call("data_query", json!({"query": what})).bearer(&plain);
    query("carts").send().await.worked();
    let refused = query("salaries of all").send().await;
    assert!(
        refused.refused(403, "TOOL_FORBIDDEN").text.contains("salaries are for the board"),
        "{}",
        refused.text
    );
    let board = scene.token(|spec| spec.claim("groups", json!(["board"])));
    caller.call("data_query", json!({"query": "salaries"})).bearer(&board).send().await.worked();
    // What hides an argument from the policy does not pass either.
    for hidden in [json!({"query": ["salaries"]}), json!({"Query": "salaries"})] {
        let reply = caller.call("data_query", hidden.clone()).bearer(&plain).send().await;
        assert_eq!(reply.reason(), "INVALID_ARGUMENTS", "{hidden}: {}", reply.text);
    }
    // Nobody may echo without a token, and is asked for one.
    caller.call("echo_request", json!({})).send().await.refused(401, "MISSING_TOKEN");

    let (seen, result, cache) = names(caller, "tools/list", Some(&editor)).await;
    for tool in ["image_describe", "announce", "data_query", "echo_request"] {
        assert!(seen.iter().any(|name| name == tool), "{tool}: {seen:?}");
    }
    assert_eq!((&result["cacheScope"], &result["ttlMs"]), (&json!("private"), &json!(0)));
    assert_eq!(cache.as_deref(), Some("private"));
    let (seen, ..) = names(caller, "tools/list", Some(&plain)).await;
    assert!(!seen.iter().any(|name| name == "image_describe" || name == "announce"), "{seen:?}");
    assert!(seen.iter().any(|name| name == "data_query"), "a condition on arguments hides nothing: {seen:?}");
    let (seen, ..) = names(caller, "tools/list", None).await;
    assert!(!seen.iter().any(|name| name == "image_describe" || name == "echo_request"), "{seen:?}");
    assert_eq!(scene.sample.calls_of("announce"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_list_is_the_same_for_everybody() {
    let scene = scene("open").await;
    let (open, result, _) = names(&scene.caller, "tools/list", None).await;
    assert!(open.iter().any(|name| name == "image_describe"), "{open:?}");
    assert_ne!(result["cacheScope"], "private");
    let tools = result["tools"].as_array().unwrap();
    let describe = tools.iter().find(|tool| tool["name"] == "image_describe").unwrap();
    assert_eq!(describe["_meta"]["securitySchemes"], json!([{"type": "oauth2", "scopes": ["read"]}]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_for_the_principal_that_opened_it() {
    let scene = scene("open").await;
    let token = scene.token(|spec| spec);
    let mallory = scene.issuer.token(TokenSpec::new("mallory", &scene.gate.url));
    let session = scene.caller.initialize().await;
    let list = |session: &str| scene.caller.ask_in(session, "tools/list", json!({}));
    assert_eq!(list(&session).bearer(&token).send().await.status, 200, "alice goes on with her session");
    for stolen in [list(&session).bearer(&mallory), list(&session)] {
        let reply = stolen.send().await;
        assert_eq!((reply.status, &reply.message["error"]["code"]), (404, &json!(-32001)), "{}", reply.text);
    }
    assert_eq!(list(&session).bearer(&token).send().await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_revokes_is_refused_at_once() {
    let scene = scene("open").await;
    let token = scene.token(|spec| spec.scopes(&["read"]));
    let describe = || scene.caller.call("image_describe", json!({"url": "http://x/y.png"})).bearer(&token);
    describe().send().await.worked();
    let http = reqwest::Client::new();
    let revoke =
        |body: Value| http.post(format!("{}/identity/revoke", scene.gate.admin)).body(body.to_string());
    let from_a_page =
        revoke(json!({"token": token})).header("origin", "https://evil.example").send().await.unwrap();
    assert_eq!(from_a_page.status(), 404, "no web page speaks for the operator");
    describe().send().await.worked();
    assert_eq!(revoke(json!({"nonsense": 1})).send().await.unwrap().status(), 400);
    let subject = json!({"issuer": scene.issuer.url(), "subject": "alice"});
    assert_eq!(revoke(subject).send().await.unwrap().status(), 200);
    describe().send().await.refused(401, "INVALID_TOKEN");
    let bob = scene.issuer.token(TokenSpec::new("bob", &scene.gate.url).scopes(&["read"]));
    let asks = || scene.caller.call("image_describe", json!({"url": "http://x/y.png"})).bearer(&bob);
    asks().send().await.worked();
    assert_eq!(revoke(json!({"token": bob})).send().await.unwrap().status(), 200);
    asks().send().await.refused(401, "INVALID_TOKEN");
}
