//! Every way a token can be wrong, told by an issuer that issues them all.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

use octroi_identity::{
    Algorithm, Caller, IdentityConfig, InvalidToken, Provider, TokenError, Unverifiable, Verifier,
};
use octroi_testkit::issuer::{Issuer, SigningAlgorithm, TokenSpec};
use proptest::prelude::*;
use serde_json::{Value, json};

const AUDIENCE: &str = "https://gate.example/mcp";
/// The time of every check, seconds since the Unix epoch.
const NOW: u64 = 1_900_000_000;
/// The configured leeway, seconds.
const LEEWAY: u64 = 30;

async fn start() -> Issuer {
    Issuer::start().await.unwrap()
}

fn config(issuer: &Issuer) -> IdentityConfig {
    let mut config = IdentityConfig::new(Provider::oidc(issuer.url()), vec![AUDIENCE.to_owned()]);
    config.leeway_seconds = LEEWAY;
    config
}

async fn verifier(issuer: &Issuer) -> Verifier {
    Verifier::connect(config(issuer)).await.unwrap()
}

fn good() -> TokenSpec {
    TokenSpec::new("alice", AUDIENCE).issued_at(NOW).scopes(&["tools:call", "read"])
}

/// The one way to ask: what is refused is never remembered, and nothing printed repeats the token.
async fn refusal(verifier: &Verifier, token: &str) -> TokenError {
    let error = verifier.verify(token, NOW).await.expect_err("accepted");
    assert_eq!(verifier.cached(token, NOW), None);
    let printed = format!("{error} {error:?}");
    assert!(token.split('.').filter(|part| part.len() > 8).all(|part| !printed.contains(part)), "{printed}");
    error
}

#[tokio::test]
async fn a_good_token_names_its_caller() {
    let issuer = start().await;
    let verifier = verifier(&issuer).await;
    let token =
        issuer.token(good().claim("email", "alice@example.com").claim("act", json!({"sub": "agent"})));
    assert_eq!(verifier.cached(&token, NOW), None);
    let caller = verifier.verify(&token, NOW).await.unwrap();
    assert_eq!((caller.issuer.as_str(), caller.subject.as_str()), (issuer.url(), "alice"));
    assert_eq!(caller.client_id.as_deref(), Some("test-client"));
    assert_eq!(caller.audiences, [AUDIENCE]);
    assert_eq!(caller.expires_at, NOW + 3600);
    assert_eq!(caller.email.as_deref(), Some("alice@example.com"));
    assert!(caller.scopes.has_all(&["read", "tools:call"]) && !caller.scopes.has("tools"));
    assert!(caller.is_delegated() && !caller.is_sender_constrained());
    assert_eq!(caller.principal, Caller::principal_of(issuer.url(), "alice"));
    assert_eq!(caller.claims["iat"], NOW);
    assert_eq!(verifier.cached(&token, NOW), Some(caller));
    assert_eq!(verifier.issuers(), [issuer.url()]);
}

#[tokio::test]
async fn every_algorithm_of_the_issuer_works() {
    let issuer = start().await;
    for algorithm in [SigningAlgorithm::Es256, SigningAlgorithm::Rs256] {
        issuer.add_key(algorithm).unwrap();
        let verifier = verifier(&issuer).await;
        assert!(verifier.verify(&issuer.token(good()), NOW).await.is_ok(), "{algorithm:?}");
    }
}

#[tokio::test]
async fn what_may_differ_among_good_tokens() {
    let issuer = start().await;
    let verifier = verifier(&issuer).await;
    let variants = [
        good().header("typ", "JWT"),
        good().header("typ", "jwt"),
        good().header("typ", "application/at+jwt"),
        good().header("typ", Value::Null),
        good().header("kid", Value::Null),
        // Keys offered by the token itself are not even looked at.
        good().header("jwk", json!({"kty": "oct", "k": "AA"})).header("jku", "https://evil.example/jwks"),
        good().claim("aud", json!([AUDIENCE])),
        good().claim("aud", json!(["https://other.example", AUDIENCE])),
        good().claim("exp", json!((NOW + 10) as f64 + 0.5)),
        good().claim("exp", NOW - LEEWAY + 1),
        good().claim("nbf", NOW + LEEWAY),
        good().claim("iat", NOW + LEEWAY),
        good().claim("iat", Value::Null),
        good().claim("client_id", Value::Null),
        good().claim("scope", Value::Null),
        good().claim("scope", json!(["read", "write"])),
    ];
    for variant in variants {
        assert!(verifier.verify(&issuer.token(variant.clone()), NOW).await.is_ok(), "{variant:?}");
    }
}

#[tokio::test]
async fn wrong_claims_are_refused() {
    use InvalidToken::*;
    let issuer = start().await;
    let verifier = verifier(&issuer).await;
    let null = Value::Null;
    let slash = format!("{}/", issuer.url());
    for (spec, why) in [
        (good().claim("iss", null.clone()), Issuer),
        (good().claim("iss", "https://evil.example"), Issuer),
        (good().claim("iss", slash), Issuer),
        (good().claim("iss", json!([issuer.url()])), MalformedClaim("iss".into())),
        (good().claim("aud", null.clone()), Audience),
        (good().claim("aud", json!([])), Audience),
        (good().claim("aud", ""), Audience),
        (good().claim("aud", "https://gate.example"), Audience),
        (good().claim("aud", "https://gate.example/mcp/"), Audience),
        (good().claim("aud", "https://gate.example/mcp2"), Audience),
        (good().claim("aud", "HTTPS://gate.example/mcp"), Audience),
        (good().claim("aud", json!([[AUDIENCE]])), MalformedClaim("aud".into())),
        (good().claim("aud", json!([AUDIENCE, 7])), MalformedClaim("aud".into())),
        (good().claim("aud", json!({ AUDIENCE: true })), MalformedClaim("aud".into())),
        (good().claim("exp", null.clone()), MissingClaim("exp".into())),
        (good().claim("exp", NOW - LEEWAY), Expired),
        (good().claim("exp", 0), Expired),
        (good().claim("exp", -1), MalformedClaim("exp".into())),
        (good().claim("exp", 1e300), MalformedClaim("exp".into())),
        (good().claim("exp", u64::MAX), MalformedClaim("exp".into())),
        (good().claim("exp", (NOW + 60).to_string()), MalformedClaim("exp".into())),
        (good().claim("nbf", NOW + LEEWAY + 1), NotYetValid),
        (good().claim("nbf", "soon"), MalformedClaim("nbf".into())),
        (good().claim("iat", NOW + LEEWAY + 1), IssuedInFuture),
        (good().claim("sub", null.clone()), MissingClaim("sub".into())),
        (good().claim("sub", ""), MalformedClaim("sub".into())),
        (good().claim("sub", 7), MalformedClaim("sub".into())),
        (good().claim("client_id", 7), MalformedClaim("client_id".into())),
        (good().claim("scope", 7), MalformedClaim("scope".into())),
        (good().claim("scope", json!(["read", 7])), MalformedClaim("scope".into())),
        (good().claim("cnf", json!({"jkt": "x"})), SenderConstrained),
        (good().claim("nonce", "n"), IdToken),
        (good().claim("at_hash", "h"), IdToken),
        (good().claim("events", json!({})), IdToken),
        (good().claim("token_use", "id"), ClaimRefused("token_use".into())),
    ] {
        let error = refusal(&verifier, &issuer.token(spec.clone())).await;
        assert_eq!(error, TokenError::Invalid(why), "{spec:?}");
        assert_eq!((error.code(), error.status()), ("INVALID_TOKEN", 401));
    }
}

#[tokio::test]
async fn wrong_headers_are_refused() {
    use InvalidToken::*;
    let issuer = start().await;
    let verifier = verifier(&issuer).await;
    for (spec, why) in [
        (good().header("alg", "none"), Algorithm),
        (good().header("alg", "None"), Algorithm),
        (good().header("alg", "HS256"), Algorithm),
        (good().header("alg", "es256"), Algorithm),
        (good().header("alg", "ES256K"), Algorithm),
        (good().header("alg", Value::Null), Malformed),
        (good().header("alg", json!(["ES256"])), Malformed),
        // The key is of another kind than this algorithm: no key fits.
        (good().header("alg", "RS256"), UnknownKey),
        (good().header("alg", "EdDSA"), UnknownKey),
        (good().header("kid", "key-9"), UnknownKey),
        (good().header("kid", "../../etc/passwd"), UnknownKey),
        (good().header("kid", 1), Malformed),
        (good().header("crit", json!(["exp"])), CriticalHeader),
        (good().header("crit", json!([])), CriticalHeader),
        (good().header("b64", false).header("crit", json!(["b64"])), CriticalHeader),
        (good().header("typ", "id_token"), Type),
        (good().header("typ", "dpop+jwt"), Type),
        (good().header("typ", "logout+jwt"), Type),
        (good().header("typ", "oauth-id-jag+jwt"), Type),
        (good().header("typ", "text/at+jwt"), Type),
        (good().header("typ", ""), Type),
        (good().header("typ", 1), Malformed),
    ] {
        let error = refusal(&verifier, &issuer.token(spec.clone())).await;
        assert_eq!(error, TokenError::Invalid(why), "{spec:?}");
    }
}

#[tokio::test]
async fn forged_tokens_are_refused() {
    use InvalidToken::*;
    let issuer = start().await;
    let verifier = verifier(&issuer).await;
    let (header, claims) = issuer.texts(good());
    let token = issuer.token(good());
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let repeated = |text: &str, member: &str| format!("{{{member},{}", &text[1..]);
    for (name, token, why) in [
        ("alg none", issuer.unsigned_token(good()), Algorithm),
        ("public key as secret", issuer.token_keyed_with_public_key(good()), Algorithm),
        ("another's key", issuer.token_of_a_stranger(good()).unwrap(), Signature),
        ("claims changed", issuer.altered_token(good()), Signature),
        ("no signature", format!("{signed}."), Signature),
        ("short signature", format!("{signed}.{}", &signature[..8]), Signature),
        ("padded signature", format!("{token}=="), Signature),
        ("signature of another alphabet", format!("{signed}.+/+/"), Signature),
        ("id token", issuer.id_token(good()), IdToken),
        (
            "repeated claim",
            issuer.token_of_texts(&header, &repeated(&claims, "\"sub\":\"mallory\"")),
            DuplicateName,
        ),
        (
            "repeated member",
            issuer.token_of_texts(&repeated(&header, "\"alg\":\"ES256\""), &claims),
            DuplicateName,
        ),
        (
            "escaped repetition",
            issuer.token_of_texts(&header, &repeated(&claims, r#""s\u0075b":"m""#)),
            DuplicateName,
        ),
        ("claims no JSON", issuer.token_of_texts(&header, "sub=alice"), Malformed),
        ("claims a list", issuer.token_of_texts(&header, "[]"), Malformed),
        ("header a string", issuer.token_of_texts("\"ES256\"", &claims), Malformed),
        ("claims after JSON", issuer.token_of_texts(&header, &format!("{claims}x")), Malformed),
        ("five parts", format!("{token}.{signature}.{signature}"), Encrypted),
        ("four parts", format!("{token}.{signature}"), Malformed),
        ("two parts", signed.to_owned(), Malformed),
        ("opaque", "ya29.a0AfH6SMBx".to_owned(), Malformed),
        ("dots", "....".to_owned(), Malformed),
        ("white space", format!(" {token}"), Malformed),
        ("long", issuer.token(good().claim("x", "x".repeat(16 * 1024))), TooLong),
        (
            "deep",
            issuer.token_of_texts(&header, &format!("{{\"a\":{}1{}}}", "[".repeat(4000), "]".repeat(4000))),
            Malformed,
        ),
    ] {
        assert_eq!(refusal(&verifier, &token).await, TokenError::Invalid(why), "{name}");
    }
    assert_eq!(refusal(&verifier, "").await, TokenError::Missing);
}

#[tokio::test]
async fn one_family_of_keys_cannot_stand_for_another() {
    let issuer = start().await;
    let elliptic = issuer.signing_key_id();
    issuer.add_key(SigningAlgorithm::Rs256).unwrap();
    let verifier = verifier(&issuer).await;
    let crossed = issuer.token(good().header("kid", elliptic));
    assert_eq!(refusal(&verifier, &crossed).await, TokenError::Invalid(InvalidToken::UnknownKey));
    // RS256's signature under PS256's name, with the very same key.
    let pss = issuer.token(good().header("alg", "PS256"));
    assert_eq!(refusal(&verifier, &pss).await, TokenError::Invalid(InvalidToken::UnknownKey));
    // Only algorithms of the configuration count, whatever the issuer publishes.
    let mut config = config(&issuer);
    config.provider.algorithms = vec![Algorithm::Es256];
    let only_elliptic = Verifier::connect(config).await.unwrap();
    let rsa = issuer.token(good());
    assert_eq!(refusal(&only_elliptic, &rsa).await, TokenError::Invalid(InvalidToken::Algorithm));
    assert!(verifier.verify(&rsa, NOW).await.is_ok());
}

#[tokio::test]
async fn scopes_clients_and_age_of_the_configuration_count() {
    let issuer = start().await;
    let mut strict = config(&issuer);
    strict.required_scopes = vec!["read".to_owned(), "write".to_owned()];
    let strict = Verifier::connect(strict).await.unwrap();
    let error = refusal(&strict, &issuer.token(good())).await;
    assert_eq!((error.code(), error.status()), ("INSUFFICIENT_SCOPE", 403));
    assert_eq!(
        error,
        TokenError::InsufficientScope { required: ["read".to_owned(), "write".to_owned()].into() }
    );
    assert!(strict.verify(&issuer.token(good().scopes(&["write", "read"])), NOW).await.is_ok());

    let mut one_client = config(&issuer);
    one_client.allowed_clients = vec!["other".to_owned()];
    let one_client = Verifier::connect(one_client).await.unwrap();
    assert_eq!(refusal(&one_client, &issuer.token(good())).await, TokenError::Invalid(InvalidToken::Client));

    let mut young = config(&issuer);
    young.max_age_seconds = Some(60);
    let young = Verifier::connect(young).await.unwrap();
    assert!(young.verify(&issuer.token(good().issued_at(NOW - 60)), NOW).await.is_ok());
    let old = issuer.token(good().issued_at(NOW - 60 - LEEWAY));
    assert_eq!(refusal(&young, &old).await, TokenError::Invalid(InvalidToken::TooOld));
}

#[tokio::test]
async fn a_remembered_token_is_good_only_as_long_as_it_would_be_anew() {
    let issuer = start().await;
    let verifier = verifier(&issuer).await;
    let (long, short) = (issuer.token(good()), issuer.token(good().ttl_seconds(20)));
    for token in [&long, &short] {
        assert!(verifier.verify(token, NOW).await.is_ok());
    }
    assert!(verifier.cached(&long, NOW + 59).is_some() && verifier.cached(&long, NOW + 60).is_none());
    assert!(verifier.cached(&short, NOW + 19).is_some() && verifier.cached(&short, NOW + 20).is_none());
    // Within the leeway it is still accepted, but by the full check only.
    assert!(verifier.verify(&short, NOW + 20).await.is_ok());
    assert!(verifier.cached(&short, NOW + 20).is_none());
    let error = verifier.verify(&short, NOW + 20 + LEEWAY).await.unwrap_err();
    assert_eq!(error, TokenError::Invalid(InvalidToken::Expired));
}

#[tokio::test]
async fn without_its_issuer_nothing_is_accepted_or_called_wrong() {
    let issuer = start().await;
    let token = issuer.token(good());
    let config = config(&issuer);
    drop(issuer);
    let verifier = Verifier::connect(config).await.unwrap();
    let error = refusal(&verifier, &token).await;
    assert_eq!(error, TokenError::Unverifiable(Unverifiable::IssuerUnavailable));
    assert_eq!((error.code(), error.status()), ("VERIFICATION_FAILED", 503));
    // What no key could make good is wrong all the same.
    assert_eq!(refusal(&verifier, "nonsense").await, TokenError::Invalid(InvalidToken::Malformed));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_text_is_refused_without_a_panic(texts in prop::collection::vec("[a-zA-Z0-9_.=-]{0,200}|\\PC{0,40}", 16)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let issuer = start().await;
            let verifier = verifier(&issuer).await;
            for text in texts {
                refusal(&verifier, &text).await;
            }
        });
    }

    #[test]
    fn a_token_with_any_byte_changed_is_refused(at in any::<prop::sample::Index>(), to in "[a-zA-Z0-9_.-]") {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let issuer = start().await;
            let verifier = verifier(&issuer).await;
            let token = issuer.token(good());
            let at = at.index(token.len());
            let changed = format!("{}{to}{}", &token[..at], &token[at + 1..]);
            if changed != token {
                refusal(&verifier, &changed).await;
            }
        });
    }
}
