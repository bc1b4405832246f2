//! Several issuers in front of one server, of programs and of people, and issuers that must be asked.

use octroi_testkit::issuer::{Endpoint, Fault, Issuer, TokenSpec};
use serde_json::{Value, json};

use super::{Scene, header, now};

/// Where programs come from beside the people of the first issuer, and partners' people.
fn trusted(cluster: &Issuer, partner: &Issuer) -> String {
    format!(
        r#"
[[mcp_server.auth.identity.trusted_issuers]]
provider = "kubernetes"
issuer = "{}"
subjects = ["system:serviceaccount:prod:*"]
scopes = ["write"]
[[mcp_server.auth.identity.trusted_issuers]]
provider = "oidc"
issuer = "{}"
claims = {{ team = ["tolls"] }}
[mcp_server.auth.identity.forward]
meta = true
[[mcp_server.tools]]
name = "announce"
scopes = ["write"]
"#,
        cluster.url(),
        partner.url()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_of_a_cluster_and_people_of_two_issuers_call_the_same_server() {
    let (cluster, partner) = (Issuer::start().await.unwrap(), Issuer::start().await.unwrap());
    let scene = Scene::open("default = \"identified\"", "", &trusted(&cluster, &partner), "").await;
    let pod = |subject: &str| {
        let names = json!({"namespace": "prod", "serviceaccount": {"name": "billing", "uid": "1"}});
        TokenSpec::new(subject, &scene.gate.url)
            .header("typ", Value::Null)
            .claim("aud", json!([scene.gate.url]))
            .claim("client_id", Value::Null)
            .claim("scope", "admin")
            .claim("kubernetes.io", names)
    };
    let echo = || scene.caller.call("echo_request", json!({}));
    let announce = |token: &str| scene.caller.call("announce", json!({"list": "tools"})).bearer(token);

    let program = cluster.token(pod("system:serviceaccount:prod:billing"));
    let (headers, body) = scene.echoed(echo().bearer(&program)).await;
    let caller = &body["params"]["_meta"]["dev.octroi/caller"];
    assert_eq!(
        (&caller["sub"], &caller["kind"], &caller["iss"]),
        (&json!("system:serviceaccount:prod:billing"), &json!("workload"), &json!(cluster.url())),
        "{caller}"
    );
    assert!(!caller.to_string().contains("admin"), "what a program may do is not its own to say: {caller}");
    assert_eq!(header(&headers, "authorization"), None);
    announce(&program).send().await.worked();

    let person = scene.token(|spec| spec);
    let guest = partner.token(TokenSpec::new("bob", &scene.gate.url).claim("team", "tolls"));
    for (token, subject) in [(&person, "alice"), (&guest, "bob")] {
        let (_, body) = scene.echoed(echo().bearer(token)).await;
        assert_eq!(body["params"]["_meta"]["dev.octroi/caller"]["sub"], subject);
        announce(token).send().await.refused(403, "INSUFFICIENT_SCOPE");
    }

    let pretender = pod("system:serviceaccount:prod:billing").claim("iss", cluster.url());
    for (what, token) in [
        ("of another namespace", cluster.token(pod("system:serviceaccount:dev:billing"))),
        (
            "for another server",
            cluster.token(pod("system:serviceaccount:prod:billing").claim("aud", "other")),
        ),
        ("signed by another of the trusted", partner.token(pretender)),
        (
            "of a partner's other team",
            partner.token(TokenSpec::new("eve", &scene.gate.url).claim("team", "x")),
        ),
        ("of no team", partner.token(TokenSpec::new("eve", &scene.gate.url))),
    ] {
        let reply = echo().bearer(&token).send().await;
        assert_eq!((reply.status, reply.reason()), (401, "INVALID_TOKEN"), "{what}: {}", reply.text);
    }
    // One issuer that is down is no matter of the others.
    cluster.set_fault_everywhere(&Fault::Disconnect);
    scene.echoed(echo().bearer(&scene.token(|spec| spec.scopes(&["more"])))).await;
}

const ASKED: &str = r#"
provider = "introspection"
introspection_endpoint = "{introspection}"
client_id = "gate"
client_secret = "the-gate-s-own-secret"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_says_nothing_is_asked_about() {
    let rule = "[[mcp_server.tools]]\nname = \"announce\"\nscopes = [\"write\"]\n";
    let scene = Scene::open("default = \"identified\"", ASKED, rule, "").await;
    let query = |token: &str| scene.caller.call("data_query", json!({"query": "carts"})).bearer(token);
    let active = || {
        json!({"active": true, "iss": scene.issuer.url(), "sub": "alice", "aud": scene.gate.url, "scope": "read",
               "client_id": "agent", "exp": now() + 600})
    };
    let known = |answer: Value| {
        let token = scene.issuer.opaque_token();
        scene.issuer.set_answer(Endpoint::Introspection, &token, answer);
        token
    };
    // The issuer does not know the gate yet: that is not the caller's fault.
    let early = known(active());
    query(&early).send().await.refused(503, "VERIFICATION_FAILED");
    scene.issuer.register_client("gate", "the-gate-s-own-secret", &[]);

    let token = known(active());
    query(&token).send().await.worked();
    let asked = scene.issuer.requests(Endpoint::Introspection);
    query(&token).send().await.worked();
    assert_eq!(scene.issuer.requests(Endpoint::Introspection), asked, "the answer is remembered");
    let announce = scene.caller.call("announce", json!({"list": "tools"})).bearer(&token);
    announce.send().await.refused(403, "INSUFFICIENT_SCOPE");

    let with = |name: &str, value: Value| {
        let mut answer = active();
        answer[name] = value;
        known(answer)
    };
    for (what, token) in [
        ("unknown", scene.issuer.opaque_token()),
        ("not active", with("active", json!(false))),
        ("for another server", with("aud", json!("https://other.example.com/mcp"))),
        ("expired", with("exp", json!(1_600_000_000))),
        ("of another issuer", with("iss", json!("https://evil.example.com"))),
    ] {
        let reply = query(&token).send().await;
        assert_eq!(reply.status, 401, "{what}: {}", reply.text);
    }
    // An answer that does not say is none.
    query(&with("active", json!("true"))).send().await.refused(503, "VERIFICATION_FAILED");
    scene.issuer.set_fault(Endpoint::Introspection, Fault::Disconnect);
    query(&known(active())).send().await.refused(503, "VERIFICATION_FAILED");
    query(&token).send().await.worked();
}
