//! What the operator revokes is refused at once, remembered or not.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use octroi_identity::{IdentityConfig, InvalidToken, Provider, TokenError, Verifier};
use octroi_testkit::issuer::{Endpoint, Issuer, TokenSpec};

const AUDIENCE: &str = "https://gate.example/mcp";
/// When each test starts, seconds since the Unix epoch.
const START: u64 = 1_900_000_000;
const REVOKED: TokenError = TokenError::Invalid(InvalidToken::Revoked);

async fn scene() -> (Issuer, Verifier) {
    let issuer = Issuer::start().await.unwrap();
    let config = IdentityConfig::new(Provider::oidc(issuer.url()), vec![AUDIENCE.to_owned()]);
    let verifier = Verifier::connect(config).await.unwrap();
    (issuer, verifier)
}

fn token(issuer: &Issuer, subject: &str, issued_at: u64) -> String {
    issuer.token(TokenSpec::new(subject, AUDIENCE).issued_at(issued_at))
}

#[tokio::test]
async fn one_token() {
    let (issuer, verifier) = scene().await;
    let (bad, good) = (token(&issuer, "alice", START), token(&issuer, "alice", START));
    for token in [&bad, &good] {
        verifier.verify(token, START).await.unwrap();
    }
    verifier.revoke_token(Verifier::token_hash(&bad), START).unwrap();
    assert_eq!(verifier.cached(&bad, START), None);
    assert_eq!(verifier.verify(&bad, START).await.unwrap_err(), REVOKED);
    assert_eq!(verifier.cached(&bad, START), None);
    // The other one is checked anew, without a fetch, and remembered again.
    assert_eq!(verifier.cached(&good, START), None);
    let caller = verifier.verify(&good, START).await.unwrap();
    assert_eq!(verifier.cached(&good, START), Some(caller));
    assert_eq!(issuer.requests(Endpoint::Jwks), 1);
}

#[tokio::test]
async fn everything_a_subject_held() {
    let (issuer, verifier) = scene().await;
    let held = token(&issuer, "alice", START);
    let other = token(&issuer, "bob", START);
    verifier.verify(&held, START).await.unwrap();
    verifier.revoke_subject(issuer.url(), "alice", START + 5).unwrap();
    assert_eq!(verifier.cached(&held, START + 5), None);
    assert_eq!(verifier.verify(&held, START + 5).await.unwrap_err(), REVOKED);
    assert!(verifier.verify(&other, START + 5).await.is_ok());
    let signed_in_again = token(&issuer, "alice", START + 6);
    assert!(verifier.verify(&signed_in_again, START + 6).await.is_ok());
}

#[tokio::test]
async fn every_verdict() {
    let (issuer, verifier) = scene().await;
    let token = token(&issuer, "alice", START);
    verifier.verify(&token, START).await.unwrap();
    verifier.forget_all();
    assert_eq!(verifier.cached(&token, START), None);
    // A key that has left meanwhile counts no more.
    issuer.rotate_keys().unwrap();
    assert!(verifier.verify(&token, START + 601).await.is_err());
}
