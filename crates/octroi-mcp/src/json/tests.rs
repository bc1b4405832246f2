//! The strict reader against vectors and against `serde_json`.

use std::collections::HashSet;

use proptest::prelude::*;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::*;

fn check(doc: &[u8]) -> Result<(), JsonError> {
    validate(doc, &Limits::default())
}

#[test]
fn refuses_what_readers_disagree_on() {
    use JsonError::*;
    let cases: &[(&[u8], JsonError)] = &[
        (b"", Syntax { at: 0 }),
        (b"\xEF\xBB\xBF{}", Syntax { at: 0 }),
        (b"{}\0", TrailingData { at: 2 }),
        (b"{} {}", TrailingData { at: 3 }),
        (b"\"\xFF\"", BadUtf8 { at: 1 }),
        (b"\"\xED\xA0\x80\"", BadUtf8 { at: 1 }),
        (b"\"a\0b\"", Syntax { at: 2 }),
        (b"\"a\nb\"", Syntax { at: 2 }),
        (b"\"0123456789\x1f\"", Syntax { at: 11 }),
        (b"\"01\x1f3456789\"", Syntax { at: 3 }),
        (b"\"abc", Syntax { at: 4 }),
        (br#""\x41""#, BadEscape { at: 1 }),
        (br#""\u00g0""#, BadEscape { at: 1 }),
        (br#""\u12"#, BadEscape { at: 1 }),
        (br#""\ud800""#, LoneSurrogate { at: 1 }),
        (br#""\udc00\ud800""#, LoneSurrogate { at: 1 }),
        (br#""\ud83d\u0041""#, LoneSurrogate { at: 1 }),
        (br#"{"name":1,"na\u006de":2}"#, DuplicateKey { at: 10 }),
        (br#"{"a":{"b":[{"c":1,"c":1}]}}"#, DuplicateKey { at: 18 }),
        (br#"{"":1,"":2}"#, DuplicateKey { at: 6 }),
        (br#"{"a":1,}"#, Syntax { at: 7 }),
        (br#"{"a" 1}"#, Syntax { at: 5 }),
        (br#"{a:1}"#, Syntax { at: 1 }),
        (b"[1,]", Syntax { at: 3 }),
        (b"[1 2]", Syntax { at: 3 }),
        (b"01", TrailingData { at: 1 }),
        (b"-", Syntax { at: 1 }),
        (b"+1", Syntax { at: 0 }),
        (b"1.", Syntax { at: 2 }),
        (b".5", Syntax { at: 0 }),
        (b"1e", Syntax { at: 2 }),
        (b"NaN", Syntax { at: 0 }),
        (b"nul", Syntax { at: 3 }),
        (b"trueish", TrailingData { at: 4 }),
        (b"[1]//", TrailingData { at: 3 }),
    ];
    for (doc, error) in cases {
        assert_eq!(check(doc), Err(*error), "{}", String::from_utf8_lossy(doc));
    }
}

#[test]
fn accepts_every_form_of_rfc_8259() {
    let cases: &[&[u8]] = &[
        b" \t\r\n{ \"a\" : [ 1 , -0 , 1e400 , 0.5E-7 , true , false , null ] } \r\n",
        b"123456789012345678901234567890",
        br#""\"\\\/\b\f\n\r\t\u0000\uD83D\uDE00\u00e9""#,
        "\"\u{7f}\u{e9}\u{10ffff}\"".as_bytes(),
        br#"[{"a":1},{"a":1}]"#,
        br#"{"a":1,"A":2,"\u0061b":3}"#,
    ];
    for doc in cases {
        assert_eq!(check(doc), Ok(()), "{}", String::from_utf8_lossy(doc));
    }
}

#[test]
fn bounds_depth_and_members() {
    let nested = |depth: usize| [vec![b'['; depth], vec![b']'; depth]].concat();
    assert_eq!(check(&nested(64)), Ok(()));
    assert_eq!(check(&nested(65)), Err(JsonError::TooDeep { at: 64 }));
    let wide_open = Limits { max_depth: u16::MAX, ..Limits::default() };
    assert_eq!(validate(&nested(10_000), &wide_open), Err(JsonError::TooDeep { at: 256 }));
    assert_eq!(check("{\"a\":".repeat(10_000).as_bytes()), Err(JsonError::TooDeep { at: 64 * 5 }));
    let few = Limits { max_members: 3, ..Limits::default() };
    assert_eq!(validate(b"[1,{\"a\":2}]", &few), Ok(()));
    assert_eq!(validate(b"[1,{\"a\":2},3]", &few), Err(JsonError::TooManyMembers { at: 11 }));
}

#[test]
fn finds_one_duplicate_among_a_hundred_thousand_keys() {
    let limits = Limits { max_members: 200_000, ..Limits::default() };
    let mut doc = String::from("{");
    for number in 0..100_000 {
        doc.push_str(&format!("\"common-prefix-{number}\":0,"));
    }
    let at = doc.len();
    let sound = format!("{doc}\"last\":0}}");
    assert_eq!(validate(sound.as_bytes(), &limits), Ok(()));
    let repeated = format!("{doc}\"common-prefix-7\\u0037\":0}}");
    assert_eq!(validate(repeated.as_bytes(), &limits), Err(JsonError::DuplicateKey { at }));
}

#[test]
fn finds_duplicates_around_the_pairwise_bound() {
    for count in 1..40 {
        for repeated in 0..count {
            let mut keys: Vec<String> =
                (0..count).map(|number| format!("\"k{number}\":{{\"k0\":1}}")).collect();
            assert_eq!(check(format!("{{{}}}", keys.join(",")).as_bytes()), Ok(()));
            keys.push(format!("\"\\u006b{repeated}\":1"));
            let doc = format!("{{{}}}", keys.join(","));
            let at = doc.rfind("\"\\u006b").unwrap();
            assert_eq!(check(doc.as_bytes()), Err(JsonError::DuplicateKey { at }));
        }
    }
}

#[test]
fn walks_members_and_items_with_spans() {
    let doc = br#"{ "a" : [1, {"b":"]"} ,"x"] , "\u0063":"\"}" }"#;
    let found: Vec<_> = members(doc).collect();
    assert_eq!(found.len(), 2);
    assert_eq!((&*found[0].key, found[0].value), ("a", &br#"[1, {"b":"]"} ,"x"]"#[..]));
    assert_eq!(&doc[found[1].span.clone()], br#""\u0063":"\"}""#);
    let values: Vec<_> = items(found[0].value).map(|item| item.value).collect();
    assert_eq!(values, [&b"1"[..], br#"{"b":"]"}"#, br#""x""#]);
    assert_eq!(get(doc, "c").and_then(string).as_deref(), Some("\"}"));
    assert!(matches!(string(br#""plain""#), Some(Cow::Borrowed("plain"))));
    assert_eq!(members(b"[1]").count() + items(b"{\"a\":1}").count() + items(b"\"[1]\"").count(), 0);
}

#[test]
fn removes_members_with_one_comma_each() {
    let cases: &[(&str, &[&str], &str)] = &[
        (r#"{"a":1}"#, &["a"], "{}"),
        (r#"{ "a":1 }"#, &["a"], "{  }"),
        (r#"{"a":1, "b":2}"#, &["a"], r#"{ "b":2}"#),
        (r#"{"a":1 , "b":2}"#, &["b"], r#"{"a":1 }"#),
        (r#"{"a":1,"b":2,"c":3}"#, &["b"], r#"{"a":1,"c":3}"#),
        (r#"{"a":1,"b":2,"c":3}"#, &["b", "c"], r#"{"a":1}"#),
        (r#"{"a":1,"b":2,"c":3}"#, &["c", "a"], r#"{"b":2}"#),
        (r#"{"a":1,"b":2,"c":3}"#, &["a", "b", "c"], "{}"),
    ];
    for (doc, keys, expected) in cases {
        let span = |key: &&str| members(doc.as_bytes()).find(|member| member.key == **key).unwrap().span;
        let spans: Vec<_> = keys.iter().map(span).collect();
        assert_eq!(String::from_utf8(without(doc.as_bytes(), &spans)).unwrap(), *expected);
    }
}

#[test]
fn sets_members_in_place_or_at_the_end() {
    let cases = [
        ("{}", r#"{"k\"":9}"#),
        ("{ }", r#"{"k\"":9 }"#),
        ("{\"a\":1\r\n}", "{\"a\":1,\"k\\\"\":9\r\n}"),
        (r#"{"k\u0022" : [1] ,"b":2}"#, r#"{"k\u0022" : 9 ,"b":2}"#),
    ];
    for (doc, expected) in cases {
        assert_eq!(String::from_utf8(with_member(doc.as_bytes(), "k\"", b"9")).unwrap(), expected);
    }
}

/// A value as `serde_json` reads it, refusing duplicate keys: the independent opinion on what is strict JSON.
struct Strict;

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }
    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self, A::Error> {
        while seq.next_element::<Self>()?.is_some() {}
        Ok(self)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        let mut keys = HashSet::new();
        while let Some((key, _)) = map.next_entry::<String, Self>()? {
            if !keys.insert(key) {
                return Err(de::Error::custom("duplicate key"));
            }
        }
        Ok(self)
    }
}

fn agrees_with_serde(doc: &[u8]) -> Result<(), TestCaseError> {
    let ours = check(doc);
    match serde_json::from_slice::<Strict>(doc) {
        // A number is text here and a float there.
        Err(error) if error.to_string().starts_with("number out of range") => {}
        theirs => prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{:?} {:?}", ours, theirs.err()),
    }
    Ok(())
}

/// JSON text in all its spellings, now and then with a duplicate key.
pub(crate) fn json_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        8 => "[a-c]",
        1 => any::<char>().prop_filter("must be escaped", |c| !matches!(c, '"' | '\\' | '\0'..='\u{1f}')).prop_map(String::from),
        1 => any::<u16>().prop_filter("surrogate", |n| !(0xD800..=0xDFFF).contains(n)).prop_map(|n| format!("\\u{n:04X}")),
        1 => prop::sample::select(vec!["\\n", "\\\"", "\\\\", "\\/", "\\u0061", "\\ud83d\\ude00"]).prop_map(String::from),
    ];
    let string =
        prop::collection::vec(piece, 0..6).prop_map(|pieces| format!("\"{}\"", pieces.concat())).boxed();
    let leaf = prop_oneof![
        string.clone(),
        "-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,2})?",
        prop::sample::select(vec!["true", "false", "null", "{}", "[ ]"]).prop_map(String::from),
    ];
    leaf.prop_recursive(5, 60, 8, move |inner| {
        let spaced = (inner, "[ \t\r\n]{0,2}", "[ \t\r\n]{0,1}").prop_map(|(v, a, b)| format!("{a}{v}{b}"));
        let member = (string.clone(), spaced.clone()).prop_map(|(key, value)| format!(" {key} :{value}"));
        prop_oneof![
            prop::collection::vec(spaced, 0..8).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec(member, 0..8).prop_map(|members| format!("{{{}}}", members.join(","))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn accepts_what_serde_accepts(doc in json_text()) {
        agrees_with_serde(doc.as_bytes())?;
    }

    #[test]
    fn refuses_what_serde_refuses(doc in json_text(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut doc = doc.into_bytes();
        let at = at.index(doc.len());
        doc.splice(at..=at, (!cut).then_some(byte));
        agrees_with_serde(&doc)?;
    }

    #[test]
    fn members_are_what_serde_reads(doc in json_text()) {
        prop_assume!(check(doc.as_bytes()).is_ok());
        let Ok(serde_json::Value::Object(map)) = serde_json::from_str(&doc) else { return Ok(()) };
        prop_assert_eq!(members(doc.as_bytes()).count(), map.len());
        for member in members(doc.as_bytes()) {
            let value: serde_json::Value = serde_json::from_slice(member.value)?;
            prop_assert_eq!(Some(&value), map.get(&*member.key));
            let text = string(member.value);
            prop_assert_eq!(text.as_deref(), value.as_str());
        }
    }

    #[test]
    fn strings_survive_writing(text in any::<String>()) {
        let mut written = Vec::new();
        write_string(&mut written, &text);
        let expected = serde_json::to_vec(&text)?;
        prop_assert_eq!(&written, &expected);
        let read = string(&written);
        prop_assert_eq!(read.as_deref(), Some(&*text));
    }
}
