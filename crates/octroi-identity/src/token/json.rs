//! JSON objects without repeated names.
//!
//! RFC 7519 §4 lets a reader refuse a repeated name or take the last. Two readers that differ on it see two
//! different tokens, so here a repetition at any depth refuses the whole text.

use std::fmt;

use serde::Deserialize;
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Why a text is not such an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotAnObject {
    /// A name occurs twice in one object.
    Duplicate,
    /// Not JSON, not an object, or nested deeper than `serde_json` reads (128).
    Malformed,
}

/// Reads one object.
pub(crate) fn object(text: &[u8]) -> Result<Map<String, Value>, NotAnObject> {
    match serde_json::from_slice(text) {
        Ok(Strict(Value::Object(map))) => Ok(map),
        Ok(_) => Err(NotAnObject::Malformed),
        // The visitor takes every type, so the only complaint about data is its own.
        Err(error) if error.is_data() => Err(NotAnObject::Duplicate),
        Err(_) => Err(NotAnObject::Malformed),
    }
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Strict;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Strict, E> {
        Ok(Strict(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Strict, E> {
        Ok(Strict(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Strict, E> {
        Ok(Strict(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Strict, E> {
        Ok(Strict(Number::from_f64(value).map_or(Value::Null, Value::Number)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Strict, E> {
        Ok(Strict(value.into()))
    }

    fn visit_string<E>(self, value: String) -> Result<Strict, E> {
        Ok(Strict(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Strict, E> {
        Ok(Strict(Value::Null))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Strict, A::Error> {
        let mut items = Vec::new();
        while let Some(Strict(item)) = access.next_element()? {
            items.push(item);
        }
        Ok(Strict(Value::Array(items)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Strict, A::Error> {
        let mut map = Map::new();
        while let Some((name, Strict(value))) = access.next_entry::<String, Strict>()? {
            if map.insert(name, value).is_some() {
                return Err(A::Error::custom("repeated name"));
            }
        }
        Ok(Strict(Value::Object(map)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_repeated_name_refuses_at_any_depth() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"x":{"a":1,"b":2,"a":3}}"#,
            r#"{"x":[[{"a":null,"a":null}]]}"#,
        ] {
            assert_eq!(object(text.as_bytes()), Err(NotAnObject::Duplicate), "{text}");
        }
        assert!(object(br#"{"a":{"a":1},"b":[{"a":1},{"a":1}]}"#).is_ok());
    }

    #[test]
    fn only_objects_are_read() {
        let deep = "{\"a\":".repeat(200) + "1" + &"}".repeat(200);
        for text in
            ["", "1", "null", "[]", "\"{}\"", "{", "{}x", "{}{}", "{'a':1}", "{\"a\":\"\u{0}\"}", &deep]
        {
            assert_eq!(object(text.as_bytes()), Err(NotAnObject::Malformed), "{text}");
        }
        assert_eq!(object(b"{\"a\":\"\xff\"}"), Err(NotAnObject::Malformed));
    }

    proptest! {
        #[test]
        fn reads_what_serde_json_reads(pairs in prop::collection::btree_map(any::<String>(), (any::<i64>(), any::<String>(), any::<f64>()), 0..8)) {
            let value = serde_json::json!(pairs);
            prop_assert_eq!(object(value.to_string().as_bytes()).map(Value::Object), Ok(serde_json::from_str(&value.to_string()).unwrap()));
        }

        #[test]
        fn never_panics(text in prop::collection::vec(any::<u8>(), 0..256)) {
            let _ = object(&text);
        }
    }
}
