//! The issuer's keys over time: found, fetched once, rotated, withdrawn, out of reach.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use octroi_identity::{IdentityConfig, InvalidToken, Provider, TokenError, Unverifiable, Verifier};
use octroi_testkit::issuer::{Endpoint, Fault, Issuer, SigningAlgorithm, TokenSpec};
use serde_json::{Value, json};

const AUDIENCE: &str = "https://gate.example/mcp";
/// When each test starts, seconds since the Unix epoch.
const START: u64 = 1_900_000_000;
/// The configured times, seconds.
const FRESH: u64 = 600;
const STALE: u64 = 3600;
const MIN_REFRESH: u64 = 10;

const UNKNOWN_KEY: TokenError = TokenError::Invalid(InvalidToken::UnknownKey);
const UNAVAILABLE: TokenError = TokenError::Unverifiable(Unverifiable::IssuerUnavailable);

fn config(issuer: &Issuer) -> IdentityConfig {
    let mut config = IdentityConfig::new(Provider::oidc(issuer.url()), vec![AUDIENCE.to_owned()]);
    config.keys_fresh_seconds = FRESH;
    config.keys_stale_seconds = STALE;
    config.keys_min_refresh_seconds = MIN_REFRESH;
    config
}

async fn verifier(issuer: &Issuer) -> Verifier {
    Verifier::connect(config(issuer)).await.unwrap()
}

/// A token good for a day.
fn token(issuer: &Issuer) -> String {
    issuer.token(TokenSpec::new("alice", AUDIENCE).issued_at(START).ttl_seconds(86_400))
}

async fn verdict(verifier: &Verifier, token: &str, now: u64) -> Result<(), TokenError> {
    verifier.verify(token, now).await.map(|_| ())
}

#[tokio::test]
async fn metadata_is_looked_for_in_order() {
    let order = [
        Endpoint::AuthorizationServerMetadata,
        Endpoint::OpenidConfiguration,
        Endpoint::OpenidConfigurationBelow,
    ];
    let anothers =
        json!({"issuer": "https://evil.example", "jwks_uri": "https://evil.example/jwks"}).to_string();
    let not_here = [
        Fault::Status(404),
        Fault::Status(500),
        Fault::Text("<html>".to_owned()),
        Fault::Text("{}".to_owned()),
        Fault::Text(anothers),
        Fault::Redirect("http://127.0.0.1:1/".to_owned()),
    ];
    for fault in not_here {
        for (locations, path) in [(3, "/realms/one"), (2, ""), (2, "/")] {
            let issuer = Issuer::start_at(path).await.unwrap();
            for absent in 0..=locations {
                let verifier = verifier(&issuer).await;
                let before = order.map(|endpoint| issuer.requests(endpoint));
                let found = verdict(&verifier, &token(&issuer), START).await;
                assert_eq!(found.is_ok(), absent < locations, "{fault:?} {path} {absent}");
                for (place, endpoint) in order.into_iter().enumerate() {
                    let asked = issuer.requests(endpoint) - before[place];
                    assert_eq!(
                        asked,
                        u64::from(place <= absent && place < locations),
                        "{fault:?} {path} {absent}"
                    );
                }
                if absent < locations {
                    issuer.set_fault(order[absent], fault.clone());
                }
            }
        }
    }
}

#[tokio::test]
async fn everybody_waits_for_one_fetch() {
    let issuer = Issuer::start().await.unwrap();
    let verifier = std::sync::Arc::new(verifier(&issuer).await);
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let (verifier, token) = (std::sync::Arc::clone(&verifier), token(&issuer));
        calls.spawn(async move { verdict(&verifier, &token, START).await });
    }
    while let Some(verdict) = calls.join_next().await {
        assert_eq!(verdict.unwrap(), Ok(()));
    }
    assert_eq!(issuer.requests(Endpoint::Jwks), 1);
    assert_eq!(verifier.warm(START).await, Ok(()));
    assert_eq!(verdict(&verifier, &token(&issuer), START + FRESH - 1).await, Ok(()));
    assert_eq!(issuer.requests(Endpoint::Jwks), 1);
    assert_eq!(verdict(&verifier, &token(&issuer), START + FRESH).await, Ok(()));
    assert_eq!(issuer.requests(Endpoint::Jwks), 2);
}

#[tokio::test]
async fn a_new_key_is_picked_up_and_a_withdrawn_one_dropped() {
    let issuer = Issuer::start().await.unwrap();
    let verifier = verifier(&issuer).await;
    let old = token(&issuer);
    assert_eq!(verdict(&verifier, &old, START).await, Ok(()));

    // A key more: nothing that was good has changed.
    issuer.add_key(SigningAlgorithm::Es256).unwrap();
    let between = token(&issuer);
    let now = START + MIN_REFRESH;
    assert_eq!(verdict(&verifier, &between, now).await, Ok(()));
    assert!(verifier.cached(&old, now).is_some() && verifier.cached(&between, now).is_some());

    // All keys replaced: what they signed is good no longer, remembered or not.
    issuer.rotate_keys().unwrap();
    let new = token(&issuer);
    let now = now + MIN_REFRESH;
    assert_eq!(verdict(&verifier, &new, now).await, Ok(()));
    assert!(verifier.cached(&new, now).is_some());
    for token in [&old, &between] {
        assert!(verifier.cached(token, now).is_none());
        assert_eq!(verdict(&verifier, token, now).await, Err(UNKNOWN_KEY));
    }
}

#[tokio::test]
async fn a_key_that_changed_under_its_name_is_another_key() {
    let issuer = Issuer::start().await.unwrap();
    let verifier = verifier(&issuer).await;
    let old = token(&issuer);
    assert_eq!(verdict(&verifier, &old, START).await, Ok(()));
    let stolen = issuer.signing_key_id();
    issuer.rotate_keys().unwrap();
    let mut key_set = issuer.key_set();
    key_set["keys"][0]["kid"] = json!(stolen);
    issuer.publish_key_set(key_set);
    let now = START + FRESH;
    assert_eq!(verifier.warm(now).await, Ok(()));
    assert!(verifier.cached(&old, START + 1).is_none());
    assert_eq!(verdict(&verifier, &old, now).await, Err(TokenError::Invalid(InvalidToken::Signature)));
}

#[tokio::test]
async fn unknown_keys_cause_one_fetch_in_a_while() {
    let issuer = Issuer::start().await.unwrap();
    let verifier = verifier(&issuer).await;
    assert_eq!(verifier.warm(START).await, Ok(()));
    let invented = |n: u64| {
        issuer.token(
            TokenSpec::new("mallory", AUDIENCE).issued_at(START).header("kid", format!("invented-{n}")),
        )
    };
    for n in 0..20 {
        assert_eq!(verdict(&verifier, &invented(n), START + n % MIN_REFRESH).await, Err(UNKNOWN_KEY));
    }
    assert_eq!(issuer.requests(Endpoint::Jwks), 1);
    for n in 0..20 {
        assert_eq!(verdict(&verifier, &invented(n), START + MIN_REFRESH).await, Err(UNKNOWN_KEY));
    }
    assert_eq!(issuer.requests(Endpoint::Jwks), 2);
    // While the issuer is down nobody knows whether the key is new: 503, not 401.
    issuer.set_fault_everywhere(&Fault::Disconnect);
    let now = START + 2 * MIN_REFRESH;
    assert_eq!(verdict(&verifier, &invented(0), now).await, Err(UNAVAILABLE));
    assert_eq!(verdict(&verifier, &token(&issuer), now).await, Ok(()));
}

#[tokio::test]
async fn stale_keys_serve_for_a_bounded_time() {
    let issuer = Issuer::start().await.unwrap();
    let verifier = verifier(&issuer).await;
    let token = token(&issuer);
    assert_eq!(verdict(&verifier, &token, START).await, Ok(()));
    issuer.set_fault_everywhere(&Fault::Disconnect);
    assert_eq!(verdict(&verifier, &token, START + FRESH).await, Ok(()));
    assert_eq!(verdict(&verifier, &token, START + STALE - 1).await, Ok(()));
    let asked = issuer.requests(Endpoint::AuthorizationServerMetadata);
    assert_eq!(verdict(&verifier, &token, START + STALE).await, Err(UNAVAILABLE));
    // It failed a second ago and was not asked again.
    assert_eq!(issuer.requests(Endpoint::AuthorizationServerMetadata), asked);
    issuer.set_fault_everywhere(&Fault::None);
    assert_eq!(verdict(&verifier, &token, START + STALE + MIN_REFRESH).await, Ok(()));
    // A clock set back by years does not make keys fresh for years.
    issuer.set_fault_everywhere(&Fault::Disconnect);
    assert_eq!(verifier.warm(START - 10 * STALE).await, Err(UNAVAILABLE));
}

#[tokio::test]
async fn a_misbehaving_issuer_cannot_make_the_gate_accept_wait_or_follow() {
    let issuer = Issuer::start().await.unwrap();
    let elsewhere = Issuer::start().await.unwrap();
    let metadata =
        |jwks_uri: &str| Fault::Text(json!({"issuer": issuer.url(), "jwks_uri": jwks_uri}).to_string());
    let faults = [
        (Endpoint::Jwks, Fault::Disconnect),
        (Endpoint::Jwks, Fault::Hang),
        (Endpoint::Jwks, Fault::Status(500)),
        (Endpoint::Jwks, Fault::Redirect(elsewhere.jwks_uri())),
        (Endpoint::Jwks, Fault::Text("garbage".to_owned())),
        (Endpoint::Jwks, Fault::Text("{\"keys\":{}}".to_owned())),
        (Endpoint::Jwks, Fault::Text("{\"keys\":[],\"keys\":[]}".to_owned())),
        (Endpoint::Jwks, Fault::Padded(IdentityConfig::MAX_DOCUMENT_BYTES)),
        (Endpoint::AuthorizationServerMetadata, Fault::Hang),
        (Endpoint::AuthorizationServerMetadata, Fault::Disconnect),
        // Into the operator's network, the cloud's metadata service, or in clear over the Internet.
        (Endpoint::AuthorizationServerMetadata, metadata("http://169.254.169.254/jwks")),
        (Endpoint::AuthorizationServerMetadata, metadata("https://10.0.0.1/jwks")),
        (Endpoint::AuthorizationServerMetadata, metadata("http://[fd00::1]/jwks")),
        (Endpoint::AuthorizationServerMetadata, metadata("http://8.8.8.8/jwks")),
        (Endpoint::AuthorizationServerMetadata, metadata("file:///etc/passwd")),
    ];
    for (endpoint, fault) in faults {
        let mut config = config(&issuer);
        config.http_timeout = Duration::from_millis(if fault == Fault::Hang { 50 } else { 5000 });
        let verifier = Verifier::connect(config).await.unwrap();
        issuer.set_fault(endpoint, fault.clone());
        assert_eq!(verdict(&verifier, &token(&issuer), START).await, Err(UNAVAILABLE), "{fault:?}");
        issuer.set_fault(endpoint, Fault::None);
    }
    assert_eq!(elsewhere.requests(Endpoint::Jwks), 0);
    let verifier = verifier(&issuer).await;
    issuer.set_fault(Endpoint::Jwks, Fault::Padded(100_000));
    assert_eq!(verdict(&verifier, &token(&issuer), START).await, Ok(()));
}

#[tokio::test]
async fn a_key_set_at_a_known_url_needs_no_discovery() {
    let issuer = Issuer::start().await.unwrap();
    let mut config = config(&issuer);
    config.provider = Provider::jwks(issuer.url(), &issuer.jwks_uri());
    let verifier = Verifier::connect(config).await.unwrap();
    assert_eq!(verdict(&verifier, &token(&issuer), START).await, Ok(()));
    assert_eq!(issuer.requests(Endpoint::AuthorizationServerMetadata), 0);
    assert_eq!(issuer.requests(Endpoint::OpenidConfiguration), 0);
}

/// The verdict on a token when the issuer publishes these keys.
async fn with_keys(issuer: &Issuer, keys: Value, spec: TokenSpec) -> Result<(), TokenError> {
    issuer.publish_key_set(json!({ "keys": keys }));
    let verifier = verifier(issuer).await;
    verdict(&verifier, &issuer.token(spec.issued_at(START)), START).await
}

#[tokio::test]
async fn keys_that_cannot_be_trusted_are_ignored() {
    let issuer = Issuer::start().await.unwrap();
    for algorithm in [SigningAlgorithm::Es256, SigningAlgorithm::Rs256] {
        issuer.add_key(algorithm).unwrap();
        issuer.rotate_keys().unwrap();
        let own = issuer.key_set()["keys"][0].clone();
        let with = |changes: &[(&str, Value)]| {
            let mut key = own.clone();
            for (name, value) in changes {
                key[*name] = value.clone();
            }
            json!([key])
        };
        let spec = || TokenSpec::new("alice", AUDIENCE);
        assert_eq!(with_keys(&issuer, with(&[]), spec()).await, Ok(()));
        assert_eq!(with_keys(&issuer, with(&[("key_ops", json!(["verify"]))]), spec()).await, Ok(()));
        for changes in [
            ("use", json!("enc")),
            ("key_ops", json!(["sign"])),
            ("key_ops", json!("verify")),
            ("alg", json!("ES384")),
            ("alg", json!("RSA-OAEP")),
            ("alg", json!("HS256")),
            ("kty", json!("oct")),
            ("kty", json!("OKP")),
            ("crv", json!("P-521")),
            ("d", json!("AQAB")),
            ("kid", json!(1)),
            ("kid", json!("other")),
            ("x", json!("AA")),
            ("n", json!("AQAB")),
        ] {
            let unused = if algorithm == SigningAlgorithm::Es256 { "n" } else { "x" };
            if changes.0 == unused {
                continue;
            }
            let verdict = with_keys(&issuer, with(std::slice::from_ref(&changes)), spec()).await;
            assert_eq!(verdict, Err(UNKNOWN_KEY), "{algorithm:?} {changes:?}");
        }
    }
}

#[tokio::test]
async fn weak_rsa_keys_are_ignored_whoever_signs_with_them() {
    let issuer = Issuer::start().await.unwrap();
    issuer.add_key(SigningAlgorithm::Rs256).unwrap();
    issuer.rotate_keys().unwrap();
    let own = issuer.key_set()["keys"][0].clone();
    let modulus = own["n"].as_str().unwrap();
    // A leading zero byte is not strength.
    for (n, verdict) in [
        (modulus[..340].to_owned(), UNKNOWN_KEY),
        (format!("AAAA{}", &modulus[..336]), UNKNOWN_KEY),
        (modulus.repeat(5), UNKNOWN_KEY),
        (format!("{}AA", &modulus[..340]), TokenError::Invalid(InvalidToken::Signature)),
    ] {
        let mut key = own.clone();
        key["n"] = json!(n);
        assert_eq!(with_keys(&issuer, json!([key]), TokenSpec::new("a", AUDIENCE)).await, Err(verdict));
    }
}

#[tokio::test]
async fn a_token_without_kid_needs_a_single_key_that_fits() {
    let issuer = Issuer::start().await.unwrap();
    issuer.rotate_keys().unwrap();
    let anonymous = || TokenSpec::new("alice", AUDIENCE).header("kid", Value::Null);
    let own = issuer.key_set()["keys"][0].clone();
    let mut unnamed = own.clone();
    unnamed.as_object_mut().unwrap().remove("kid");
    let stranger = Issuer::start().await.unwrap();
    let other = stranger.key_set()["keys"][0].clone();
    stranger.add_key(SigningAlgorithm::Rs256).unwrap();
    let rsa = stranger.key_set()["keys"][1].clone();
    assert_eq!(with_keys(&issuer, json!([own]), anonymous()).await, Ok(()));
    assert_eq!(with_keys(&issuer, json!([unnamed, rsa]), anonymous()).await, Ok(()));
    let ambiguous = Err(TokenError::Invalid(InvalidToken::KeyAmbiguous));
    assert_eq!(with_keys(&issuer, json!([own, other]), anonymous()).await, ambiguous);
    // Two keys of one name, only one of which signed.
    let named = TokenSpec::new("alice", AUDIENCE);
    let mut namesake = other.clone();
    namesake["kid"] = own["kid"].clone();
    assert_eq!(with_keys(&issuer, json!([namesake, own]), named.clone()).await, Ok(()));
    assert_eq!(
        with_keys(&issuer, json!([namesake]), named.clone()).await,
        Err(TokenError::Invalid(InvalidToken::Signature))
    );
    // Keys beyond the bound do not count.
    let mut many = vec![other; IdentityConfig::MAX_KEYS];
    many.push(own);
    assert_eq!(with_keys(&issuer, json!(many), named).await, Err(UNKNOWN_KEY));
}
