//! Proofs of possession (RFC 9449): what is accepted once, and everything that is not.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use octroi_identity::{
    Algorithm, DpopConfig, DpopVerifier, IdentityConfig, InvalidToken, ProofError, Provider, ShownProof,
    TokenError, Unverifiable, Verifier,
};
use octroi_testkit::issuer::{DpopKey, Issuer, ProofSpec, SigningAlgorithm, TokenSpec};
use serde_json::{Value, json};
use url::Url;

const AUDIENCE: &str = "https://gate.example/mcp";
/// The time of every check, seconds since the Unix epoch.
const NOW: u64 = 1_900_000_000;

struct Scene {
    issuer: Issuer,
    verifier: Verifier,
    dpop: DpopVerifier,
    key: DpopKey,
    url: Url,
}

impl Scene {
    async fn new(config: DpopConfig) -> Self {
        let issuer = Issuer::start().await.unwrap();
        let identity = IdentityConfig::new(Provider::oidc(issuer.url()), vec![AUDIENCE.to_owned()]);
        Self {
            verifier: Verifier::connect(identity).await.unwrap(),
            issuer,
            dpop: DpopVerifier::new(config).unwrap(),
            key: DpopKey::generate(SigningAlgorithm::Es256).unwrap(),
            url: Url::parse(AUDIENCE).unwrap(),
        }
    }

    /// A token bound to the key.
    fn token(&self) -> String {
        self.token_bound(json!({ "jkt": self.key.thumbprint() }))
    }

    fn token_bound(&self, cnf: Value) -> String {
        self.issuer.token(TokenSpec::new("alice", AUDIENCE).issued_at(NOW).claim("cnf", cnf))
    }

    fn proof(&self, token: &str) -> ProofSpec {
        ProofSpec::new("POST", AUDIENCE, token, NOW)
    }

    async fn shown(&self, token: &str, proofs: &[&str]) -> Result<(), TokenError> {
        let shown = ShownProof { proofs, method: "POST", url: &self.url };
        self.verifier.verify_dpop(&self.dpop, token, &shown, NOW).await.map(|caller| {
            assert!(caller.subject == "alice" && caller.is_sender_constrained());
        })
    }
}

#[tokio::test]
async fn a_bound_token_is_good_with_its_proof_and_each_proof_once() {
    let scene = Scene::new(DpopConfig::default()).await;
    let token = scene.token();
    let first = scene.key.proof(scene.proof(&token));
    assert_eq!(scene.shown(&token, &[&first]).await, Ok(()));
    assert_eq!(scene.shown(&token, &[&first]).await, Err(ProofError::Replayed.into()));
    // The token is remembered by then; the proof is checked all the same.
    let second = scene.key.proof(scene.proof(&token));
    assert_eq!(scene.shown(&token, &[&second]).await, Ok(()));
    // And it is never good as a bearer token.
    assert_eq!(scene.verifier.cached(&token, NOW), None);
    let refused = scene.verifier.verify(&token, NOW).await.unwrap_err();
    assert_eq!(refused, InvalidToken::SenderConstrained.into());
}

#[tokio::test]
async fn proofs_of_every_accepted_algorithm() {
    let config = DpopConfig { algorithms: Algorithm::ALL.to_vec(), ..DpopConfig::default() };
    let mut scene = Scene::new(config).await;
    for algorithm in SigningAlgorithm::ALL {
        scene.key = DpopKey::generate(algorithm).unwrap();
        let token = scene.token();
        let proof = scene.key.proof(scene.proof(&token));
        assert_eq!(scene.shown(&token, &[&proof]).await, Ok(()), "{algorithm:?}");
    }
}

#[tokio::test]
async fn a_proof_for_something_else_is_refused() {
    use ProofError::*;
    let scene = Scene::new(DpopConfig::default()).await;
    let token = scene.token();
    let good = || scene.proof(&token);
    let private = json!({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "d": "AA"});
    for (spec, why) in [
        (good().header("typ", "JWT"), Type),
        (good().header("typ", Value::Null), Type),
        (good().header("alg", "none"), Algorithm),
        (good().header("alg", "HS256"), Algorithm),
        (good().header("alg", "ES512"), Algorithm),
        (good().header("crit", json!(["exp"])), Malformed),
        (good().header("jwk", Value::Null), Key),
        (good().header("jwk", private), Key),
        (good().header("jwk", json!({"kty": "oct", "k": "AA"})), Key),
        (good().claim("jti", Value::Null), Malformed),
        (good().claim("jti", ""), Malformed),
        (good().claim("jti", "x".repeat(1000)), Malformed),
        (good().claim("htm", "GET"), Method),
        (good().claim("htm", "post"), Method),
        (good().claim("htm", Value::Null), Method),
        (good().claim("htu", "https://gate.example/other"), Url),
        (good().claim("htu", "http://gate.example/mcp"), Url),
        (good().claim("htu", "https://evil.example/mcp"), Url),
        (good().claim("htu", "/mcp"), Url),
        (good().claim("htu", Value::Null), Url),
        (good().claim("ath", Value::Null), AccessToken),
        (good().claim("ath", "x"), AccessToken),
        (ProofSpec::new("POST", AUDIENCE, "another token", NOW), AccessToken),
        (good().claim("iat", NOW - 301), Time),
        (good().claim("iat", NOW + 6), Time),
        (good().claim("iat", Value::Null), Malformed),
        (good().claim("iat", "now"), Malformed),
    ] {
        let proof = scene.key.proof(spec.clone());
        assert_eq!(scene.shown(&token, &[&proof]).await, Err(why.into()), "{spec:?}");
    }
    for spec in [
        good().claim("htu", "HTTPS://GATE.EXAMPLE:443/mcp?q=1#f"),
        good().claim("iat", NOW - 300),
        good().claim("iat", NOW + 5),
    ] {
        let proof = scene.key.proof(spec.clone());
        assert_eq!(scene.shown(&token, &[&proof]).await, Ok(()), "{spec:?}");
    }
}

#[tokio::test]
async fn exactly_one_proof_signed_by_the_token_s_key() {
    let scene = Scene::new(DpopConfig::default()).await;
    let token = scene.token();
    let proof = scene.key.proof(scene.proof(&token));
    assert_eq!(scene.shown(&token, &[]).await, Err(ProofError::Missing.into()));
    assert_eq!(scene.shown(&token, &[&proof, &proof]).await, Err(ProofError::Several.into()));
    assert_eq!(scene.shown(&token, &["nonsense"]).await, Err(ProofError::Malformed.into()));
    assert_eq!(scene.shown(&token, &[&"x".repeat(9000)]).await, Err(ProofError::Malformed.into()));
    // The thief's key, which made a proof that is right by itself.
    let thief = DpopKey::generate(SigningAlgorithm::Es256).unwrap();
    let stolen = thief.proof(scene.proof(&token));
    assert_eq!(scene.shown(&token, &[&stolen]).await, Err(InvalidToken::OtherKey.into()));
    // Its signature under the right key's name.
    let (header, _) = proof.split_once('.').unwrap();
    let (_, rest) = stolen.split_once('.').unwrap();
    let mixed = format!("{header}.{rest}");
    assert_eq!(scene.shown(&token, &[&mixed]).await, Err(ProofError::Signature.into()));
    // A bearer token gains nothing by a proof.
    let plain = scene.issuer.token(TokenSpec::new("alice", AUDIENCE).issued_at(NOW));
    let with_plain = scene.key.proof(scene.proof(&plain));
    assert_eq!(scene.shown(&plain, &[&with_plain]).await, Err(InvalidToken::NotSenderConstrained.into()));
    // A certificate's thumbprint (RFC 8705) is nothing a proof can show, nor is it one when it stands beside a key's.
    let both = json!({"x5t#S256": "x", "jkt": scene.key.thumbprint()});
    for cnf in [json!({"x5t#S256": "x"}), json!({}), both] {
        let token = scene.token_bound(cnf);
        let proof = scene.key.proof(scene.proof(&token));
        assert_eq!(scene.shown(&token, &[&proof]).await, Err(InvalidToken::OtherKey.into()));
    }
    // None of all this spent the good one.
    assert_eq!(scene.shown(&token, &[&proof]).await, Ok(()));
}

#[tokio::test]
async fn a_nonce_is_asked_for_and_accepted() {
    let scene = Scene::new(DpopConfig { nonce: true, ..DpopConfig::default() }).await;
    let token = scene.token();
    let nonce = scene.dpop.nonce(NOW).unwrap();
    for spec in [scene.proof(&token), scene.proof(&token).claim("nonce", "made up")] {
        let proof = scene.key.proof(spec);
        let refused = scene.shown(&token, &[&proof]).await.unwrap_err();
        assert_eq!(refused, ProofError::Nonce.into());
        assert_eq!(ProofError::Nonce.oauth_code(), "use_dpop_nonce");
    }
    let proof = scene.key.proof(scene.proof(&token).claim("nonce", nonce));
    assert_eq!(scene.shown(&token, &[&proof]).await, Ok(()));
    assert_eq!(Scene::new(DpopConfig::default()).await.dpop.nonce(NOW), None);
}

#[tokio::test]
async fn strangers_cannot_fill_the_memory_of_proofs() {
    let scene = Scene::new(DpopConfig { replay_entries: 16, ..DpopConfig::default() }).await;
    let token = scene.token();
    // Right by themselves, but of a key that no token is bound to: they take no room.
    let stranger = DpopKey::generate(SigningAlgorithm::Es256).unwrap();
    for _ in 0..20 {
        let proof = stranger.proof(scene.proof(&token));
        assert_eq!(scene.shown(&token, &[&proof]).await, Err(InvalidToken::OtherKey.into()));
    }
    for _ in 0..2 {
        let proof = scene.key.proof(scene.proof(&token));
        assert_eq!(scene.shown(&token, &[&proof]).await, Ok(()));
    }
    // The key's own share is used up: nobody can tell a replay any more, so nothing is accepted.
    let proof = scene.key.proof(scene.proof(&token));
    let refused = scene.shown(&token, &[&proof]).await.unwrap_err();
    assert_eq!(refused, Unverifiable::TooManyProofs.into());
    assert_eq!(refused.status(), 503);
}

#[test]
fn bounds_of_the_configuration_are_kept() {
    type Change = fn(&mut DpopConfig);
    let changes: [Change; 5] = [
        |c| c.algorithms.clear(),
        |c| c.proof_seconds = 301,
        |c| c.proof_seconds = 0,
        |c| c.ahead_seconds = 61,
        |c| c.replay_entries = 1,
    ];
    for change in changes {
        let mut config = DpopConfig::default();
        change(&mut config);
        assert!(DpopVerifier::new(config).is_err());
    }
}
