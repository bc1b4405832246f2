//! Tokens that are bound to a key.

use octroi_testkit::issuer::{DpopKey, ProofSpec, SigningAlgorithm};
use serde_json::json;

use super::{Scene, now};
use crate::harness::Ask;

fn status(scene: &Scene) -> Ask {
    scene.caller.call("data_query", json!({"query": "carts"}))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_token_is_good_with_a_fresh_proof_and_nothing_else() {
    let rules = "[[mcp_server.tools]]\nname = \"data_query\"\nrequires_identity = true\n";
    let scene = Scene::open("default = \"free\"", "dpop = {}", rules, "").await;
    let key = DpopKey::generate(SigningAlgorithm::Es256).unwrap();
    let bound = scene.token(|spec| spec.claim("cnf", json!({"jkt": key.thumbprint()})));
    let plain = scene.token(|spec| spec);
    let shown = |token: &str, proof: &str| {
        status(&scene).header("authorization", &format!("DPoP {token}")).header("dpop", proof)
    };
    let proof = || key.proof(ProofSpec::new("POST", &scene.gate.url, &bound, now()));

    let one = proof();
    shown(&bound, &one).send().await.worked();
    let other = DpopKey::generate(SigningAlgorithm::Es256).unwrap();
    for (what, ask) in [
        ("a proof again", shown(&bound, &one)),
        ("no proof", status(&scene).header("authorization", &format!("DPoP {bound}"))),
        ("two proofs", shown(&bound, &proof()).header("dpop", &proof())),
        ("shown as Bearer", status(&scene).bearer(&bound)),
        (
            "a plain token as DPoP",
            shown(&plain, &key.proof(ProofSpec::new("POST", &scene.gate.url, &plain, now()))),
        ),
        ("another key", shown(&bound, &other.proof(ProofSpec::new("POST", &scene.gate.url, &bound, now())))),
        ("another method", shown(&bound, &key.proof(ProofSpec::new("GET", &scene.gate.url, &bound, now())))),
        (
            "another URL",
            shown(&bound, &key.proof(ProofSpec::new("POST", "https://evil.example/mcp", &bound, now()))),
        ),
        ("another token", shown(&bound, &key.proof(ProofSpec::new("POST", &scene.gate.url, &plain, now())))),
        (
            "an old proof",
            shown(&bound, &key.proof(ProofSpec::new("POST", &scene.gate.url, &bound, now() - 900))),
        ),
    ] {
        let reply = ask.send().await;
        assert_eq!((reply.status, reply.reason()), (401, "INVALID_TOKEN"), "{what}: {}", reply.text);
        let lines: Vec<_> = reply.headers.get_all("www-authenticate").iter().collect();
        let told = lines.iter().any(|line| line.to_str().unwrap().starts_with("DPoP algs=\"ES256"));
        assert!(told, "{what}: {lines:?}");
    }
    status(&scene).bearer(&plain).send().await.worked();
    assert_eq!(scene.sample.calls_of("data_query"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_may_take_bound_tokens_only_and_ask_for_nonces() {
    let scene =
        Scene::open("default = \"identified\"", "dpop = { required = true, nonce = true }", "", "").await;
    let key = DpopKey::generate(SigningAlgorithm::Es256).unwrap();
    let bound = scene.token(|spec| spec.claim("cnf", json!({"jkt": key.thumbprint()})));
    let missing = status(&scene).send().await;
    missing.refused(401, "MISSING_TOKEN");
    let lines: Vec<_> = missing.headers.get_all("www-authenticate").iter().collect();
    assert!(lines.len() == 1 && lines[0].to_str().unwrap().starts_with("DPoP "), "{lines:?}");
    status(&scene).bearer(&scene.token(|spec| spec)).send().await.refused(401, "INVALID_TOKEN");

    let spec = || ProofSpec::new("POST", &scene.gate.url, &bound, now());
    let shown =
        |proof: &str| status(&scene).header("authorization", &format!("DPoP {bound}")).header("dpop", proof);
    let refused = shown(&key.proof(spec())).send().await;
    assert!(
        refused.headers["www-authenticate"].to_str().unwrap().contains("error=\"use_dpop_nonce\""),
        "{refused:?}"
    );
    let nonce = refused.headers["dpop-nonce"].to_str().unwrap();
    let reply = shown(&key.proof(spec().claim("nonce", nonce))).send().await;
    reply.worked();
    assert!(reply.headers.contains_key("dpop-nonce"), "the next one: {reply:?}");

    let metadata = format!("{}/.well-known/oauth-protected-resource/mcp", scene.gate.admin);
    let document: serde_json::Value = reqwest::get(&metadata).await.unwrap().json().await.unwrap();
    assert_eq!(document["dpop_bound_access_tokens_required"], true);
    assert!(document["dpop_signing_alg_values_supported"].as_array().unwrap().contains(&json!("ES256")));
}
