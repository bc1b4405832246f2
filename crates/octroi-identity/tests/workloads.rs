//! Callers that are programs: platforms' tokens beside the provider's, each by its own rules and keys.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use octroi_identity::{
    CallerKind, IdentityConfig, InvalidToken, KeySource, Method, Pattern, Provider, SetupError, TokenError,
    TrustedIssuer, Verifier,
};
use octroi_testkit::issuer::{Endpoint, Issuer, TokenSpec};
use serde_json::{Value, json};

const AUDIENCE: &str = "https://gate.example/mcp";
/// The time of every check, seconds since the Unix epoch.
const NOW: u64 = 1_900_000_000;

fn at(issuer: &Issuer, mut provider: Provider) -> TrustedIssuer {
    if !provider.issuers[0].starts_with("spiffe:") {
        provider.issuers = vec![issuer.url().to_owned()];
    }
    provider.algorithms.push(octroi_identity::Algorithm::Es256);
    provider.method = Method::Jwt(KeySource::Jwks(issuer.jwks_uri()));
    TrustedIssuer::new(provider)
}

fn patterns(texts: &[&str]) -> Vec<Pattern> {
    texts.iter().map(|text| Pattern::new(*text)).collect()
}

struct Scene {
    people: Issuer,
    actions: Issuer,
    cluster: Issuer,
    mesh: Issuer,
    verifier: Verifier,
}

async fn scene() -> Scene {
    let start = async || Issuer::start().await.unwrap();
    let (people, actions, cluster, mesh) = (start().await, start().await, start().await, start().await);
    let mut config = IdentityConfig::new(Provider::oidc(people.url()), vec![AUDIENCE.to_owned()]);
    config.required_scopes = vec!["tools:call".to_owned()];
    let scopes = || vec!["tools:call".to_owned()];
    let mut trusted = at(&actions, Provider::github_actions());
    trusted.claims = vec![
        ("repository".into(), patterns(&["acme/*"])),
        ("ref".into(), patterns(&["refs/heads/main", "refs/tags/*"])),
    ];
    (trusted.scopes, trusted.roles, trusted.groups) =
        (scopes(), vec!["ci".to_owned()], vec!["robots".to_owned()]);
    config.trusted_issuers.push(trusted);
    let mut trusted = at(&cluster, Provider::kubernetes("https://kubernetes.default.svc"));
    trusted.subjects = patterns(&["system:serviceaccount:prod:*"]);
    trusted.audiences = vec!["octroi".to_owned()];
    trusted.scopes = scopes();
    config.trusted_issuers.push(trusted);
    let jwks = KeySource::Jwks(mesh.jwks_uri());
    let mut trusted = at(&mesh, Provider::spiffe("mesh.example", jwks));
    trusted.subjects = patterns(&["spiffe://mesh.example/ns/prod/*"]);
    trusted.scopes = scopes();
    config.trusted_issuers.push(trusted);
    let verifier = Verifier::connect(config).await.unwrap();
    Scene { people, actions, cluster, mesh, verifier }
}

fn action(repository: &str, git_ref: &str) -> TokenSpec {
    TokenSpec::new(&format!("repo:{repository}:ref:{git_ref}"), AUDIENCE)
        .issued_at(NOW)
        .header("typ", "JWT")
        .claim("client_id", Value::Null)
        .claim("repository", repository)
        .claim("ref", git_ref)
        .claim("repository_owner", "acme")
        .claim("repository_owner_id", "65")
}

fn pod(namespace: &str, audience: &str) -> TokenSpec {
    TokenSpec::new(&format!("system:serviceaccount:{namespace}:crawler"), audience)
        .issued_at(NOW)
        .header("typ", Value::Null)
        .claim("kubernetes.io", json!({"namespace": namespace, "serviceaccount": {"name": "crawler"}}))
}

fn svid(id: &str) -> TokenSpec {
    TokenSpec::new(id, AUDIENCE).issued_at(NOW).header("typ", "JOSE").claim("iss", Value::Null)
}

#[tokio::test]
async fn workloads_are_callers_in_their_own_right() {
    let Scene { people, actions, cluster, mesh, verifier } = scene().await;
    let token = actions.token(action("acme/tool", "refs/heads/main").claim("scope", "admin"));
    let caller = verifier.verify(&token, NOW).await.unwrap();
    assert_eq!((caller.kind, caller.issuer.as_str()), (CallerKind::Workload, actions.url()));
    assert_eq!(caller.organisation.as_ref().map(|org| org.id.as_str()), Some("65"));
    // What it may do is what the configuration grants, whatever it says itself.
    assert_eq!(caller.scopes.iter().collect::<Vec<_>>(), ["tools:call"]);
    assert!(caller.roles.has("ci") && caller.groups.has("robots"));
    assert_eq!(verifier.cached(&token, NOW), Some(caller));

    let caller = verifier.verify(&cluster.token(pod("prod", "octroi")), NOW).await.unwrap();
    assert_eq!((caller.kind, caller.names.name.as_deref()), (CallerKind::Workload, Some("crawler")));
    let caller = verifier.verify(&mesh.token(svid("spiffe://mesh.example/ns/prod/api")), NOW).await.unwrap();
    assert_eq!((caller.issuer.as_str(), caller.kind), ("spiffe://mesh.example", CallerKind::Workload));

    let person = TokenSpec::new("alice", AUDIENCE).issued_at(NOW).scopes(&["tools:call"]);
    let caller = verifier.verify(&people.token(person.clone()), NOW).await.unwrap();
    assert_eq!(caller.kind, CallerKind::User);
    let machine = person.claim("sub", "m2m").claim("client_id", "m2m");
    assert_eq!(verifier.verify(&people.token(machine), NOW).await.unwrap().kind, CallerKind::Client);
    // Nobody signs in at a platform.
    assert_eq!(verifier.issuers(), [people.url()]);
}

#[tokio::test]
async fn others_of_the_same_platform_are_not() {
    let Scene { actions, cluster, mesh, verifier, .. } = scene().await;
    let refused = async |token: String| verifier.verify(&token, NOW).await.unwrap_err();
    let claim = |name: &'static str| TokenError::Invalid(InvalidToken::ClaimRefused(name.into()));
    let main = "refs/heads/main";
    assert_eq!(refused(actions.token(action("evil/tool", main))).await, claim("repository"));
    assert_eq!(refused(actions.token(action("evil/acme/tool", main))).await, claim("repository"));
    assert_eq!(refused(actions.token(action("acme/tool", "refs/heads/fork"))).await, claim("ref"));
    let silent = action("acme/tool", main).claim("ref", Value::Null);
    assert_eq!(refused(actions.token(silent)).await, InvalidToken::MissingClaim("ref".into()).into());
    let list = action("acme/tool", main).claim("repository", json!(["acme/tool"]));
    assert_eq!(refused(actions.token(list)).await, claim("repository"));
    assert_eq!(refused(cluster.token(pod("dev", "octroi"))).await, claim("sub"));
    assert_eq!(refused(cluster.token(pod("prod", AUDIENCE))).await, InvalidToken::Audience.into());
    assert_eq!(refused(mesh.token(svid("spiffe://mesh.example/ns/dev/api"))).await, claim("sub"));
    for stranger in ["spiffe://evil.example/ns/prod/x", "spiffe://mesh.example", "mesh.example/ns/prod/x"] {
        assert_eq!(refused(mesh.token(svid(stranger))).await, InvalidToken::Issuer.into(), "{stranger}");
    }
}

#[tokio::test]
async fn each_issuer_s_keys_count_for_its_own_tokens_only() {
    let Scene { people, actions, cluster, mesh, verifier } = scene().await;
    let as_person =
        TokenSpec::new("alice", AUDIENCE).issued_at(NOW).scopes(&["tools:call"]).claim("iss", people.url());
    let as_action = action("acme/tool", "refs/heads/main").claim("iss", actions.url());
    for signer in [&actions, &cluster, &mesh] {
        let forged = verifier.verify(&signer.token(as_person.clone()), NOW).await.unwrap_err();
        assert_eq!(forged, InvalidToken::Signature.into());
    }
    for signer in [&people, &cluster, &mesh] {
        let forged = verifier.verify(&signer.token(as_action.clone()), NOW).await.unwrap_err();
        assert_eq!(forged, InvalidToken::Signature.into());
    }
    // An issuer nobody knows costs no request anywhere.
    let before = [&people, &actions].map(|issuer| issuer.requests(Endpoint::Jwks));
    let stranger = Issuer::start().await.unwrap();
    let refused =
        verifier.verify(&stranger.token(as_person.claim("iss", stranger.url())), NOW).await.unwrap_err();
    assert_eq!(refused, InvalidToken::Issuer.into());
    assert_eq!(verifier.verify("opaque", NOW).await.unwrap_err(), InvalidToken::Malformed.into());
    assert_eq!([&people, &actions].map(|issuer| issuer.requests(Endpoint::Jwks)), before);
    assert_eq!(stranger.requests(Endpoint::Jwks), 0);
}

#[tokio::test]
async fn an_issuer_of_everybody_must_be_narrowed() {
    let issuer = Issuer::start().await.unwrap();
    let connect = async |trusted: TrustedIssuer| {
        let mut config =
            IdentityConfig::new(Provider::oidc("https://people.example"), vec![AUDIENCE.to_owned()]);
        config.trusted_issuers.push(trusted);
        Verifier::connect(config).await.err()
    };
    let open = at(&issuer, Provider::github_actions());
    let any = SetupError::AnyWorkload { provider: "github-actions" };
    assert_eq!(connect(open.clone()).await, Some(any.clone()));
    let mut stars = open.clone();
    stars.subjects = patterns(&["*"]);
    assert_eq!(connect(stars).await, Some(any));
    let mut narrowed = open.clone();
    narrowed.subjects = patterns(&["repo:acme/*"]);
    assert_eq!(connect(narrowed.clone()).await, None);
    narrowed.provider.issuers = vec!["https://people.example".to_owned()];
    let twice = SetupError::IssuerTwice { issuer: "https://people.example".to_owned() };
    assert_eq!(connect(narrowed).await, Some(twice));
}
