//! Callers whose access token is gone when they come back with what they bought.

use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use octroi_l402::{Macaroon, Terms};
use octroi_lightning::Password;
use octroi_testkit::issuer::{DpopKey, Endpoint, Fault, ProofSpec, SigningAlgorithm, TokenSpec};
use octroi_testkit::wallet_api;
use serde_json::{Value, json};

use crate::harness::{Ask, Market, Reply, peers, soon};
use crate::identity::{header, now};

const URL: &str = "http://x/y.png";

fn describe(market: &Market) -> Ask {
    market.caller.call("image_describe", json!({"url": URL}))
}

/// 401, and no invoice with it: some clients pay whatever they see.
#[track_caller]
fn unknown(reply: &Reply, reason: &str, what: &str) {
    assert_eq!((reply.status, reply.reason()), (401, reason), "{what}: {}", reply.text);
    let lines: Vec<_> = reply.headers.get_all("www-authenticate").iter().collect();
    assert!(lines.iter().all(|line| !line.to_str().unwrap().contains("L402")), "{what}: {lines:?}");
}

/// The same credential with caveats that a holder appends.
fn narrowed(credential: &str, caveats: &[String]) -> String {
    let (macaroon, preimage) = credential.split_once(':').unwrap();
    let macaroon = Macaroon::decode(&STANDARD.decode(macaroon).unwrap()).unwrap();
    let macaroon = caveats.iter().fold(macaroon, |macaroon, caveat| macaroon.add_caveat(caveat).unwrap());
    format!("{}:{preimage}", STANDARD.encode(macaroon.encode_v2()))
}

/// What a credential says of itself.
fn terms(credential: &str) -> Terms {
    let macaroon = STANDARD.decode(credential.split(':').next().unwrap()).unwrap();
    let macaroon = Macaroon::decode(&macaroon).unwrap();
    Terms::read("mcp", macaroon.caveats()).unwrap()
}

/// What one of the clients makes of a call of a tool that asks who calls.
async fn pays_with_a_token(market: &Market, script: &str, wallet: &str, token: &str) -> Value {
    let mut client = if script.ends_with(".py") { peers::python(script) } else { peers::node(script) };
    let params = json!({"name": "image_describe", "arguments": {"url": URL}});
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).to_string();
    client.args([&market.gate.url, "--wallet", wallet, "--password", "p", "--body", &body]);
    client.args(["--header", &format!("Authorization: Bearer {token}")]);
    peers::report(client).await
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_put_their_payment_where_the_token_was_get_their_answer() {
    let market = Market::open(&[]).await;
    let node = std::sync::Arc::clone(&market.payer.node);
    let wallet = wallet_api::serve(node, &Password::new("p")).await.unwrap();
    for (calls, script) in (1..).zip(["alby.mjs", "l402_requests_client.py"]) {
        let token = market.token(script);
        market.gate.secrets.add(&token);
        let report = pays_with_a_token(&market, script, &wallet.url, &token).await;
        assert_eq!(report["status"], 200, "{script}: {report}");
        assert!(report["body"].as_str().unwrap().contains("two towers"), "{script}: {report}");
        assert_eq!(market.sample.calls_of("image_describe"), calls);
    }
    let ledger = market.gate.ledger().await;
    assert_eq!((&ledger["received_msat"], &ledger["credit_msat"]), (&json!(6000), &json!(0)), "{ledger}");
}

/// What a gate exchanges its callers' tokens with, as `--set` takes it.
const OBO: [&str; 8] = [
    "--set",
    "mcp_server.auth.identity.required=true",
    "--set",
    "mcp_server.auth.identity.obo.client_id=gate",
    "--set",
    "mcp_server.auth.identity.obo.client_secret=the-gate-s-own-secret",
    "--set",
    "mcp_server.auth.identity.obo.audience=https://server.example.com/mcp",
];

#[tokio::test(flavor = "multi_thread")]
async fn the_server_gets_a_token_of_its_own_for_the_one_that_a_credential_stands_for() {
    let market = Market::open(&OBO).await;
    market.issuer.register_client("gate", "the-gate-s-own-secret", &[]);
    let token = market.token("alice");
    market.gate.secrets.add(&token);
    let echo = || market.caller.call("echo_request", json!({}));
    let credential = market.pay(&echo().bearer(&token).send().await.challenge()).await;
    assert_eq!(market.issuer.requests(Endpoint::Token), 0, "who has not paid causes no exchange");
    let reply = echo().paid(&credential).send().await;
    reply.worked();
    let headers = &reply.message["result"]["structuredContent"]["headers"];
    let sent = header(headers, "authorization").and_then(|line| line.strip_prefix("Bearer ")).unwrap();
    assert_ne!(sent, token, "the caller's own token goes nowhere");
    let claims: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(sent.split('.').nth(1).unwrap()).unwrap()).unwrap();
    assert_eq!((&claims["sub"], &claims["aud"]), (&json!("alice"), &json!("https://server.example.com/mcp")));
    assert_eq!(market.issuer.requests(Endpoint::Token), 1);
    // The same call once more is answered from what is kept, and exchanges nothing.
    assert_eq!(echo().paid(&credential).send().await.headers["octroi-replayed"], "true");

    // Where no token is to be had, nothing is charged, and the credential is good for another try.
    let other = market.token("bob");
    let credential = market.pay(&echo().bearer(&other).send().await.challenge()).await;
    market.issuer.set_fault(Endpoint::Token, Fault::Status(500));
    echo().paid(&credential).send().await.refused(502, "UPSTREAM_UNAVAILABLE");
    market.issuer.set_fault(Endpoint::Token, Fault::None);
    echo().paid(&credential).send().await.worked();
    assert_eq!(market.sample.calls_of("echo_request"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_stands_for_its_token_in_one_call_and_for_nothing_else() {
    let scoped = "mcp_server.auth.payment.pricing.announce={ sats = 1 }";
    let market = Market::open(&["--set", scoped, "--set", "mcp_server.auth.identity.dpop={}"]).await;
    let token = market.token("alice");
    let credential = market.pay(&describe(&market).bearer(&token).send().await.challenge()).await;
    let said = terms(&credential);
    assert!(said.vouched_principal.is_some() && said.arguments_digest.is_some(), "{said:?}");
    assert_eq!((said.calls, said.tools.as_deref()), (Some(1), Some(&["image_describe".to_owned()][..])));
    assert!(said.valid_until.unwrap() <= now() + 300, "{said:?}");

    let elsewhere = market.caller.call("image_describe", json!({"url": "http://x/z.png"}));
    let announce = || market.caller.call("announce", json!({"list": "tools"}));
    let (macaroon, preimage) = credential.split_once(':').unwrap();
    let mut altered = STANDARD.decode(macaroon).unwrap();
    *altered.last_mut().unwrap() ^= 1;
    let bob = said.principal.map(|mut principal| {
        principal[0] ^= 1;
        format!("mcp_principal={}", hex::encode(principal))
    });
    for (what, ask) in [
        ("other arguments", elsewhere.clone().paid(&credential)),
        ("another tool", announce().paid(&credential)),
        ("altered", describe(&market).paid(&format!("{}:{preimage}", STANDARD.encode(altered)))),
        ("another preimage", describe(&market).paid(&format!("{macaroon}:{}", "ab".repeat(32)))),
        ("somebody else's name added", describe(&market).paid(&narrowed(&credential, &[bob.unwrap()]))),
        (
            "ended by its holder",
            describe(&market).paid(&narrowed(&credential, &["mcp_valid_until=1".into()])),
        ),
        ("narrowed to another tool", {
            describe(&market).paid(&narrowed(&credential, &["mcp_capabilities=announce".into()]))
        }),
    ] {
        unknown(&ask.send().await, "MISSING_TOKEN", what);
    }
    // With a token it pays for whom it was made for, and for what.
    let bobs = market.token("bob");
    describe(&market).bearer(&bobs).paid(&credential).send().await.refused(402, "INVALID_MACAROON");
    elsewhere.bearer(&token).paid(&credential).send().await.refused(402, "WRONG_TOOL");
    assert_eq!(market.sample.calls_of("image_describe"), 0);

    // In whatever carrier: here one that no client would drop its token for.
    let line = format!("L402 {credential}");
    describe(&market).header("payment-authorization", &line).send().await.worked();
    let again = describe(&market).paid(&credential).send().await;
    again.worked();
    assert_eq!(again.headers["octroi-replayed"], "true", "the call it was good for");
    let renamed = describe(&market).paid(&credential).header("idempotency-key", "another").send().await;
    assert_eq!(renamed.headers["octroi-replayed"], "true", "whatever it is called");
    assert_eq!(market.sample.calls_of("image_describe"), 1);

    // What its owner may not do, it may not either: the offer is made to those who may.
    announce().bearer(&token).send().await.refused(403, "INSUFFICIENT_SCOPE");
    let may = market.issuer.token(TokenSpec::new("alice", &market.gate.url).scopes(&["announce:write"]));
    let scoped = market.pay(&announce().bearer(&may).send().await.challenge()).await;
    unknown(&describe(&market).paid(&scoped).send().await, "MISSING_TOKEN", "bought for another tool");
    assert_eq!(announce().paid(&scoped).send().await.worked(), "announced");

    // A token that is bound to a key is not exchanged for one that is not.
    let key = DpopKey::generate(SigningAlgorithm::Es256).unwrap();
    let spec = TokenSpec::new("carol", &market.gate.url).claim("cnf", json!({"jkt": key.thumbprint()}));
    let bound = market.issuer.token(spec);
    let with_proof = |ask: Ask| {
        let proof = key.proof(ProofSpec::new("POST", &market.gate.url, &bound, now()));
        ask.header("authorization", &format!("DPoP {bound}")).header("dpop", &proof)
    };
    let credential = market.pay(&with_proof(describe(&market)).send().await.challenge()).await;
    assert_eq!(terms(&credential).vouched_principal, None);
    unknown(&describe(&market).paid(&credential).send().await, "MISSING_TOKEN", "bound to a key");
    let line = format!("L402 {credential}");
    with_proof(describe(&market)).header("payment-authorization", &line).send().await.worked();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_the_token_ends_what_stands_for_it() {
    let mut market = Market::open(&[]).await;
    // One token is revoked, then everything of its subject; then the gate forgets.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token.jwt");
    let admin = market.gate.admin.clone();
    let revoke = |words: Vec<String>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_octroi"));
        command.args(["identity", "revoke"]).args(words).args(["--admin", &admin]);
        assert!(command.output().unwrap().status.success());
    };
    for (subject, whole) in [("alice", false), ("bob", true)] {
        let token = market.token(subject);
        let credential = market.pay(&describe(&market).bearer(&token).send().await.challenge()).await;
        std::fs::write(&file, &token).unwrap();
        revoke(if whole {
            let issuer = market.issuer.url().to_owned();
            vec!["--issuer".to_owned(), issuer, "--subject".to_owned(), subject.to_owned()]
        } else {
            vec!["--token".to_owned(), format!("file:{}", file.display())]
        });
        unknown(&describe(&market).paid(&credential).send().await, "INVALID_TOKEN", subject);
    }
    assert_eq!(market.sample.calls_of("image_describe"), 0);
    // Alice's money is hers all the same: with another token she needs no credential at all.
    describe(&market)
        .bearer(&market.issuer.token(TokenSpec::new("alice", &market.gate.url).issued_at(now() + 1)))
        .send()
        .await
        .worked();

    // A gate that was started anew knows of no tokens. What was paid is credit.
    let token = market.token("carol");
    let credential = market.pay(&describe(&market).bearer(&token).send().await.challenge()).await;
    soon(async {
        while market.gate.ledger().await["received_msat"] != 9000 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    market.gate = market.gate.kill().start().await;
    market.caller = crate::harness::Caller::of(&market.gate);
    unknown(&describe(&market).paid(&credential).send().await, "MISSING_TOKEN", "started anew");
    describe(&market).bearer(&token).send().await.worked();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_is_the_operators_to_shut() {
    let rule = "mcp_server.tools.0={ name = \"image_describe\", requires_identity = true, vouch = false }";
    let shut = [
        "--set",
        rule,
        "--set",
        "mcp_server.auth.carriers=[\"meta\"]",
        "--set",
        "mcp_server.auth.payment.pricing.data_query={ sats = 1 }",
        "--set",
        "mcp_server.tools.4={ name = \"data_query\", requires_identity = true, credit = false, bind_arguments = true }",
    ];
    let market = Market::open(&shut).await;
    let token = market.token("alice");
    market.gate.secrets.add(&token);
    let node = std::sync::Arc::clone(&market.payer.node);
    let wallet = wallet_api::serve(node, &Password::new("p")).await.unwrap();

    // The client pays, and comes back as nobody. The invoice was Alice's, so her next call needs nothing but her token.
    let report = pays_with_a_token(&market, "alby.mjs", &wallet.url, &token).await;
    assert_eq!(report["status"], 401, "{report}");
    assert_eq!(market.sample.calls_of("image_describe"), 0);
    soon(async {
        while describe(&market).bearer(&token).send().await.status == 402 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!(market.sample.calls_of("image_describe"), 1);

    // A carrier that is shut carries nothing.
    let composite = format!("Identity {token}");
    let reply = describe(&market).header("x-mcp-auth-composite", &composite).send().await;
    unknown(&reply, "MISSING_TOKEN", "composite");

    // Where credit is shut off, the credential itself is wanted, with the arguments it was bought for.
    let query = |text: &str| market.caller.call("data_query", json!({"query": text})).bearer(&token);
    let credential = market.pay(&query("carts").send().await.challenge()).await;
    let line = format!("L402 {credential}");
    query("carts").header("payment-authorization", &line).send().await.refused(402, "INVALID_MACAROON");
    query("oxen").meta("dev.octroi/payment", json!(credential)).send().await.refused(402, "WRONG_TOOL");
    query("carts").send().await.refused(402, "PAYMENT_REQUIRED");
    query("carts").meta("dev.octroi/payment", json!(credential)).send().await.worked();
}
