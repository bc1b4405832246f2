//! A provider nobody made a preset for, written by hand.

use octroi_identity::{
    IdentityConfig, InvalidToken, KeySource, Method, Provider, ProviderOverrides, TokenError, Verifier,
};
use octroi_testkit::issuer::TokenSpec;
use serde_json::{Value, json};

use super::{AUDIENCE, NOW, issuer};

#[tokio::test]
async fn every_quirk_can_be_written_by_hand() {
    let issuer = issuer().await;
    let overrides: ProviderOverrides = serde_json::from_value(json!({
        "jwks_uri": issuer.jwks_uri(),
        "algorithms": ["RS256"],
        "types": ["acme+jwt"],
        "must_equal": [{"claim": "/env/name", "values": ["prod", "staging"]}],
        "must_not_equal": [{"claim": "kind", "values": ["refresh"]}],
        "client_claims": ["app"],
        "audience_rule": "or_client",
        "scope_claims": [{"claim": "can", "form": "list"}],
        "subject": {"claim_in_tenant": {"person": "uid", "tenant": "org"}},
        "client_signs": [{"equals": {"claim": "robot", "value": true}}],
        "role_claims": ["https://acme.example/roles"],
        "group_claims": ["/teams/*/name"],
        "organisation_claims": ["org"],
    }))
    .unwrap();
    let provider = overrides.apply(Provider::oidc(issuer.url())).unwrap();
    let mut config = IdentityConfig::new(provider, vec![AUDIENCE.to_owned()]);
    config.allowed_clients = vec!["agent".to_owned()];
    let verifier = Verifier::connect(config).await.unwrap();
    let good = || {
        TokenSpec::new("ignored", AUDIENCE)
            .issued_at(NOW)
            .header("typ", "application/ACME+jwt")
            .claim("aud", Value::Null)
            .claim("scope", "ignored")
            .claim("env", json!({"name": "staging"}))
            .claim("app", "agent")
            .claim("can", json!(["read"]))
            .claim("uid", "u1")
            .claim("org", "o1")
            .claim("robot", true)
            .claim("https://acme.example/roles", "boss")
            .claim("teams", json!([{"name": "x"}]))
    };
    let caller = verifier
        .verify(&issuer.token(good().claim("teams", json!({"a": {"name": "t"}}))), NOW)
        .await
        .unwrap();
    assert_eq!(
        Value::Object(caller.to_json()),
        json!({
            "iss": issuer.url(), "sub": "u1/o1", "kind": "client", "client_id": "agent", "scopes": ["read"],
            "roles": ["boss"], "groups": ["t"], "org": {"id": "o1"}, "exp": NOW + 3600,
        })
    );
    for (wrong, why) in [
        (good().header("typ", "at+jwt"), InvalidToken::Type),
        (good().claim("env", json!({"name": "dev"})), InvalidToken::ClaimRefused("/env/name".into())),
        (good().claim("env", Value::Null), InvalidToken::MissingClaim("/env/name".into())),
        (good().claim("kind", "refresh"), InvalidToken::ClaimRefused("kind".into())),
        (good().claim("app", "stranger"), InvalidToken::Client),
        (good().claim("can", "read"), InvalidToken::MalformedClaim("can".into())),
        (good().claim("uid", Value::Null), InvalidToken::MissingClaim("uid".into())),
    ] {
        let refused = verifier.verify(&issuer.token(wrong), NOW).await;
        assert_eq!(refused.unwrap_err(), TokenError::Invalid(why));
    }
}

#[tokio::test]
async fn keys_given_as_text_need_no_fetch_and_do_not_age() {
    let issuer = issuer().await;
    let mut provider = Provider::oidc("https://unreachable.example");
    provider.method = Method::Jwt(KeySource::Fixed(issuer.key_set().to_string()));
    let verifier =
        Verifier::connect(IdentityConfig::new(provider.clone(), vec![AUDIENCE.to_owned()])).await.unwrap();
    let token = |now| {
        issuer.token(
            TokenSpec::new("alice", AUDIENCE).issued_at(now).claim("iss", "https://unreachable.example"),
        )
    };
    for now in [NOW, NOW + 10_000_000] {
        assert!(verifier.verify(&token(now), now).await.is_ok());
    }
    let unknown = issuer.token(
        TokenSpec::new("a", AUDIENCE)
            .issued_at(NOW)
            .claim("iss", "https://unreachable.example")
            .header("kid", "x"),
    );
    assert_eq!(
        verifier.verify(&unknown, NOW).await.unwrap_err(),
        TokenError::Invalid(InvalidToken::UnknownKey)
    );
    provider.method = Method::Jwt(KeySource::Fixed("{\"keys\":[]}".to_owned()));
    assert!(Verifier::connect(IdentityConfig::new(provider, vec![AUDIENCE.to_owned()])).await.is_err());
}
