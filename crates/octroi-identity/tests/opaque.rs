//! Tokens that say nothing themselves: RFC 7662, Google, GitHub.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use octroi_identity::{
    AudienceRule, CallerKind, ClientAuth, IdentityConfig, InvalidToken, Method, Provider, Secret, SetupError,
    SigningKey, TokenError, TrustedIssuer, Unverifiable, Verifier,
};
use octroi_testkit::issuer::{Endpoint, Fault, Issuer, TokenSpec};
use serde_json::{Value, json};

const AUDIENCE: &str = "https://gate.example/mcp";
/// The time of every check, seconds since the Unix epoch.
const NOW: u64 = 1_900_000_000;
const SILENT: TokenError = TokenError::Unverifiable(Unverifiable::IssuerSilent);
const INACTIVE: TokenError = TokenError::Invalid(InvalidToken::Inactive);

async fn issuer() -> Issuer {
    let issuer = Issuer::start().await.unwrap();
    issuer.register_client("gate", "s3cret", &[]);
    issuer
}

fn gate() -> ClientAuth {
    ClientAuth::Basic { client_id: "gate".to_owned(), client_secret: Secret::new("s3cret") }
}

async fn introspecting(issuer: &Issuer, auth: ClientAuth) -> Verifier {
    let provider = Provider::introspection(issuer.url(), None, auth);
    let mut config = IdentityConfig::new(provider, vec![AUDIENCE.to_owned()]);
    config.http_timeout = Duration::from_millis(500);
    Verifier::connect(config).await.unwrap()
}

fn active(issuer: &Issuer) -> Value {
    json!({
        "active": true, "iss": issuer.url(), "sub": "alice", "aud": AUDIENCE, "client_id": "app", "scope": "read write",
        "exp": NOW + 3600, "iat": NOW, "token_type": "Bearer", "username": "alice",
    })
}

/// A new token of which the issuer says this.
fn known(issuer: &Issuer, answer: Value) -> String {
    let token = issuer.opaque_token();
    issuer.set_answer(Endpoint::Introspection, &token, answer);
    token
}

#[tokio::test]
async fn an_active_token_names_its_caller_for_a_short_time() {
    let issuer = issuer().await;
    let verifier = introspecting(&issuer, gate()).await;
    let token = known(&issuer, active(&issuer));
    let caller = verifier.verify(&token, NOW).await.unwrap();
    assert_eq!((caller.subject.as_str(), caller.client_id.as_deref()), ("alice", Some("app")));
    assert!(caller.scopes.has_all(&["read", "write"]) && caller.kind == CallerKind::User);
    assert_eq!(caller.names.preferred_username.as_deref(), Some("alice"));
    assert_eq!(verifier.cached(&token, NOW + 29), Some(caller));
    assert_eq!(verifier.cached(&token, NOW + 30), None);
    // What was revoked meanwhile is refused then.
    issuer.set_answer(Endpoint::Introspection, &token, Value::Null);
    assert_eq!(verifier.verify(&token, NOW + 30).await.unwrap_err(), INACTIVE);
}

#[tokio::test]
async fn each_way_to_say_who_asks_works() {
    let issuer = issuer().await;
    let key = SigningKey::generate(octroi_identity::Algorithm::Es256).unwrap();
    issuer.register_client_key("signer", Value::Object(key.public_jwk()), &[]);
    let mut answer = active(&issuer);
    answer["iat"] = json!(1);
    let token = known(&issuer, answer);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let signed = |audience: &str| ClientAuth::PrivateKeyJwt {
        client_id: "signer".to_owned(),
        key: key.clone(),
        audience: audience.to_owned(),
    };
    let posted =
        |secret: &str| ClientAuth::Post { client_id: "gate".to_owned(), client_secret: Secret::new(secret) };
    for (auth, good) in [
        (gate(), true),
        (posted("s3cret"), true),
        (signed(issuer.url()), true),
        (posted("wrong"), false),
        (signed("https://evil.example"), false),
        (ClientAuth::Bearer(Secret::new("none")), false),
    ] {
        let verifier = introspecting(&issuer, auth.clone()).await;
        let verdict = verifier.verify(&token, now).await;
        // That the gate is not let in is not the caller's fault.
        assert_eq!(verdict.err(), (!good).then_some(SILENT), "{auth:?}");
    }
}

#[tokio::test]
async fn what_is_active_is_not_yet_ours() {
    let issuer = issuer().await;
    let verifier = introspecting(&issuer, gate()).await;
    for (name, value, why) in [
        ("active", json!(false), InvalidToken::Inactive),
        ("iss", json!("https://evil.example"), InvalidToken::Issuer),
        ("aud", json!("https://elsewhere.example"), InvalidToken::Audience),
        ("aud", Value::Null, InvalidToken::MalformedClaim("aud".into())),
        ("exp", json!(NOW - 60), InvalidToken::Expired),
        ("nbf", json!(NOW + 60), InvalidToken::NotYetValid),
        ("sub", json!(7), InvalidToken::MalformedClaim("sub".into())),
        ("token_type", json!("refresh_token"), InvalidToken::Type),
        ("token_type", json!("DPoP"), InvalidToken::SenderConstrained),
        ("cnf", json!({"jkt": "x"}), InvalidToken::SenderConstrained),
        ("token_use", json!("refresh_token"), InvalidToken::ClaimRefused("token_use".into())),
        ("typ", json!("Refresh"), InvalidToken::ClaimRefused("typ".into())),
    ] {
        let mut answer = active(&issuer);
        answer[name] = value.clone();
        let token = known(&issuer, answer);
        assert_eq!(
            verifier.verify(&token, NOW).await.unwrap_err(),
            TokenError::Invalid(why),
            "{name} {value}"
        );
        assert_eq!(verifier.cached(&token, NOW), None);
    }
    for (name, value) in [("active", json!("true")), ("active", json!(1))] {
        let mut answer = active(&issuer);
        answer[name] = value;
        assert_eq!(verifier.verify(&known(&issuer, answer), NOW).await.unwrap_err(), SILENT);
    }
}

#[tokio::test]
async fn an_answer_without_issuer_or_end_is_complete_enough() {
    let issuer = issuer().await;
    let verifier = introspecting(&issuer, gate()).await;
    let token = known(&issuer, json!({"active": true, "sub": "alice", "aud": [AUDIENCE]}));
    let caller = verifier.verify(&token, NOW).await.unwrap();
    assert_eq!((caller.issuer.as_str(), caller.expires_at), (issuer.url(), NOW + 30));
}

#[tokio::test]
async fn one_question_for_all_and_none_for_what_was_refused_just_now() {
    let issuer = issuer().await;
    let verifier = introspecting(&issuer, gate()).await;
    let asked = || issuer.requests(Endpoint::Introspection);
    let token = known(&issuer, active(&issuer));
    let ask = || verifier.verify(&token, NOW);
    let (one, two, three, four) = tokio::join!(ask(), ask(), ask(), ask());
    assert!(one.is_ok() && two.is_ok() && three.is_ok() && four.is_ok());
    assert_eq!(asked(), 1);
    let unknown = issuer.opaque_token();
    for (now, questions) in [(NOW, 2), (NOW + 4, 2), (NOW + 5, 3)] {
        assert_eq!(verifier.verify(&unknown, now).await.unwrap_err(), INACTIVE);
        assert_eq!(asked(), questions, "{now}");
    }
    // Forgetting everything asks again.
    verifier.forget_all();
    assert_eq!(verifier.cached(&token, NOW), None);
    assert_eq!(verifier.verify(&unknown, NOW + 5).await.unwrap_err(), INACTIVE);
    assert_eq!(asked(), 4);
}

#[tokio::test]
async fn an_issuer_that_misbehaves_is_nobody_s_fault_and_accepts_nobody() {
    let issuer = issuer().await;
    let verifier = introspecting(&issuer, gate()).await;
    let token = known(&issuer, active(&issuer));
    for fault in [
        Fault::Disconnect,
        Fault::Hang,
        Fault::Status(500),
        Fault::Status(403),
        Fault::Redirect("https://evil.example/".to_owned()),
        Fault::Text("{\"active\":true".to_owned()),
        Fault::Text("{\"active\":true,\"active\":true}".to_owned()),
        Fault::Text("[true]".to_owned()),
        Fault::Padded(IdentityConfig::MAX_DOCUMENT_BYTES),
    ] {
        issuer.set_fault(Endpoint::Introspection, fault.clone());
        assert_eq!(verifier.verify(&token, NOW).await.unwrap_err(), SILENT, "{fault:?}");
    }
    issuer.set_fault(Endpoint::Introspection, Fault::None);
    assert!(verifier.verify(&token, NOW).await.is_ok());
}

fn google(issuer: &Issuer) -> Provider {
    let mut provider = Provider::google();
    let Method::Google(endpoints) = &mut provider.method else { unreachable!() };
    endpoints.tokeninfo = issuer.endpoint(Endpoint::TokenInfo);
    endpoints.userinfo = Some(issuer.endpoint(Endpoint::UserInfo));
    provider
}

fn google_token(issuer: &Issuer, client: &str) -> String {
    let token = issuer.opaque_token();
    issuer.set_answer(
        Endpoint::TokenInfo,
        &token,
        json!({
            "azp": client, "aud": client, "sub": "1093", "scope": "openid https://www.googleapis.com/auth/userinfo.email",
            "exp": (NOW + 3000).to_string(), "expires_in": "3000", "email": "a@acme.example", "email_verified": "true",
            "access_type": "online",
        }),
    );
    let person = json!({"sub": "1093", "name": "Alice A", "given_name": "Alice", "hd": "acme.example", "scope": "all"});
    issuer.set_answer(Endpoint::UserInfo, &token, person);
    token
}

#[tokio::test]
async fn google_s_token_counts_for_our_client_alone() {
    let issuer = issuer().await;
    let mut config = IdentityConfig::new(google(&issuer), Vec::new());
    let refused = Verifier::connect(config.clone()).await.unwrap_err();
    assert_eq!(refused, SetupError::NoClients { provider: "google" });
    config.allowed_clients = vec!["ours.apps.googleusercontent.com".to_owned()];
    let verifier = Verifier::connect(config).await.unwrap();
    let token = google_token(&issuer, "ours.apps.googleusercontent.com");
    let caller = verifier.verify(&token, NOW).await.unwrap();
    assert_eq!(
        Value::Object(caller.to_json()),
        json!({
            "iss": "https://accounts.google.com", "sub": "1093", "kind": "user",
            "client_id": "ours.apps.googleusercontent.com",
            "scopes": ["https://www.googleapis.com/auth/userinfo.email", "openid"], "org": {"id": "acme.example"},
            "email": "a@acme.example", "email_verified": true, "name": "Alice A", "given_name": "Alice",
            "exp": NOW + 3000,
        })
    );
    assert!(verifier.cached(&token, NOW + 29).is_some() && verifier.cached(&token, NOW + 30).is_none());
    // Somebody else's app got a token of the same person.
    let other = google_token(&issuer, "evil.apps.googleusercontent.com");
    assert_eq!(verifier.verify(&other, NOW).await.unwrap_err(), InvalidToken::Client.into());
    assert_eq!(verifier.verify(&issuer.opaque_token(), NOW).await.unwrap_err(), INACTIVE);
    // `userinfo` about somebody else is no answer; without the right to ask it, names are left out.
    let token = google_token(&issuer, "ours.apps.googleusercontent.com");
    issuer.set_answer(Endpoint::UserInfo, &token, json!({"sub": "1", "name": "Mallory"}));
    assert_eq!(verifier.verify(&token, NOW).await.unwrap_err(), SILENT);
    issuer.set_answer(Endpoint::UserInfo, &token, Value::Null);
    assert_eq!(verifier.verify(&token, NOW).await.unwrap().names.name, None);
}

fn github(issuer: &Issuer) -> Provider {
    let mut provider = Provider::github("gate", Secret::new("s3cret"));
    let Method::GitHub(app) = &mut provider.method else { unreachable!() };
    app.api = issuer.endpoint(Endpoint::GitHubToken);
    provider
}

#[tokio::test]
async fn github_s_token_counts_when_it_was_given_to_our_app() {
    let issuer = issuer().await;
    let verifier = Verifier::connect(IdentityConfig::new(github(&issuer), Vec::new())).await.unwrap();
    let given_to = |app: &str, expires_at: Value| {
        let token = issuer.opaque_token();
        let answer = json!({
            "id": 1, "token": token, "token_last_eight": "12345678", "scopes": ["read:user", "repo"],
            "app": {"name": "Gate", "client_id": app}, "created_at": "2020-01-01T00:00:00Z", "expires_at": expires_at,
            "user": {"login": "alice", "id": 583_231, "avatar_url": "https://p.example/a", "type": "User", "email": null},
        });
        issuer.set_answer(Endpoint::GitHubToken, &token, answer);
        token
    };
    let token = given_to("gate", Value::Null);
    let caller = verifier.verify(&token, NOW).await.unwrap();
    assert_eq!(
        Value::Object(caller.to_json()),
        json!({
            "iss": "https://github.com", "sub": "583231", "kind": "user", "client_id": "gate",
            "scopes": ["read:user", "repo"], "preferred_username": "alice", "picture": "https://p.example/a",
            "exp": NOW + 30,
        })
    );
    assert!(!json!(caller.claims).to_string().contains(&token));
    let ends = given_to("gate", json!("2030-03-17T17:46:50Z"));
    assert_eq!(verifier.verify(&ends, NOW).await.unwrap().expires_at, NOW + 10);
    // Another app's token, a personal access token, nonsense: GitHub says 404 to all of them.
    for stranger in [given_to("other", Value::Null), "ghp_personal".to_owned()] {
        assert_eq!(verifier.verify(&stranger, NOW).await.unwrap_err(), INACTIVE);
    }
    // With a wrong secret of ours nothing can be said.
    let wrong = IdentityConfig::new(Provider::github("gate", Secret::new("")), Vec::new());
    assert_eq!(Verifier::connect(wrong).await.unwrap_err(), SetupError::NoGateCredential);
    issuer.register_client("gate", "changed", &[]);
    assert_eq!(verifier.verify(&given_to("gate", Value::Null), NOW).await.unwrap_err(), SILENT);
}

#[tokio::test]
async fn opaque_and_signed_tokens_can_stand_behind_one_verifier() {
    let issuer = issuer().await;
    let platform = Issuer::start().await.unwrap();
    let mut config = IdentityConfig::new(github(&issuer), vec![AUDIENCE.to_owned()]);
    let mut trusted = TrustedIssuer::new(Provider::platform(platform.url()));
    trusted.subjects = vec![octroi_identity::Pattern::new("job-*")];
    config.trusted_issuers.push(trusted);
    let verifier = Verifier::connect(config).await.unwrap();
    let spec = |subject: &str| TokenSpec::new(subject, AUDIENCE).issued_at(NOW).header("typ", "JWT");
    assert_eq!(
        verifier.verify(&platform.token(spec("job-1")), NOW).await.unwrap().kind,
        CallerKind::Workload
    );
    assert_eq!(issuer.requests(Endpoint::GitHubToken), 0);
    assert_eq!(verifier.verify("gho_unknown", NOW).await.unwrap_err(), INACTIVE);
    assert_eq!(issuer.requests(Endpoint::GitHubToken), 1);
}

#[tokio::test]
async fn an_issuer_that_names_no_audience_needs_clients() {
    let issuer = issuer().await;
    let mut provider = Provider::introspection(issuer.url(), None, gate());
    provider.audience_rule = AudienceRule::OrClient;
    let mut config = IdentityConfig::new(provider, Vec::new());
    assert!(matches!(Verifier::connect(config.clone()).await, Err(SetupError::NoClients { .. })));
    config.allowed_clients = vec!["app".to_owned()];
    let verifier = Verifier::connect(config).await.unwrap();
    let answer = |client: &str| json!({"active": true, "sub": "alice", "client_id": client});
    assert!(verifier.verify(&known(&issuer, answer("app")), NOW).await.is_ok());
    let refused = verifier.verify(&known(&issuer, answer("evil")), NOW).await.unwrap_err();
    assert_eq!(refused, InvalidToken::Client.into());
}
