//! The provider presets: one issuer, tokens dressed as each product's.

use octroi_identity::{
    Algorithm, IdentityConfig, InvalidToken, KeySource, Method, Provider, TokenError, Verifier,
};
use octroi_testkit::issuer::{Issuer, TokenSpec};
use serde_json::{Value, json};

const AUDIENCE: &str = "https://gate.example/mcp";
/// The time of every check, seconds since the Unix epoch.
const NOW: u64 = 1_900_000_000;

fn good() -> TokenSpec {
    TokenSpec::new("alice", AUDIENCE).issued_at(NOW).scopes(&["tools:call", "read"])
}

#[tokio::test]
async fn presets_differ_in_data_only() {
    let issuer = Issuer::start().await.unwrap();
    let check = async |mut provider: Provider, clients: &[&str], spec: TokenSpec| {
        provider.issuers = vec![issuer.url().to_owned()];
        provider.method = Method::Jwt(KeySource::Jwks(issuer.jwks_uri()));
        provider.algorithms.push(Algorithm::Es256);
        let mut config = IdentityConfig::new(provider, vec![AUDIENCE.to_owned()]);
        config.allowed_clients = clients.iter().map(|client| (*client).to_owned()).collect();
        let verifier = Verifier::connect(config).await.unwrap();
        verifier.verify(&issuer.token(spec), NOW).await.map(|caller| {
            (caller.subject.clone(), caller.scopes.iter().map(str::to_owned).collect::<Vec<_>>())
        })
    };
    let invalid = |why| Err(TokenError::Invalid(why));
    let named = |subject: &str, scopes: &[&str]| {
        Ok((subject.to_owned(), scopes.iter().map(|scope| (*scope).to_owned()).collect::<Vec<_>>()))
    };
    let url = issuer.url();

    let permissions = good().claim("permissions", json!(["delete"]));
    assert_eq!(
        check(Provider::auth0(url), &[], permissions).await,
        named("alice", &["delete", "read", "tools:call"])
    );

    let typ_jwt = good().header("typ", "JWT");
    assert_eq!(check(Provider::jwks(url, url), &[], typ_jwt).await, invalid(InvalidToken::Type));
    assert_eq!(check(Provider::jwks(url, url), &[], good()).await, named("alice", &["read", "tools:call"]));

    let cognito = || Provider::cognito("eu-west-1", "pool");
    let access = || good().claim("token_use", "access").claim("aud", Value::Null);
    assert_eq!(check(cognito(), &["test-client"], access()).await, named("alice", &["read", "tools:call"]));
    assert_eq!(check(cognito(), &["other"], access()).await, invalid(InvalidToken::Client));
    let nobodys = access().claim("client_id", Value::Null);
    assert_eq!(check(cognito(), &["test-client"], nobodys).await, invalid(InvalidToken::Client));
    let elsewhere = access().claim("aud", "https://other.example");
    assert_eq!(check(cognito(), &["test-client"], elsewhere).await, invalid(InvalidToken::Audience));
    let id = good().claim("token_use", "id");
    assert_eq!(
        check(cognito(), &["test-client"], id).await,
        invalid(InvalidToken::ClaimRefused("token_use".into()))
    );

    let clerk = || Provider::clerk_session(url);
    let session = || good().claim("aud", Value::Null).claim("azp", "https://app.example");
    let app = ["https://app.example"];
    assert!(check(clerk(), &app, session()).await.is_ok());
    assert_eq!(
        check(clerk(), &app, session().claim("azp", Value::Null)).await,
        invalid(InvalidToken::Client)
    );
    let pending = session().claim("sts", "pending");
    assert_eq!(check(clerk(), &app, pending).await, invalid(InvalidToken::ClaimRefused("sts".into())));

    let entra = |tenant: &str| {
        good()
            .claim("ver", "2.0")
            .claim("tid", tenant)
            .claim("oid", "o1")
            .claim("scp", "a b")
            .claim("roles", json!(["R"]))
    };
    assert_eq!(check(Provider::entra("t1"), &[], entra("t1")).await, named("o1/t1", &["R", "a", "b"]));
    assert_eq!(
        check(Provider::entra("t1"), &[], entra("t2")).await,
        invalid(InvalidToken::ClaimRefused("tid".into()))
    );

    let bearer = good().claim("typ", "Bearer");
    assert!(check(Provider::keycloak(url), &[], bearer).await.is_ok());
    assert_eq!(
        check(Provider::keycloak(url), &[], good()).await,
        invalid(InvalidToken::MissingClaim("typ".into()))
    );

    let okta = good().claim("uid", "00u1").claim("scp", json!(["x"]));
    assert_eq!(check(Provider::okta(url), &[], okta).await, named("00u1", &["x"]));
    assert_eq!(check(Provider::okta(url), &[], good()).await, named("alice", &[]));
}
