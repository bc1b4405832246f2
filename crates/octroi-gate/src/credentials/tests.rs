use http::{HeaderMap, HeaderName, HeaderValue};
use octroi_l402::{Credential, Identifier, Macaroon, MasterKeys, Preimage, Terms};
use octroi_mcp::json::Limits;
use octroi_mcp::message;
use proptest::prelude::*;

use super::*;

/// A token that is none, but looks like one.
const JWT: &str = "aaa.bbb.ccc";

fn credential(seed: u8) -> Credential {
    let preimage = Preimage::from_bytes([seed; 32]);
    let keys = MasterKeys::new((1, [7; 32]));
    let token_id = keys.new_token_id([seed; 28]);
    let identifier = Identifier { payment_hash: preimage.payment_hash(), token_id };
    let caveats = Terms::new("mcp").to_caveats().expect("caveats");
    let root = keys.root_key(&token_id).expect("root key");
    let macaroon = Macaroon::mint(&root, &identifier, "here", &caveats).expect("macaroon");
    Credential::new(macaroon.encode_v2(), preimage)
}

fn headers(lines: &[(&str, String)]) -> HeaderMap {
    let pair = |(name, value): &(&str, String)| -> (HeaderName, HeaderValue) {
        (name.parse().expect("name"), value.parse().expect("value"))
    };
    let mut map = HeaderMap::new();
    for (name, value) in lines.iter().map(pair) {
        map.append(name, value);
    }
    map
}

fn body(meta: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"t","_meta":{meta}}}}}"#)
}

/// Reads `lines` and `meta`, and says which token and which payment were found.
fn found(
    lines: &[(&str, String)],
    meta: &str,
) -> Result<(Option<String>, Option<Credential>), CredentialsError> {
    let (map, body) = (headers(lines), body(meta));
    let message = message::scan(body.as_bytes(), &Limits::default()).expect("message");
    let presented = read(&map, &message, Carriers::ALL)?;
    let payment = presented.proof.map(|proof| match proof {
        Proof::Credential(credential) => credential,
        _ => panic!("not a readable payment"),
    });
    Ok((presented.token.map(|token| token.text.into_owned()), payment))
}

#[test]
fn every_carrier_is_read_in_any_order_and_spelling() {
    let paid = credential(1);
    let text = paid.to_text();
    let upper = {
        let (macaroon, preimage) = text.split_once(':').expect("colon");
        format!("{macaroon}:{}", preimage.to_uppercase())
    };
    let hex = {
        let macaroon = Macaroon::decode(paid.macaroon()).expect("macaroon");
        let with = macaroon.add_caveat(format!("preimage={}", paid.preimage().to_hex())).expect("room");
        hex::encode(with.encode_v2())
    };
    let meta =
        format!(r#"{{"authorization":{{"type":"bearer","token":"{JWT}"}},"dev.octroi/payment":"{text}"}}"#);
    let cases: Vec<(Vec<(&str, String)>, String)> = vec![
        (
            vec![("authorization", format!("Bearer {JWT}")), ("authorization", format!("L402 {text}"))],
            "{}".into(),
        ),
        (
            vec![("authorization", format!("LSAT {upper}")), ("authorization", format!("bearer {JWT}"))],
            "{}".into(),
        ),
        (vec![("authorization", format!("Bearer {JWT}, L402 {text}"))], "{}".into()),
        (vec![("authorization", format!("l402  {text} ,  BEARER {JWT}"))], "{}".into()),
        (vec![("x-mcp-auth-composite", format!("Identity {JWT}, Payment {text}"))], "{}".into()),
        (vec![("x-mcp-auth-composite", format!("payment {text},identity {JWT}"))], "{}".into()),
        (
            vec![
                ("authorization", format!("Bearer {JWT}")),
                ("payment-authorization", format!("L402 {text}")),
            ],
            "{}".into(),
        ),
        (vec![], meta),
        (
            vec![("authorization", format!("Bearer {JWT}")), ("authorization", format!("Bearer {JWT}"))],
            format!(r#"{{"dev.octroi/payment":"L402 {text}"}}"#),
        ),
    ];
    for (lines, meta) in cases {
        let (token, payment) = found(&lines, &meta).expect("read");
        assert_eq!(token.as_deref(), Some(JWT), "{lines:?} {meta}");
        assert_eq!(payment.as_ref(), Some(&paid), "{lines:?} {meta}");
    }
    let lines = [("authorization", format!("Bearer {JWT}")), ("macaroon", hex)];
    let (_, payment) = found(&lines, "{}").expect("read");
    let identifier = payment.expect("payment").claimed_identifier().expect("identifier");
    assert_eq!(identifier, paid.claimed_identifier().expect("identifier"));
}

#[test]
fn one_credential_twice_is_one_credential() {
    let text = credential(1).to_text();
    let lines =
        [("authorization", format!("L402 {text}")), ("payment-authorization", format!("LSAT {text}"))];
    assert!(found(&lines, &format!(r#"{{"dev.octroi/payment":"{text}"}}"#)).is_ok());
}

#[test]
fn two_different_credentials_of_one_kind_are_refused() {
    let (one, two) = (credential(1).to_text(), credential(2).to_text());
    let payments =
        [("authorization", format!("L402 {one}")), ("payment-authorization", format!("L402 {two}"))];
    assert_eq!(found(&payments, "{}").err(), Some(CredentialsError::TwoPayments));
    let in_meta = format!(r#"{{"dev.octroi/payment":"{two}"}}"#);
    assert_eq!(found(&payments[..1], &in_meta).err(), Some(CredentialsError::TwoPayments));
    let tokens = [("authorization", "Bearer a.b.c".to_owned())];
    let other = r#"{"authorization":{"type":"bearer","token":"d.e.f"}}"#;
    assert_eq!(found(&tokens, other).err(), Some(CredentialsError::TwoTokens));
    let schemes = [("authorization", "Bearer a.b.c, DPoP a.b.c".to_owned())];
    assert_eq!(found(&schemes, "{}").err(), Some(CredentialsError::TwoTokens));
}

#[test]
fn one_proof_of_possession_comes_beside_a_token() {
    let map = headers(&[("authorization", format!("DPoP {JWT}")), ("dpop", "p.r.f".to_owned())]);
    let read = read_headers(&map, Carriers::ALL).expect("read");
    assert_eq!(read.possessions.as_slice(), ["p.r.f"]);
    assert_eq!(read.token.map(|token| token.scheme), Some(TokenScheme::Dpop));
    let twice = headers(&[("dpop", "p.r.f".to_owned()), ("dpop", "p.r.f".to_owned())]);
    assert_eq!(
        read_headers(&twice, Carriers::ALL).expect("read").possessions.len(),
        2,
        "judged with the token"
    );
}

#[test]
fn what_cannot_be_read_as_payment_waits_for_identity_to_be_judged() {
    for value in ["L402 nonsense", "L402 m1,m2:aa", "L402 :", "LSAT AgE=:zz"] {
        let map = headers(&[("authorization", value.to_owned())]);
        let presented = read_headers(&map, Carriers::ALL).expect("no contradiction");
        assert!(matches!(presented.proof, Some(Proof::Unreadable(_))), "{value}");
    }
}

#[test]
fn calls_and_meta_must_have_their_form() {
    let calls = |value: &str| {
        read_headers(&headers(&[("octroi-calls", value.to_owned())]), Carriers::ALL).map(|read| read.calls)
    };
    assert_eq!(calls("100"), Ok(Some(100)));
    for wrong in ["0", "-1", "many", "1.5", "99999999999"] {
        assert_eq!(calls(wrong).err(), Some(CredentialsError::Calls), "{wrong}");
    }
    for wrong in [r#"{"authorization":"Bearer x"}"#, r#"{"authorization":{"type":"basic","token":"x"}}"#] {
        assert_eq!(found(&[], wrong).err(), Some(CredentialsError::MetaAuthorization), "{wrong}");
    }
}

#[test]
fn what_stands_in_a_carrier_that_is_shut_is_not_shown() {
    let text = credential(1).to_text();
    let in_meta =
        format!(r#"{{"authorization":{{"type":"bearer","token":"{JWT}"}},"dev.octroi/payment":"{text}"}}"#);
    let hex = {
        let macaroon = Macaroon::decode(credential(1).macaroon()).expect("macaroon");
        let with = macaroon.add_caveat(format!("preimage={}", "01".repeat(32))).expect("room");
        hex::encode(with.encode_v2())
    };
    let composite = format!("Identity {JWT}, Payment {text}");
    let shut = |lines: &[(&str, String)], meta: &str| {
        let (map, body) = (headers(lines), body(meta));
        let message = message::scan(body.as_bytes(), &Limits::default()).expect("message");
        let read = read(&map, &message, Carriers::NONE).expect("no contradiction");
        let told = match &read.proof {
            Some(Proof::Unreadable(why)) => why.clone(),
            Some(Proof::Credential(_)) => "taken".to_owned(),
            _ => "nothing".to_owned(),
        };
        (read.token.is_some(), told)
    };
    let told = |carrier: &str| (false, format!("this server takes no credentials from `{carrier}`"));
    assert_eq!(
        shut(&[("payment-authorization", format!("L402 {text}"))], "{}"),
        told("Payment-Authorization")
    );
    assert_eq!(shut(&[("macaroon", hex)], "{}"), told("Macaroon"));
    assert_eq!(shut(&[("x-mcp-auth-composite", composite.clone())], "{}"), told("X-MCP-Auth-Composite"));
    assert_eq!(shut(&[], &in_meta), told("_meta"));
    // Beside `Authorization` they are as if they were not there, whatever they say.
    let both = [("authorization", format!("Bearer x.y.z, L402 {}", credential(2).to_text()))];
    assert_eq!(shut(&both, &in_meta), (true, "taken".to_owned()));
}

proptest! {
    #[test]
    fn anything_at_all_is_read_without_harm(headers in "([0-9a-z-]{1,8}: ?[ -~]{0,60}\n){0,6}", meta in "[ -~]{0,60}") {
        crate::invariants::credentials(&headers, body(&meta).as_bytes());
    }
}
