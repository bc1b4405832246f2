//! Debian's glewlwyd: a second implementation, in another language, by other people.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use octroi_identity::{
    CallerKind, ClientAuth, DpopConfig, DpopVerifier, IdentityConfig, InvalidToken, Provider, Secret,
    ShownProof, Verifier,
};
use octroi_testkit::issuer::{DpopKey, ProofSpec, SigningAlgorithm};
use serde_json::Value;
use url::Url;

use super::now;
use super::process::{Server, place};

const GATE: &str = "https://gate.example.test/mcp";

/// A running issuer, or `None` on a platform that has none.
async fn start() -> Option<Server> {
    let root = place("OCTROI_TEST_GLEWLWYD");
    if root == std::path::Path::new("none") {
        eprintln!("NOT TESTED: this platform has no glewlwyd");
        return None;
    }
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let private = pair.to_pkcs8v1().unwrap();
    let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    let pem = |kind: &str, der: &[u8]| {
        format!("-----BEGIN {kind} KEY-----\n{}\n-----END {kind} KEY-----\n", STANDARD.encode(der))
    };
    let variables =
        [("KEY_PEM", pem("PRIVATE", private.as_ref())), ("CERT_PEM", pem("PUBLIC", public.as_ref()))];
    Some(Server::python("glewlwyd.py", &root, variables).await)
}

async fn token(issuer: &Server, proof: Option<&str>, form: &[(&str, &str)]) -> Value {
    let mut request = reqwest::Client::new().post(format!("{}/token", issuer.url)).form(form);
    if let Some(proof) = proof {
        request = request.header("dpop", proof);
    }
    request.basic_auth("robot", Some("robot-secret")).send().await.unwrap().json().await.unwrap()
}

async fn verifier(provider: Provider, audience: &str) -> Verifier {
    Verifier::connect(IdentityConfig::new(provider, vec![audience.to_owned()])).await.unwrap()
}

fn text<'a>(answer: &'a Value, name: &str) -> &'a str {
    answer[name].as_str().unwrap_or_else(|| panic!("no {name} in {answer}"))
}

const ROBOT: [(&str, &str); 3] =
    [("grant_type", "client_credentials"), ("scope", "tools"), ("resource", GATE)];
const ALICE: [(&str, &str); 4] =
    [("grant_type", "password"), ("username", "alice"), ("password", "alice-password"), ("scope", "tools")];

#[tokio::test]
async fn its_tokens_are_read_and_bound_to_their_resource() {
    let Some(issuer) = start().await else { return };
    let robot = token(&issuer, None, &ROBOT).await;
    let at_gate = verifier(Provider::oidc(&issuer.url), GATE).await;
    let caller = at_gate.verify(text(&robot, "access_token"), now()).await.unwrap();
    assert_eq!((caller.kind, caller.client_id.as_deref()), (CallerKind::Client, Some("robot")));
    assert!(caller.scopes.has("tools") && caller.audiences == [GATE]);
    let elsewhere = [ROBOT[0], ROBOT[1], ("resource", "https://elsewhere.example.test/mcp")];
    assert_eq!(token(&issuer, None, &elsewhere).await["error"], "invalid_target");
    // Its password grant heeds no resource: `aud` is the scope then, and not ours.
    let alice = token(&issuer, None, &ALICE).await;
    let refused = at_gate.verify(text(&alice, "access_token"), now()).await.unwrap_err();
    assert_eq!(refused, InvalidToken::Audience.into());
    let by_scope = verifier(Provider::oidc(&issuer.url), "tools").await;
    let caller = by_scope.verify(text(&alice, "access_token"), now()).await.unwrap();
    assert_eq!(caller.kind, CallerKind::User);
}

#[tokio::test]
async fn its_bound_tokens_open_only_with_their_proof() {
    let Some(issuer) = start().await else { return };
    let key = DpopKey::generate(SigningAlgorithm::Es256).unwrap();
    let endpoint = format!("{}/token", issuer.url);
    let proof = key.proof(ProofSpec::new("POST", &endpoint, "", now()).claim("ath", Value::Null));
    let answer = token(&issuer, Some(&proof), &ROBOT).await;
    assert!(text(&answer, "token_type").eq_ignore_ascii_case("dpop"));
    let token = text(&answer, "access_token");
    let verifier = verifier(Provider::oidc(&issuer.url), GATE).await;
    let refused = verifier.verify(token, now()).await.unwrap_err();
    assert_eq!(refused, InvalidToken::SenderConstrained.into());
    let (dpop, url) = (DpopVerifier::new(DpopConfig::default()).unwrap(), Url::parse(GATE).unwrap());
    let proof = key.proof(ProofSpec::new("POST", GATE, token, now()));
    let shown = ShownProof { proofs: &[&proof], method: "POST", url: &url };
    assert!(verifier.verify_dpop(&dpop, token, &shown, now()).await.is_ok());
}

#[tokio::test]
async fn it_is_asked_about_its_tokens_until_they_are_revoked() {
    let Some(issuer) = start().await else { return };
    let answer = token(&issuer, None, &ALICE).await;
    let robot =
        ClientAuth::Basic { client_id: "robot".to_owned(), client_secret: Secret::new("robot-secret") };
    let asking = verifier(Provider::introspection(&issuer.url, None, robot), "tools").await;
    let alice = text(&answer, "access_token");
    let caller = asking.verify(alice, now()).await.unwrap();
    assert_eq!(caller.names.preferred_username.as_deref(), Some("alice"));
    // The refresh token that came with it is active, too, and no access token.
    assert!(asking.verify(text(&answer, "refresh_token"), now()).await.is_err());
    let revoke = reqwest::Client::new().post(format!("{}/revoke", issuer.url)).form(&[("token", alice)]);
    let revoked = revoke.basic_auth("robot", Some("robot-secret")).send().await.unwrap();
    assert!(revoked.status().is_success());
    asking.forget_all();
    assert_eq!(asking.verify(alice, now()).await.unwrap_err(), InvalidToken::Inactive.into());
}
