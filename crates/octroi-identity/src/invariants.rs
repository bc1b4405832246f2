//! What must hold for any text at all. The fuzz target and the property tests call these; nothing else does.

use serde_json::Value;
use url::Url;

use crate::challenge::{Bearer, Dpop};
use crate::keys::{Answer, KeySet};
use crate::terms::Terms;
use crate::token::{UnverifiedToken, claims, json};
use crate::{
    Algorithm, Caller, CallerField, DpopConfig, DpopVerifier, IdentityConfig, Preset, PresetInput, Provider,
    ShownProof,
};

const ISSUER: &str = "https://issuer.example";
const AUDIENCE: &str = "https://gate.example/mcp";
/// A token that no proof can be about.
const UNSEEN: &str = "a token nobody has seen";
/// The time of every check, seconds since the Unix epoch.
const NOW: u64 = 1_900_000_000;
/// The public key of RFC 7515 A.3, and that of RFC 7515 A.2: whoever holds their private halves, it is not a fuzzer.
const KEYS: &[u8] = br#"{"keys":[
    {"kty":"EC","crv":"P-256","kid":"key-1","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"},
    {"kty":"RSA","kid":"key-2","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}
]}"#;

/// A token's text never panics its reader and is never taken as signed. Its claims, were they signed, name a caller
/// only when every one of them is in order. As an issuer's key set it keeps its bounds, and as a description it never
/// leaves its header line.
///
/// # Panics
/// When one of these does not hold.
pub fn token(text: &str) {
    let config = IdentityConfig::new(Provider::oidc(ISSUER), vec![AUDIENCE.to_owned()]);
    let keys = KeySet::parse(KEYS);
    assert!(keys.as_ref().is_ok_and(|keys| keys.len() == 2));
    let terms = Terms::of_provider(&config);
    if let Ok(token) = UnverifiedToken::parse(text, &config.provider) {
        assert!(text.len() <= IdentityConfig::MAX_TOKEN_BYTES && text.matches('.').count() == 2);
        // The examples of the RFC are signed with these keys, but their headers and claims are no access token's.
        let signed = keys.is_ok_and(|keys| keys.check(&token) == Answer::Good);
        let named = token.claims().and_then(|claims| claims::judge(claims, &terms, NOW));
        assert!(!signed || named.is_err());
        if let Ok(caller) = named {
            is_in_order(&caller, &config);
        }
    }
    if let Ok(read) = json::object(text.as_bytes()) {
        // What the strict reader takes, every reader takes, and as the same.
        assert_eq!(serde_json::from_str(text).ok(), Some(Value::Object(read.clone())));
        for terms in every_preset() {
            if let Ok(caller) = claims::judge(read.clone(), &terms, NOW) {
                is_accounted_for(&caller, &terms);
            }
        }
        if let Ok(caller) = claims::judge(read, &terms, NOW) {
            is_in_order(&caller, &config);
        }
    }
    if let Ok(keys) = KeySet::parse(text.as_bytes()) {
        assert!(keys.len() <= IdentityConfig::MAX_KEYS && !keys.lost_a_key(&keys));
    }
    stays_in_line(text);
}

/// A proof of possession never panics its reader, and counts for nothing: whoever wrote this text has not seen the token
/// it must be about.
///
/// # Panics
/// When one of these does not hold.
pub fn proof(text: &str) {
    let config = DpopConfig { algorithms: Algorithm::ALL.to_vec(), nonce: false, ..DpopConfig::default() };
    let (Ok(verifier), Ok(url)) = (DpopVerifier::new(config), Url::parse(AUDIENCE)) else { return };
    let shown = ShownProof { proofs: &[text], method: "POST", url: &url };
    let checked = verifier.check(&shown, UNSEEN, NOW);
    assert!(checked.is_err());
    if let Err(why) = checked {
        let value = Dpop::invalid_proof::<&str>(verifier.algorithms(), &url, &[], &why).into_header_value();
        assert!(value.bytes().all(|byte| (0x20..0x7f).contains(&byte)));
    }
}

/// The rules of every preset whose tokens are signed, for any issuer of that name.
fn every_preset() -> Vec<Terms> {
    let input = PresetInput {
        issuer: Some(ISSUER.to_owned()),
        tenant: Some("tenant".to_owned()),
        region: Some("region".to_owned()),
        user_pool: Some("pool".to_owned()),
        project: Some("project".to_owned()),
        jwks_uri: Some(ISSUER.to_owned()),
        namespace: Some("https://namespace.example/".to_owned()),
        ..PresetInput::default()
    };
    let signed = Preset::ALL.into_iter().filter_map(|preset| preset.provider(&input).ok());
    let platforms = [Provider::kubernetes(ISSUER), Provider::platform(ISSUER)];
    let of = |mut provider: Provider| {
        provider.issuers = vec![ISSUER.to_owned()];
        let mut config = IdentityConfig::new(provider, vec![AUDIENCE.to_owned()]);
        config.allowed_clients = vec!["client".to_owned()];
        Terms::of_provider(&config)
    };
    signed.chain(platforms).map(of).collect()
}

/// What a caller is said to be can be told to others without harm, and is bounded where it must be.
fn is_accounted_for(caller: &Caller, terms: &Terms) {
    assert_eq!(caller.issuer, ISSUER);
    assert!(caller.expires_at > NOW - terms.leeway_seconds);
    assert!(!caller.subject.is_empty() && caller.act.len() <= terms.max_act_depth);
    assert_eq!(caller.to_json().get("sub").and_then(Value::as_str), Some(caller.subject.as_str()));
    assert!(caller.to_auth_user().contains_key("attributes"));
    for field in
        ["subject", "scopes", "roles", "groups", "organisation", "email", "name", "claim:sub", "claim:/a/*/b"]
    {
        let value = field.parse::<CallerField>().ok().and_then(|field| field.header_value(caller));
        let value = value.unwrap_or_default();
        assert!(
            value.len() <= CallerField::MAX_BYTES && value.bytes().all(|byte| (0x20..0x7f).contains(&byte))
        );
    }
}

fn is_in_order(caller: &Caller, config: &IdentityConfig) {
    assert_eq!(caller.issuer, ISSUER);
    assert!(caller.audiences.iter().any(|audience| audience == AUDIENCE));
    assert!(caller.expires_at > NOW - config.leeway_seconds);
    assert!(!caller.subject.is_empty() && caller.act.len() <= config.max_act_depth);
    assert_eq!(caller.is_sender_constrained(), caller.claims.contains_key("cnf"));
    assert!(!caller.claims.contains_key("nonce"));
    assert_eq!(caller.principal, Caller::principal_of(&caller.issuer, &caller.subject));
}

fn stays_in_line(text: &str) {
    assert!(text.parse::<Algorithm>().is_ok() == Algorithm::ALL.iter().any(|known| known.name() == text));
    let Ok(metadata) = Url::parse(AUDIENCE) else { return };
    let value = Bearer::insufficient_scope(&metadata, &[text], text).into_header_value();
    assert!(value.bytes().all(|byte| (0x20..0x7f).contains(&byte)));
    assert!(value.matches('"').count().is_multiple_of(2));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_keys_are_those_of_the_rfc() {
        // RFC 7515 A.3.1: the signature is good, and still nobody is named by it.
        let text = concat!(
            "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.",
            "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
        );
        let provider = Provider::oidc(ISSUER);
        let read = UnverifiedToken::parse(text, &provider).unwrap();
        assert_eq!(KeySet::parse(KEYS).unwrap().check(&read), Answer::Good);
        token(text);
    }

    proptest! {
        #[test]
        fn hold_for_any_text(text in any::<String>()) {
            token(&text);
            proof(&text);
        }

        #[test]
        fn hold_for_any_claims(
            claims in prop::collection::hash_map(
                prop::sample::select(vec![
                    "iss", "sub", "aud", "exp", "nbf", "iat", "nonce", "cnf", "scope", "azp", "act", "roles", "groups",
                    "org_id", "o", "email", "tenants", "dct", "token_use", "client_id", "kubernetes.io",
                ]),
                prop::sample::select(vec![
                    Value::from(ISSUER), Value::from(AUDIENCE), Value::from(NOW), Value::from(NOW + 90), Value::from(-1),
                    Value::from(1e18), Value::Null, Value::from(vec![AUDIENCE]), Value::from(""), serde_json::json!({}),
                    serde_json::json!({"sub": "x", "a": {"b": ["c"]}}), Value::from("access"), Value::from("client"),
                ]),
                0..14,
            ),
        ) {
            token(&serde_json::json!(claims).to_string());
        }
    }
}
