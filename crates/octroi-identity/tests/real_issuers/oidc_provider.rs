//! The npm `oidc-provider`.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use octroi_identity::{
    CallerKind, ClientAuth, DpopConfig, DpopVerifier, ExchangeConfig, ExchangeError, ExchangeForm,
    ExchangeTarget, IdentityConfig, InvalidToken, ProofError, Provider, Secret, ShownProof, Subject,
    TokenError, TokenExchange, Unverifiable, Verifier,
};
use octroi_testkit::issuer::{DpopKey, ProofSpec, SigningAlgorithm};
use serde_json::Value;
use sha2::{Digest, Sha256};
use url::Url;

use super::browser::sign_in;
use super::now;
use super::process::Server;

const GATE: &str = "https://gate.example.test/mcp";
const UPSTREAM: &str = "https://upstream.example.test/mcp";
const OPAQUE: &str = "https://opaque.example.test/mcp";
const CALLBACK: &str = "http://127.0.0.1/callback";

struct Scene {
    idp: Server,
    verifier: Verifier,
}

async fn scene() -> Scene {
    let idp = Server::node("oidc-provider.mjs").await;
    let verifier = verifier(Provider::oidc(&idp.url), GATE).await;
    Scene { idp, verifier }
}

async fn verifier(provider: Provider, audience: &str) -> Verifier {
    Verifier::connect(IdentityConfig::new(provider, vec![audience.to_owned()])).await.unwrap()
}

impl Scene {
    /// The answer of the token endpoint.
    async fn token(&self, client: Option<(&str, &str)>, proof: Option<&str>, form: &[(&str, &str)]) -> Value {
        let mut request = reqwest::Client::new().post(format!("{}/token", self.idp.url)).form(form);
        if let Some((id, secret)) = client {
            request = request.basic_auth(id, Some(secret));
        }
        if let Some(proof) = proof {
            request = request.header("dpop", proof);
        }
        request.send().await.unwrap().json().await.unwrap()
    }

    async fn robot(&self, resource: &str) -> Value {
        let form = [("grant_type", "client_credentials"), ("resource", resource), ("scope", "tools:call")];
        self.token(Some(("robot", "robot-secret")), None, &form).await
    }

    /// Code and PKCE (RFC 7636) for one resource (RFC 8707), by a person who signs in.
    async fn alice(&self, proof: Option<&str>) -> Value {
        let verifier = "a-verifier-of-at-least-forty-three-characters-0123456789";
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));
        let mut start = Url::parse(&format!("{}/auth", self.idp.url)).unwrap();
        start.query_pairs_mut().extend_pairs([
            ("client_id", "agent"),
            ("response_type", "code"),
            ("redirect_uri", CALLBACK),
            ("scope", "openid tools:call tools:admin"),
            ("resource", GATE),
            ("state", "some-state"),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ]);
        let back = sign_in(start, CALLBACK).await;
        assert_eq!((&back["state"], &back["iss"]), (&"some-state".to_owned(), &self.idp.url));
        let form = [
            ("grant_type", "authorization_code"),
            ("client_id", "agent"),
            ("code", back["code"].as_str()),
            ("redirect_uri", CALLBACK),
            ("code_verifier", verifier),
            ("resource", GATE),
        ];
        self.token(None, proof, &form).await
    }
}

fn text<'a>(answer: &'a Value, name: &str) -> &'a str {
    answer[name].as_str().unwrap_or_else(|| panic!("no {name} in {answer}"))
}

fn gate() -> ClientAuth {
    ClientAuth::Basic { client_id: "gate".to_owned(), client_secret: Secret::new("gate-secret") }
}

#[tokio::test]
async fn a_robot_s_token_is_for_one_resource() {
    let scene = scene().await;
    let answer = scene.robot(GATE).await;
    let caller = scene.verifier.verify(text(&answer, "access_token"), now()).await.unwrap();
    assert_eq!((caller.kind, caller.client_id.as_deref()), (CallerKind::Client, Some("robot")));
    assert_eq!(caller.scopes.iter().collect::<Vec<_>>(), ["tools:call"]);
    assert_eq!(caller.audiences, [GATE]);
    let elsewhere = verifier(Provider::oidc(&scene.idp.url), UPSTREAM).await;
    let refused = elsewhere.verify(text(&answer, "access_token"), now()).await.unwrap_err();
    assert_eq!(refused, InvalidToken::Audience.into());
    assert_eq!(scene.robot("https://unknown.example.test/").await["error"], "invalid_target");
}

#[tokio::test]
async fn a_person_signs_in_and_the_id_token_opens_nothing() {
    let scene = scene().await;
    let answer = scene.alice(None).await;
    let caller = scene.verifier.verify(text(&answer, "access_token"), now()).await.unwrap();
    assert_eq!((caller.kind, caller.subject.as_str()), (CallerKind::User, "alice"));
    assert_eq!(caller.client_id.as_deref(), Some("agent"));
    assert!(caller.scopes.has_all(&["tools:call", "tools:admin"]));
    assert!(scene.verifier.verify(text(&answer, "id_token"), now()).await.is_err());
}

#[tokio::test]
async fn a_bound_token_opens_only_with_its_proof() {
    let scene = scene().await;
    let key = DpopKey::generate(SigningAlgorithm::Es256).unwrap();
    let endpoint = format!("{}/token", scene.idp.url);
    let proof = key.proof(ProofSpec::new("POST", &endpoint, "", now()).claim("ath", Value::Null));
    let answer = scene.alice(Some(&proof)).await;
    assert_eq!(answer["token_type"], "DPoP");
    let token = text(&answer, "access_token");
    let refused = scene.verifier.verify(token, now()).await.unwrap_err();
    assert_eq!(refused, InvalidToken::SenderConstrained.into());
    let (dpop, url) = (DpopVerifier::new(DpopConfig::default()).unwrap(), Url::parse(GATE).unwrap());
    let show = async |proof: &str| {
        let shown = ShownProof { proofs: &[proof], method: "POST", url: &url };
        scene.verifier.verify_dpop(&dpop, token, &shown, now()).await
    };
    let proof = key.proof(ProofSpec::new("POST", GATE, token, now()));
    assert_eq!(show(&proof).await.unwrap().subject, "alice");
    assert_eq!(show(&proof).await.unwrap_err(), ProofError::Replayed.into());
    let thief = DpopKey::generate(SigningAlgorithm::Es256).unwrap();
    let stolen = thief.proof(ProofSpec::new("POST", GATE, token, now()));
    assert_eq!(show(&stolen).await.unwrap_err(), InvalidToken::OtherKey.into());
}

#[tokio::test]
async fn the_gate_gets_a_token_for_the_server_behind() {
    let scene = scene().await;
    let answer = scene.alice(None).await;
    let token = text(&answer, "access_token");
    let caller = scene.verifier.verify(token, now()).await.unwrap();
    let config = ExchangeConfig::new(&scene.idp.url, ExchangeForm::TokenExchange, gate());
    let exchange = TokenExchange::new(config).unwrap();
    let subject = Subject { token, caller: &caller, proven: false };
    let target = |resource: &str| ExchangeTarget {
        audience: None,
        resource: Some(resource.to_owned()),
        scopes: vec!["records:read".to_owned()],
    };
    let behind = exchange.exchange(subject, &target(UPSTREAM), now()).await.unwrap();
    let upstream = verifier(Provider::oidc(&scene.idp.url), UPSTREAM).await;
    let seen = upstream.verify(behind.token.reveal(), now()).await.unwrap();
    assert_eq!((seen.subject.as_str(), seen.client_id.as_deref()), ("alice", Some("gate")));
    assert_eq!(seen.act[0].subject.as_deref(), Some("gate"));
    assert_eq!(seen.scopes.iter().collect::<Vec<_>>(), ["records:read"]);
    let denied = exchange.exchange(subject, &target("https://unknown.example.test/"), now()).await;
    assert_eq!(denied.unwrap_err(), ExchangeError::Denied);
    let forged = Subject { token: "x.y.z", ..subject };
    let refused = exchange.exchange(forged, &target(UPSTREAM), now()).await.unwrap_err();
    assert_eq!(refused, ExchangeError::SubjectRefused);
}

#[tokio::test]
async fn an_opaque_token_is_asked_about_and_can_be_revoked() {
    let scene = scene().await;
    let answer = scene.robot(OPAQUE).await;
    let token = text(&answer, "access_token");
    let asking = verifier(Provider::introspection(&scene.idp.url, None, gate()), OPAQUE).await;
    let caller = asking.verify(token, now()).await.unwrap();
    assert_eq!((caller.client_id.as_deref(), caller.scopes.has("tools:call")), (Some("robot"), true));
    let form = [("token", token)];
    let revocation = reqwest::Client::new().post(format!("{}/token/revocation", scene.idp.url));
    let revoked = revocation.basic_auth("robot", Some("robot-secret")).form(&form).send().await.unwrap();
    assert!(revoked.status().is_success());
    asking.forget_all();
    assert_eq!(asking.verify(token, now()).await.unwrap_err(), InvalidToken::Inactive.into());
}

#[tokio::test]
async fn rotation_and_outage() {
    const UNAVAILABLE: TokenError = TokenError::Unverifiable(Unverifiable::IssuerUnavailable);
    let mut scene = scene().await;
    let start = now();
    let old = scene.robot(GATE).await;
    let old = text(&old, "access_token");
    scene.verifier.verify(old, start).await.unwrap();
    let rotated = reqwest::get(format!("{}/rotate", scene.idp.url)).await.unwrap();
    assert!(rotated.status().is_success());
    let new = scene.robot(GATE).await;
    let new = text(&new, "access_token");
    // The keys were fetched a moment ago; a little later the unknown one is looked for.
    assert_eq!(scene.verifier.verify(new, start).await.unwrap_err(), InvalidToken::UnknownKey.into());
    scene.verifier.verify(new, start + 10).await.unwrap();
    // Its key has left: what was remembered of the old one is gone.
    assert_eq!(scene.verifier.cached(old, start + 10), None);
    assert_eq!(scene.verifier.verify(old, start + 10).await.unwrap_err(), InvalidToken::UnknownKey.into());

    scene.idp.crash().await;
    let config = IdentityConfig::new(Provider::oidc(&scene.idp.url), vec![GATE.to_owned()]);
    let late = Verifier::connect(config).await.unwrap();
    assert_eq!(late.verify(new, start + 20).await.unwrap_err(), UNAVAILABLE);
    // Who has the keys goes on for a while, and no longer.
    scene.verifier.forget_all();
    assert!(scene.verifier.verify(new, start + 20).await.is_ok());
    assert_eq!(scene.verifier.verify(new, start + 10 + 3600).await.unwrap_err(), UNAVAILABLE);
}
