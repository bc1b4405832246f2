//! Credentials are taken from wherever a client can put them, and none of them reaches the upstream.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use octroi_l402::Macaroon;
use serde_json::json;

use crate::harness::{Ask, Market};

/// A macaroon and its preimage in the spellings that clients use.
struct Spelt {
    macaroon: Vec<u8>,
    preimage: String,
}

impl Spelt {
    fn of(credential: &str) -> Self {
        let (macaroon, preimage) = credential.split_once(':').unwrap();
        Self { macaroon: STANDARD.decode(macaroon).unwrap(), preimage: preimage.to_owned() }
    }

    fn text(&self) -> String {
        format!("{}:{}", STANDARD.encode(&self.macaroon), self.preimage)
    }

    /// A macaroon that carries its preimage, in hexadecimal.
    fn hex(&self) -> String {
        let macaroon = Macaroon::decode(&self.macaroon).unwrap();
        hex::encode(macaroon.add_caveat(format!("preimage={}", self.preimage)).unwrap().encode_v2())
    }
}

/// One way to show both credentials.
type Carry = fn(Ask, &str, &Spelt) -> Ask;

/// Every carrier of both proofs, each of which buys one call.
const CARRIERS: [(&str, Carry); 22] = [
    ("two Authorization lines", |ask, token, paid| ask.bearer(token).paid(&paid.text())),
    ("two lines, payment first", |ask, token, paid| ask.paid(&paid.text()).bearer(token)),
    ("comma, identity first", |ask, token, paid| {
        ask.header("authorization", &format!("Bearer {token}, L402 {}", paid.text()))
    }),
    ("comma, payment first", |ask, token, paid| {
        ask.header("authorization", &format!("L402 {},Bearer {token}", paid.text()))
    }),
    ("comma, odd case and white space", |ask, token, paid| {
        ask.header("authorization", &format!("bEARER \t {token} ,\tlsat   {} ", paid.text()))
    }),
    ("composite", |ask, token, paid| {
        ask.header("x-mcp-auth-composite", &format!("Identity {token}, Payment {}", paid.text()))
    }),
    ("composite, payment first", |ask, token, paid| {
        ask.header("x-mcp-auth-composite", &format!("payment {} , identity {token}", paid.text()))
    }),
    ("Payment-Authorization", |ask, token, paid| {
        ask.bearer(token).header("payment-authorization", &format!("L402 {}", paid.text()))
    }),
    ("Payment-Authorization, LSAT", |ask, token, paid| {
        ask.bearer(token).header("payment-authorization", &format!("LSAT {}", paid.text()))
    }),
    ("Macaroon", |ask, token, paid| ask.bearer(token).header("macaroon", &paid.hex())),
    ("Macaroon in upper case", |ask, token, paid| {
        ask.bearer(token).header("macaroon", &paid.hex().to_uppercase())
    }),
    ("Grpc-Metadata-Macaroon", |ask, token, paid| {
        ask.bearer(token).header("grpc-metadata-macaroon", &paid.hex())
    }),
    ("_meta payment text", |ask, token, paid| {
        ask.bearer(token).meta("dev.octroi/payment", json!(format!("L402 {}", paid.text())))
    }),
    ("_meta payment text without scheme", |ask, token, paid| {
        ask.bearer(token).meta("dev.octroi/payment", json!(paid.text()))
    }),
    ("_meta payment object", |ask, token, paid| {
        let object = json!({"macaroon": STANDARD.encode(&paid.macaroon), "preimage": paid.preimage});
        ask.bearer(token).meta("dev.octroi/payment", object)
    }),
    ("both in _meta", |ask, token, paid| {
        ask.meta("authorization", json!({"type": "bearer", "token": token}))
            .meta("dev.octroi/payment", json!(paid.text()))
    }),
    ("the same in three places", |ask, token, paid| {
        ask.bearer(token)
            .meta("authorization", json!({"type": "bearer", "token": token}))
            .paid(&paid.text())
            .header("payment-authorization", &format!("L402 {}", paid.text()))
            .meta("dev.octroi/payment", json!(paid.text()))
    }),
    ("base64 without padding", |ask, token, paid| {
        ask.bearer(token).paid(&format!("{}:{}", STANDARD_NO_PAD.encode(&paid.macaroon), paid.preimage))
    }),
    ("base64url", |ask, token, paid| {
        ask.bearer(token).paid(&format!("{}:{}", URL_SAFE.encode(&paid.macaroon), paid.preimage))
    }),
    ("base64url without padding", |ask, token, paid| {
        ask.bearer(token).paid(&format!("{}:{}", URL_SAFE_NO_PAD.encode(&paid.macaroon), paid.preimage))
    }),
    ("preimage in upper case", |ask, token, paid| {
        let text = format!("{}:{}", STANDARD.encode(&paid.macaroon), paid.preimage.to_uppercase());
        ask.bearer(token).paid(&text)
    }),
    ("LSAT", |ask, token, paid| ask.bearer(token).header("authorization", &format!("LSAT {}", paid.text()))),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_carrier_buys_a_call() {
    let market = Market::open(&[]).await;
    let caller = &market.caller;
    let token = market.token("alice");
    // Each carrier is tried with a caller of its own: what one leaves as credit must not pay for another.
    for (index, (name, carry)) in CARRIERS.into_iter().enumerate() {
        let token = market.token(&format!("caller {index}"));
        let describe = || caller.call("image_describe", json!({"url": format!("http://x/{index}.png")}));
        let credential = market.pay(&describe().bearer(&token).send().await.challenge()).await;
        let reply = carry(describe(), &token, &Spelt::of(&credential)).send().await;
        assert_eq!(reply.status, 200, "{name}: {}", reply.text);
        assert!(reply.worked().contains(&format!("/{index}.png")), "{name}");
        assert_eq!(reply.headers["octroi-price"], "3000", "{name}");
        assert_eq!(reply.headers["octroi-balance"], "0", "{name}");
        assert!(!reply.headers.contains_key("www-authenticate"), "{name}: a challenge on a success");
        carry(describe(), &token, &Spelt::of(&credential)).send().await.refused(402, "CREDENTIAL_SPENT");
    }
    let calls = CARRIERS.len();
    assert_eq!(market.sample.calls_of("image_describe"), calls as u64);
    let ledger = market.gate.ledger().await;
    assert_eq!(ledger["received_msat"], 3000 * calls, "{ledger}");
    assert_eq!(ledger["revenue"][0]["msat"], 3000 * calls, "{ledger}");
    assert_eq!((&ledger["captured"], &ledger["open_holds"]), (&json!(calls), &json!(0)), "{ledger}");
    assert_eq!((&ledger["credit_msat"], &ledger["suspense_msat"]), (&json!(0), &json!(0)), "{ledger}");

    echo_shows_no_credential(&market, &token).await;
}

/// The upstream's own view of a request that carried everything at once.
async fn echo_shows_no_credential(market: &Market, token: &str) {
    let echo = || market.caller.call("echo_request", json!({"n": 1}));
    let paid = Spelt::of(&market.pay(&echo().send().await.challenge()).await);
    let everywhere = echo()
        .bearer(token)
        .header("x-mcp-auth-composite", &format!("Identity {token}, Payment {}", paid.text()))
        .header("payment-authorization", &format!("L402 {}", paid.text()))
        .header("macaroon", &paid.hex())
        .header("octroi-calls", "1")
        .header("cookie", "session=secret")
        .meta("authorization", json!({"type": "bearer", "token": token}))
        .meta("dev.octroi/payment", json!(paid.text()))
        .meta("org.example/kept", json!(true));
    let echoed = everywhere.send().await.worked();
    for secret in
        [token, paid.text().as_str(), &paid.preimage, &STANDARD.encode(&paid.macaroon), "session=secret"]
    {
        assert!(!echoed.contains(secret), "the upstream saw a credential: {echoed}");
    }
    assert!(echoed.contains("org.example/kept"), "{echoed}");
    let received = market.sample.received();
    let names = received.iter().flat_map(|request| &request.headers).map(|(name, _)| name.as_str());
    let allowed = |name: &str| {
        name.starts_with("mcp-")
            || ["accept", "content-type", "content-length", "host", "user-agent"].contains(&name)
    };
    assert_eq!(names.filter(|name| !allowed(name)).collect::<Vec<_>>(), Vec::<&str>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_credential_is_said() {
    let market = Market::open(&[]).await;
    let caller = &market.caller;
    let token = market.token("alice");
    let describe = || caller.call("image_describe", json!({"url": "http://x/y.png"})).bearer(&token);
    let challenge = describe().send().await.challenge();
    // Not paid yet: somebody who guesses the preimage, or sends what cannot be read.
    let guess = format!("{}:{}", challenge.macaroon, "ab".repeat(32));
    describe().paid(&guess).send().await.refused(402, "INVALID_MACAROON").challenge();
    for unreadable in ["nonsense", "AgEE:zz", ":", "a,b:00"] {
        describe().paid(unreadable).send().await.refused(402, "INVALID_MACAROON").challenge();
    }
    let another = describe().header("octroi-calls", "2").send().await.challenge();
    let another = format!("{}:{}", another.macaroon, "cd".repeat(32));
    let credential = market.pay(&challenge).await;
    let paid = Spelt::of(&credential);
    let mut forged = paid.macaroon.clone();
    *forged.last_mut().unwrap() ^= 1;
    let forged = format!("{}:{}", STANDARD.encode(&forged), paid.preimage);
    describe().paid(&forged).send().await.refused(402, "INVALID_MACAROON").challenge();
    caller
        .call("data_query", json!({"query": "q"}))
        .paid(&credential)
        .send()
        .await
        .refused(402, "WRONG_TOOL");
    // Bound to the caller it was sold to.
    let thief = market.token("mallory");
    let stolen = caller.call("image_describe", json!({"url": "http://x/y.png"})).bearer(&thief);
    stolen.paid(&credential).send().await.refused(402, "INVALID_MACAROON");
    // Two different ones of a kind: nobody can say which was meant.
    for other in [&another, &guess] {
        describe().paid(&credential).paid(other).send().await.refused(400, "MALFORMED_REQUEST");
    }
    describe().paid(&credential).bearer(&thief).send().await.refused(400, "MALFORMED_REQUEST");
    assert_eq!(market.sample.calls().len(), 0, "a refused call reached the upstream");
    // None of this cost anything.
    describe().paid(&credential).send().await.worked();
    assert_eq!(market.gate.ledger().await["revenue"][0]["msat"], 3000);
}
