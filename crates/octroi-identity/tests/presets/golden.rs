//! A good token of every product.

use octroi_identity::Provider;
use octroi_testkit::issuer::TokenSpec;
use serde_json::{Value, json};

use super::{AUDIENCE, Golden, NOW, issuer, verifier};

/// A token of these claims alone, beside `iss`, `iat`, `exp` and `jti`.
fn token(typ: Value, claims: Value) -> TokenSpec {
    let bare = TokenSpec::new("", "").issued_at(NOW).header("typ", typ);
    let bare =
        ["sub", "aud", "client_id", "scope"].iter().fold(bare, |spec, name| spec.claim(name, Value::Null));
    let Value::Object(claims) = claims else { unreachable!() };
    claims.into_iter().fold(bare, |spec, (name, value)| spec.claim(&name, value))
}

fn golden(
    provider: Provider,
    audience: Option<&str>,
    clients: &[&str],
    token: TokenSpec,
    caller: Value,
) -> Golden {
    let audiences = audience.map(str::to_owned).into_iter().collect();
    let clients = clients.iter().map(|client| (*client).to_owned()).collect();
    Golden { provider, audiences, clients, token, caller }
}

/// Every preset whose tokens are signed.
#[expect(clippy::too_many_lines, reason = "a table")]
pub(crate) fn table() -> Vec<Golden> {
    let url = "https://any.example";
    vec![
        golden(
            Provider::oidc(url),
            Some(AUDIENCE),
            &[],
            token(
                json!("at+jwt"),
                json!({
                    "sub": "alice", "aud": [AUDIENCE, "other"], "client_id": "app", "scope": "read write",
                    "roles": ["admin"], "groups": ["g1", "g2"], "email": "a@b.example", "email_verified": true,
                    "name": "Alice A", "given_name": "Alice", "family_name": "A", "preferred_username": "alice",
                    "picture": "https://p.example/a.png", "org_id": "o1", "org_name": "Org",
                    "act": {"sub": "agent", "act": {"client_id": "first"}},
                }),
            ),
            json!({
                "sub": "alice", "kind": "user", "client_id": "app", "scopes": ["read", "write"], "roles": ["admin"],
                "groups": ["g1", "g2"], "org": {"id": "o1", "name": "Org"}, "email": "a@b.example",
                "email_verified": true, "name": "Alice A", "given_name": "Alice", "family_name": "A",
                "preferred_username": "alice", "picture": "https://p.example/a.png",
                "act": {"sub": "agent", "act": {"client_id": "first"}},
            }),
        ),
        golden(
            Provider::jwks(url, url),
            Some(AUDIENCE),
            &[],
            token(
                json!("application/at+jwt"),
                json!({"sub": "m2m", "aud": AUDIENCE, "client_id": "m2m", "scope": "read"}),
            ),
            json!({"sub": "m2m", "kind": "client", "client_id": "m2m", "scopes": ["read"]}),
        ),
        golden(
            Provider::auth0("tenant.eu.auth0.com").with_namespace("https://example.com/"),
            Some(AUDIENCE),
            &[],
            token(
                json!("JWT"),
                json!({
                    "sub": "auth0|1", "aud": [AUDIENCE, "https://tenant.eu.auth0.com/userinfo"], "azp": "spa",
                    "scope": "openid read", "permissions": ["delete:user"], "org_id": "org_1", "org_name": "acme",
                    "https://example.com/roles": ["admin"], "https://example.com/email": "a@b.example",
                }),
            ),
            json!({
                "sub": "auth0|1", "kind": "user", "client_id": "spa", "scopes": ["delete:user", "openid", "read"],
                "roles": ["admin"], "org": {"id": "org_1", "name": "acme"}, "email": "a@b.example",
            }),
        ),
        golden(
            Provider::auth0("tenant.eu.auth0.com"),
            Some(AUDIENCE),
            &[],
            token(
                json!("JWT"),
                json!({
                    "sub": "c1@clients", "aud": AUDIENCE, "azp": "c1", "gty": "client-credentials", "scope": "read",
                }),
            ),
            json!({"sub": "c1@clients", "kind": "client", "client_id": "c1", "scopes": ["read"]}),
        ),
        golden(
            Provider::cognito("eu-west-1", "eu-west-1_a"),
            None,
            &["app"],
            token(
                Value::Null,
                json!({
                    "sub": "u-1", "token_use": "access", "client_id": "app", "username": "alice",
                    "scope": "https://gate/read openid", "cognito:groups": ["staff"],
                }),
            ),
            json!({
                "sub": "u-1", "kind": "user", "client_id": "app", "scopes": ["https://gate/read", "openid"],
                "groups": ["staff"], "preferred_username": "alice",
            }),
        ),
        golden(
            Provider::clerk_session(url),
            None,
            &["https://app.example"],
            token(
                json!("JWT"),
                json!({
                    "sub": "user_1", "azp": "https://app.example", "sid": "sess_1", "v": 2,
                    "o": {"id": "org_1", "slg": "acme", "rol": "admin", "per": "read", "fpm": "3"},
                }),
            ),
            json!({
                "sub": "user_1", "kind": "user", "client_id": "https://app.example", "roles": ["admin"],
                "org": {"id": "org_1", "name": "acme"},
            }),
        ),
        golden(
            Provider::clerk_session(url),
            None,
            &["https://app.example"],
            token(
                json!("JWT"),
                json!({
                    "sub": "user_1", "azp": "https://app.example", "org_id": "org_1", "org_role": "org:admin",
                    "org_slug": "acme",
                }),
            ),
            json!({
                "sub": "user_1", "kind": "user", "client_id": "https://app.example", "roles": ["org:admin"],
                "org": {"id": "org_1", "name": "acme"},
            }),
        ),
        golden(
            Provider::clerk_oauth(url),
            None,
            &["app"],
            token(json!("at+jwt"), json!({"sub": "user_1", "client_id": "app", "scope": "profile email"})),
            json!({"sub": "user_1", "kind": "user", "client_id": "app", "scopes": ["email", "profile"]}),
        ),
        golden(
            Provider::entra("t1"),
            Some("client-guid"),
            &[],
            token(
                json!("JWT"),
                json!({
                    "sub": "pairwise", "aud": "client-guid", "ver": "2.0", "tid": "t1", "oid": "o1", "azp": "app",
                    "scp": "read write", "roles": ["Admin"], "wids": ["62e9"], "groups": ["g"], "name": "Alice",
                    "preferred_username": "alice@acme.example",
                }),
            ),
            json!({
                "sub": "o1/t1", "kind": "user", "client_id": "app", "scopes": ["Admin", "read", "write"],
                "roles": ["62e9", "Admin"], "groups": ["g"], "org": {"id": "t1"}, "name": "Alice",
                "preferred_username": "alice@acme.example",
            }),
        ),
        golden(
            Provider::entra_v1("t1"),
            Some("api://gate"),
            &[],
            token(
                json!("JWT"),
                json!({
                    "sub": "s", "aud": "api://gate", "ver": "1.0", "tid": "t1", "oid": "o2", "appid": "daemon",
                    "roles": ["Tools.Call"],
                }),
            ),
            json!({
                "sub": "o2/t1", "kind": "client", "client_id": "daemon", "scopes": ["Tools.Call"],
                "roles": ["Tools.Call"], "org": {"id": "t1"},
            }),
        ),
        golden(
            Provider::okta(url),
            Some("api://default"),
            &[],
            token(
                Value::Null,
                json!({
                    "sub": "alice@acme.example", "uid": "00u1", "aud": "api://default", "cid": "app", "ver": 1,
                    "scp": ["read", "openid"], "groups": ["Everyone"],
                }),
            ),
            json!({
                "sub": "00u1", "kind": "user", "client_id": "app", "scopes": ["openid", "read"],
                "groups": ["Everyone"], "preferred_username": "alice@acme.example",
            }),
        ),
        golden(
            Provider::okta(url),
            Some("api://default"),
            &[],
            token(
                Value::Null,
                json!({"sub": "0oa1", "aud": "api://default", "cid": "0oa1", "scp": ["read"]}),
            ),
            json!({
                "sub": "0oa1", "kind": "client", "client_id": "0oa1", "scopes": ["read"], "preferred_username": "0oa1",
            }),
        ),
        golden(
            Provider::keycloak(url),
            Some("gate"),
            &[],
            token(
                json!("JWT"),
                json!({
                    "sub": "k-1", "aud": ["gate", "account"], "typ": "Bearer", "azp": "cli", "scope": "openid read",
                    "realm_access": {"roles": ["staff"]},
                    "resource_access": {"gate": {"roles": ["operator"]}, "account": {"roles": ["manage-account"]}},
                    "groups": ["/ops"], "organization": {"acme": {"id": "o-1"}}, "email": "a@b.example",
                    "email_verified": false, "preferred_username": "alice",
                }),
            ),
            json!({
                "sub": "k-1", "kind": "user", "client_id": "cli", "scopes": ["openid", "read"],
                "roles": ["operator", "staff"], "groups": ["/ops"], "org": {"id": "o-1"}, "email": "a@b.example",
                "email_verified": false, "preferred_username": "alice",
            }),
        ),
        golden(
            Provider::keycloak(url),
            Some("gate"),
            &[],
            token(
                json!("JWT"),
                json!({
                    "sub": "k-2", "aud": "gate", "typ": "Bearer", "azp": "job", "clientAddress": "10.0.0.9",
                    "clientHost": "10.0.0.9", "client_id": "job", "preferred_username": "service-account-job",
                }),
            ),
            json!({
                "sub": "k-2", "kind": "client", "client_id": "job", "preferred_username": "service-account-job",
            }),
        ),
        golden(
            Provider::workos(url),
            Some(AUDIENCE),
            &[],
            token(
                Value::Null,
                json!({
                    "sub": "user_1", "aud": AUDIENCE, "sid": "s", "scope": "openid", "permissions": ["widgets:read"],
                    "role": "member", "org_id": "org_1",
                }),
            ),
            json!({
                "sub": "user_1", "kind": "user", "scopes": ["openid", "widgets:read"], "roles": ["member"],
                "org": {"id": "org_1"},
            }),
        ),
        golden(
            Provider::stytch(url, "project-live-1"),
            None,
            &["connected-app-1"],
            token(
                json!("JWT"),
                json!({
                    "sub": "member-1", "aud": ["project-live-1"], "client_id": "connected-app-1", "scope": "openid read",
                    "https://stytch.com/organization": {"organization_id": "organization-1", "slug": "acme"},
                    "https://stytch.com/session": {"roles": ["stytch_member"]},
                }),
            ),
            json!({
                "sub": "member-1", "kind": "user", "client_id": "connected-app-1", "scopes": ["openid", "read"],
                "roles": ["stytch_member"], "org": {"id": "organization-1", "name": "acme"},
            }),
        ),
        golden(
            Provider::stytch(url, "project-live-1"),
            None,
            &[],
            token(json!("JWT"), json!({"sub": "m2m-client-1", "aud": ["project-live-1"], "scope": "read"})),
            json!({"sub": "m2m-client-1", "kind": "client", "scopes": ["read"]}),
        ),
        golden(
            Provider::descope("P1"),
            None,
            &[],
            token(
                json!("JWT"),
                json!({
                    "sub": "U1", "aud": ["P1"], "azp": "app", "scope": "openid", "permissions": ["p"], "roles": ["r"],
                    "dct": "T1",
                    "tenants": {
                        "T1": {"permissions": ["tp"], "roles": ["tr"]},
                        "T2": {"permissions": ["no"], "roles": ["no"]},
                    },
                }),
            ),
            json!({
                "sub": "U1", "kind": "user", "client_id": "app", "scopes": ["openid", "p", "tp"],
                "roles": ["r", "tr"], "org": {"id": "T1"},
            }),
        ),
        golden(
            Provider::scalekit(url),
            Some("res_1"),
            &[],
            token(
                json!("JWT"),
                json!({
                    "sub": "usr_1", "aud": ["res_1"], "client_id": "skc_1", "scopes": ["read"], "oid": "org_1",
                }),
            ),
            json!({
                "sub": "usr_1", "kind": "user", "client_id": "skc_1", "scopes": ["read"], "org": {"id": "org_1"},
            }),
        ),
        golden(
            Provider::supabase(url),
            None,
            &[],
            token(
                json!("JWT"),
                json!({
                    "sub": "s-1", "aud": "authenticated", "role": "authenticated", "is_anonymous": false,
                    "email": "a@b.example", "app_metadata": {"roles": ["editor"], "provider": "email"},
                    "user_metadata": {"full_name": "Alice", "email_verified": true, "roles": ["admin"]},
                }),
            ),
            json!({
                "sub": "s-1", "kind": "user", "roles": ["authenticated", "editor"], "email": "a@b.example",
                "name": "Alice",
            }),
        ),
        golden(
            Provider::firebase("proj"),
            None,
            &[],
            token(
                json!("JWT"),
                json!({
                    "sub": "f-1", "aud": "proj", "auth_time": NOW, "user_id": "f-1", "email": "a@b.example",
                    "email_verified": true, "name": "Alice", "roles": ["admin"],
                    "firebase": {"sign_in_provider": "google.com", "tenant": "ten-1"},
                }),
            ),
            json!({
                "sub": "f-1", "kind": "user", "roles": ["admin"], "org": {"id": "ten-1"}, "email": "a@b.example",
                "email_verified": true, "name": "Alice",
            }),
        ),
        golden(
            Provider::kubernetes(url),
            Some(AUDIENCE),
            &[],
            token(
                Value::Null,
                json!({
                    "sub": "system:serviceaccount:prod:crawler", "aud": [AUDIENCE], "nbf": NOW,
                    "kubernetes.io": {"namespace": "prod", "serviceaccount": {"name": "crawler", "uid": "u"}},
                }),
            ),
            json!({
                "sub": "system:serviceaccount:prod:crawler", "kind": "workload", "org": {"id": "prod"},
                "name": "crawler",
            }),
        ),
        golden(
            Provider::github_actions(),
            Some(AUDIENCE),
            &[],
            token(
                json!("JWT"),
                json!({
                    "sub": "repo:acme/tool:ref:refs/heads/main", "aud": AUDIENCE, "repository": "acme/tool",
                    "repository_owner": "acme", "repository_owner_id": "65", "actor": "alice",
                    "workflow_ref": "acme/tool/.github/workflows/ci.yml@refs/heads/main", "roles": ["admin"],
                    "scope": "everything",
                }),
            ),
            json!({
                "sub": "repo:acme/tool:ref:refs/heads/main", "kind": "workload", "org": {"id": "65", "name": "acme"},
                "name": "acme/tool/.github/workflows/ci.yml@refs/heads/main", "preferred_username": "alice",
            }),
        ),
    ]
}

#[tokio::test]
async fn every_product_s_token_names_the_same_kind_of_caller() {
    let issuer = issuer().await;
    for golden in table() {
        let verifier = verifier(&issuer, &golden).await;
        let token = issuer.token(golden.token.clone());
        let name = golden.provider.name;
        let caller = verifier.verify(&token, NOW).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut expected = golden.caller;
        expected["iss"] = json!(issuer.url());
        expected["exp"] = json!(NOW + 3600);
        assert_eq!(Value::Object(caller.to_json()), expected, "{name}");
        assert_eq!(verifier.cached(&token, NOW), Some(caller), "{name}");
    }
}

#[tokio::test]
async fn quirks_of_products_are_kept() {
    let issuer = issuer().await;
    // Each changes one thing about the product's good token.
    let changes: [(&str, &str, Value); 18] = [
        ("cognito", "token_use", json!("id")),
        ("cognito", "client_id", json!("stranger")),
        ("cognito", "client_id", Value::Null),
        ("cognito", "aud", json!("https://elsewhere.example")),
        ("clerk", "sts", json!("pending")),
        ("clerk", "azp", json!("https://evil.example")),
        ("clerk", "azp", Value::Null),
        ("clerk-oauth", "client_id", json!("stranger")),
        ("entra", "tid", json!("t2")),
        ("entra", "ver", json!("1.0")),
        ("entra-v1", "ver", json!("2.0")),
        ("keycloak", "typ", json!("ID")),
        ("keycloak", "typ", json!("Refresh")),
        ("keycloak", "typ", Value::Null),
        ("supabase", "is_anonymous", json!(true)),
        ("supabase", "role", json!("anon")),
        ("firebase", "firebase", json!({"sign_in_provider": "anonymous"})),
        ("stytch", "aud", json!(["project-live-2"])),
    ];
    for (name, claim, value) in changes {
        for golden in table().into_iter().filter(|golden| golden.provider.name == name) {
            let verifier = verifier(&issuer, &golden).await;
            let token = issuer.token(golden.token.clone().claim(claim, value.clone()));
            assert!(verifier.verify(&token, NOW).await.is_err(), "{name} {claim} {value}");
        }
    }
}
