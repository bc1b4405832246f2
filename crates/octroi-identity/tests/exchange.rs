//! On-behalf-of: the caller's token for one of the upstream's.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Arc;
use std::time::Duration;

use octroi_identity::{
    Algorithm, Binding, Caller, ClientAuth, ExchangeConfig, ExchangeError, ExchangeForm, ExchangeTarget,
    IdentityConfig, Provider, Secret, SetupError, SigningKey, Subject, TokenExchange, UpstreamToken,
    Verifier,
};
use octroi_testkit::issuer::{Endpoint, Fault, Issuer, TokenSpec};
use serde_json::{Value, json};

const GATE: &str = "https://gate.example/mcp";
const UPSTREAM: &str = "https://upstream.example/mcp";

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

async fn issuer() -> Issuer {
    let issuer = Issuer::start().await.unwrap();
    issuer.register_client("gate", "s3cret", &[]);
    issuer
}

fn config(issuer: &Issuer, form: ExchangeForm) -> ExchangeConfig {
    let client = ClientAuth::Basic { client_id: "gate".to_owned(), client_secret: Secret::new("s3cret") };
    let mut config = ExchangeConfig::new(issuer.url(), form, client);
    config.http_timeout = Duration::from_millis(500);
    config
}

fn target() -> ExchangeTarget {
    ExchangeTarget { audience: Some(UPSTREAM.to_owned()), resource: None, scopes: vec!["read".to_owned()] }
}

/// A token of the subject, and the caller it names.
async fn subject(issuer: &Issuer, audience: &str, spec: TokenSpec) -> (String, Arc<Caller>) {
    let config = IdentityConfig::new(Provider::oidc(issuer.url()), vec![audience.to_owned()]);
    let verifier = Verifier::connect(config).await.unwrap();
    let token = issuer.token(spec);
    let caller = verifier.verify(&token, now()).await.unwrap();
    (token, caller)
}

async fn alice(issuer: &Issuer) -> (String, Arc<Caller>) {
    subject(issuer, GATE, TokenSpec::new("alice", GATE)).await
}

async fn exchanged(
    exchange: &TokenExchange,
    (token, caller): &(String, Arc<Caller>),
    target: &ExchangeTarget,
) -> Result<Arc<UpstreamToken>, ExchangeError> {
    exchange.exchange(Subject { token, caller, proven: false }, target, now()).await
}

/// The upstream's view of a token.
async fn seen_by_upstream(issuer: &Issuer, token: &UpstreamToken) -> Arc<Caller> {
    let config = IdentityConfig::new(Provider::oidc(issuer.url()), vec![UPSTREAM.to_owned()]);
    Verifier::connect(config).await.unwrap().verify(token.token.reveal(), now()).await.unwrap()
}

#[tokio::test]
async fn the_upstream_gets_a_token_of_its_own() {
    let issuer = issuer().await;
    let alice = alice(&issuer).await;
    for form in [ExchangeForm::TokenExchange, ExchangeForm::Auth0, ExchangeForm::Keycloak] {
        let exchange = TokenExchange::new(config(&issuer, form)).unwrap();
        let token = exchanged(&exchange, &alice, &target()).await.unwrap();
        assert_ne!(token.token.reveal(), alice.0);
        assert!(!format!("{token:?} {exchange:?}").contains(token.token.reveal()));
        let caller = seen_by_upstream(&issuer, &token).await;
        assert_eq!(
            (caller.subject.as_str(), caller.scopes.iter().collect::<Vec<_>>()),
            ("alice", vec!["read"])
        );
        assert_eq!(caller.act[0].subject.as_deref(), Some("gate"));
        // The gate's own door does not open for it.
        let door = IdentityConfig::new(Provider::oidc(issuer.url()), vec![GATE.to_owned()]);
        let door = Verifier::connect(door).await.unwrap();
        assert!(door.verify(token.token.reveal(), now()).await.is_err());
    }
}

#[tokio::test]
async fn entra_s_form_names_the_target_by_its_scope() {
    let issuer = issuer().await;
    let alice = alice(&issuer).await;
    let exchange = TokenExchange::new(config(&issuer, ExchangeForm::Entra)).unwrap();
    let target = ExchangeTarget { scopes: vec![format!("{UPSTREAM}/.default")], ..ExchangeTarget::default() };
    let token = exchanged(&exchange, &alice, &target).await.unwrap();
    assert_eq!(seen_by_upstream(&issuer, &token).await.subject, "alice");
}

#[tokio::test]
async fn a_signed_statement_proves_the_gate() {
    let issuer = issuer().await;
    let alice = alice(&issuer).await;
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    issuer.register_client_key("gate", Value::Object(key.public_jwk()), &[]);
    let mut config = config(&issuer, ExchangeForm::TokenExchange);
    let audience = issuer.url().to_owned();
    config.client = ClientAuth::PrivateKeyJwt { client_id: "gate".to_owned(), key, audience };
    let exchange = TokenExchange::new(config).unwrap();
    assert!(exchanged(&exchange, &alice, &target()).await.is_ok());
}

#[tokio::test]
async fn one_exchange_serves_until_shortly_before_the_end() {
    let issuer = issuer().await;
    let alice = alice(&issuer).await;
    let exchange = TokenExchange::new(config(&issuer, ExchangeForm::TokenExchange)).unwrap();
    let asked = || issuer.requests(Endpoint::Token);
    let target = target();
    let ask = || exchanged(&exchange, &alice, &target);
    let (one, two, three) = tokio::join!(ask(), ask(), ask());
    let token = one.unwrap();
    assert!(Arc::ptr_eq(&two.unwrap(), &token) && Arc::ptr_eq(&three.unwrap(), &token));
    assert_eq!(asked(), 1);
    let at = async |now| {
        let subject = Subject { token: &alice.0, caller: &alice.1, proven: false };
        exchange.exchange(subject, &target, now).await.unwrap()
    };
    assert!(Arc::ptr_eq(&at(token.until - 1).await, &token));
    assert_eq!(asked(), 1);
    assert!(!Arc::ptr_eq(&at(token.until).await, &token));
    assert_eq!(asked(), 2);
    // Another target, another person, and everything after forgetting are other exchanges.
    let wider = ExchangeTarget { scopes: vec!["write".to_owned()], ..target.clone() };
    exchanged(&exchange, &alice, &wider).await.unwrap();
    assert_eq!(asked(), 3);
    let bob = subject(&issuer, GATE, TokenSpec::new("bob", GATE)).await;
    let token = exchanged(&exchange, &bob, &target).await.unwrap();
    assert_eq!(seen_by_upstream(&issuer, &token).await.subject, "bob");
    assert_eq!(asked(), 4);
    exchange.forget_all();
    exchanged(&exchange, &bob, &target).await.unwrap();
    assert_eq!(asked(), 5);
}

#[tokio::test]
async fn a_bound_token_is_exchanged_only_with_its_proof() {
    let issuer = issuer().await;
    let (token, caller) = alice(&issuer).await;
    let bound = Caller { binding: Some(Binding::Jkt("x".to_owned())), ..Caller::clone(&caller) };
    let exchange = TokenExchange::new(config(&issuer, ExchangeForm::TokenExchange)).unwrap();
    for (proven, expected) in [(false, Some(ExchangeError::NotProven)), (true, None)] {
        let subject = Subject { token: &token, caller: &bound, proven };
        assert_eq!(exchange.exchange(subject, &target(), now()).await.err(), expected);
    }
    assert_eq!(ExchangeError::NotProven.status(), 401);
}

#[tokio::test]
async fn delegation_has_an_end() {
    let issuer = issuer().await;
    let act = (0..4).fold(json!({"sub": "first"}), |act, _| json!({"sub": "next", "act": act}));
    let delegated = subject(&issuer, GATE, TokenSpec::new("alice", GATE).claim("act", act)).await;
    let mut config = config(&issuer, ExchangeForm::TokenExchange);
    let exchange = TokenExchange::new(config.clone()).unwrap();
    let refused = exchanged(&exchange, &delegated, &target()).await.unwrap_err();
    assert_eq!((refused.clone(), refused.status()), (ExchangeError::DelegatedTooOften, 403));
    assert_eq!(issuer.requests(Endpoint::Token), 0);
    // And the issuer's own bound is the caller's to meet.
    config.max_act_depth = 8;
    let exchange = TokenExchange::new(config).unwrap();
    let refused = exchanged(&exchange, &delegated, &target()).await.unwrap_err();
    assert_eq!(refused, ExchangeError::SubjectRefused);
}

#[tokio::test]
async fn failures_say_whose_fault_they_are_and_are_not_remembered() {
    let issuer = issuer().await;
    let alice = alice(&issuer).await;
    let exchange = TokenExchange::new(config(&issuer, ExchangeForm::TokenExchange)).unwrap();
    for fault in [
        Fault::Disconnect,
        Fault::Hang,
        Fault::Status(503),
        Fault::Redirect("https://evil.example/".to_owned()),
        Fault::Text("{}".to_owned()),
        Fault::Text("{\"access_token\":\"t\",\"token_type\":\"DPoP\",\"expires_in\":60}".to_owned()),
        Fault::Text(json!({"access_token": alice.0, "token_type": "Bearer", "expires_in": 60}).to_string()),
        Fault::Padded(IdentityConfig::MAX_DOCUMENT_BYTES),
    ] {
        issuer.set_fault(Endpoint::Token, fault.clone());
        let refused = exchanged(&exchange, &alice, &target()).await.unwrap_err();
        assert_eq!((refused.clone(), refused.status()), (ExchangeError::Unavailable, 502), "{fault:?}");
    }
    issuer.set_fault(Endpoint::Token, Fault::None);
    let stranger = ("not.a.token".to_owned(), Arc::clone(&alice.1));
    assert_eq!(exchanged(&exchange, &stranger, &target()).await.unwrap_err(), ExchangeError::SubjectRefused);
    let nowhere = ExchangeTarget::default();
    assert_eq!(exchanged(&exchange, &alice, &nowhere).await.unwrap_err(), ExchangeError::Denied);
    assert!(exchanged(&exchange, &alice, &target()).await.is_ok());
    issuer.register_client("gate", "changed", &[]);
    exchange.forget_all();
    let refused = exchanged(&exchange, &alice, &target()).await.unwrap_err();
    assert_eq!((refused.clone(), refused.status()), (ExchangeError::GateRefused, 502));
}

#[tokio::test]
async fn what_cannot_work_does_not_start() {
    let issuer = issuer().await;
    let refused = |change: fn(&mut ExchangeConfig)| {
        let mut config = config(&issuer, ExchangeForm::TokenExchange);
        change(&mut config);
        TokenExchange::new(config).err()
    };
    assert_eq!(refused(|_| ()), None);
    assert_eq!(
        refused(|c| c.client = ClientAuth::Bearer(Secret::new("x"))),
        Some(SetupError::NoGateCredential)
    );
    let insecure = refused(|c| c.token_endpoint = Some("http://issuer.example/token".to_owned()));
    assert!(matches!(insecure, Some(SetupError::InsecureUrl { .. })));
    assert!(matches!(refused(|c| c.cache_entries = 0), Some(SetupError::OutOfBounds { .. })));
    assert!(matches!(refused(|c| c.early_seconds = 301), Some(SetupError::OutOfBounds { .. })));
    let checked = |form, target: &ExchangeTarget| {
        TokenExchange::new(config(&issuer, form)).unwrap().check_target(target).is_ok()
    };
    let resource = ExchangeTarget { resource: Some(UPSTREAM.to_owned()), ..ExchangeTarget::default() };
    assert!(checked(ExchangeForm::TokenExchange, &resource) && !checked(ExchangeForm::Auth0, &resource));
    assert!(!checked(ExchangeForm::Entra, &resource) && checked(ExchangeForm::Entra, &target()));
    assert!(!checked(ExchangeForm::TokenExchange, &ExchangeTarget::default()));
}
