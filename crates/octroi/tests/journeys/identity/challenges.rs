//! Every form in which a caller is told that its token is missing or not good enough.

use serde_json::{Value, json};

use super::Scene;
use crate::harness::Ask;

const RULES: &str =
    "[[mcp_server.tools]]\nname = \"image_describe\"\nscopes = [\"write\", \"read\", \"mail\"]\n";

async fn scene(style: &str) -> Scene {
    let identity = format!("challenge = \"{style}\"\nscope_hierarchy = {{ write = [\"read\"] }}");
    Scene::open("default = \"free\"", &identity, RULES, "").await
}

fn describe(scene: &Scene) -> Ask {
    scene.caller.call("image_describe", json!({"url": "http://x/y.png"}))
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http() {
    let scene = scene("auto").await;
    let at = format!("resource_metadata=\"{}/.well-known/oauth-protected-resource/mcp\"", scene.gate.admin);
    let line = |reply: &crate::harness::Reply| reply.headers["www-authenticate"].to_str().unwrap().to_owned();

    let missing = describe(&scene).send().await;
    missing.refused(401, "MISSING_TOKEN");
    assert_eq!(line(&missing), format!("Bearer {at}, scope=\"write mail\""));
    let invalid = describe(&scene).bearer("no-token-at-all").send().await;
    invalid.refused(401, "INVALID_TOKEN");
    assert_eq!(
        line(&invalid),
        format!(
            "Bearer error=\"invalid_token\", error_description=\"the token is not a well-formed JWT\", {at}, \
             scope=\"write mail\""
        )
    );
    let token = scene.token(|spec| spec.scopes(&["write"]));
    let narrow = describe(&scene).bearer(&token).send().await;
    narrow.refused(403, "INSUFFICIENT_SCOPE");
    assert_eq!(narrow.data()["scopes"], json!(["write", "mail"]));
    assert_eq!(
        line(&narrow),
        format!(
            "Bearer error=\"insufficient_scope\", error_description=\"this call needs the scopes write mail\", {at}, \
             scope=\"write mail\""
        )
    );
    // Whatever a request says of its host, the metadata lies where the configuration says.
    let spoofed =
        describe(&scene).header("x-forwarded-host", "evil.example").header("forwarded", "host=evil.example");
    assert!(line(&spoofed.send().await).contains(&at));
}

/// The in-band refusal of a reply, and its challenges.
#[track_caller]
fn in_band(reply: &crate::harness::Reply, reason: &str) -> Vec<String> {
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert!(!reply.headers.contains_key("www-authenticate"), "{reply:?}");
    let result = &reply.message["result"];
    assert_eq!(
        (&result["isError"], &result["resultType"]),
        (&json!(true), &json!("complete")),
        "{}",
        reply.text
    );
    assert!(result["content"][0]["text"].as_str().is_some_and(|text| !text.is_empty()), "{}", reply.text);
    assert_eq!(result["_meta"]["dev.octroi/identity-required"]["reason"], reason, "{}", reply.text);
    let challenges = result["_meta"]["mcp/www_authenticate"].as_array().cloned().unwrap_or_default();
    challenges.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn in_band_to_those_that_do_not_see_http() {
    let scene = scene("auto").await;
    let chatgpt = || describe(&scene).header("user-agent", "openai-mcp/1.0.0");
    let challenges = in_band(&chatgpt().send().await, "MISSING_TOKEN");
    assert_eq!(challenges.len(), 1);
    assert!(challenges[0].starts_with("Bearer resource_metadata=\""), "{challenges:?}");
    let token = scene.token(|spec| spec);
    let challenges = in_band(&chatgpt().bearer(&token).send().await, "INSUFFICIENT_SCOPE");
    assert!(challenges[0].contains("error=\"insufficient_scope\""), "{challenges:?}");
    // A client that shows its token in `_meta` reads its answers there too.
    let meta =
        |token: &str| describe(&scene).meta("authorization", json!({"type": "bearer", "token": token}));
    in_band(&meta("no-token-at-all").send().await, "INVALID_TOKEN");
    in_band(&meta(&token).send().await, "INSUFFICIENT_SCOPE");
    let good = scene.token(|spec| spec.scopes(&["write", "mail"]));
    meta(&good).send().await.worked();
    scene.issuer.set_fault_everywhere(&octroi_testkit::issuer::Fault::Disconnect);
    scene.issuer.rotate_keys().unwrap();
    let unknown = scene.token(|spec| spec.scopes(&["write", "mail"]));
    let reply = meta(&unknown).send().await;
    let reason = &reply.message["result"]["_meta"]["dev.octroi/identity-required"]["reason"];
    assert!(reason == "VERIFICATION_FAILED" || reason == "INVALID_TOKEN", "{}", reply.text);
    assert_eq!(scene.sample.calls_of("image_describe"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn as_the_policy_says() {
    let always = scene("in-band").await;
    in_band(&describe(&always).send().await, "MISSING_TOKEN");
    let never = scene("http").await;
    let reply = describe(&never).header("user-agent", "openai-mcp/1.0.0").send().await;
    reply.refused(401, "MISSING_TOKEN");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_may_want_a_token_for_everything() {
    let scene =
        Scene::open("default = \"free\"", "required = true\nrequired_scopes = [\"use\"]", "", "").await;
    for method in ["tools/list", "server/discover"] {
        let reply = scene.caller.ask(method, json!({})).send().await;
        reply.refused(401, "MISSING_TOKEN");
        assert!(reply.headers["www-authenticate"].to_str().unwrap().contains("scope=\"use\""));
    }
    let token = scene.token(|spec| spec.scopes(&["use"]));
    assert_eq!(scene.caller.ask("tools/list", json!({})).bearer(&token).send().await.status, 200);
    let stream =
        scene.caller.http.get(&scene.gate.url).header("accept", "text/event-stream").send().await.unwrap();
    assert_eq!(stream.status(), 401);
}
