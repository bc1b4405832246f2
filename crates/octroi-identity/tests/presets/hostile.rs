//! What no preset accepts, tried on every preset.

use octroi_testkit::issuer::{Issuer, TokenSpec};
use serde_json::{Value, json};

use super::golden::table;
use super::{NOW, issuer, verifier};

/// A way to spoil a good token.
type Spoil = fn(&Issuer, TokenSpec) -> String;

const SPOILS: [(&str, Spoil); 27] = [
    ("alg none", |issuer, good| issuer.unsigned_token(good)),
    ("alg None", |issuer, good| issuer.token(good.header("alg", "None"))),
    ("HMAC keyed with the public key", |issuer, good| issuer.token_keyed_with_public_key(good)),
    ("a stranger's key", |issuer, good| issuer.token_of_a_stranger(good).unwrap()),
    ("altered", |issuer, good| issuer.altered_token(good)),
    ("crit", |issuer, good| issuer.token(good.header("crit", json!(["exp"])))),
    ("alg of another family", |issuer, good| issuer.token(good.header("alg", "ES256"))),
    ("alg of another hash", |issuer, good| issuer.token(good.header("alg", "RS512"))),
    ("unknown kid", |issuer, good| issuer.token(good.header("kid", "nobody"))),
    ("kid of another type", |issuer, good| issuer.token(good.header("kid", 1))),
    ("typ of a logout token", |issuer, good| issuer.token(good.header("typ", "logout+jwt"))),
    ("typ of a proof", |issuer, good| issuer.token(good.header("typ", "dpop+jwt"))),
    ("typ of a statement", |issuer, good| issuer.token(good.header("typ", "octroi-caller+jwt"))),
    ("a name twice", |issuer, good| {
        let (header, claims) = issuer.texts(good);
        issuer.token_of_texts(&header, &claims.replacen('{', "{\"sub\":\"admin\",", 1))
    }),
    ("a name twice in the header", |issuer, good| {
        let (header, claims) = issuer.texts(good);
        issuer.token_of_texts(&header.replacen('{', "{\"alg\":\"none\",", 1), &claims)
    }),
    ("encrypted", |issuer, good| format!("{}.AAAA.AAAA", issuer.token(good))),
    ("another issuer", |issuer, good| issuer.token(good.claim("iss", "https://evil.example"))),
    ("the issuer with a slash", |issuer, good| {
        let issuer_with_slash = format!("{}/", issuer.url());
        issuer.token(good.claim("iss", issuer_with_slash))
    }),
    ("no issuer", |issuer, good| issuer.token(good.claim("iss", Value::Null))),
    ("another audience", |issuer, good| issuer.token(good.claim("aud", "https://elsewhere.example"))),
    ("an audience that is no text", |issuer, good| issuer.token(good.claim("aud", json!([1])))),
    ("expired", |issuer, good| issuer.token(good.claim("exp", NOW - 3600))),
    ("never expires", |issuer, good| issuer.token(good.claim("exp", Value::Null))),
    ("not yet", |issuer, good| issuer.token(good.claim("nbf", NOW + 3600))),
    ("from the future", |issuer, good| issuer.token(good.claim("iat", NOW + 3600))),
    ("bound to a key", |issuer, good| issuer.token(good.claim("cnf", json!({"jkt": "x"})))),
    ("an ID token's hash", |issuer, good| issuer.token(good.claim("at_hash", "x"))),
];

#[tokio::test]
async fn no_preset_accepts_a_spoiled_token() {
    let issuer = issuer().await;
    for golden in table() {
        let verifier = verifier(&issuer, &golden).await;
        let name = golden.provider.name;
        assert!(verifier.verify(&issuer.token(golden.token.clone()), NOW).await.is_ok(), "{name}");
        for (what, spoil) in SPOILS {
            let token = spoil(&issuer, golden.token.clone());
            let refused = verifier.verify(&token, NOW).await;
            assert!(
                refused.as_ref().is_err_and(|error| error.status() == 401),
                "{name}: {what}: {refused:?}"
            );
            assert_eq!(verifier.cached(&token, NOW), None, "{name}: {what}");
        }
    }
}

#[tokio::test]
async fn what_a_rule_may_stand_on_must_be_readable() {
    let issuer = issuer().await;
    for golden in table() {
        let verifier = verifier(&issuer, &golden).await;
        let provider = &golden.provider;
        let paths = provider.profile.roles.iter().chain(&provider.profile.groups);
        let scopes = provider.scope_claims.iter().map(|scope| &scope.claim);
        for path in paths.chain(scopes).map(|path| path.as_str()).filter(|path| !path.starts_with('/')) {
            let token = issuer.token(golden.token.clone().claim(path, json!([{}])));
            assert!(verifier.verify(&token, NOW).await.is_err(), "{provider}: {path}");
        }
        let too_deep = (0..6).fold(json!({"sub": "first"}), |act, _| json!({"sub": "next", "act": act}));
        for act in [too_deep, json!("gate"), json!({})] {
            let token = issuer.token(golden.token.clone().claim("act", act.clone()));
            assert!(verifier.verify(&token, NOW).await.is_err(), "{provider}: {act}");
        }
    }
}
