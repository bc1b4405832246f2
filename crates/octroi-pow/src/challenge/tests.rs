use serde_json::{Value, json};

use super::*;
use crate::Signer;

fn binding() -> Binding {
    Binding {
        tool: Some("data_query".to_owned()),
        principal: Some([2; 32]),
        arguments_digest: Some([3; 32]),
        calls: 5,
        service: "toll".to_owned(),
    }
}

fn challenge() -> Challenge {
    let difficulty = Difficulty::from_bits(20).unwrap();
    Signer::new((1, [7; 32])).issue(difficulty, binding(), 1000, 60, [9; 16])
}

#[test]
fn the_json_clients_see() {
    let json = serde_json::to_value(challenge()).unwrap();
    assert_eq!(
        json,
        json!({
            "id": "09".repeat(16),
            "salt": challenge().salt,
            "difficulty": 20,
            "target": format!("000010{}", "0".repeat(58)),
            "signature": json["signature"],
            "expires_at": 1060,
            "algorithm": "sha256",
            "service": "toll",
            "calls": 5,
            "tool": "data_query",
            "principal": "02".repeat(32),
            "arguments_sha256": "03".repeat(32),
        })
    );
    assert!(json["difficulty"].is_u64(), "whole bits are written as a whole number");
    assert_eq!(serde_json::from_value::<Challenge>(json).unwrap(), challenge());
}

#[test]
fn what_is_not_bound_is_not_named() {
    let free = Binding { tool: None, principal: None, arguments_digest: None, ..binding() };
    let difficulty = Difficulty::from_bits(18.5).unwrap();
    let challenge = Signer::new((1, [7; 32])).issue(difficulty, free, 1000, 60, [9; 16]);
    let json = serde_json::to_value(&challenge).unwrap();
    assert_eq!(json["difficulty"], json!(18.5));
    for name in ["tool", "principal", "arguments_sha256"] {
        assert!(json.get(name).is_none());
    }
    assert_eq!(serde_json::from_value::<Challenge>(json).unwrap(), challenge);
}

#[test]
fn six_fields_are_enough_and_more_do_not_hurt() {
    let mut json = serde_json::to_value(challenge()).unwrap();
    json["token"] = "unknown to the reader".into();
    assert_eq!(serde_json::from_value::<Challenge>(json.clone()).unwrap(), challenge());
    let six = ["id", "salt", "difficulty", "target", "signature", "expires_at"];
    let kept: Value = six.iter().map(|name| (name.to_string(), json[*name].clone())).collect();
    assert_eq!(serde_json::from_value::<Challenge>(kept).unwrap(), challenge());
    for name in six {
        let mut lacking = json.clone();
        lacking.as_object_mut().unwrap().remove(name);
        assert!(serde_json::from_value::<Challenge>(lacking).is_err(), "without {name}");
    }
}

#[test]
fn what_was_told_must_come_back_unchanged() {
    let changes = [
        ("service", json!("other")),
        ("calls", json!(6)),
        ("tool", json!("image_describe")),
        ("principal", json!("00".repeat(32))),
        ("arguments_sha256", json!("00".repeat(32))),
        ("algorithm", json!("sha1")),
        ("principal", json!("zz")),
        ("difficulty", json!("20")),
        ("difficulty", json!(20.00001)),
        ("difficulty", json!(65)),
        ("difficulty", json!(-1)),
        ("target", json!("00")),
        ("id", json!("09")),
        ("signature", json!("")),
        ("signature", json!("AAAA")),
        ("expires_at", json!("1060")),
        ("expires_at", json!(-1)),
        ("expires_at", json!(1060.5)),
    ];
    for (name, value) in changes {
        let mut json = serde_json::to_value(challenge()).unwrap();
        json[name] = value.clone();
        assert!(serde_json::from_value::<Challenge>(json).is_err(), "{name} = {value}");
    }
}

#[test]
fn a_field_twice_is_refused() {
    let text = serde_json::to_string(&challenge()).unwrap();
    let twice = text.replacen('{', "{\"expires_at\":9999999999,", 1);
    assert!(serde_json::from_str::<Challenge>(&twice).is_err());
}

#[test]
fn tokens_come_back_as_they_were_and_are_bounded() {
    let token = challenge().to_token();
    assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
    assert_eq!(Challenge::from_token(&token).unwrap(), challenge());
    assert_eq!(Challenge::from_token(&format!("{token}==")).unwrap(), challenge());
    assert_eq!(Challenge::from_token(&"A".repeat(MAX_TOKEN + 1)), Err(ChallengeError::TooLong));
    for bad in ["", "A", "{}", "bnVsbA", "e30"] {
        assert_eq!(Challenge::from_token(bad), Err(ChallengeError::Token), "{bad}");
    }
    // The longest names that are promised to fit.
    let long = Binding { tool: Some("t".repeat(192)), service: "s".repeat(64), ..binding() };
    let challenge =
        Signer::new((1, [7; 32])).issue(Difficulty::from_bits(20.125).unwrap(), long, u64::MAX, 0, [9; 16]);
    let token = challenge.to_token();
    assert!(token.len() <= MAX_TOKEN, "{}", token.len());
    assert_eq!(Challenge::from_token(&token).unwrap(), challenge);
}
