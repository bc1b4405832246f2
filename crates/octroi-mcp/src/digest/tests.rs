use super::*;

fn digest(raw: &str) -> [u8; 32] {
    arguments_digest(Some(raw.as_bytes()))
}

fn sha256(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

#[test]
fn is_sha256_of_the_canonical_form() {
    let cases = [
        ("{}", "{}"),
        (" { } ", "{}"),
        ("[ ]", "[]"),
        (
            r#"{ "b" : 1 , "a" : [ 1.0, -0 ,{"z":null,"y":"x"} ] }"#,
            r#"{"a":[1.0,-0,{"y":"x","z":null}],"b":1}"#,
        ),
        (r#"{"\u0062":"\u0041\/\u001f\n\u00e9","a":1}"#, "{\"a\":1,\"b\":\"A/\\u001f\\n\u{e9}\"}"),
        (r#"{"":{"":{}},"a":""}"#, r#"{"":{"":{}},"a":""}"#),
        (r#"{"é":1,"z":2,"\ud83d\ude00":3,"\uffff":4}"#, "{\"z\":2,\"é\":1,\"\u{ffff}\":4,\"\u{1f600}\":3}"),
        ("\"plain\"", "\"plain\""),
    ];
    for (raw, canonical) in cases {
        assert_eq!(digest(raw), sha256(canonical), "{raw}");
    }
}

#[test]
fn absent_null_and_empty_are_one() {
    assert_eq!(arguments_digest(None), sha256("{}"));
    assert_eq!(digest("null"), sha256("{}"));
}

#[test]
fn different_arguments_differ() {
    let all = [
        "{}",
        "[]",
        r#"{"a":1}"#,
        r#"{"a":"1"}"#,
        r#"{"a":1.0}"#,
        r#"{"a":[1]}"#,
        r#"{"b":1}"#,
        r#"{"a":{},"b":1}"#,
    ];
    for (index, one) in all.iter().enumerate() {
        assert!(all[index + 1..].iter().all(|other| digest(one) != digest(other)));
    }
}

#[test]
fn order_in_arrays_counts() {
    assert_ne!(digest("[1,2]"), digest("[2,1]"));
}

#[test]
fn survives_a_round_trip_through_serde() {
    let raw = r#"{"text":"caf\u00e9 \ud83d\ude00","nested":{"b":[true,null,{"k":"\u006b"}],"a":7},"":"x"}"#;
    let value: serde_json::Value = serde_json::from_str(raw).unwrap();
    assert_eq!(digest(raw), digest(&serde_json::to_string_pretty(&value).unwrap()));
}

#[test]
fn bounds_its_recursion_on_what_was_never_validated() {
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    assert_eq!(digest(&deep), sha256(&deep));
    assert_eq!(digest("}]\"{"), sha256("}]\"{"));
}
